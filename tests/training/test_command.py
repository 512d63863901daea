"""Wrong flags and refused inputs: one line on standard error and an exit code."""

import subprocess
import sys

import pytest

SCRIPT = """
from absl import flags
from kerasdl.errors import InputError
from kerasdl.training import command
from kerasdl.training.config import define_flags
from kerasdl.training.interrupts import Interrupted

define_flags("configs/captioning/default.py")

def main():
    seed = flags.FLAGS.config.seed
    if seed == 1:
        raise InputError("file.txt:3: the label must be 0 or 1,\\n got 'x'.")
    if seed == 2:
        raise Interrupted(15, "saved after epoch 4")
    if seed == 3:
        raise KeyboardInterrupt
    print("seed", seed, "rnn", flags.FLAGS.config.model.rnn)

command.run(main)
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("command") / "script.py"
    path.write_text(SCRIPT)
    return path


def run(script, *arguments):
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=script.parent,
    )


def test_flags_override_fields(script):
    done = run(script, "--workdir=w", "--config.seed=7", "--config.model.rnn=rnn")
    assert (done.returncode, done.stdout, done.stderr) == (0, "seed 7 rnn rnn\n", "")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--workdir=w", "--config.epoch=1"], 2, "(did you mean 'epochs'?)"),
        (["--workdir=w", "--config.model.unit=1"], 2, "(did you mean 'model.units'?)"),
        (["--workdir=w", "--config.nope=1"], 2, "'nope'"),
        (["--workdir=w", "--config.data.nope=1"], 2, "'--config.data.nope'"),
        (["--workdir=w", "--config.seed=x"], 2, "'x'"),
        (["--workdir=w", "--nope=1"], 2, "'nope'"),
        (["--workdir=w", "--config=nope.py"], 2, "'nope.py'"),
        (["--workdir=w", "more"], 2, "'more'"),
        ([], 2, "--workdir"),
        (["--workdir=w", "--config.seed=1"], 1, "file.txt:3: the label must be 0 or 1,"),
        (["--workdir=w", "--config.seed=2"], 143, "SIGTERM: saved after epoch 4"),
        (["--workdir=w", "--config.seed=3"], 130, "interrupted"),
    ],
)
def test_errors_are_one_line(script, arguments, code, message):
    done = run(script, *arguments)
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("stopped: " if code > 128 else "error: ")
    assert message in done.stderr


def test_config_file_that_does_not_run(script, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("def get_config(:\n")
    done = run(script, "--workdir=w", f"--config={broken}")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "broken.py" in done.stderr
