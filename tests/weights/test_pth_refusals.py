"""What `read_pth` refuses: code in a pickle, and every kind of damage."""

import os
import pickle
import re
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasdl.errors import InputError
from kerasdl.weights.pth import read_pth
from tests.weights.files import written
from tests.weights.torch_files import (
    LEGACY_MAGIC,
    ORDERED_DICT,
    REBUILD_TENSOR,
    Call,
    Global,
    Raw,
    Reference,
    Storages,
    both_formats,
    legacy_file,
    pickled,
    refusal,
    state_dict,
    tensor,
    torch_file,
    zip_file,
)


@both_formats
@pytest.mark.parametrize(
    "asked",
    [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("__builtin__", "exec"),
        ("torch.nn.modules.conv", "Conv2d"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("torch", "UntypedStorage"),
        ("collections", "OrderedDict.fromkeys"),
        ("kerasdl.weights.pth", "read_pth"),
    ],
)
def test_refuses_every_other_global_by_name(tmp_path, legacy, asked):
    entries, storages = state_dict({"w": np.ones(2, np.float32)}, legacy)
    call = Call(Global(*asked), ("touch /tmp/kerasdl_was_here",))
    data = torch_file({**entries, "x": call}, storages, legacy)
    assert f"asks for the global {'.'.join(asked)};" in refusal(tmp_path, data)


def test_nothing_that_a_file_names_is_called(tmp_path):
    class Attack:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "made by the attack"),))

    data = pickle.dumps({"w": Attack()}, protocol=2)
    legacy = pickled(LEGACY_MAGIC) + pickled(1001) + pickled({}) + data
    assert "asks for the global posix.mkdir" in refusal(tmp_path, legacy)
    assert not (tmp_path / "made by the attack").exists()
    pickle.loads(data)  # the attack would have worked
    assert (tmp_path / "made by the attack").exists()


@both_formats
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Call(Global("torch", "FloatStorage"), ()), "asks for a call of"),
        (Call(ORDERED_DICT, (3,)), "damaged pickle"),
        (Raw(b"(c__main__\nA\no"), "instruction|global"),
        (Raw(b"(i__main__\nA\n"), "instruction INST"),
        (Raw(b"\x8f"), "instruction EMPTY_SET"),
        (Raw(b"\x82\x01"), "instruction EXT1"),
        (Raw(b"0"), "instruction POP"),
        (Raw(b"P0\n"), "instruction PERSID"),
        (Raw(b"h\x05"), "damaged pickle"),
        (Raw(b"R"), "asks for a call of Tensor"),
        (Raw(b"e"), "damaged pickle"),
        (Raw(b"}]N\x88s"), "damaged pickle"),
        (Raw(b"\x01"), "damaged pickle"),
        (Reference(("module", "source")), "damaged pickle|reference to a storage"),
        (Reference(("module", 1, "0", "cpu", 2)), "expected a reference to a storage"),
        (Reference(("storage", ORDERED_DICT, "0", "cpu", 2)), "of OrderedDict"),
        (
            Reference(("storage", Global("torch", "FloatStorage"), "9", "cpu", -1)),
            "-1 elements",
        ),
        (
            Reference(("storage", Global("torch", "FloatStorage"), "9", "cpu", "many")),
            "'many' elements",
        ),
        (Call(REBUILD_TENSOR, (3, 0, (2,), (1,), False, None)), "tensor's storage"),
        (Call(REBUILD_TENSOR, ()), "damaged pickle"),
    ],
)
def test_refuses_what_tensors_never_need(tmp_path, legacy, value, message):
    entries, storages = state_dict({"w": np.ones(2, np.float32)}, legacy)
    data = torch_file({**entries, "x": value}, storages, legacy)
    assert re.search(message, refusal(tmp_path, data))


@both_formats
@pytest.mark.parametrize(
    ("size", "stride", "offset", "message"),
    [
        ((5,), (1,), 0, "w reaches number 4 of storage 0, which has 4"),
        ((2, 2), (3, 1), 0, "w reaches number 4 "),
        ((1,), (1,), 4, "w reaches number 4 "),
        ((0,), (1,), 6, "w reaches number 5 "),
        ((2,), (2**62,), 0, f"w reaches number {2**62} "),
        ((2**40, 2**40), (0, 0), 0, "w is too large"),
        ((1,) * 70, (1,) * 70, 0, "dimension"),
        ((2,), (-1,), 3, r"stride \(-1,\)"),
        ((-2,), (1,), 0, r"size \(-2,\)"),
        ((2,), (1,), -1, "at -1"),
        ((2.0,), (1,), 0, r"size \(2.0,\)"),
        ((2, 2), (1,), 0, r"size \(2, 2\) and stride \(1,\)"),
        (None, (1,), 0, "damaged pickle"),
    ],
)
def test_tensor_outside_its_storage(tmp_path, legacy, size, stride, offset, message):
    storages = Storages()
    reference = storages.reference(storages.add(np.ones(4, np.float32)), legacy)
    value = {"w": tensor(reference, size, stride, offset)}
    data = torch_file(value, storages, legacy)
    assert re.search(message, refusal(tmp_path, data))


@both_formats
def test_storage_larger_than_the_file_is_not_allocated(tmp_path, legacy):
    storages = Storages()
    key = storages.add(np.ones(4, np.float32))
    storages.kinds[key] = ("FloatStorage", 2**50)
    value = {"w": tensor(storages.reference(key, legacy), (2**50,), (1,))}
    message = refusal(tmp_path, torch_file(value, storages, legacy))
    assert (
        str(2**52) in message
        or f"ends at byte {2**52 + 338}" in message
        or ("truncated" in message)
    )


