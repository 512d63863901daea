"""Reads PyTorch's `.pth` files without PyTorch and without unpickling anything.

`torch.save` writes a pickle, and a pickle is a program. This reader carries out only the
instructions that a dictionary of tensors consists of, and of what a file may name only
`OrderedDict`, the tensor and parameter constructors and the storage types; nothing named
in a file is ever imported or called. Both formats of `torch.save` are read: the zip
archive of version 1.6 and later, and the sequence of pickles before it.
"""

import io
import math
import mmap
import pickletools
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from kerasdl.errors import InputError

_ZIP_MAGIC = b"PK\x03\x04"
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001

# NumPy has no bfloat16: its 16 bits are the high half of a float32, read as such.
_BFLOAT16 = "bfloat16"
_STORAGE_DTYPES = {
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": _BFLOAT16,
    "DoubleStorage": "<f8",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "?",
}
_ORDERED_DICT = ("collections", "OrderedDict")
_TENSOR = ("torch._utils", "_rebuild_tensor_v2")
_PARAMETER = ("torch._utils", "_rebuild_parameter")
_GLOBALS = {_ORDERED_DICT, _TENSOR, _PARAMETER} | {
    ("torch", name) for name in _STORAGE_DTYPES
}

# Where a training script puts the weights in a checkpoint of more than weights.
_WEIGHTS_KEYS = ("state_dict", "model_state_dict", "model")


class _Global(NamedTuple):
    """A name that the file asked for. It stands for the object and is never looked up."""

    module: str
    name: str


class _Storage(NamedTuple):
    """A stretch of numbers elsewhere in the file: `numel` of them."""

    kind: str
    key: str
    numel: int
    offset: int = 0

    @property
    def nbytes(self) -> int:
        """The bytes that the storage takes in the file."""
        dtype = _STORAGE_DTYPES[self.kind]
        return self.numel * (2 if dtype == _BFLOAT16 else np.dtype(dtype).itemsize)


class _Tensor(NamedTuple):
    """A strided view of a storage; all in elements."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _Damaged(ValueError):
    """What is wrong with the file, without its name."""


def read_pth(path: str | Path) -> dict[str, np.ndarray]:
    """Reads the tensors of a file that `torch.save` wrote.

    Args:
        path: A state dict, or a checkpoint that holds one under `state_dict`,
            `model_state_dict` or `model`.

    Returns:
        Name -> array, in file order, of the shape and type that were saved (bfloat16 as
        float32). The arrays are read-only views; tensors that shared a storage share it
        still. Entries that are not tensors are left out.

    Raises:
        InputError: Where the file cannot be read, is truncated or damaged, holds no
            tensors, or asks for anything but tensors; the name it asks for is given.
    """
    try:
        with open(path, "rb") as file:
            tensors = _read(file)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}.") from error
    except _Damaged as error:
        raise InputError(f"{path}: {error}.") from error
    return tensors


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
    magic = file.read(len(_ZIP_MAGIC))
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if not magic:
        raise _Damaged("expected a file written by torch.save, got an empty one")
    if magic != _ZIP_MAGIC:
        return _read_legacy(file)
    try:
        with zipfile.ZipFile(file) as archive:
            return _read_zip(archive, size)
    except _Damaged:
        raise
    except (
        zipfile.BadZipFile,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        struct.error,
    ) as error:
        raise _Damaged(f"truncated or damaged archive: {error}") from error


def _read_zip(archive: zipfile.ZipFile, size: int) -> dict[str, np.ndarray]:
    """`NAME/data.pkl`, `NAME/byteorder`, and an entry `NAME/data/KEY` for each storage."""
    entries = {entry.filename: entry for entry in archive.infolist()}
    # torch compresses nothing, so the entries fit into the file and cannot swell.
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
        raise _Damaged("expected an archive written by torch.save, got a compressed one")
    if sum(entry.file_size for entry in entries.values()) > size:
        raise _Damaged(f"the archive's entries are larger than the file's {size} bytes")
    pickles = [name for name in entries if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise _Damaged(
            "expected an archive written by torch.save, with one data.pkl, "
            f"got {len(pickles)} of them"
        )
    folder = pickles[0].removesuffix("data.pkl")

    def read_entry(name: str) -> bytes:
        if folder + name not in entries:
            raise _Damaged(f"the archive lacks {folder + name}")
        return archive.read(entries[folder + name])

    if folder + "byteorder" in entries:
        byte_order = read_entry("byteorder")
        if byte_order != b"little":
            raise _Damaged(f"expected little-endian numbers, got {byte_order!r}")
    pickle = _Pickle(io.BytesIO(read_entry("data.pkl")))
    return _materialise(_weights(pickle.run()), lambda key: read_entry(f"data/{key}"))


def _read_legacy(file: BinaryIO) -> dict[str, np.ndarray]:
    """Five pickles (magic, protocol, system, object, storage keys), then the storages."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stream:
        try:
            magic = _Pickle(stream).run()
        except _Damaged:
            magic = None
        if magic != _LEGACY_MAGIC:
            raise _Damaged(
                "expected a file written by torch.save, got one that begins with "
                f"{stream[:8]!r}"
            )
        protocol = _Pickle(stream).run()
        if protocol != _LEGACY_PROTOCOL:
            raise _Damaged(f"expected protocol {_LEGACY_PROTOCOL}, got {protocol!r}")
        _Pickle(stream).run()  # the writer's sizes of C types, which no reader needs
        pickle = _Pickle(stream)
        weights = _weights(pickle.run())
        keys = _Pickle(stream).run()
        spans = _legacy_spans(stream, keys, pickle.storages)

        def read_storage(key: str) -> bytes:
            if key not in spans:
                raise _Damaged(f"the file lacks storage {key}")
            return stream[slice(*spans[key])]

        return _materialise(weights, read_storage)


