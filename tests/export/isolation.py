"""Python programs that run where some packages cannot be imported."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]

_REFUSAL = """
import sys

class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {packages!r} or name in {packages!r}:
            raise ImportError(name + " must not be imported here")

sys.meta_path.insert(0, Refusal())
"""


def run_without(packages, program, *arguments):
    """Runs `program` (Python text) where importing any of `packages` fails."""
    done = subprocess.run(
        [sys.executable, "-c", _REFUSAL.format(packages=set(packages)) + program]
        + [str(argument) for argument in arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
