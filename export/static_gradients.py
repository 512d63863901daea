"""Gradients of TensorFlow's operations that LiteRT's converter takes.

Where the batch is unknown, TensorFlow's own gradients ask at run time which axes of an
operand were broadcast and where a part lies in a concatenation, by operations that LiteRT
does not have (`BroadcastGradientArgs`, `ShapeN`, `ConcatOffset`, `StridedSliceGrad`). All
that is needed is known while tracing: an axis was broadcast if its length is 1 there and
not 1 in the result. An axis of unknown length is taken for the batch or the time of all
operands, never for one of length 1 that is broadcast.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

_PREFIX = "kerasdl_static_"


@contextlib.contextmanager
def static_gradients() -> Iterator[None]:
    """Has operations traced inside differentiated by `tf.gradients` as written here."""
    graph = tf.compat.v1.get_default_graph()
    with graph.gradient_override_map({name: _PREFIX + name for name in _GRADIENTS}):
        yield


def _reduced(gradient: tf.Tensor, operand: tf.Tensor) -> tf.Tensor:
    """Sums a gradient over the axes along which its operand was broadcast."""
    more = gradient.shape.rank - operand.shape.rank
    gradient = tf.reduce_sum(gradient, axis=list(range(more))) if more else gradient
    ones = [
        axis
        for axis, side in enumerate(operand.shape)
        if side == 1 and gradient.shape[axis] != 1
    ]
    return tf.reduce_sum(gradient, axis=ones, keepdims=True) if ones else gradient


def _of_two(factors: Callable) -> Callable:
    """A gradient of x and y from the factors that the result's gradient gets."""

    def gradient(op, d_z):
        x, y = op.inputs[:2]
        return [
            _reduced(part, operand)
            for part, operand in zip(
                factors(x, y, op.outputs[0], d_z), (x, y), strict=True
            )
        ]

    return gradient


def _chosen(chooses_x: Callable) -> Callable:
    def factors(x, y, z, d_z):
        first = tf.cast(chooses_x(x, y), d_z.dtype)
        return d_z * first, d_z * (1 - first)

    return factors


def _squared_difference(x, y, z, d_z):
    d_x = 2 * d_z * (x - y)
    return d_x, -d_x


def _select(op, d_z):
    condition, x, y = op.inputs
    zero = tf.zeros((), d_z.dtype)
    d_x, d_y = tf.where(condition, d_z, zero), tf.where(condition, zero, d_z)
    return None, _reduced(d_x, x), _reduced(d_y, y)


def _concat(op, d_z):
    *parts, axis = op.inputs
    axis = int(tf.get_static_value(axis)) % d_z.shape.rank
    gradients, start = [], 0
    for part in parts:
        gradients.append(_part(d_z, axis, start, part.shape[axis]))
        start += part.shape[axis]
    return [*gradients, None]


def _part(tensor: tf.Tensor, axis: int, start: int, length: int) -> tf.Tensor:
    places = [slice(None)] * axis + [slice(start, start + length)]
    return tensor[tuple(places)]


def _pack(op, d_z):
    axis = op.get_attr("axis") % d_z.shape.rank
    lead = [slice(None)] * axis
    return [d_z[(*lead, place)] for place in range(len(op.inputs))]


def _restored(op, d_z):
    """The gradient of a sum, along the axes that it took away."""
    x = op.inputs[0]
    axes = tf.get_static_value(op.inputs[1])
    axes = sorted(int(a) % x.shape.rank for a in axes.reshape(-1))
    if not op.get_attr("keep_dims"):
        for axis in axes:
            d_z = tf.expand_dims(d_z, axis)
    return d_z + tf.zeros_like(x), axes


def _sum(op, d_z):
    return _restored(op, d_z)[0], None


def _mean(op, d_z):
    restored, axes = _restored(op, d_z)
    shape = tf.shape(op.inputs[0])
    count = 1.0
    for axis in axes:
        count *= tf.cast(shape[axis], d_z.dtype)
    return restored / count, None


