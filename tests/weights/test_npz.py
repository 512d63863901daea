import io
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasdl.errors import InputError
from kerasdl.weights.npz import read_npz
from tests.weights import files
from tests.weights.files import written


def refusal(tmp_path, data):
    path = written(tmp_path, data)
    message = files.refusal(read_npz, path)
    assert message.startswith(f"{path}: not a whole NumPy archive: ")
    return message


def saved(save=np.savez, **arrays):
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def npy(header, numbers=b"", version=(1, 0)):
    """The bytes of a `.npy` file with this header."""
    length = struct.pack("<H" if version == (1, 0) else "<I", len(header))
    return b"\x93NUMPY" + bytes(version) + length + header.encode() + numbers


def header(shape, dtype="<f4"):
    return f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}\n"


def zipped(method=zipfile.ZIP_DEFLATED, **entries):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_reads_what_numpy_writes(tmp_path, save):
    rng = np.random.default_rng(0)
    arrays = {
        "layer/kernel": rng.normal(size=(3, 4)).astype(np.float32),
        "half": rng.normal(size=5).astype(np.float16),
        "fortran": np.asfortranarray(rng.normal(size=(3, 4))),
        "count": np.array(7),
        "empty": np.zeros((0, 3), np.uint8),
        "flags": np.array([True, False]),
        "big_endian": np.arange(3, dtype=">i4"),
    }
    read = read_npz(written(tmp_path, saved(save, **arrays)))
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array, strict=True)
        assert read[name].dtype == array.dtype


def test_kinds_that_are_asked_for(tmp_path):
    path = written(tmp_path, saved(text=np.array("{}"), w=np.ones(2)))
    assert str(read_npz(path, kinds="fU")["text"]) == "{}"
    with pytest.raises(
        InputError, match=r"'text\.npy' is of type <U2, which is not read"
    ):
        read_npz(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "File is not a zip file"),
        (b"hello world", "File is not a zip file"),
        (saved(o=np.array([None], object)), "'o.npy' is of type object"),
        (saved(r=np.zeros(2, "f4,i4")), "is not read"),
        (saved(c=np.zeros(2, "c8")), "is of type complex64"),
        (zipped(a=b"no header"), "magic string"),
        (zipped(zipfile.ZIP_LZMA, a=npy(header((2,)), bytes(8))), "another method than"),
        (zipped(zipfile.ZIP_BZIP2, a=npy(header((2,)), bytes(8))), "another method than"),
        (zipped(a=npy(header((3,)), bytes(8))), "of shape (3,) and type float32 has 8"),
        (zipped(a=npy(header((2,)), bytes(12))), "of shape (2,) and type float32 has 12"),
        (zipped(a=npy(header((-2,)), bytes(8))), "shape (-2,)"),
        (zipped(a=npy(header((10**11,)))), "has 0 bytes"),
        (zipped(a=npy(header((2**62, 2**62)))), "is too large"),
        (zipped(a=npy(header(f"({'9**9**9**9,'})"))), "damaged archive"),
        (zipped(a=npy("{'descr': (\n", bytes(8))), "damaged archive"),
        (zipped(a=npy(header("(" * 3000 + ")" * 3000))), "damaged archive"),
        (zipped(a=npy(header((1,) * 70), bytes(4))), "70 dimensions, at most 64"),
        (zipped(a=npy(header((2,)), bytes(8), (3, 0))), "version (3, 0)"),
        (zipped(a=npy(header((2**26,)), bytes(2**28))), "larger than the file's"),
    ],
)
def test_damaged(tmp_path, data, message):
    assert message in refusal(tmp_path, data)


def test_every_truncation_is_one_line(tmp_path):
    data = saved(w=np.arange(3, dtype=np.float32), b=np.zeros(2))
    for length in range(len(data)):
        refusal(tmp_path, data[:length])


@given(changes=st.lists(st.tuples(st.integers(0, 9999), st.integers(0, 255)), max_size=4))
@settings(max_examples=100, deadline=None)
def test_damage_never_raises_anything_else(tmp_path_factory, changes):
    data = bytearray(saved(np.savez_compressed, w=np.ones((2, 3), np.float32)))
    for place, octet in changes:
        data[place % len(data)] = octet
    path = written(tmp_path_factory.mktemp("damage"), bytes(data))
    try:
        arrays = read_npz(path)
    except InputError:
        return
    assert all(isinstance(array, np.ndarray) for array in arrays.values())
