"""An LSTM of TensorFlow's tensors, right or wrong in one chosen way."""

import tensorflow as tf


@tf.custom_gradient
def _rounded_tanh(a):
    """tanh whose derivative is formed from a rounded value."""
    y = tf.tanh(a)
    rounded = tf.cast(tf.cast(y, tf.bfloat16), y.dtype)
    return y, lambda upstream: upstream * (1 - rounded**2)


@tf.custom_gradient
def _once_tanh(a):
    """tanh whose derivative is right and cannot itself be differentiated."""
    y = tf.tanh(a)
    return y, lambda upstream: upstream * tf.stop_gradient(1 - y**2)


def _naive_sigmoid(a):
    """σ whose derivative is ∞ · 0 where e^{-a} overflows."""
    return 1 / (1 + tf.exp(-a))


def lstm(fault=""):
    """Returns the function that `certify` takes, with that fault."""
    sigmoid = _naive_sigmoid if fault == "naive sigmoid" else tf.sigmoid
    tanh = {"rounded derivative": _rounded_tanh, "once": _once_tanh}.get(fault, tf.tanh)
    leaked = []

    def run(x, states, weights, mask):
        (h, c), (W, U, b) = states, weights
        if fault == "leaks its state":
            h, *_ = [*leaked[-1:], h]
            h = h[: len(x)] if len(h) >= len(x) else states[0]
        output, outputs = tf.zeros_like(h), []
        for t in range(x.shape[1]):
            if fault == "truncated" and t == 8:
                h, c = tf.stop_gradient(h), tf.stop_gradient(c)
            seen = tf.stop_gradient(h) if fault == "stopped" else h
            i, f, candidate, o = tf.split(x[:, t] @ W + seen @ U + b, 4, axis=1)
            if fault == "gate order":
                f, i = i, f
            new_c = sigmoid(f) * c + sigmoid(i) * tanh(candidate)
            new_h = sigmoid(o) * tanh(new_c)
            m = tf.constant(True) if mask is None else mask[:, t : t + 1]
            if fault == "ignores the mask":
                m = tf.constant(True)
            h, c = tf.where(m, new_h, h), tf.where(m, new_c, c)
            output = h if fault == "output from state" else tf.where(m, h, output)
            outputs.append(output)
        leaked.append(h)
        return tf.stack(outputs, axis=1), h, c

    return run
