"""Reads the operations of a `.tflite` file, and the data appended to it."""

import hashlib
import json
import threading
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from kerasdl.errors import InputError
from kerasdl.weights.damage import Damaged

METADATA = "metadata.json"
# A zip's entries carry a time; a fixed one keeps the file a function of the model.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def operations(model: bytes) -> Counter:
    """How often each operation occurs in a TFLite model, loop bodies included.

    A custom operation, TensorFlow's own (`Flex...`) among them, is named
    `CUSTOM:<its name>`.
    """
    from ai_edge_litert import schema_py_generated as schema

    names = {
        value: name
        for name, value in vars(schema.BuiltinOperator).items()
        if isinstance(value, int)
    }
    flatbuffer = schema.Model.GetRootAs(model)
    kinds = []
    for index in range(flatbuffer.OperatorCodesLength()):
        code = flatbuffer.OperatorCodes(index)
        # Operations below 127 are in the older of the two fields.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if number == schema.BuiltinOperator.CUSTOM:
            kinds.append(f"CUSTOM:{(code.CustomCode() or b'?').decode()}")
        else:
            kinds.append(names[number])
    found = Counter()
    for index in range(flatbuffer.SubgraphsLength()):
        graph = flatbuffer.Subgraphs(index)
        for position in range(graph.OperatorsLength()):
            found[kinds[graph.Operators(position).OpcodeIndex()]] += 1
    return found


def check_builtin(found: Mapping[str, int]) -> None:
    """Raises InputError if a TFLite model needs more than built-in operations."""
    custom = sorted(name for name in found if name.startswith("CUSTOM:"))
    if custom:
        raise InputError(
            f"the TFLite model needs operations that are not built in: "
            f"{', '.join(custom)}; nothing was written."
        )


def attach(path: Path, metadata: Mapping[str, Any], files: Mapping[str, str]) -> None:
    """Appends what a predictor must know as a zip, which the runtime does not see.

    The metadata tie the files to the model by their digests, `sha256` by name, of which
    the model's is `""`.
    """
    parts = {"": path.read_bytes(), **{n: t.encode() for n, t in files.items()}}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()}
    metadata = {**metadata, "sha256": digests}
    append_files(path, {METADATA: json.dumps(metadata, indent=2), **files})


def check_attached(
    model: BinaryIO, size: int, metadata: Mapping[str, Any], files: Mapping[str, str]
) -> None:
    """Compares a model and the files appended to it with what `attach` noted.

    Args:
        model: The whole file.
        size: Where its zip begins.
        metadata: As it holds them; those that an older version wrote have no digests.
        files: The others by name.

    Raises:
        Damaged: A file is not the one that was exported with the model.
    """
    digests = metadata.get("sha256")
    if digests is None:
        return
    model.seek(0)
    parts = {"": model.read(size), **{n: t.encode() for n, t in files.items()}}
    found = {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()}
    if found != digests:
        raise Damaged("its model and the files appended to it do not belong together")


def append_files(path: Path, files: Mapping[str, str]) -> None:
    """Appends a zip of text files, stored, as other readers of TFLite metadata want."""
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), text, zipfile.ZIP_STORED)


class Runner:
    """A signature of a TFLite file: arrays by name in, arrays by name out.

    An interpreter has one set of buffers, so threads that shared one would write into
    each other's inputs, or free them: a lock lets one call in at a time.

    Args:
        interpreter: Of ai-edge-litert.
        name: The signature's.
        lock: One for all signatures of the interpreter.
    """

    def __init__(self, interpreter: Any, name: str, lock: Any) -> None:
        self._run = interpreter.get_signature_runner(name)
        self._lock = lock
        self.get_input_details = self._run.get_input_details
        self.get_output_details = self._run.get_output_details

    def __call__(self, **tensors: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs, copied out of the interpreter's buffers."""
        with self._lock:
            return self._run(**tensors)


def runners(path: str | Path, threads: int = 0) -> dict[str, Runner]:
    """The signatures of a file, by name.

    Args:
        path: The `.tflite` file.
        threads: For the interpreter; 0 leaves the choice to it.

    Raises:
        InputError: The file is not one that LiteRT can run.
    """
    from ai_edge_litert.interpreter import Interpreter

    lock = threading.Lock()
    try:
        interpreter = Interpreter(str(path), num_threads=threads or None)
        names = interpreter.get_signature_list()
        return {name: Runner(interpreter, name, lock) for name in names}
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{path}: not a model that LiteRT can run: {error}") from error
