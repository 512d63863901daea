"""Writes files as `torch.save` does, byte by byte, without PyTorch.

A pickle is written from plain values and four kinds of record, so that a test can also
write the files that `torch.save` never would.
"""

import io
import struct
import zipfile
from typing import NamedTuple

import numpy as np
import pytest

from kerasdl.weights.pth import read_pth
from tests.weights import files

both_formats = pytest.mark.parametrize("legacy", [True, False], ids=["legacy", "zip"])

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
STORAGES = {
    "<f4": "FloatStorage",
    "<f2": "HalfStorage",
    "<f8": "DoubleStorage",
    "<i8": "LongStorage",
    "<i4": "IntStorage",
    "<i2": "ShortStorage",
    "|i1": "CharStorage",
    "|u1": "ByteStorage",
    "|b1": "BoolStorage",
}


class Global(NamedTuple):
    module: str
    name: str


class Call(NamedTuple):
    function: Global
    arguments: tuple


class Reference(NamedTuple):
    """A persistent id."""

    contents: tuple


class Build(NamedTuple):
    instance: object
    state: object


class Raw(NamedTuple):
    """Instructions as they are."""

    instructions: bytes


ORDERED_DICT = Global("collections", "OrderedDict")
REBUILD_TENSOR = Global("torch._utils", "_rebuild_tensor_v2")
REBUILD_PARAMETER = Global("torch._utils", "_rebuild_parameter")


def instructions(value):
    """What pushes `value` on the stack of an unpickler of protocol 2."""
    match value:
        case Raw(code):
            return code
        case Global(module, name):
            return f"c{module}\n{name}\n".encode()
        case Call(function, arguments):
            return instructions(function) + instructions(tuple(arguments)) + b"R"
        case Reference(contents):
            return instructions(contents) + b"Q"
        case Build(instance, state):
            return instructions(instance) + instructions(state) + b"b"
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int() if -(2**31) <= value < 2**31:
            return b"J" + struct.pack("<i", value)
        case int():
            digits = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            return b"\x8a" + bytes([len(digits)]) + digits
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case tuple():
            return b"(" + b"".join(map(instructions, value)) + b"t"
        case list():
            return b"](" + b"".join(map(instructions, value)) + b"e"
        case dict():
            items = (instructions(part) for item in value.items() for part in item)
            return b"}(" + b"".join(items) + b"u"


def pickled(value):
    return b"\x80\x02" + instructions(value) + b"."


class Storages:
    """Numbers that tensors refer to, by key."""

    def __init__(self):
        self.numbers = {}  # key -> bytes
        self.kinds = {}

    def add(self, array, kind=None):
        key = str(len(self.numbers))
        self.numbers[key] = np.ascontiguousarray(array).tobytes()
        self.kinds[key] = (kind or STORAGES[array.dtype.str], array.size)
        return key

    def reference(self, key, legacy, view=None):
        kind, numel = self.kinds[key]
        contents = ("storage", Global("torch", kind), key, "cpu", numel)
        return Reference((*contents, view) if legacy else contents)


def tensor(reference, size, stride, offset=0):
    hooks = Call(ORDERED_DICT, ())
    return Call(REBUILD_TENSOR, (reference, offset, size, stride, False, hooks))


def contiguous(size):
    """Strides in elements."""
    return tuple(int(np.prod(size[axis + 1 :])) for axis in range(len(size)))


def state_dict(arrays, legacy):
    """(value to pickle, storages) of name -> array."""
    storages = Storages()
    entries = {}
    for name, array in arrays.items():
        key = storages.add(array)
        reference = storages.reference(key, legacy)
        entries[name] = tensor(reference, array.shape, contiguous(array.shape))
    return entries, storages


def legacy_file(value, storages):
    """Bytes in the format before version 1.6."""
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    parts = [pickled(LEGACY_MAGIC), pickled(1001), pickled(system), pickled(value)]
    parts.append(pickled(list(storages.numbers)))
    for key, numbers in storages.numbers.items():
        parts.append(struct.pack("<q", storages.kinds[key][1]) + numbers)
    return b"".join(parts)


def zip_file(value, storages, compression=zipfile.ZIP_STORED, byteorder=b"little"):
    """Bytes in the format since version 1.6."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("model/data.pkl", pickled(value))
        archive.writestr("model/byteorder", byteorder)
        for key, numbers in storages.numbers.items():
            archive.writestr(f"model/data/{key}", numbers)
        archive.writestr("model/version", b"3\n")
    return file.getvalue()


def torch_file(value, storages, legacy):
    return (legacy_file if legacy else zip_file)(value, storages)


def refusal(tmp_path, data):
    """The message that reading `data` ends with."""
    return files.refusal(read_pth, files.written(tmp_path, data))
