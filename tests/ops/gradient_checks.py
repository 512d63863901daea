"""Gradients found without anybody's backward pass, and the comparison with one."""

import numpy as np
import tensorflow as tf


def finite_differences(function, inputs, step=1e-5):
    """Returns the gradients of a scalar NumPy function by central differences."""
    inputs = [np.array(value, np.float64) for value in inputs]
    gradients = [np.zeros_like(value) for value in inputs]
    for value, gradient in zip(inputs, gradients, strict=True):
        for index in np.ndindex(value.shape):
            original = value[index]
            value[index] = original + step
            above = function(*inputs)
            value[index] = original - step
            below = function(*inputs)
            value[index] = original
            gradient[index] = (above - below) / (2 * step)
    return gradients


def tape_gradients(function, inputs, upstream):
    """Returns outputs and gradients of Σ outputs ∗ upstream, by `tf.GradientTape`."""
    inputs = [tf.convert_to_tensor(value) for value in inputs]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = [output for output in function(*inputs) if output is not None]
    gradients = tape.gradient(
        outputs,
        inputs,
        output_gradients=[tf.convert_to_tensor(value) for value in upstream],
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    return [o.numpy() for o in outputs], [g.numpy() for g in gradients]


def relative_error(actual, expected):
    """Returns the largest ‖actual − expected‖ / ‖expected‖ of two lists of arrays."""
    errors = []
    for one, other in zip(actual, expected, strict=True):
        assert one.shape == other.shape
        norm = np.linalg.norm(other)
        errors.append(np.linalg.norm(one - other) / (norm if norm > 0 else 1.0))
    return max(errors)
