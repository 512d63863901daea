"""Tasks that need TensorFlow, each in a process of its own, without its import's seconds.

`run` gives a task to the program fork_server.py, which has imported TensorFlow and forks.
"""

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("fork_server.py")
_lock = threading.Lock()
# The running program, and the process that started it: a fork must not share its pipe.
_running: tuple[int, subprocess.Popen] | None = None


@dataclass(frozen=True)
class Ended:
    """How a task's process ended.

    Attributes:
        code: Its exit code; that of a signal is its number with a minus sign.
        peak_bytes: The most memory that it had.
        said: What it wrote to standard output and error.
    """

    code: int
    peak_bytes: int
    said: str


def start() -> None:
    """Starts the program, whose import of TensorFlow takes seconds, without waiting."""
    with _lock:
        _program()


def run(task: dict[str, Any], folder: Path) -> Ended:
    """Runs a task of fork_server.py, and waits for its end.

    Args:
        task: Its arguments, for JSON; paths are absolute.
        folder: A folder for its output.
    """
    log = folder.absolute() / "log.txt"
    with _lock:
        answer = _answer({**task, "log": str(log)})
    said = log.read_text(errors="replace") if log.exists() else ""
    return Ended(answer["code"], answer["peak_bytes"], said)


def _program() -> subprocess.Popen:
    global _running
    if _running and _running[0] == os.getpid() and _running[1].poll() is None:
        return _running[1]
    process = subprocess.Popen(
        # -P: the program's folder has modules named like installed ones.
        [sys.executable, "-P", str(PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={
            **os.environ,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
        text=True,
    )
    _running = os.getpid(), process
    return process


def _answer(task: dict) -> dict:
    """What the program says of a task; its own end, if it ends instead."""
    for _ in range(2):  # it may just have ended, idle for too long
        process = _program()
        try:
            print(json.dumps(task), file=process.stdin, flush=True)
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if answer:
            return json.loads(answer)
        code = process.wait()
        if code:
            break
    return {"code": code or 1, "peak_bytes": 0}
