"""What ties a run's files together."""

import json

import pytest

from kerasdl.errors import InputError
from kerasdl.runs import check_digests, write_digests


@pytest.fixture
def root(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"a model")
    (tmp_path / "labels.txt").write_bytes(b"cat\ndog\n")
    (tmp_path / "report.html").write_bytes(b"of no account")
    write_digests(tmp_path)
    return tmp_path


def test_untouched_files_pass(root):
    assert set(json.loads((root / "digests.json").read_text())) == {
        "model.keras",
        "labels.txt",
    }
    (root / "report.html").write_bytes(b"changed")
    check_digests(root)


@pytest.mark.parametrize("labels", ["dog\ncat\n", "cat\n", "cat\ndog\nbird\n"])
def test_labels_in_another_order_or_number_are_refused(root, labels):
    (root / "labels.txt").write_text(labels)
    with pytest.raises(InputError, match=r"labels\.txt: is not the file that the run"):
        check_digests(root)


def test_a_flipped_bit_and_a_missing_file(root):
    (root / "model.keras").write_bytes(b"b model")
    with pytest.raises(InputError, match=r"model\.keras: is not the file that the run"):
        check_digests(root)
    (root / "model.keras").unlink()
    with pytest.raises(InputError, match=r"model\.keras: is missing; the run had it"):
        check_digests(root)


@pytest.mark.parametrize("text", ["", "[1]", "3", '{"../secret": "0"}', "[" * 10**5])
def test_damaged_digests(root, text):
    (root / "digests.json").write_text(text)
    with pytest.raises(InputError, match=r"digests\.json: not a run's digests"):
        check_digests(root)


def test_runs_of_older_versions_have_none(tmp_path):
    write_digests(tmp_path)
    assert list(tmp_path.iterdir()) == []
    check_digests(tmp_path)
