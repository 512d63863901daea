"""Opens a stranger's file in a child process first, for libraries that may crash or hang.

HDF5 and the LiteRT interpreter are written in C and C++ and are not made for hostile
files: some damaged ones end the process, some never come back. What kills or delays the
child is one line of refusal in the parent. A file that the child has read is then read
again, by the same code, in the parent.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from kerasdl.errors import InputError

SECONDS = 10
BYTES_PER_SECOND = 10_000_000  # added to `SECONDS` for large files, on slow machines
MEMORY = 1 << 30
_REFUSED = 3


def try_in_child(module: str, path: str | Path, what: str) -> None:
    """Runs `python -m MODULE PATH` with bounds on time and memory.

    Args:
        module: A module whose main program calls `answer`.
        path: The file to try.
        what: The kind of file, for messages: "a TFLite model".

    Raises:
        InputError: If the child refuses the file (its reason is given), dies, or does not
            end within `SECONDS` and a second for each `BYTES_PER_SECOND` of the file.
    """
    seconds = SECONDS + os.path.getsize(path) // BYTES_PER_SECOND
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        # Each thread of OpenBLAS reserves memory, which the limit would count.
        "OPENBLAS_NUM_THREADS": "1",
    }
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", module, str(path)],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"{path}: not {what}: reading it took more than {seconds} s."
        ) from error
    if done.returncode == _REFUSED:
        raise InputError(f"{path}: not {what}: {done.stdout.strip()}.")
    if done.returncode:
        raise InputError(f"{path}: not {what}: {_death(done)}.")


def _death(done: subprocess.CompletedProcess) -> str:
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return f"it ends the process that reads it ({name})"
    lines = done.stderr.strip().splitlines() or ["no reason was given"]
    return f"reading it failed: {lines[-1]}"


def answer(check: Callable[[Path], None]) -> None:
    """The child's side: checks the file that the command line names.

    Args:
        check: Raises a `ValueError` or `MemoryError` whose message is the reason.
    """
    path = Path(sys.argv[1])
    # Windows has no such limit.
    with contextlib.suppress(ImportError):
        import resource

        limit = MEMORY + 2 * path.stat().st_size
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        check(path)
    except MemoryError:
        print(f"it takes more than {limit:,} bytes of memory")
        sys.exit(_REFUSED)
    except ValueError as error:
        print(" ".join(str(error).split())[:1000])
        sys.exit(_REFUSED)
