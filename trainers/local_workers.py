"""Runs a trainer as several processes of this machine, to try `multi_worker` out.

    python -m kerasdl.trainers.local_workers --workers=2 -- \\
        python -m kerasdl.trainers.text_classification --workdir=runs/text \\
        --config.distribute=multi_worker

Each process finds its part in TF_CONFIG, as on a cluster; the first one's output is
shown. If one is killed, the others are ended too, and all start again, up to `--restarts`
times: they go on from the last checkpoint.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from absl import app, flags

_SECONDS = 15  # that a process has to save what it needs, once it was told to stop


def main(argv: Sequence[str]) -> None:
    """Runs the command."""
    command, given = list(argv[1:]), flags.FLAGS
    if not command:
        sys.exit("error: the trainer's command must follow after `--`.")
    for _ in range(given.restarts + 1):
        code = run_workers(command, given.workers)
        if code >= 0:
            break  # done, refused, or told to stop: starting again would not help
        name = signal.Signals(-code).name
        print(f"a worker was ended by {name}; all start again", file=sys.stderr)
    sys.exit(code if code >= 0 else 128 - code)


def run_workers(command: Sequence[str], count: int) -> int:
    """Runs a command as `count` workers.

    Returns:
        Minus the number of the signal that ended a worker, if one did; else an exit code
        that is not 0, if there is one; else 0.
    """
    with contextlib.ExitStack() as held:
        ports = [held.enter_context(_bound()).getsockname()[1] for _ in range(count)]
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    workers = []
    for index in range(count):
        task = {"type": "worker", "index": index}
        workers.append(
            subprocess.Popen(
                command,
                stdout=None if index == 0 else subprocess.DEVNULL,
                env={
                    **os.environ,
                    "TF_CONFIG": json.dumps({"cluster": cluster, "task": task}),
                },
            )
        )
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(n, lambda n, _: _tell(workers, n)) for n in signals]
    try:
        while True:
            codes = [worker.poll() for worker in workers]
            if any(codes) or None not in codes:
                return min(_end(workers), key=lambda code: (code >= 0, -code))
            time.sleep(0.1)
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _bound() -> socket.socket:
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    return held


def _tell(workers: Sequence[subprocess.Popen], number: int) -> None:
    for worker in workers:
        if worker.poll() is None:
            worker.send_signal(number)


def _end(workers: Sequence[subprocess.Popen]) -> list[int]:
    """The exit codes of workers that end by themselves, and 0 of those it has to kill."""
    deadline, codes = time.monotonic() + _SECONDS, []
    for worker in workers:
        try:
            codes.append(worker.wait(max(0.1, deadline - time.monotonic())))
        except subprocess.TimeoutExpired:
            worker.kill()  # it waits for one that is gone
            worker.wait()
            codes.append(0)
    return codes


if __name__ == "__main__":
    flags.DEFINE_integer("workers", 2, "How many processes.", lower_bound=1)
    flags.DEFINE_integer("restarts", 3, "How often all start again.", lower_bound=0)
    app.run(main)
