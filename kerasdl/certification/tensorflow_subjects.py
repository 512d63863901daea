"""Certifies Keras layers and functions of TensorFlow's tensors."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from kerasdl.certification.layouts import Layout, keras_layout
from kerasdl.certification.reference import NETWORKS, Network
from kerasdl.certification.subjects import NotGivenError, Subject, loss, public_name

# What is set while a layer is borrowed, if the layer has such an attribute.
ASKED = {"return_sequences": True, "return_state": True, "stateful": False}
EXECUTIONS = ("eager", "graph", "xla")


class TensorFlowSubject(Subject):
    """What runs in TensorFlow and is differentiated by `tf.GradientTape`.

    Args:
        execution: `eager`; `graph`, inside a `tf.function`; `xla`, one that XLA compiles.
    """

    def __init__(self, execution: str) -> None:
        if execution not in EXECUTIONS:
            raise ValueError(
                "Received an invalid value for argument `execution`, expected one of "
                f"{', '.join(EXECUTIONS)}, got {execution!r}."
            )
        self._execution = execution

    def run(self, x, states, weights, mask, training):
        """Returns (sequence, *last states); states and mask may be None."""
        raise NotImplementedError

    def tensors(self, problem):
        """What the weights of the problem are differentiated through, and `run` takes."""
        raise NotImplementedError

    def outputs(self, problem, masked, given):
        """As `Subject`."""
        x, states, weights, mask = self._arguments(problem, masked, given)

        def answer():
            return self.run(x, states, weights, mask, training=False)

        return [None if y is None else y.numpy() for y in self._compiled(answer)()]

    def derivatives(self, problem, masked, given, order):
        """As `Subject`."""
        x, states, weights, mask = self._arguments(problem, masked, given)
        sources = [x, *(states or []), *weights]
        kept = "float64" if self.dtype == "float64" else "float32"
        upstream = [tf.constant(u, kept) for u in problem.upstream]
        direction = [
            tf.cast(v, s.dtype)
            for v, s in zip(self.own(problem.direction, given), sources, strict=True)
        ]
        zero = tf.UnconnectedGradients.ZERO

        def gradients():
            with tf.GradientTape() as tape:
                tape.watch(sources)
                outputs = self.run(x, states, weights, mask, training=True)
                outputs = [tf.cast(y, kept) for y in outputs]
                value = loss(upstream, outputs, tf.reduce_sum)
            return tape.gradient(value, sources, unconnected_gradients=zero)

        def hessian_times_direction():
            with tf.GradientTape() as tape:
                tape.watch(sources)
                found = zip(gradients(), direction, strict=True)
                terms = [tf.reduce_sum(tf.cast(g * v, kept)) for g, v in found]
                value = tf.add_n(terms)
            return tape.gradient(value, sources, unconnected_gradients=zero)

        answer = gradients if order == 1 else hessian_times_direction
        try:
            return [g.numpy() for g in self._compiled(answer)()]
        except LookupError as error:  # an operation without a gradient
            if order == 1:
                raise
            raise NotGivenError(str(error)) from error

    def _compiled(self, function: Callable) -> Callable:
        if self._execution == "eager":
            return function
        compiled = tf.function(function, jit_compile=self._execution == "xla")

        def quiet():
            # A graph a case is meant, and not worth TensorFlow's warning.
            logger, level = tf.get_logger(), tf.get_logger().level
            logger.setLevel("ERROR")
            try:
                return compiled()
            finally:
                logger.setLevel(level)

        return quiet

    def _arguments(self, problem, masked, given):
        x = tf.constant(problem.x, self.dtype)
        states = [tf.constant(h, self.dtype) for h in problem.states] if given else None
        return x, states, self.tensors(problem), problem.mask if masked else None


class TensorFlowFunction(TensorFlowSubject):
    """A function of tensors.

    Args:
        function: (x, states, weights, mask or None) -> (sequence or None, *last states).
        network, layout, dtype, input_size, units: See `Subject`.
        execution: See `TensorFlowSubject`.
    """

    def __init__(
        self,
        function: Callable,
        network: Network,
        layout: Layout,
        dtype: str,
        input_size: int,
        units: int,
        execution: str,
    ) -> None:
        super().__init__(execution)
        self.name = getattr(function, "__name__", type(function).__name__)
        self.network, self.layout, self.dtype = network, layout, dtype
        self.input_size, self.units = input_size, units
        self._function = function

    def tensors(self, problem):
        """As `TensorFlowSubject`."""
        weights = self.layout.write(self.network, problem.weights)
        return [tf.constant(w, self.dtype) for w in weights]

    def run(self, x, states, weights, mask, training):
        """As `TensorFlowSubject`."""
        if states is None:
            raise NotGivenError("a function is always given its states")
        return self._function(x, states, weights, mask)


class KerasLayer(TensorFlowSubject):
    """A Keras layer, asked for the whole sequence and its last states.

    Args:
        layer: The layer; built with `input_size` channels if it is not yet.
        network: Which equations; None to tell from its class.
        layout: How it holds its weights; None for Keras's own layout.
        input_size: D of a layer that is not built.
        execution: See `TensorFlowSubject`.
    """

    def __init__(
        self,
        layer: keras.Layer,
        network: Network | None,
        layout: Layout | None,
        input_size: int,
        execution: str,
    ) -> None:
        super().__init__(execution)
        self.network = network or network_of(layer)
        _check_activations(layer)
        if not layer.built:
            layer.build((None, None, input_size))
        bias = getattr(layer, "use_bias", True)
        self.layout = layout or keras_layout(self.network, bias)
        self.dtype = layer.compute_dtype
        W, U, *_ = self.layout.read(self.network, layer.get_weights())
        self.input_size, self.units = len(W), len(U)
        self.name = public_name(type(layer))
        self.zero_masked = getattr(layer, "zero_output_for_mask", False)
        self.reverse = getattr(layer, "go_backwards", False)
        self._layer = layer
        parameters = inspect.signature(layer.call).parameters
        anything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        known = ("initial_state", "mask", "training")
        self._takes = [name for name in known if anything or name in parameters]
        self.takes_states = "initial_state" in self._takes
        dropout = [getattr(layer, f"{r}dropout", 0.0) for r in ("", "recurrent_")]
        self._training = not any(dropout)

    @contextlib.contextmanager
    def borrowed(self) -> Iterator[None]:
        """As `Subject`."""
        layer = self._layer
        kept = {name: getattr(layer, name) for name in ASKED if hasattr(layer, name)}
        weights = layer.get_weights()
        try:
            for name in kept:
                setattr(layer, name, ASKED[name])
            yield
        finally:
            for name, value in kept.items():
                setattr(layer, name, value)
            layer.set_weights(weights)

    def tensors(self, problem):
        """As `TensorFlowSubject`."""
        self._layer.set_weights(self.layout.write(self.network, problem.weights))
        return [variable.value for variable in self._layer.weights]

    def run(self, x, states, weights, mask, training):
        """As `TensorFlowSubject`."""
        given = {"initial_state": states, "mask": mask}
        for name, value in given.items():
            if value is not None and name not in self._takes:
                raise NotGivenError(f"call() takes no `{name}`")
        options = {name: value for name, value in given.items() if value is not None}
        if mask is not None:
            options["mask"] = tf.constant(mask)
        if "training" in self._takes:
            options["training"] = training and self._training
        return tf.nest.flatten(self._layer(x, **options))


def network_of(layer: keras.Layer) -> Network:
    """The equations that a layer's class promises.

    Raises:
        ValueError: It is none of the three that are known.
    """
    cell = getattr(layer, "cell", None)
    classes = [c.__name__ for part in (layer, cell) for c in type(part).__mro__]
    kinds = {"LSTM": "lstm", "GRU": "gru", "SimpleRNN": "simple_rnn"}
    for name, kind in kinds.items():
        if name in classes or f"{name}Cell" in classes:
            reset_after = getattr(
                layer, "reset_after", getattr(cell, "reset_after", True)
            )
            return NETWORKS["gru_reset_before" if not reset_after else kind]
    raise ValueError(
        "Received an invalid value for argument `rnn`, expected an LSTM, GRU or "
        f"SimpleRNN where `kind` is not given, got {type(layer).__qualname__}."
    )


def _check_activations(layer: keras.Layer) -> None:
    for argument, wanted in (("activation", "tanh"), ("recurrent_activation", "sigmoid")):
        function = getattr(layer, argument, None)
        if function is not None and function is not keras.activations.get(wanted):
            raise ValueError(
                f"Received an invalid value for argument `rnn`, expected {argument} "
                f"{wanted}, which the equations have, got "
                f"{getattr(function, '__name__', function)}."
            )
