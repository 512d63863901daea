"""Checks a TFLite file before the LiteRT interpreter runs it.

The interpreter verifies that the flatbuffer's offsets stay in the file, and believes the
rest: that a tensor's buffer has the size of its shape, that an operator reads tensors
which exist and have been written, that no graph calls itself. If that is not so, it reads
and writes foreign memory. `check_tflite` compares what the file states about itself, and
then runs the model once, in a child process.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasdl.files import open_regular
from kerasdl.weights.damage import DAMAGE, Damaged, element_count, reason, shown
from kerasdl.weights.trial import answer, try_in_child

IDENTIFIER = b"TFL3"
MAX_OBJECTS = (
    1_000_000  # of operators and tensors; the interpreter's verifier has as many
)
MAX_INPUT = 1 << 24  # numbers in the input of the trial run
_HANDLES = ("RESOURCE", "VARIANT")  # whose buffers hold no numbers
_BITS = {
    "FLOAT64": 64, "INT64": 64, "UINT64": 64, "COMPLEX64": 64, "COMPLEX128": 128,
    "FLOAT32": 32, "INT32": 32, "UINT32": 32, "FLOAT16": 16, "BFLOAT16": 16, "INT16": 16,
    "UINT16": 16, "INT8": 8, "UINT8": 8, "BOOL": 8, "FLOAT8_E4M3FN": 8, "FLOAT8_E5M2": 8,
    "INT4": 4, "UINT4": 4, "INT2": 2,
}  # fmt: skip


def check_tflite(path: str | Path) -> None:
    """Refuses a TFLite file that would crash the interpreter, hang it or fill the memory.

    Raises:
        InputError: If the file cannot be read, is no TFLite model, contradicts itself
            (see `check_structure`), or if a child process that runs each of its
            signatures once, on zeros, crashes, hangs or takes more memory than
            `kerasdl.weights.trial` allows.
    """
    open_regular(path).close()
    try_in_child("kerasdl.weights.tflite", path, "a model that LiteRT can run")


def check_structure(data: bytes) -> None:
    """Compares what a TFLite file states about itself.

    Args:
        data: The whole file; a zip of metadata may follow the model.

    Raises:
        Damaged: If an index or a size is out of bounds; if the bytes of a constant are
            not those of its shape; if an operator reads a tensor that nothing wrote, or
            writes one that has a value; if a graph calls itself; or if data lie in
            another file.
    """
    from ai_edge_litert import schema_py_generated as schema

    if data[4:8] != IDENTIFIER:
        raise Damaged(f"expected {IDENTIFIER!r} at byte 4, got {data[4:8]!r}")
    try:
        _Structure(schema, schema.Model.GetRootAs(data), len(data)).check()
    except Damaged:
        raise
    except DAMAGE as error:
        raise Damaged(f"truncated or damaged flatbuffer: {reason(error)}") from error


class _Structure:
    """One model, as its flatbuffer states it. Graphs and tensors are named by number."""

    def __init__(self, schema: Any, model: Any, size: int) -> None:
        self._schema, self._model, self._size = schema, model, size
        self._types = _names(schema.TensorType)
        self._objects = 0

    def check(self) -> None:
        model = self._model
        if model.ExternalBuffersLength() or model.ExternalBufferGroupsLength():
            raise Damaged("its buffers are in another file")
        self._buffers = [self._buffer_size(b) for b in self._each(model, "Buffers")]
        codes = list(self._each(model, "OperatorCodes"))
        self._graphs = list(self._each(model, "Subgraphs"))
        if not self._graphs:
            raise Damaged("it has no graph")
        self._calls: dict[int, set[int]] = {}
        for index, graph in enumerate(self._graphs):
            self._check_graph(index, graph, len(codes))
        self._check_calls()
        for signature in self._each(model, "SignatureDefs"):
            graph = _index("signature", signature.SubgraphIndex(), self._graphs)
            tensors = range(self._graphs[graph].TensorsLength())
            for field in ("Inputs", "Outputs"):
                for entry in self._each(signature, field):
                    _index("signature", entry.TensorIndex(), tensors)
        for entry in self._each(model, "Metadata"):
            _index("metadata", entry.Buffer(), self._buffers)

    def _each(self, table: Any, field: str) -> Iterator[Any]:
        """The entries of a vector, counted: a flatbuffer may hold one entry often."""
        length = getattr(table, f"{field}Length")()
        self._objects += length
        if self._objects > MAX_OBJECTS:
            raise Damaged(f"more than {MAX_OBJECTS:,} tensors, operators and buffers")
        return (getattr(table, field)(index) for index in range(length))

    def _buffer_size(self, buffer: Any) -> int:
        start, size = buffer.Offset(), buffer.Size()
        if start <= 1:
            return buffer.DataLength()
        if start + size > self._size:  # the form for models above 2 GB
            raise Damaged(
                f"a buffer ends at byte {start + size}, the file at {self._size}"
            )
        return size

    def _check_graph(self, index: int, graph: Any, codes: int) -> None:
        tensors = list(self._each(graph, "Tensors"))
        # What has a value: constants, variables, inputs, results of earlier operators.
        valued = set(_indices(graph, "Inputs", tensors, f"graph {index}"))
        for number, tensor in enumerate(tensors):
            if self._check_tensor(f"{index}:{number}", tensor) or tensor.IsVariable():
                valued.add(number)
        self._calls[index] = set()
        for position, operator in enumerate(self._each(graph, "Operators")):
            name = f"operator {index}:{position}"
            _index(name, operator.OpcodeIndex(), range(codes))
            for tensor in _indices(operator, "Inputs", tensors, name, optional=True):
                if tensor >= 0 and tensor not in valued:
                    raise Damaged(f"{name} reads tensor {tensor}, which nothing wrote")
            for tensor in _indices(operator, "Outputs", tensors, name):
                if tensor in valued:
                    raise Damaged(f"{name} writes tensor {tensor}, which has a value")
                valued.add(tensor)
            _indices(operator, "Intermediates", tensors, name)
            self._calls[index] |= set(self._called(name, operator))
        for tensor in _indices(graph, "Outputs", tensors, f"graph {index}"):
            if tensor not in valued:
                raise Damaged(
                    f"graph {index} returns tensor {tensor}, which nothing wrote"
                )

    def _check_tensor(self, name: str, tensor: Any) -> bool:
        """Whether the tensor is a constant."""
        kind = self._types.get(tensor.Type())
        if kind is None:
            raise Damaged(f"tensor {name} is of type {tensor.Type()}, which is unknown")
        if tensor.ExternalBuffer():
            raise Damaged(f"tensor {name} is in another file")
        shape = tensor.ShapeAsNumpy().tolist() if tensor.ShapeLength() else []
        count = element_count(shape)
        signature = tensor.ShapeSignatureLength()
        if signature and signature != len(shape):
            raise Damaged(f"tensor {name} has {len(shape)} axes and {signature}")
        self._check_quantization(name, tensor.Quantization(), shape)
        held = self._buffers[_index(f"tensor {name}", tensor.Buffer(), self._buffers)]
        if not held or kind in _HANDLES:
            return bool(held)
        needed = -(-count * _BITS[kind] // 8) if kind in _BITS else held
        if held != needed and tensor.Sparsity() is None:
            raise Damaged(
                f"tensor {name} of shape {shown(tuple(shape))} and type {kind} needs "
                f"{needed} bytes, its buffer has {held}"
            )
        return True

    @staticmethod
    def _check_quantization(name: str, given: Any, shape: Sequence[int]) -> None:
        if given is None or not given.ScaleLength():
            return
        axis = given.QuantizedDimension()
        scales, zeros = given.ScaleLength(), given.ZeroPointLength()
        sides = shape[axis] if 0 <= axis < len(shape) else 1
        if scales not in (1, sides) or zeros not in (0, 1, scales):
            raise Damaged(f"tensor {name} has {scales} scales and {zeros} zero points")
        if not np.isfinite(given.ScaleAsNumpy()).all():
            raise Damaged(f"tensor {name} has a scale that is not finite")

    def _called(self, name: str, operator: Any) -> Iterator[int]:
        """The graphs that an operator runs."""
        schema = self._schema
        fields = {
            "WhileOptions": ("CondSubgraphIndex", "BodySubgraphIndex"),
            "IfOptions": ("ThenSubgraphIndex", "ElseSubgraphIndex"),
            "CallOptions": ("Subgraph",),
            "CallOnceOptions": ("InitSubgraphIndex",),
        }
        options = _names(schema.BuiltinOptions).get(operator.BuiltinOptionsType())
        if options not in fields or operator.BuiltinOptions() is None:
            return
        table = getattr(schema, options)()
        table.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
        for field in fields[options]:
            yield _index(name, getattr(table, field)(), self._graphs)

    def _check_calls(self) -> None:
        """Refuses recursion: graphs are removed once all that they call are removed."""
        waiting = {index: set(called) for index, called in self._calls.items()}
        while waiting:
            done = {
                index for index, called in waiting.items() if not called & set(waiting)
            }
            if not done:
                raise Damaged(f"graph {min(waiting)} calls itself")
            for index in done:
                del waiting[index]


def _names(enum: type) -> dict[int, str]:
    return {value: name for name, value in vars(enum).items() if isinstance(value, int)}


def _index(where: str, index: int, things: Sequence[Any]) -> int:
    if not 0 <= index < len(things):
        raise Damaged(f"{where} names number {index} of {len(things)}")
    return index


def _indices(
    table: Any, field: str, things: Sequence[Any], where: str, optional: bool = False
) -> list[int]:
    """A vector of indices; -1 stands for an optional input that is not given."""
    if not getattr(table, f"{field}Length")():
        return []
    indices = getattr(table, f"{field}AsNumpy")().tolist()
    for index in indices:
        if not (optional and index == -1):
            _index(where, index, things)
    return indices


def _check(path: Path) -> None:
    """The child's check: the structure, then one run of every signature."""
    from ai_edge_litert.interpreter import Interpreter

    check_structure(path.read_bytes())
    try:
        interpreter = Interpreter(str(path), num_threads=1)
        for name in interpreter.get_signature_list():
            runner = interpreter.get_signature_runner(name)
            inputs = runner.get_input_details()
            runner(**{key: _zeros(key, given) for key, given in inputs.items()})
    except RuntimeError as error:
        # It gives none, for instance, for memory that it cannot get.
        why = reason(error) if str(error) else "it gives no reason"
        raise Damaged(why) from error


def _zeros(name: str, given: dict[str, Any]) -> np.ndarray:
    """An input of the declared shape; an open side is 1."""
    shape = [1 if side < 0 else side for side in given["shape_signature"].tolist()]
    if math.prod(shape) > MAX_INPUT:
        raise Damaged(f"input {shown(name)} is of shape {shown(tuple(shape))}")
    return np.zeros(shape, given["dtype"])


if __name__ == "__main__":
    answer(_check)
