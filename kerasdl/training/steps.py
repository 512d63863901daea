"""The training step: loss, gradients, update, in a graph of one step or of several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf


def make_train_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    loss: Callable[..., tf.Tensor],
    input_signature: list[tf.TensorSpec] | None = None,
    jit_compile: bool = False,
) -> Callable[[tuple], dict[str, tf.Tensor]]:
    """One compiled step: loss, gradients, update.

    Args:
        model: Its `trainable_variables` are trained.
        optimizer: Clips as it was told to.
        loss: Takes the batch's tensors and returns the scalar to minimise, less the
            model's own regularisation losses, which are added.
        input_signature: The batch's tensors, where sizes vary between batches.
        jit_compile: Whether XLA compiles the step.

    Returns:
        A function of one batch (a tuple) that gives `loss` and `gradient_norm` (before
        clipping) as scalars.
    """
    step = tf.function(
        lambda *batch: _take_step(model, optimizer, loss, batch),
        input_signature=input_signature,
        jit_compile=jit_compile,
        reduce_retracing=True,
    )
    return lambda batch: step(*batch)


class OneByOne:
    """Takes steps with a function of one batch; the peer of `GroupedSteps`.

    Args:
        train_step: Takes one batch and returns scalars by name.
        optimizer: Its learning rate is set before each step.
    """

    size = 1

    def __init__(
        self,
        train_step: Callable[[Any], dict[str, tf.Tensor]],
        optimizer: keras.optimizers.Optimizer,
    ) -> None:
        self._train_step = train_step
        self._optimizer = optimizer

    def __call__(
        self, batches: Sequence[Any], rates: Sequence[float]
    ) -> list[dict[str, float]]:
        """As `GroupedSteps`."""
        results = []
        for batch, rate in zip(batches, rates, strict=True):
            self._optimizer.learning_rate = rate
            values = self._train_step(batch)
            results.append({name: float(value) for name, value in values.items()})
        return results


class GroupedSteps:
    """Takes several steps in one call of one graph.

    Calling a graph costs a quarter of a millisecond, several times what a step of a small
    model does. The results are those of the same steps one by one, bit for bit.

    Args:
        model, optimizer, loss: As for `make_train_step`.
        input_signature: The batch's tensors; sizes may vary from batch to batch.
        size: How many steps a call takes, or fewer where fewer batches are given.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: Callable[..., tf.Tensor],
        input_signature: Sequence[tf.TensorSpec],
        size: int,
    ) -> None:
        self.size = size
        self._signature = input_signature

        def run(rates, flat, shapes):
            starts = [
                tf.cumsum(tf.reduce_prod(shape, axis=1), exclusive=True)
                for shape in shapes
            ]

            def one(k, losses, norms):
                optimizer.learning_rate.assign(rates[k])
                batch = [
                    _part(values, start[k], shape[k], spec)
                    for values, start, shape, spec in zip(
                        flat, starts, shapes, input_signature, strict=True
                    )
                ]
                results = _take_step(model, optimizer, loss, batch)
                loss_value, norm = (
                    tf.cast(results[name], tf.float32)
                    for name in ("loss", "gradient_norm")
                )
                return k + 1, losses.write(k, loss_value), norms.write(k, norm)

            count = tf.size(rates)
            empty = tf.TensorArray(tf.float32, count, element_shape=())
            _, losses, norms = tf.while_loop(
                lambda k, *_: k < count,
                one,
                (0, empty, empty),
                parallel_iterations=1,  # a step starts from what the one before left
            )
            return {"loss": losses.stack(), "gradient_norm": norms.stack()}

        self._run = tf.function(
            run,
            input_signature=[
                tf.TensorSpec((None,), tf.float32),
                [tf.TensorSpec((None,), spec.dtype) for spec in input_signature],
                [
                    tf.TensorSpec((None, spec.shape.rank), tf.int32)
                    for spec in input_signature
                ],
            ],
        )

    def __call__(
        self, batches: Sequence[Any], rates: Sequence[float]
    ) -> list[dict[str, float]]:
        """Takes a step for each batch.

        Args:
            batches: Tuples of arrays.
            rates: The learning rate of each step.

        Returns:
            What each step reports, by name.
        """
        columns = [
            [np.asarray(batch[k]) for batch in batches]
            for k in range(len(self._signature))
        ]
        results = self._run(
            np.asarray(rates, np.float32),
            [np.concatenate([a.ravel() for a in column]) for column in columns],
            [np.array([a.shape for a in column], np.int32) for column in columns],
        )
        values = {name: value.numpy().tolist() for name, value in results.items()}
        return [
            {name: column[k] for name, column in values.items()}
            for k in range(len(batches))
        ]


def _part(values, start, shape, spec):
    """One batch's tensor out of those of all, which lie one after the other."""
    part = values[start : start + tf.reduce_prod(shape)]
    return tf.ensure_shape(tf.reshape(part, shape), spec.shape)


def _take_step(model, optimizer, loss, batch) -> dict[str, tf.Tensor]:
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        value = loss(*batch)
        if model.losses:
            value += tf.add_n(model.losses)
    gradients = tape.gradient(value, variables)
    optimizer.apply_gradients(zip(gradients, variables, strict=True))
    norm = tf.linalg.global_norm([g for g in gradients if g is not None])
    return {"loss": value, "gradient_norm": norm}
