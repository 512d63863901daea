"""Files of a few bytes that would crash the process, or fill its time or memory."""

import struct
import zipfile

import numpy as np
import pytest

from kerasdl.weights.tensor_pickle import MAX_INSTRUCTIONS
from tests.weights.files import written
from tests.weights.torch_files import (
    REBUILD_TENSOR,
    Call,
    Global,
    Raw,
    Reference,
    Storages,
    both_formats,
    refusal,
    state_dict,
    tensor,
    torch_file,
)

DEEP_TUPLES = b")" + b"\x85" * 150_000  # EMPTY_TUPLE, then TUPLE1 again and again
# A tuple of the last tuple twice, 60 times: 2 ** 60 leaves, written out.
SHARED = b")" + b"".join(
    b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(60)
)
HUGE = b"\x8a\xff" + b"\x7f" * 255  # LONG1: an integer of 255 bytes


@both_formats
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Reference((Raw(SHARED), 1, 2, 3, 4)), "reference to a storage, got tuple"),
        (Call(Raw(SHARED), ()), "asks for a call of (tuple, tuple)|call of tuple"),
        (
            Call(REBUILD_TENSOR, (Raw(SHARED), 0, (2,), (1,), False, None)),
            "expected a tensor's storage, got tuple",
        ),
        (Raw(b"}" + SHARED + b"Ns"), "a dictionary's key is tuple"),
        (
            Reference(
                ("storage", Global("torch", "FloatStorage"), "9", "cpu", Raw(HUGE))
            ),
            "an integer of 2039 bits elements",
        ),
        (
            Reference(
                ("storage", Global("torch", "FloatStorage"), "9" * 10**6, "cpu", 1)
            ),
            "99999",
        ),
    ],
)
def test_what_a_message_would_write_out_is_shortened(tmp_path, legacy, value, message):
    received = refusal(tmp_path, torch_file({"x": value}, Storages(), legacy))
    assert any(part in received for part in message.split("|"))
    assert len(received) < 1000


@both_formats
@pytest.mark.parametrize(
    ("size", "message"),
    [
        (Raw(b"(" + HUGE * 1000 + b"t"), "a tensor of 1,000 dimensions"),
        (Raw(b"(" + HUGE * 60 + b"t"), "a tensor of size"),
        (Raw(b"(" + b"K\x01" * 500_000 + b"t"), "a tensor of 500,000 dimensions"),
        (Raw(SHARED), "a tensor of size tuple|a tensor of size"),
    ],
)
def test_size_products_end(tmp_path, legacy, size, message):
    storages = Storages()
    reference = storages.reference(storages.add(np.ones(4, np.float32)), legacy)
    value = {"w": tensor(reference, size, size)}
    received = refusal(tmp_path, torch_file(value, storages, legacy))
    assert any(part in received for part in message.split("|"))
    assert len(received) < 1000


@both_formats
def test_instructions_are_counted(tmp_path, legacy):
    value = {"x": Raw(b"](" + b"N" * (MAX_INSTRUCTIONS + 1) + b"e")}
    message = refusal(tmp_path, torch_file(value, Storages(), legacy))
    assert f"a pickle of more than {MAX_INSTRUCTIONS:,} instructions" in message


def test_archive_of_too_many_entries(tmp_path):
    path = tmp_path / "many.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", b"")
    data = path.read_bytes()
    entry = data[data.index(b"PK\x01\x02") : data.index(b"PK\x05\x06")]
    message = refusal(tmp_path, data + entry * 100_001)
    assert "the archive has more than 100,000 entries" in message


def test_a_header_that_is_quoted_is_cut(tmp_path):
    """zipfile quotes the name in an entry's header, whose length is in the file."""
    data = bytearray(torch_file(*state_dict({"w": np.ones(900)}, False), False))
    data[26:28] = struct.pack("<H", 6000)
    message = refusal(tmp_path, bytes(data))
    assert "File name in directory 'model/data.pkl' and header" in message
    assert len(message) < 1000


def test_archive_that_names_an_entry_twice(tmp_path):
    entries, storages = state_dict({"w": np.ones(2, np.float32)}, False)
    path = written(tmp_path, torch_file(entries, storages, False))
    duplicate = pytest.warns(UserWarning, match="Duplicate")
    with duplicate, zipfile.ZipFile(path, "a") as archive:
        archive.writestr("model/data/0", struct.pack("<ff", 5, 6))
    message = refusal(tmp_path, path.read_bytes())
    assert "the archive has 2 entries named 'model/data/0'" in message
