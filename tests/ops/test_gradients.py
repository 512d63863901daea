import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf

from kerasdl.ops.gradients import with_backward
from kerasdl.tensorflow_private import forget_gradients, gradient_may_be_taken


def cube_keeping_its_square(x):
    def forward(x):
        return [x**3], x**2

    def backward(inputs, square, gradients):
        return [3 * square * gradients[0]]

    return with_backward(forward, backward)(x)[0]


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
def test_three_orders_of_derivatives(graph):
    x = tf.constant([2.0, -3.0], tf.float64)

    def orders():
        with tf.GradientTape() as third:
            third.watch(x)
            with tf.GradientTape() as second:
                second.watch(x)
                with tf.GradientTape() as first:
                    first.watch(x)
                    y = cube_keeping_its_square(x)
                d1 = first.gradient(y, x)
            d2 = second.gradient(d1, x)
        return y, d1, d2, third.gradient(d2, x)

    results = tf.function(orders)() if graph else orders()
    for actual, expected in zip(results, (x**3, 3 * x**2, 6 * x, [6, 6]), strict=True):
        np.testing.assert_allclose(actual, expected)


def test_forward_pass_leaves_nothing_on_the_tape_but_the_saved():
    backward_passes = []

    def forward(x):
        return [tf.exp(x)], None

    def backward(inputs, saved, gradients):
        backward_passes.append(1)
        return [gradients[0] * 7]

    x = tf.constant(1.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        (y,) = with_backward(forward, backward)(x)
    assert tape.gradient(y, x).numpy() == 7
    assert len(backward_passes) == 1


def test_tells_of_active_tapes():
    assert not gradient_may_be_taken()
    with tf.GradientTape():
        assert gradient_may_be_taken()


def test_what_is_called_forward_alone_is_freed():
    def trace(forget):
        variable = tf.Variable([2.0])
        function = tf.function(
            lambda x: cube_keeping_its_square(x * variable),
            input_signature=[tf.TensorSpec((1,), tf.float32)],
        )
        if forget:
            forget_gradients(function)
        assert function(tf.constant([1.0])).numpy().tolist() == [8.0]
        return weakref.ref(function.get_concrete_function().graph)

    graphs = [trace(forget) for forget in (True, False)]
    gc.collect()
    assert graphs[0]() is None
    assert graphs[1]() is not None, "TensorFlow frees it itself: forget_gradients may go"