def _slice(op, d_z):
    """A slice with steps of 1, padded again; the axes that it cut are known."""
    x = op.inputs[0]
    begin, end, strides = (tf.get_static_value(given) for given in op.inputs[1:])
    masks = {
        name: op.get_attr(f"{name}_mask")
        for name in ("begin", "end", "shrink_axis", "new_axis", "ellipsis")
    }
    plain = begin is not None and end is not None and all(strides == 1)
    if not plain or masks["new_axis"] or masks["ellipsis"]:
        raise NotImplementedError(f"the gradient of the slice {op.name}")
    edges = []
    for axis, side in enumerate(x.shape):
        before, after = 0, 0
        if axis < len(begin):
            shrinks = bool(masks["shrink_axis"] & 1 << axis)
            if shrinks:
                d_z = tf.expand_dims(d_z, axis)
            if shrinks or not masks["begin"] & 1 << axis:
                before = _place(begin[axis], side)
            if shrinks:
                after = side - before - 1
            elif not masks["end"] & 1 << axis:
                after = max(side - _place(end[axis], side), 0)
        edges.append((before, after))
    return tf.pad(d_z, edges), None, None, None


def _place(place: int, side: int | None) -> int:
    return int(place) if place >= 0 else int(place) + side


def _transpose(op, d_z):
    order = tf.get_static_value(op.inputs[1])
    return tf.transpose(d_z, sorted(range(len(order)), key=lambda k: order[k])), None


def _gather(op, d_z):
    """Rows of a table, summed if a row was taken more than once."""
    table, ids = op.inputs[:2]
    rows = tf.reshape(d_z, (-1, *table.shape[1:]))
    sums = tf.math.unsorted_segment_sum(rows, tf.reshape(ids, [-1]), table.shape[0])
    return sums, None, None


def _batch_matmul(op, d_z):
    x, y = op.inputs
    if op.get_attr("adj_x") or op.get_attr("adj_y"):
        raise NotImplementedError(f"the gradient of the transposed product {op.name}")
    d_x = tf.matmul(d_z, y, transpose_b=True)
    d_y = tf.matmul(x, d_z, transpose_a=True)
    return _reduced(d_x, x), _reduced(d_y, y)


_GRADIENTS = {
    "Add": _of_two(lambda x, y, z, d: (d, d)),
    "AddV2": _of_two(lambda x, y, z, d: (d, d)),
    "Sub": _of_two(lambda x, y, z, d: (d, -d)),
    "Mul": _of_two(lambda x, y, z, d: (d * y, d * x)),
    "RealDiv": _of_two(lambda x, y, z, d: (d / y, -d * z / y)),
    "Maximum": _of_two(_chosen(lambda x, y: x >= y)),
    "Minimum": _of_two(_chosen(lambda x, y: x <= y)),
    "Relu": lambda op, d_z: d_z * tf.cast(op.outputs[0] > 0, d_z.dtype),
    "SquaredDifference": _of_two(_squared_difference),
    "SelectV2": _select,
    "ConcatV2": _concat,
    "Pack": _pack,
    "Sum": _sum,
    "Mean": _mean,
    "StridedSlice": _slice,
    "Transpose": _transpose,
    "GatherV2": _gather,
    "BatchMatMulV2": _batch_matmul,
}


def _registered(gradient: Callable) -> Callable:
    def with_integers(op: Any, *d_outputs: tf.Tensor) -> Any:
        # Shapes are computed by the same operations, on integers, and have no gradient.
        if not op.outputs[0].dtype.is_floating:
            return [None] * len(op.inputs)
        return gradient(op, *d_outputs)

    return with_integers


for _name, _gradient in _GRADIENTS.items():
    tf.RegisterGradient(_PREFIX + _name)(_registered(_gradient))
