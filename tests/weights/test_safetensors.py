import contextlib
import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasdl.errors import InputError
from kerasdl.weights.safetensors import read_safetensors
from tests.weights import files
from tests.weights.files import written
from tests.weights.safetensors_files import KINDS, safetensors_file


def refusal(tmp_path, data):
    path = written(tmp_path, data)
    message = files.refusal(read_safetensors, path)
    assert message.startswith(f"{path}: not a whole safetensors file: ")
    return message


def header(**entries):
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text


def twice(first, second):
    text = f'{{"a": {json.dumps(first)}, "a": {json.dumps(second)}}}'.encode()
    return struct.pack("<Q", len(text)) + text


def entry(dtype="F32", shape=(2,), data_offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(data_offsets)}


def test_reads_every_type(tmp_path):
    arrays = {
        kind: np.arange(6).reshape(2, 3).astype(dtype) for dtype, kind in KINDS.items()
    }
    arrays["scalar"] = np.array(2.5, np.float32)
    arrays["empty"] = np.zeros((0, 3), np.float32)
    path = written(tmp_path, safetensors_file(arrays, {"format": "pt"}))
    tensors = read_safetensors(path)
    assert list(tensors) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(tensors[name], array, strict=True)


def test_bfloat16_becomes_float32(tmp_path):
    bits = np.array([0x3F80, 0xC000, 0x4049], "<u2")
    data = header(b=entry("BF16", (3,), (0, 6))) + bits.tobytes()
    read = read_safetensors(written(tmp_path, data))["b"]
    np.testing.assert_array_equal(read, np.float32([1, -2, 3.140625]), strict=True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "header too small"),
        (struct.pack("<Q", 2**60), "header too large"),
        (struct.pack("<Q", 3) + b"[1]", "invalid type: sequence"),
        (struct.pack("<Q", 3) + b"{no", "key must be a string"),
        (struct.pack("<Q", 2) + b"\xff\xff", "invalid UTF-8"),
        (struct.pack("<Q", 9**5) + b"[" * 9**5, "invalid type: sequence"),
        (header(a=entry("F8_E4M3", (8,))) + bytes(8), "a is of type F8_E4M3"),
        (header(a=entry(shape=(3,))) + bytes(8), "invalid shape"),
        (header(a=entry()) + bytes(7), "file not fully covered"),
        (header(a=entry()) + bytes(9), "file not fully covered"),
        (header(a=entry(shape=(2**40,), data_offsets=(0, 2**42))), "not fully covered"),
        (header(a=entry(shape=(-2,))) + bytes(8), "-2"),
        (header(a=entry(shape=(2.0,))) + bytes(8), "2.0"),
        (header(a=entry(data_offsets=(8, 0))) + bytes(8), "invalid offset"),
        (header(a=entry(data_offsets=(0,))) + bytes(8), "invalid length 1"),
        (header(a={"dtype": "F32"}) + bytes(8), "shape"),
        (header(a=3), "invalid type: integer"),
        (header(a=entry(), b=entry(data_offsets=(12, 20))) + bytes(20), "offset"),
        (header(a=entry(), b=entry(data_offsets=(4, 12))) + bytes(12), "offset"),
        (header(a=entry(), b=entry()) + bytes(8), "offset"),
        (twice(entry(), entry()) + bytes(8), "'a' is named twice"),
        (twice(entry(), entry(dtype="I32")) + bytes(8), "'a' is named twice"),
        (twice(entry(), entry(data_offsets=(8, 16))) + bytes(16), "offset"),
        (header(a=entry(shape=(1,) * 65, data_offsets=(0, 4))) + bytes(4), "dimension"),
        (header(a=entry(shape=(0, 2**62), data_offsets=(0, 0))), "too big"),
        (header(a=entry(shape=[9**15] * 10**6)) + bytes(8), "overflow"),
        (header(a=entry(), __metadata__={"a": "b" * 2**24}) + bytes(8), "at most"),
    ],
)
def test_damaged(tmp_path, data, message):
    assert message in refusal(tmp_path, data)


@given(changes=st.lists(st.tuples(st.integers(0, 999), st.integers(0, 255)), max_size=4))
@settings(max_examples=100, deadline=None)
def test_damage_never_raises_anything_else(tmp_path_factory, changes):
    data = bytearray(safetensors_file({"w": np.ones((2, 3), np.float32)}))
    for place, octet in changes:
        data[place % len(data)] = octet
    path = written(tmp_path_factory.mktemp("damage"), bytes(data))
    with contextlib.suppress(InputError):
        read_safetensors(path)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_safetensors(tmp_path / "missing.safetensors")
