"""Hostile files are one line each, in bounded time and memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.hostile_files import MEMORY_MB, SECONDS

ROOT = Path(__file__).parents[2]
KINDS = {
    "pth": 15,
    "safetensors": 5,
    "npz": 2,
    "h5": 9,
    "tflite": 3,
    "jpg": 5,
    "png": 2,
    "glove": 5,
    "tokenizer": 6,
    "config": 4,
    "vocabulary": 1,
    "labels": 2,
    "csv": 1,
    "body": 6,
}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What came of each file: a list of objects by the file's ending."""
    folder = tmp_path_factory.mktemp("hostile")
    command = [sys.executable, "-m", "tests.faults.hostile_files", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {}
    for line in map(json.loads, done.stdout.splitlines()):
        found.setdefault(line["file"].rpartition(".")[2], []).append(line)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_file_is_one_line_in_bounded_time_and_memory(told, kind):
    assert len(told[kind]) >= KINDS[kind]
    for answer in told[kind]:
        assert answer["died"] == 0, answer
        assert answer["told"], answer
        assert answer["told"] != "ACCEPTED", answer
        assert not answer["told"].startswith("ANOTHER EXCEPTION"), answer
        assert len(answer["told"].splitlines()) == 1, answer
        assert len(answer["told"]) < 2000, answer
        assert answer["seconds"] < SECONDS, answer
        assert answer["mb"] < MEMORY_MB, answer
