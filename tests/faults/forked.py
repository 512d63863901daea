"""Kills forked copies of one process at random moments.

Importing TensorFlow takes longer than a small run, so a process that has imported it, and
has run no operation yet, is forked for each run:

    python -m tests.faults.forked WHAT FOLDER KILLS SEED

FOLDER/whole is an undisturbed run; FOLDER/killed0 and so on were killed four times each,
at a share of the time that an undisturbed run took, and then ended. The last line of the
output says how many runs were killed. What a process does at a moment differs from
machine to machine, which is the point.
"""

import functools
import os
import random
import runpy
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

KILLS_PER_RUN = 4

TRAINERS = {
    "captioning": (
        "--config.data.drawn_train=40", "--config.data.drawn_val=4",
        "--config.data.drawn_test=2", "--config.model.image_size=64",
        "--config.model.grid=2", "--config.model.units=16", "--config.epochs=4",
    ),
    "transfer": (
        "--config.mode=finetune", "--config.model.freeze=stages:4",
        "--config.data.drawn_train=24", "--config.data.drawn_val=6",
        "--config.data.drawn_test=6", "--config.model.image_size=32",
        "--config.epochs=4",
    ),
    "text_classification": (
        "--config.data.generated_train=400", "--config.data.generated_val=50",
        "--config.data.generated_test=50", "--config.model.units=16",
        "--config.epochs=6",
    ),
    "style_transfer": (
        "--config.image_size=32", "--config.style_size=32", "--config.iterations=200",
        "--config.content_layers=block2", "--config.style_layers=stem_relu6,block0",
    ),
    "sequence": (
        "--config.models=rnn,lstm_chrono", "--config.steps=4", "--config.units=8",
        "--config.epochs=6", "--config.val_sequences=100",
        "--config.batches_per_epoch=20",
    ),
}  # fmt: skip
EXPORTS = {"tflite": "m.tflite", "saved_model": "served"}


def command(module: str, *arguments: str) -> None:
    """Runs `python -m MODULE ARGUMENTS` in this process."""
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"{module} ended with {end.code}") from end


def job(what: str, folder: Path) -> Callable[[Path], object]:
    """A function that runs what is to be killed, into a folder."""
    if what == "loop":
        from tests.faults.test_file_events import train

        return train
    import tensorflow  # noqa: F401

    import kerasdl.training.jobs  # noqa: F401  and with it all that forks share

    if what in TRAINERS:
        os.environ["KERASDL_CACHE"] = str(folder / "cache")
        return lambda workdir: command(
            f"kerasdl.trainers.{what}", f"--workdir={workdir}", *TRAINERS[what]
        )
    return lambda out: command(
        f"kerasdl.export.{what}",
        f"--model={folder / 'm.keras'}",
        f"--output={out / EXPORTS[what]}",
    )


def fork(run: Callable[[], object], log: Path) -> int:
    """Starts a copy of this process that runs and ends."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        with open(log, "ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            run()
        code = 0
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)


def finish(run: Callable[[], object], log: Path) -> float:
    """Runs to the end; returns the seconds it took."""
    begin = time.monotonic()
    status = os.waitpid(fork(run, log), 0)[1]
    if status:
        sys.exit(f"a run failed ({status}):\n{log.read_text()[-4000:]}")
    return time.monotonic() - begin


def main() -> None:
    """Runs the command."""
    what, folder, wanted = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    draw = random.Random(int(sys.argv[4]))
    run, log = job(what, folder), folder / "log"
    finish(functools.partial(run, folder / "whole"), log)  # fills caches, too
    seconds = finish(functools.partial(run, folder / "again"), log)
    killed = runs = 0
    while killed < wanted:
        here = functools.partial(run, folder / f"killed{runs}")
        for _ in range(KILLS_PER_RUN):
            child = fork(here, log)
            time.sleep(seconds * draw.uniform(0.05, 1.0))
            os.kill(child, signal.SIGKILL)
            killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        finish(here, log)
        runs += 1
    print(killed)


if __name__ == "__main__":
    main()