@both_formats
def test_storage_of_another_type_than_its_numbers(tmp_path, legacy):
    storages = Storages()
    key = storages.add(np.ones(4, np.float32))
    storages.kinds[key] = ("DoubleStorage", 4)
    value = {"w": tensor(storages.reference(key, legacy), (4,), (1,))}
    message = refusal(tmp_path, torch_file(value, storages, legacy))
    assert "should have 32 bytes, got 16" in message or "truncated: storage 0" in message


@both_formats
def test_storage_declared_twice(tmp_path, legacy):
    storages = Storages()
    key = storages.add(np.ones(4, np.float32))
    first = tensor(storages.reference(key, legacy), (4,), (1,))
    storages.kinds[key] = ("FloatStorage", 3)
    second = tensor(storages.reference(key, legacy), (3,), (1,))
    data = torch_file({"a": first, "b": second}, storages, legacy)
    assert "storage 0 is declared twice" in refusal(tmp_path, data)


@both_formats
def test_missing_storage(tmp_path, legacy):
    entries, storages = state_dict({"w": np.ones(2, np.float32)}, legacy)
    del storages.numbers["0"]
    assert "lacks" in refusal(tmp_path, torch_file(entries, storages, legacy))


def test_legacy_storage_of_no_tensor(tmp_path):
    entries, storages = state_dict({"w": np.ones(2, np.float32)}, True)
    storages.add(np.ones(2, np.float32))
    message = refusal(tmp_path, legacy_file(entries, storages))
    assert "storage 1 belongs to no tensor" in message


def test_legacy_count_that_contradicts_the_pickle(tmp_path):
    entries, storages = state_dict({"w": np.ones(2, np.float32)}, True)
    data = legacy_file(entries, storages)
    wrong = data[:-16] + struct.pack("<q", 3) + data[-8:]
    assert "storage 0 should hold 2 numbers, got 3" in refusal(tmp_path, wrong)


@pytest.mark.parametrize("keys", [3, [1], [["0"]]])
def test_legacy_storage_keys_of_another_kind(tmp_path, keys):
    entries, storages = state_dict({"w": np.ones(2, np.float32)}, True)
    data = legacy_file(entries, storages)
    place = data.index(pickled(["0"]))
    wrong = data[:place] + pickled(keys) + data[place + len(pickled(["0"])) :]
    assert "expected a list of storages" in refusal(tmp_path, wrong)


@both_formats
@pytest.mark.parametrize("value", [{}, [], 3, {"a": 1}, {"state_dict": {"a": 1}}])
def test_no_tensors(tmp_path, legacy, value):
    data = torch_file(value, Storages(), legacy)
    assert "expected a dictionary of tensors" in refusal(tmp_path, data)


def test_compressed_archive(tmp_path):
    entries, storages = state_dict({"w": np.zeros(10**6, np.float32)}, False)
    data = zip_file(entries, storages, compression=zipfile.ZIP_DEFLATED)
    assert "a compressed one" in refusal(tmp_path, data)


def test_archive_whose_entries_overlap(tmp_path):
    entries, storages = state_dict({"w": np.ones(2, np.float32)}, False)
    data = bytearray(zip_file(entries, storages))
    directory = data.index(b"PK\x01\x02")
    place = data.index(b"model/data/0", directory) - 46
    data[place + 20 : place + 28] = struct.pack("<II", 10**9, 10**9)
    assert "larger than the file" in refusal(tmp_path, bytes(data))


def test_big_endian_archive(tmp_path):
    data = zip_file(*state_dict({"w": np.ones(2, np.float32)}, False), byteorder=b"big")
    assert "expected little-endian numbers, got b'big'" in refusal(tmp_path, data)


def test_archive_of_something_else(tmp_path):
    path = tmp_path / "other.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no tensors")
    message = refusal(tmp_path, path.read_bytes())
    assert "with one data.pkl, got 0 of them" in message


def test_damaged_numbers_in_an_archive(tmp_path):
    entries, storages = state_dict({"w": np.arange(9, dtype=np.float32)}, False)
    data = zip_file(entries, storages)
    damaged = data.replace(struct.pack("<f", 5), struct.pack("<f", 6))
    assert "Bad CRC-32" in refusal(tmp_path, damaged)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "got an empty one"),
        (b"hello world", "begins with b'hello wo'"),
        (b"\x80\x02K\x01.", "begins with"),
        (pickle.dumps({"a": 1}), "begins with"),
        (pickled(LEGACY_MAGIC) + pickled(1000), "expected protocol 1001, got 1000"),
        (pickled(LEGACY_MAGIC), "damaged pickle"),
    ],
)
def test_other_files(tmp_path, data, message):
    assert message in refusal(tmp_path, data)


@both_formats
def test_every_truncation_is_one_line(tmp_path, legacy):
    arrays = {"w": np.arange(3, dtype=np.float32), "n": np.array(1, np.int64)}
    data = torch_file(*state_dict(arrays, legacy), legacy)
    for length in range(len(data)):
        refusal(tmp_path, data[:length])


@both_formats
@given(
    changes=st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 255)), max_size=4)
)
@settings(max_examples=150, deadline=None)
def test_damage_never_raises_anything_else(tmp_path_factory, legacy, changes):
    arrays = {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}
    data = bytearray(torch_file(*state_dict(arrays, legacy), legacy))
    for place, octet in changes:
        data[place % len(data)] = octet
    path = written(tmp_path_factory.mktemp("damage"), bytes(data))
    try:
        tensors = read_pth(path)
    except InputError:
        return
    assert all(isinstance(array, np.ndarray) for array in tensors.values())


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError, match=r"missing\.pth: cannot be read: No such file"):
        read_pth(tmp_path / "missing.pth")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_pth(tmp_path)
