"""What `check_hdf5` refuses: everything that HDF5 can do beyond holding numbers."""

import os
import re

import pytest

from kerasdl.errors import InputError
from kerasdl.weights import trial
from kerasdl.weights.hdf5 import check_hdf5
from kerasdl.weights.legacy_h5 import read_legacy_h5
from tests.weights import files, hdf5_files


@pytest.fixture
def path(tmp_path):
    return hdf5_files.plain(tmp_path / "a.h5")


def test_plain_weights_pass(path):
    check_hdf5(path)
    assert [len(arrays) for arrays in read_legacy_h5(path).values()] == [1]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (hdf5_files.external, "'/dense/dense/kernel:0' is stored in another file"),
        (hdf5_files.virtual, "is neither contiguous nor chunked"),
        (hdf5_files.soft_link, "is a link to another place"),
        (hdf5_files.external_link, "is a link to another place"),
        (hdf5_files.objects, "is of type object, expected numbers"),
        (hdf5_files.references, "is of type object, expected numbers"),
        (hdf5_files.records, "expected numbers"),
        (hdf5_files.fixed_strings, "is of type |S3, expected numbers"),
        (hdf5_files.truth_values, "is of type bool, expected numbers"),
        (hdf5_files.nested_arrays, "expected numbers"),
        (hdf5_files.compact, "is neither contiguous nor chunked"),
        (hdf5_files.scale_offset, "needs filter 6"),
        (hdf5_files.named_type, "is no group and no dataset"),
        (hdf5_files.null_shape, "has no shape"),
        (hdf5_files.declared, "larger than the file's"),
        (hdf5_files.declared_in_chunks, "larger than the file's"),
        (hdf5_files.many_small, "larger than the file's"),
    ],
)
def test_refusals(path, what, message):
    hdf5_files.change(path, what)
    received = files.refusal(read_legacy_h5, path)
    assert "not Keras weights in HDF5: " in received
    assert message in received


def test_cut_and_missing(path, tmp_path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert "truncated file" in files.refusal(check_hdf5, path)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        check_hdf5(tmp_path / "absent.h5")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InputError, match="expected a regular file"):
        check_hdf5(tmp_path / "fifo")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"\(SIGSEGV\)"),
        ("import time; time.sleep(60)", "took more than 1 s"),
        ("answer(lambda path: bytearray(1 << 32))", "takes more than .* of memory"),
        ("answer(lambda path: int('x' * 3))", "invalid literal"),
        ("raise KeyError('a')", "reading it failed: KeyError: 'a'"),
    ],
)
def test_whatever_befalls_the_child_is_one_line(tmp_path, monkeypatch, body, message):
    (tmp_path / "a_child.py").write_text(
        f"from kerasdl.weights.trial import answer\n{body}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(trial, "SECONDS", 1 if "sleep" in body else 60)
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(InputError, match=message) as caught:
        trial.try_in_child("a_child", tmp_path / "a", "a file of the kind")
    assert re.match(
        rf"{tmp_path}/a: not a file of the kind: [^\n]*\.$", str(caught.value)
    )
