"""Runs a `.tflite` file in TFLite Micro's interpreter: a program of its own.

Needs the wheel `tflite-micro` and NumPy. Prints the size of the smallest arena, a power
of two, in which the file runs, and by how much its answer differs.
"""

import json
import sys
from pathlib import Path

import numpy as np

SMALLEST, LARGEST = 10, 26  # powers of two: 1 KiB to 64 MiB


def main() -> None:
    """Arguments: the file, and a `.npz` with `in/<k>` and `out/<k>` by position."""
    from tflite_micro.python.tflite_micro import runtime

    model = Path(sys.argv[1]).read_bytes()
    with np.load(sys.argv[2]) as arrays:
        given = {key: arrays[key] for key in arrays.files}
    problem = None
    for power in range(SMALLEST, LARGEST + 1):
        try:
            interpreter = runtime.Interpreter.from_bytes(model, arena_size=1 << power)
            for key, value in given.items():
                if key.startswith("in/"):
                    interpreter.set_input(value, int(key[3:]))
            interpreter.invoke()
        except Exception as error:  # too small an arena, or what no arena mends
            problem = error
            continue
        difference = max(
            float(np.abs(interpreter.get_output(int(key[4:])) - value).max())
            for key, value in given.items()
            if key.startswith("out/")
        )
        print(json.dumps({"arena_bytes": 1 << power, "difference": difference}))
        return
    sys.exit(f"does not run: {problem}")


if __name__ == "__main__":
    main()
