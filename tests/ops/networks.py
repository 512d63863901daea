"""The recurrent networks under test: our functions, the reference, TensorFlow's own."""

import functools
import types
from collections.abc import Callable, Mapping
from typing import NamedTuple

import tensorflow as tf

from kerasdl import ops
from tests.ops import numpy_reference
from tests.ops.problems import sequence_problem


class Network(NamedTuple):
    """What a test needs to know of one network.

    Attributes:
        op, step, norms: the functions of `kerasdl.ops`.
        reference, reference_step: those of `tests.ops.numpy_reference`.
        plain_step: (x_t of each gate, states, recurrent products, weights) in TensorFlow.
        layer: name of the layer in Keras and in `kerasdl.layers`.
        gates, states, bias_rows: shape of the weights, number of the states.
        layer_options: keyword arguments of the layer.
    """

    op: Callable
    step: Callable
    norms: Callable
    reference: Callable
    reference_step: Callable
    plain_step: Callable
    layer: str
    gates: int
    states: int = 1
    bias_rows: tuple = ()
    layer_options: Mapping = types.MappingProxyType({})

    def problem(self, **sizes):
        """Returns the inputs [x, states..., kernel, recurrent kernel, bias]."""
        return sequence_problem(
            self.gates, self.states, bias_rows=self.bias_rows, **sizes
        )

    def plain(self, x, *rest, mask=None, on_x=None, on_h=None):
        """The same forward pass with nothing of ours, for TensorFlow to differentiate.

        `on_x` and `on_h` are dropout factors, a list with one for each gate.
        """
        states, (kernel, recurrent, bias) = rest[: self.states], rest[self.states :]
        columns = functools.partial(tf.split, num_or_size_splits=self.gates, axis=-1)
        on_x, on_h = on_x or [1.0] * self.gates, on_h or [1.0] * self.gates
        y, outputs = tf.zeros_like(states[0]), []
        for t in range(x.shape[1]):
            x_gates = [
                (x[:, t] * on_x[k]) @ w
                for k, w in enumerate(columns(tf.convert_to_tensor(kernel)))
            ]
            new_states = self.plain_step(
                x_gates,
                states,
                lambda k, v: (v * on_h[k]) @ columns(tf.convert_to_tensor(recurrent))[k],
                columns(tf.convert_to_tensor(bias)),
            )
            m = True if mask is None else mask[:, t : t + 1]
            y = tf.where(m, new_states[0], y)
            states = [
                tf.where(m, new, old) for new, old in zip(new_states, states, strict=True)
            ]
            outputs.append(y)
        return tf.stack(outputs, axis=1), *states


def _plain_simple_rnn(x, states, product, bias):
    return [tf.tanh(x[0] + product(0, states[0]) + bias[0])]


def _plain_lstm(x, states, product, bias):
    h, c = states
    i, f, candidate, o = (x[k] + product(k, h) + bias[k] for k in range(4))
    c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(candidate)
    return [tf.sigmoid(o) * tf.tanh(c), c]


def _plain_gru(x, states, product, bias):
    (h,) = states
    z, r = (tf.sigmoid(x[k] + bias[k][0] + product(k, h) + bias[k][1]) for k in (0, 1))
    candidate = tf.tanh(x[2] + bias[2][0] + r * (product(2, h) + bias[2][1]))
    return [z * h + (1 - z) * candidate]


def _plain_gru_reset_before(x, states, product, bias):
    (h,) = states
    z, r = (tf.sigmoid(x[k] + bias[k] + product(k, h)) for k in (0, 1))
    return [z * h + (1 - z) * tf.tanh(x[2] + bias[2] + product(2, r * h))]


def _reset_before(function):
    return functools.partial(function, reset_after=False)


NETWORKS = {
    "simple_rnn": Network(
        ops.simple_rnn,
        ops.simple_rnn_step,
        ops.simple_rnn_gradient_norms,
        numpy_reference.simple_rnn,
        numpy_reference.simple_rnn_step,
        _plain_simple_rnn,
        "SimpleRNN",
        gates=1,
    ),
    "lstm": Network(
        ops.lstm,
        ops.lstm_step,
        ops.lstm_gradient_norms,
        numpy_reference.lstm,
        numpy_reference.lstm_step,
        _plain_lstm,
        "LSTM",
        gates=4,
        states=2,
    ),
    "gru": Network(
        ops.gru,
        ops.gru_step,
        ops.gru_gradient_norms,
        numpy_reference.gru,
        numpy_reference.gru_step,
        _plain_gru,
        "GRU",
        gates=3,
        bias_rows=(2,),
    ),
    "gru_reset_before": Network(
        _reset_before(ops.gru),
        _reset_before(ops.gru_step),
        _reset_before(ops.gru_gradient_norms),
        _reset_before(numpy_reference.gru),
        _reset_before(numpy_reference.gru_step),
        _plain_gru_reset_before,
        "GRU",
        gates=3,
        layer_options={"reset_after": False},
    ),
}
