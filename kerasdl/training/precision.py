"""Mixed precision: training steps compute in 16 bits, everything else in 32.

    mixed_bfloat16    float32's range with 8 bits of mantissa; nothing else changes
    mixed_float16     11 bits of mantissa, but no number above 65,504 or, rounded to 0,
                      below 6e-8: the loss is scaled before its gradient is taken, by a
                      factor that halves where a gradient overflows (that step is left
                      out) and doubles after 2,000 steps that did not

Weights, the optimiser's state, losses and sums of losses stay float32 (Micikevicius et
al., Mixed Precision Training, 2018). Layers compute in 16 bits while the graph of the
training step is traced, and only there: figures, checkpoints, the saved model and its
exports are those of a float32 model with the weights that were learnt.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

FLOAT32, FLOAT16 = "float32", "mixed_float16"


@contextlib.contextmanager
def computing_in(precision: str, model: keras.Model) -> Iterator[None]:
    """Has the layers of a model compute in `precision` where it is called in the scope.

    Args:
        precision: The name of a Keras dtype policy.
        model: Its layers, at any depth, keep their weights as they are.
    """
    layers = [] if precision == FLOAT32 else model._flatten_layers()
    before = [(layer, layer.dtype_policy) for layer in layers]
    try:
        for layer, _ in before:
            layer.dtype_policy = precision
        yield
    finally:
        for layer, policy in before:
            layer.dtype_policy = policy


def scaling_losses(
    precision: str, optimizer: keras.optimizers.Optimizer
) -> keras.optimizers.Optimizer:
    """The optimiser, which scales losses if the precision needs that."""
    if precision != FLOAT16:
        return optimizer
    return keras.optimizers.LossScaleOptimizer(optimizer)


def loss_scale(optimizer: keras.optimizers.Optimizer) -> tf.Tensor | None:
    """What losses are multiplied with before their gradients are taken; None for 1."""
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return None
    return tf.convert_to_tensor(optimizer.dynamic_scale)
