import numpy as np
import pytest
import tensorflow as tf

from kerasdl.ops import masked_softmax_loss
from tests.ops.gradient_checks import finite_differences, relative_error, tape_gradients

N, T, V = 3, 4, 5
MASK = np.array([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], bool)


def problem():
    generator = np.random.default_rng(0)
    return generator.normal(size=(N, T, V)), generator.integers(0, V, size=(N, T))


def slow_loss(logits, targets, mask):
    total = 0.0
    for n in range(N):
        for t in range(T):
            if mask[n, t]:
                p = np.exp(logits[n, t]) / np.exp(logits[n, t]).sum()
                total -= np.log(p[targets[n, t]])
    return total / N


def test_equals_the_equation():
    logits, targets = problem()
    loss = masked_softmax_loss(logits, targets, MASK)
    np.testing.assert_allclose(loss, slow_loss(logits, targets, MASK), rtol=1e-14)


def test_gradient_equals_finite_differences_and_is_zero_at_padding():
    logits, targets = problem()
    _, (gradient,) = tape_gradients(
        lambda s: [masked_softmax_loss(s, targets, MASK)], [logits], [np.array(1.0)]
    )
    expected = finite_differences(lambda s: slow_loss(s, targets, MASK), [logits])
    assert relative_error([gradient], expected) < 1e-6
    softmax = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    by_hand = (softmax - np.eye(V)[targets]) * MASK[..., None] / N
    np.testing.assert_allclose(gradient, by_hand, rtol=0, atol=1e-15)
    assert np.all(gradient[~MASK] == 0)


def test_second_derivatives_equal_those_of_autodiff():
    logits, targets = problem()
    logits = tf.constant(logits)

    def plain(logits):
        losses = -tf.gather(tf.nn.log_softmax(logits), targets, batch_dims=2)
        return tf.reduce_sum(tf.where(MASK, losses, 0.0)) / N

    results = []
    for loss in (lambda s: masked_softmax_loss(s, targets, MASK), plain):
        with tf.GradientTape() as outer:
            outer.watch(logits)
            with tf.GradientTape() as inner:
                inner.watch(logits)
                value = loss(logits)
            gradient = inner.gradient(value, logits)
            curved = tf.reduce_sum(tf.sin(gradient))
        results += [gradient, outer.gradient(curved, logits)]
    for actual, expected in zip(results[:2], results[2:], strict=True):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_of_halves(dtype):
    logits, targets = problem()
    loss = masked_softmax_loss(tf.cast(logits, dtype), targets, MASK)
    assert loss.dtype == dtype
    expected = slow_loss(logits, targets, MASK)
    np.testing.assert_allclose(tf.cast(loss, "float64"), expected, rtol=0.02)


def test_of_a_uniform_prediction_is_words_times_log_of_the_vocabulary():
    _, targets = problem()
    loss = masked_softmax_loss(np.zeros((N, T, V)), targets, np.ones((N, T), bool))
    np.testing.assert_allclose(loss, T * np.log(V), rtol=1e-15)


def test_large_logits_do_not_overflow():
    logits = np.full((1, 1, 2), 1e4)
    loss = masked_softmax_loss(logits, [[0]], [[True]])
    np.testing.assert_allclose(loss, np.log(2), rtol=1e-12)


@pytest.mark.parametrize(
    ("logits", "targets", "mask", "message"),
    [
        ((N, V), (N, T), (N, T), r"`logits`, expected .* \(N, T, V\), got .* \(3, 5\)"),
        ((N, T, V), (N, 9), (N, T), r"`targets`, expected .* \(3, 4\), got .* \(3, 9\)"),
        ((N, T, V), (N, T), (N,), r"`mask`, expected .* \(3, 4\), got .* \(3,\)"),
    ],
)
def test_refuses_shapes(logits, targets, mask, message):
    with pytest.raises(ValueError, match=message):
        masked_softmax_loss(np.zeros(logits), np.zeros(targets, int), np.ones(mask, bool))


def test_refuses_a_target_outside_the_vocabulary():
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"label value of 7"):
        masked_softmax_loss(np.zeros((1, 1, V)), [[7]], [[True]])
