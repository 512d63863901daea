"""The gradients for devices against TensorFlow's own, at shapes that are not known."""

import numpy as np
import pytest
import tensorflow as tf

from kerasdl.export.static_gradients import static_gradients

A, B = (None, 4, 3), (None, 4, 3)
CASES = {
    "add": (lambda x, y: x + y, (A, (3,))),
    "sub": (lambda x, y: x - y, ((4, 1), A)),
    "mul": (lambda x, y: x * y, (A, (1, 4, 1))),
    "div": (lambda x, y: x / (y * y + 1), (A, (None, 1, 3))),
    "maximum": (tf.maximum, (A, (3,))),
    "minimum": (tf.minimum, (A, B)),
    "squared_difference": (tf.math.squared_difference, (A, (4, 3))),
    "where": (lambda x, y: tf.where(x > 0, x, y), (A, (3,))),
    "relu": (lambda x, y: tf.nn.relu(x) * y, (A, B)),
    "concat": (lambda x, y: tf.concat([x, y, x], -1) ** 2, (A, (None, 4, 2))),
    "concat_in_time": (lambda x, y: tf.concat([x, y], 1) ** 2, (A, (None, 2, 3))),
    "stack": (lambda x, y: tf.stack([x, y], axis=1) ** 2, (A, B)),
    "sum": (lambda x, y: tf.reduce_sum(x * y, axis=[0, 2]), (A, B)),
    "sum_keeping": (lambda x, y: x * tf.reduce_sum(y, 1, keepdims=True), (A, B)),
    "mean": (lambda x, y: tf.reduce_mean(x * y), (A, B)),
    "slice": (lambda x, y: x[:, 2] * y[:, 1:3, 0:1][:, 0], (A, B)),
    "slice_from_the_end": (lambda x, y: x[:, -1] * y[:, :-2, 1:][:, 1, :1], (A, B)),
    "transpose": (lambda x, y: tf.transpose(x, (1, 2, 0)) ** 2, (A, B)),
    "matmul": (lambda x, y: tf.matmul(x, y), (A, (None, 3, 2))),
    "softmax": (lambda x, y: tf.nn.softmax(x) * y, (A, B)),
}


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_tensorflows(name):
    function, shapes = CASES[name]
    specs = [tf.TensorSpec(shape, tf.float64) for shape in shapes]
    random = np.random.default_rng(0)
    given = [random.normal(size=[side or 5 for side in shape]) for shape in shapes]

    @tf.function(input_signature=specs, autograph=False)
    def gradients(x, y):
        with static_gradients():
            total = tf.reduce_sum(tf.sin(function(x, y)))
        return [
            tf.zeros_like(of) if g is None else g
            for g, of in zip(tf.gradients(total, [x, y]), (x, y), strict=True)
        ]

    x, y = map(tf.constant, given)
    with tf.GradientTape() as tape:
        tape.watch([x, y])
        total = tf.reduce_sum(tf.sin(function(x, y)))
    expected = tape.gradient(total, [x, y], unconnected_gradients="zero")
    for ours, theirs in zip(gradients(x, y), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)
    nodes = {op.type for op in gradients.get_concrete_function().graph.get_operations()}
    assert not nodes & {
        *("BroadcastGradientArgs", "ShapeN", "ConcatOffset", "StridedSliceGrad"),
        *("Unpack", "InvertPermutation"),
    }


def test_rows_of_a_table_that_are_taken_twice():
    ids = tf.constant([[1, 3], [3, 3]])

    @tf.function(input_signature=[tf.TensorSpec((4, 2))])
    def gradient(table):
        with static_gradients():
            total = tf.reduce_sum(tf.gather(table, ids) ** 2)
        return tf.convert_to_tensor(tf.gradients(total, table)[0])

    table = tf.reshape(tf.range(8.0), (4, 2))
    expected = 2 * table.numpy() * np.array([[0], [1], [0], [3]])
    np.testing.assert_allclose(gradient(table), expected)


def test_an_operation_without_such_a_gradient_is_named():
    @tf.function(input_signature=[tf.TensorSpec((None, 4))])
    def gradient(x):
        with static_gradients():
            total = tf.reduce_sum(x[:, ::2])
        return tf.gradients(total, x)

    with pytest.raises(NotImplementedError, match="the gradient of the slice"):
        gradient.get_concrete_function()
