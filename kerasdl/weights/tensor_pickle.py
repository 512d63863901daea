"""Carries out the pickles of `torch.save` as far as tensors need, and no further.

A pickle is a program for a stack machine whose instructions can import and call anything.
This machine has only the instructions that a dictionary of tensors consists of. What the
program names is compared with a short list, and is never imported or called; a call
makes a record here. Nothing is allocated that is not in the file. The work is bounded
too: the instructions are counted, a dictionary's keys are plain values (the hash of a
deep nest of tuples overflows the C stack), a tensor's axes and integers are limited.
"""

import pickletools
from collections.abc import Iterable
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from kerasdl.weights.damage import DAMAGE, MAX_AXES, MAX_COUNT, Damaged, reason, shown

# A state dict takes about 40 instructions per tensor.
MAX_INSTRUCTIONS = 1 << 20
_MAX_KEY = 100  # torch's keys are numbers of up to 20 digits
STORAGE_DTYPES = {
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "DoubleStorage": np.dtype("<f8"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("<i1"),
    "ByteStorage": np.dtype("<u1"),
    "BoolStorage": np.dtype("?"),
}
_ORDERED_DICT = ("collections", "OrderedDict")
_TENSOR = ("torch._utils", "_rebuild_tensor_v2")
_PARAMETER = ("torch._utils", "_rebuild_parameter")
_GLOBALS = {_ORDERED_DICT, _TENSOR, _PARAMETER} | {
    ("torch", name) for name in STORAGE_DTYPES
}


class _Global(NamedTuple):
    """A name that the file asked for. It stands for the object and is never looked up."""

    module: str
    name: str


class Storage(NamedTuple):
    """A stretch of numbers elsewhere in the file: `numel` of them."""

    kind: str
    key: str
    numel: int
    offset: int = 0

    @property
    def nbytes(self) -> int:
        """The bytes that the storage takes in the file."""
        return self.numel * STORAGE_DTYPES[self.kind].itemsize


class Tensor(NamedTuple):
    """A strided view of a storage; all in elements."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class TensorPickle:
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
        self.storages: dict[str, Storage] = {}

    def run(self) -> Any:
        """The pickled object, of plain Python values, `Tensor` and `Storage`.

        Raises:
            Damaged: If the pickle is cut short or inconsistent, has more than
                `MAX_INSTRUCTIONS`, or asks for anything that is not in `_GLOBALS`.
        """
        try:
            instructions = enumerate(pickletools.genops(self._stream))
            for count, (opcode, argument, _) in instructions:
                if count == MAX_INSTRUCTIONS:
                    raise Damaged(f"a pickle of more than {count:,} instructions")
                self._step(opcode.name, argument)
            return self._stack.pop()
        except Damaged:
            raise
        except DAMAGE as error:
            raise Damaged(f"truncated or damaged pickle: {reason(error)}") from error

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
                _update(stack[-1], [(key, value)])
            case "SETITEMS":
                items = self._pop_to_mark()
                _update(stack[-1], zip(items[::2], items[1::2], strict=True))
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
                raise Damaged(
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
    def _global(module: Any, name: Any) -> _Global:
        if not isinstance(module, str) or not isinstance(name, str):
            raise Damaged(f"asks for the global {shown(module)}.{shown(name)}")
        if (module, name) not in _GLOBALS:
            raise Damaged(
                f"asks for the global {module[:100]}.{name[:100]}; only tensors are read "
                "from a file of weights"
            )
        return _Global(module, name)

    def _storage(self, reference: Any) -> Storage:
        """A persistent id: ("storage", type, key, device, numel[, view])."""
        tag, kind, key, _, numel, *view = reference
        if tag != "storage" or not isinstance(kind, _Global) or not isinstance(key, str):
            raise Damaged(f"expected a reference to a storage, got {shown(tag)}")
        known = kind.name in STORAGE_DTYPES and len(key) <= _MAX_KEY
        if not known or not _is_count(numel):
            raise Damaged(
                f"storage {shown(key)} of {shown(numel)} elements of {kind.name}"
            )
        storage = Storage(kind.name, key, numel)
        if self.storages.setdefault(key, storage) != storage:
            raise Damaged(f"storage {key} is declared twice, differently")
        if view and view[0] is not None:  # (its own key, first element, count)
            storage = storage._replace(offset=view[0][1])
        return storage

    @staticmethod
    def _call(function: Any, arguments: Any) -> Any:
        if not isinstance(function, _Global):
            raise Damaged(f"asks for a call of {shown(function)}")
        if function == _ORDERED_DICT:
            return _update({}, *arguments)
        if function == _PARAMETER:
            return arguments[0]
        if function != _TENSOR:
            raise Damaged(f"asks for a call of {function.module}.{function.name}")
        storage, offset, size, stride = arguments[:4]
        if not isinstance(storage, Storage):
            raise Damaged(f"expected a tensor's storage, got {shown(storage)}")
        if len(size) > MAX_AXES:
            raise Damaged(f"a tensor of {len(size):,} dimensions")
        counts = (offset, storage.offset, *size, *stride)
        if len(size) != len(stride) or not all(map(_is_count, counts)):
            raise Damaged(
                f"a tensor of size {shown(size)} and stride {shown(stride)} at "
                f"{shown(offset)}"
            )
        return Tensor(storage, offset + storage.offset, tuple(size), tuple(stride))


def _update(entries: dict[Any, Any], pairs: Iterable[tuple[Any, Any]] = ()) -> Any:
    """Puts pairs into a dictionary whose keys are plain values."""
    if not isinstance(entries, dict):
        raise Damaged(f"damaged pickle: puts entries into {shown(entries)}")
    for key, value in pairs:
        if not isinstance(key, (str, int, float, type(None))):
            raise Damaged(f"damaged pickle: a dictionary's key is {shown(key)}")
        entries[key] = value
    return entries


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value <= MAX_COUNT
