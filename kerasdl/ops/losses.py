"""The softmax loss of a sequence of words."""

import tensorflow as tf

from kerasdl.ops.checks import check_shape
from kerasdl.ops.gradients import with_backward


def masked_softmax_loss(logits, targets, mask):
    """Returns the cross-entropy of a softmax, summed over time, averaged over the batch.

        L = 1/N Σ_n Σ_t m_nt (log Σ_v exp s_ntv − s_nt,y_nt)

    Its gradient is ∂L/∂s_ntv = m_nt (softmax(s_nt)_v − [v = y_nt]) / N, exactly zero
    where the mask is false; docs/derivations.md.

    Args:
        logits: s (N, T, V).
        targets: y (N, T), integers in [0, V).
        mask: m (N, T), true where a word counts; false at padding (`<NULL>`).

    Returns:
        L, a scalar of the type of the logits, in nats a sequence.

    Raises:
        ValueError: an argument of the wrong shape.
        tf.errors.InvalidArgumentError: when run on a CPU, a target outside [0, V).
    """
    logits = tf.convert_to_tensor(logits)
    check_shape("logits", logits, ("N", "T", "V"))
    rows = tuple(
        length or symbol for length, symbol in zip(logits.shape[:2], "NT", strict=True)
    )
    targets = tf.convert_to_tensor(targets)
    check_shape("targets", targets, rows)
    mask = tf.cast(mask, tf.bool)
    check_shape("mask", mask, rows)
    # Sums of exponentials need more than the 8 or 11 bits of a half.
    precise = tf.cast(logits, tf.float32) if logits.dtype.size == 2 else logits

    def forward(logits):
        losses, d_scores = tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(
            features=tf.reshape(logits, (-1, tf.shape(logits)[-1])),
            labels=tf.reshape(targets, [-1]),
        )
        losses = tf.reshape(losses, tf.shape(mask))
        total = tf.reduce_sum(tf.where(mask, losses, tf.zeros_like(losses)))
        return [total / batch], d_scores  # the latter is softmax(s)_v − [v = y]

    def backward(inputs, d_scores, gradients):
        d_scores = tf.reshape(d_scores, tf.shape(inputs[0]))
        weights = tf.where(mask, gradients[0] / batch, tf.zeros((), d_scores.dtype))
        return [weights[..., tf.newaxis] * d_scores]

    batch = tf.cast(tf.shape(logits)[0], precise.dtype)
    (loss,) = with_backward(forward, backward)(precise)
    return tf.cast(loss, logits.dtype)
