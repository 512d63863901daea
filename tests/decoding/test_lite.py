"""Every way of decoding says on a device what it says in Keras."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_every_way_of_decoding_converts_and_answers_alike():
    done = subprocess.run(
        [sys.executable, "-m", "tests.decoding.lite_answers"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    names = [
        "greedy", "beam", "required", "consensus", "samples", "neighbours", "attention",
        "ensemble",
    ]  # fmt: skip
    assert done.stdout.splitlines() == [f"{name} 6" for name in names], done.stderr[
        -2000:
    ]
