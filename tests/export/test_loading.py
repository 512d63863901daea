"""`kerasdl.load` refuses what is no finished run, in one line."""

import json

import pytest

import kerasdl


def write_run(root, job):
    (root / "config.json").write_text(json.dumps({"job": job, "config": {}}))


def test_empty_folder(tmp_path):
    with pytest.raises(kerasdl.InputError, match=r"no config\.json"):
        kerasdl.load(tmp_path)


def test_unknown_job(tmp_path):
    write_run(tmp_path, "juggling")
    with pytest.raises(kerasdl.InputError, match=r"captioning.*got 'juggling'"):
        kerasdl.load(tmp_path)


def test_unfinished_run(tmp_path):
    write_run(tmp_path, "captioning")
    with pytest.raises(kerasdl.InputError, match=r"no model\.keras: the run has not"):
        kerasdl.load(tmp_path)
