"""Runs a `.tflite` file in TFLite Micro's interpreter: a program of its own.

Needs the wheels `tflite-micro` and ai-edge-litert. Prints the operations that the
interpreter lacks, or the size of the smallest arena, a power of two, in which the file
runs, and by how much its answer differs.
"""

import contextlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from tflite_micro.python.tflite_micro import runtime

SMALLEST, LARGEST = 10, 26  # powers of two: 1 KiB to 64 MiB
_LACKS = re.compile(r"Didn't find op for builtin opcode '(\w+)'")


def lacking(data: bytes) -> list[str]:
    """The operations that the interpreter lacks.

    It names one and stops; that one is then taken for another, and so on.
    """
    model = schema.ModelT.InitFromPackedBuf(data)
    names: list[str] = []
    while True:
        # It says why on standard error.
        with _standard_error() as said, contextlib.suppress(RuntimeError):
            runtime.Interpreter.from_bytes(data, arena_size=1 << LARGEST)
        found = _LACKS.search(said[0])
        if not found or found[1] in names:
            return names
        names.append(found[1])
        number = getattr(schema.BuiltinOperator, found[1])
        for code in model.operatorCodes:
            if number in (code.builtinCode, code.deprecatedBuiltinCode):
                code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.NEG
        builder = flatbuffers.Builder(len(data))
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        data = bytes(builder.Output())


@contextlib.contextmanager
def _standard_error() -> Iterator[list[str]]:
    """What C++ writes to standard error, in the list afterwards."""
    said: list[str] = []
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            said.append(file.read().decode(errors="replace"))


def main() -> None:
    """Arguments: the file, and a `.npz` with `in/<k>` and `out/<k>` by position."""
    model = Path(sys.argv[1]).read_bytes()
    names = lacking(model)
    if names:
        sys.exit(f"it lacks {', '.join(names)}")
    with np.load(sys.argv[2]) as arrays:
        given = {key: arrays[key] for key in arrays.files}
    for power in range(SMALLEST, LARGEST + 1):
        with _standard_error() as said:
            try:
                interpreter = runtime.Interpreter.from_bytes(model, arena_size=1 << power)
                for key, value in given.items():
                    if key.startswith("in/"):
                        interpreter.set_input(value, int(key[3:]))
                interpreter.invoke()
                problem = None
            except Exception as error:  # too small an arena, or what no arena mends
                problem = error
        if problem is not None:
            continue
        difference = max(
            float(np.abs(interpreter.get_output(int(key[4:])) - value).max())
            for key, value in given.items()
            if key.startswith("out/")
        )
        print(json.dumps({"arena_bytes": 1 << power, "difference": difference}))
        return
    lines = [line.strip() for line in said[0].splitlines() if line.strip()]
    sys.exit(f"does not run: {'; '.join(lines[:2]) or problem}")


if __name__ == "__main__":
    main()
