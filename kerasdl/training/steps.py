"""The training step: loss, gradients, update; several of them in one call of a graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.training.interrupts import SignalCatcher
from kerasdl.training.precision import FLOAT32, computing_in, loss_scale

Loss = Callable[..., tf.Tensor]


def count_examples(*batch: tf.Tensor) -> tf.Tensor:
    """How much a batch weighs in the loss: as much as it has examples."""
    return tf.shape(batch[0])[0]


def make_train_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    loss: Loss,
    input_signature: Sequence[tf.TensorSpec] | None = None,
    jit_compile: bool = False,
    weight: Callable[..., tf.Tensor] = count_examples,
    precision: str = FLOAT32,
) -> Callable[[tuple], dict[str, tf.Tensor]]:
    """One compiled step: loss, gradients, update.

    On R replicas of a `tf.distribute.Strategy` each has a part of the global batch, and

        L = Σ_r (w_r / Σ_s w_s) L_r + the regularisation losses

    so that the gradients, summed over the replicas, are those of the global batch even
    if its parts differ in size (the last batch of an epoch) or in what is masked.

    Args:
        model: Its `trainable_variables` are trained.
        optimizer: Clips as it was told to.
        loss: Takes the batch's tensors and returns L_r, an average over what `weight`
            counts; the model's own regularisation losses are added.
        input_signature: The batch's tensors, if sizes vary between batches.
        jit_compile: Whether XLA compiles the step.
        weight: Takes the batch's tensors and returns w_r: the number of examples, of
            words, or of whatever else the loss averages over.
        precision: What the model computes in; see `kerasdl.training.precision`.

    Returns:
        A function of one batch (a tuple) that gives `loss` and `gradient_norm` (before
        clipping) of the global batch as scalars. If the optimiser scales losses, also
        `overflow`, 1 if a gradient was not finite: the step is left out then, and its
        `gradient_norm` is 0.
    """

    compiled = tf.function(
        _step(model, optimizer, loss, weight, precision),
        input_signature=input_signature,
        jit_compile=jit_compile,
        reduce_retracing=True,
    )
    return lambda batch: compiled(*batch)


def _step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    loss: Loss,
    weight: Callable[..., tf.Tensor],
    precision: str,
) -> Callable[..., dict[str, tf.Tensor]]:
    """The step of one replica, not compiled; see `make_train_step`.

    Keras clips what each replica gives it and then adds that up. On several replicas the
    sum is clipped here, and Keras's clipping is turned off.
    """
    limit = None
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
        limit, inner.global_clipnorm = inner.global_clipnorm, None

    def step(*batch: tf.Tensor) -> dict[str, tf.Tensor]:
        replicas = tf.distribute.get_replica_context()
        variables = model.trainable_variables
        share = 1.0
        if replicas.num_replicas_in_sync > 1:
            own = tf.cast(weight(*batch), tf.float32)
            share = own / _sum(replicas, own)
            batch = [_at_least_one_row(part) for part in batch]
        scale = loss_scale(optimizer)
        with tf.GradientTape() as tape:
            with computing_in(precision, model):
                value = tf.cast(loss(*batch), tf.float32)
            if model.losses:
                value += tf.add_n(model.losses)
            scaled = value if scale is None else value * scale
        gradients = [
            None if g is None else tf.convert_to_tensor(g)  # rows that repeat are summed
            for g in tape.gradient(scaled, variables)
        ]
        if replicas.num_replicas_in_sync > 1:
            # A part without weight may have a loss of 0/0: it counts nothing.
            value, *gradients = (
                None if x is None else tf.math.multiply_no_nan(x, tf.cast(share, x.dtype))
                for x in (value, *gradients)
            )
            gradients = [g if g is None else _sum(replicas, g) for g in gradients]
            value = _sum(replicas, value)
        norm = tf.linalg.global_norm([g for g in gradients if g is not None])
        results = {"loss": value, "gradient_norm": norm}
        if scale is not None:
            is_finite = tf.math.is_finite(norm)
            results["gradient_norm"] = tf.where(is_finite, norm / scale, 0.0)
            results["overflow"] = 1.0 - tf.cast(is_finite, tf.float32)
        if limit is not None:
            most = limit if scale is None else limit * scale
            gradients = tf.clip_by_global_norm(gradients, most, norm)[0]
        # Keras adds up what the replicas give it, so each gives its share of the sum.
        if replicas.num_replicas_in_sync > 1:
            count = replicas.num_replicas_in_sync
            gradients = [g if g is None else g / count for g in gradients]
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return results

    return step


def _at_least_one_row(part: tf.Tensor) -> tf.Tensor:
    """A part of a batch; if it is empty, one row of zeros, since kernels fail on none."""
    missing = tf.cast(tf.equal(tf.shape(part)[0], 0), tf.int32)
    return tf.pad(part, [[0, missing], *[[0, 0]] * (part.shape.rank - 1)])


def _sum(replicas: tf.distribute.ReplicaContext, value: tf.Tensor) -> tf.Tensor:
    """The sum over all replicas; with a single one, the value itself."""
    if replicas.num_replicas_in_sync == 1:
        return value
    return replicas.all_reduce(tf.distribute.ReduceOp.SUM, value)


class TrainingSteps:
    """Takes training steps, one or several in a call of one graph.

    Calling a graph costs a quarter of a millisecond, several times what a step of a small
    model does. The results are those of the same steps one by one, bit for bit.

    Args:
        model, optimizer, loss, input_signature, more: As for `make_train_step`.
        size: The most steps that one call of the graph takes.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: Loss,
        input_signature: Sequence[tf.TensorSpec] | None = None,
        size: int = 1,
        **more: Any,
    ) -> None:
        self.signals: SignalCatcher | None = None
        self._agreed = 0
        strategy = tf.distribute.get_strategy()
        if strategy.num_replicas_in_sync > 1:
            self.size, self._run = 1, None
            weight = more.get("weight", count_examples)
            precision = more.get("precision", FLOAT32)
            step = _step(model, optimizer, loss, weight, precision)
            self._step = self._on_replicas(strategy, step, tuple(input_signature))
            return
        self.size = size
        self._names = ("loss", "gradient_norm")
        if loss_scale(optimizer) is not None:
            self._names += ("overflow",)
        self._step = make_train_step(model, optimizer, loss, input_signature, **more)
        self._run = self._in_one_graph(input_signature) if size > 1 else None

    def received(self, signals: SignalCatcher) -> int:
        """The signal to stop at now, or 0.

        Of several processes all must stop after the same step, so each step tells them
        whether one of them was told to.
        """
        if tf.distribute.get_strategy().num_replicas_in_sync == 1:
            return signals.received
        return self._agreed

    def _on_replicas(
        self, strategy: tf.distribute.Strategy, step: Callable, signature: tuple
    ) -> Callable[[tuple], dict[str, tf.Tensor]]:
        """One step of all replicas: each of this process's has its rows of the batch."""
        local = len(strategy.extended.worker_devices)
        specs = (tf.TensorSpec((), tf.int32), *([signature] * local))

        @tf.function(input_signature=specs)
        def run(signal, *parts):
            def one() -> dict[str, tf.Tensor]:
                replicas = tf.distribute.get_replica_context()
                number = int(tf.get_static_value(replicas.replica_id_in_sync_group))
                results = step(*parts[number % local])
                own = tf.where(number % local == 0, signal, 0)  # on this device
                return results | {"signal": _sum(replicas, own)}

            results = strategy.run(one)
            return {
                k: strategy.experimental_local_results(v)[0] for k, v in results.items()
            }

        def take(batch: tuple) -> dict[str, tf.Tensor]:
            received = self.signals.received if self.signals else 0
            parts = [tuple(values[n::local] for values in batch) for n in range(local)]
            results = run(received, *parts)
            self._agreed = int(results.pop("signal"))
            return results

        return take

    def _in_one_graph(self, signature: Sequence[tf.TensorSpec]) -> Callable:
        """A graph of several steps on batches that lie one after the other.

        A list of tensors of its own for each batch would build a graph as long as the
        list, and reading them from a `tf.data` generator takes a millisecond each.
        """

        def run(flat, shapes):
            starts = [
                tf.cumsum(tf.reduce_prod(shape, axis=1), exclusive=True)
                for shape in shapes
            ]

            def one(k, *columns):
                batch = [
                    _part(values, start[k], shape[k], spec)
                    for values, start, shape, spec in zip(
                        flat, starts, shapes, signature, strict=True
                    )
                ]
                results = self._step(batch)
                return k + 1, *(
                    column.write(k, tf.cast(results[name], tf.float32))
                    for name, column in zip(self._names, columns, strict=True)
                )

            count = tf.shape(shapes[0])[0]
            empty = tf.TensorArray(tf.float32, count, element_shape=())
            _, *columns = tf.while_loop(
                lambda k, *_: k < count,
                one,
                (0, *[empty] * len(self._names)),
                parallel_iterations=1,  # a step starts from what the one before left
            )
            return {
                name: column.stack()
                for name, column in zip(self._names, columns, strict=True)
            }

        flat = [tf.TensorSpec((None,), spec.dtype) for spec in signature]
        shapes = [tf.TensorSpec((None, spec.shape.rank), tf.int32) for spec in signature]
        return tf.function(run, input_signature=[flat, shapes])

    def __call__(self, batches: Sequence[Any]) -> list[dict[str, float]]:
        """Takes a step for each batch, a tuple of arrays.

        Returns:
            What each step reports, by name.
        """
        if self._run is None:
            steps = (self._step(batch) for batch in batches)
            return [{name: float(v) for name, v in step.items()} for step in steps]
        columns = [list(map(np.asarray, c)) for c in zip(*batches, strict=True)]
        results = self._run(
            [np.concatenate([a.ravel() for a in column]) for column in columns],
            [np.array([a.shape for a in column], np.int32) for column in columns],
        )
        values = {name: value.numpy().tolist() for name, value in results.items()}
        return [{name: values[name][k] for name in values} for k in range(len(batches))]


def _part(values, start, shape, spec):
    """One batch's tensor out of those of all, which lie one after the other."""
    part = values[start : start + tf.reduce_prod(shape)]
    return tf.ensure_shape(tf.reshape(part, shape), spec.shape)