def _legacy_spans(
    stream: mmap.mmap, keys: Any, storages: dict[str, _Storage]
) -> dict[str, tuple[int, int]]:
    """Where each storage's numbers are; each is its count as int64 and then the numbers."""
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise _Damaged("expected a list of storages after the tensors")
    spans = {}
    for key in keys:
        if key not in storages:
            raise _Damaged(f"storage {key} belongs to no tensor")
        start = stream.tell() + 8
        stop = start + storages[key].nbytes
        if stop > len(stream):
            raise _Damaged(
                f"truncated: storage {key} ends at byte {stop}, the file at {len(stream)}"
            )
        (numel,) = struct.unpack("<q", stream.read(8))
        if numel != storages[key].numel:
            raise _Damaged(
                f"storage {key} should hold {storages[key].numel} numbers, got {numel}"
            )
        spans[key] = (start, stop)
        stream.seek(stop)
    return spans


class _Pickle:
    """Carries out one pickle, of protocol 2 to 5, as far as tensors need.

    Args:
        stream: Read up to the pickle's end and no further. Every length in the pickle is
            bounded by what is left of it.

    Attributes:
        storages: Key -> each storage that the pickle mentions.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self.storages: dict[str, _Storage] = {}

    def run(self) -> Any:
        """The pickled object, of plain Python values, `_Tensor` and `_Storage`.

        Raises:
            _Damaged: Where the pickle is cut short or inconsistent, or asks for anything
                that is not in `_GLOBALS`.
        """
        try:
            for opcode, argument, _ in pickletools.genops(self._stream):
                self._step(opcode.name, argument)
            return self._stack.pop()
        except _Damaged:
            raise
        except (ValueError, IndexError, KeyError, TypeError, struct.error) as error:
            raise _Damaged(f"truncated or damaged pickle: {error}") from error

    def _step(self, opcode: str, argument: Any) -> None:
        stack = self._stack
        match opcode:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "BINUNICODE" | "SHORT_BINUNICODE" | "BINSTRING" | "SHORT_BINSTRING":
                stack.append(argument)
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                stack.append(argument)
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(opcode == "NEWTRUE")
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "MARK":
                self._marks.append(len(stack))
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE":
                stack.append(tuple(self._pop_to_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                self._tuple(int(opcode[-1]))
            case "APPEND":
                item = stack.pop()
                stack[-1].append(item)
            case "APPENDS":
                items = self._pop_to_mark()
                stack[-1].extend(items)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                stack[-1][key] = value
            case "SETITEMS":
                items = self._pop_to_mark()
                stack[-1].update(zip(items[::2], items[1::2], strict=True))
            case "GLOBAL":
                stack.append(self._global(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(self._global(module, name))
            case "BINPERSID":
                stack.append(self._storage(stack.pop()))
            case "REDUCE":
                arguments, function = stack.pop(), stack.pop()
                stack.append(self._call(function, arguments))
            case "BUILD":
                # The attributes of an OrderedDict: a module's `_metadata`. Dropped.
                stack.pop()
            case _:
                raise _Damaged(
                    f"asks for the pickle instruction {opcode}, which tensors never need"
                )

    def _pop_to_mark(self) -> list[Any]:
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _tuple(self, length: int) -> None:
        items = tuple(self._stack[-length:])
        del self._stack[-length:]
        self._stack.append(items)

    @staticmethod
    def _global(module: str, name: str) -> _Global:
        if (module, name) not in _GLOBALS:
            raise _Damaged(
                f"asks for the global {module}.{name}; only tensors are read from a file "
                "of weights"
            )
        return _Global(module, name)

    def _storage(self, reference: Any) -> _Storage:
        """A persistent id: ("storage", type, key, device, numel[, view])."""
        tag, kind, key, _, numel, *view = reference
        if tag != "storage" or not isinstance(kind, _Global) or not isinstance(key, str):
            raise _Damaged(f"expected a reference to a storage, got {tag!r}")
        if kind.name not in _STORAGE_DTYPES or not _is_count(numel):
            raise _Damaged(f"storage {key} of {numel!r} elements of {kind.name}")
        storage = _Storage(kind.name, key, numel)
        if self.storages.setdefault(key, storage) != storage:
            raise _Damaged(f"storage {key} is declared twice, differently")
        if view and view[0] is not None:  # (its own key, first element, count)
            storage = storage._replace(offset=view[0][1])
        return storage

    @staticmethod
    def _call(function: Any, arguments: Any) -> Any:
        if function == _ORDERED_DICT:
            return dict(*arguments)
        if function == _PARAMETER:
            return arguments[0]
        if function != _TENSOR:
            raise _Damaged(f"asks for a call of {function!r}")
        storage, offset, size, stride = arguments[:4]
        if not isinstance(storage, _Storage):
            raise _Damaged(f"expected a tensor's storage, got {storage!r}")
        counts = (offset, storage.offset, *size, *stride)
        if len(size) != len(stride) or not all(map(_is_count, counts)):
            raise _Damaged(
                f"a tensor of size {size!r} and stride {stride!r} at {offset!r}"
            )
        return _Tensor(storage, offset + storage.offset, tuple(size), tuple(stride))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and value >= 0


def _weights(saved: Any) -> dict[str, _Tensor]:
    """The tensors of what was saved, taken out of a checkpoint where it is one."""
    if isinstance(saved, dict):
        for key in _WEIGHTS_KEYS:
            if isinstance(saved.get(key), dict):
                saved = saved[key]
                break
        tensors = {
            name: value
            for name, value in saved.items()
            if isinstance(name, str) and isinstance(value, _Tensor)
        }
        if tensors:
            return tensors
    raise _Damaged("expected a dictionary of tensors, got none")


def _materialise(
    tensors: dict[str, _Tensor], read_storage: Callable[[str], bytes]
) -> dict[str, np.ndarray]:
    """Reads each storage once and lays the tensors over them."""
    storages: dict[str, np.ndarray] = {}
    arrays = {}
    for name, tensor in tensors.items():
        storage = tensor.storage
        if storage.key not in storages:
            storages[storage.key] = _numbers(storage, read_storage(storage.key))
        arrays[name] = _view(name, tensor, storages[storage.key])
    return arrays


def _numbers(storage: _Storage, data: bytes) -> np.ndarray:
    """A storage's numbers: (numel,)."""
    if len(data) != storage.nbytes:
        raise _Damaged(
            f"storage {storage.key} should have {storage.nbytes} bytes, got {len(data)}"
        )
    dtype = _STORAGE_DTYPES[storage.kind]
    if dtype == _BFLOAT16:
        high_halves = np.frombuffer(data, "<u2").astype("<u4")
        return (high_halves << 16).view("<f4")
    return np.frombuffer(data, dtype)


def _view(name: str, tensor: _Tensor, numbers: np.ndarray) -> np.ndarray:
    """A tensor over its storage. No copy, so that a stride of 0 cannot fill the memory."""
    if 0 in tensor.size:
        last = tensor.offset - 1
    else:
        steps = zip(tensor.size, tensor.stride, strict=True)
        last = tensor.offset + sum((size - 1) * stride for size, stride in steps)
    if last >= len(numbers):
        raise _Damaged(
            f"{name} reaches number {last} of storage {tensor.storage.key}, which has "
            f"{len(numbers)}"
        )
    if math.prod(tensor.size) > np.iinfo(np.intp).max // numbers.itemsize:
        raise _Damaged(f"{name} is too large, of size {tensor.size}")
    try:
        return np.lib.stride_tricks.as_strided(
            numbers[tensor.offset :],
            tensor.size,
            [stride * numbers.itemsize for stride in tensor.stride],
            writeable=False,
        )
    except (ValueError, OverflowError) as error:
        raise _Damaged(f"{name}: {error}") from error
