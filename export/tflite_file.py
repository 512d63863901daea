"""A `.tflite` file: its operations, what is appended to it, and where it runs."""

import json
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kerasdl.errors import InputError

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
    """Appends what a predictor must know as a zip, which the runtime does not see."""
    append_files(path, {METADATA: json.dumps(metadata, indent=2), **files})


def append_files(path: Path, files: Mapping[str, str]) -> None:
    """Appends a zip of text files, stored, as other readers of TFLite metadata want."""
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), text, zipfile.ZIP_STORED)


def runner(path: str | Path, threads: int = 0) -> dict[str, Callable]:
    """The signatures of a file, ready to run: arrays by name in, arrays by name out.

    Raises:
        InputError: The file is not one that LiteRT can run.
    """
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(str(path), num_threads=threads or None)
        return {
            name: interpreter.get_signature_runner(name)
            for name in interpreter.get_signature_list()
        }
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{path}: not a model that LiteRT can run: {error}") from error


def where_it_runs(
    path: Path, found: Mapping[str, int], report: Mapping[str, Any]
) -> dict[str, str]:
    """A table of runtimes: "yes" only of those that the file has run on here."""
    table = {"LiteRT": "yes: ran here, in a process without TensorFlow"}
    return table
