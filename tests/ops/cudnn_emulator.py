"""TensorFlow's cuDNN operations on a CPU, from NVIDIA's description of their layout."""

from types import SimpleNamespace

import tensorflow as tf


def unpacked(params, gates, d, h):
    """Returns W (gates, D, H), U (gates, H, H), b (gates, H), b' of the flat weights."""
    sizes = [gates * h * d, gates * h * h, gates * h, gates * h]
    w, u, b_w, b_u = tf.split(params, sizes)
    w = tf.transpose(tf.reshape(w, (gates, h, d)), (0, 2, 1))
    u = tf.transpose(tf.reshape(u, (gates, h, h)), (0, 2, 1))
    return w, u, tf.reshape(b_w, (gates, h)), tf.reshape(b_u, (gates, h))


def run(input, input_h, input_c, params, sequence_lengths, rnn_mode, time_major):
    """Returns (outputs, zero after the end; last h; last c), in TensorFlow operations."""
    assert not time_major
    gates = {"lstm": 4, "gru": 3}[rnn_mode]
    h, c = input_h[:, 0], input_c[:, 0]
    w, u, b, b_u = unpacked(params, gates, input.shape[-1], h.shape[-1])
    outputs = []
    for t in range(input.shape[1]):
        from_x = [input[:, t] @ w[k] + b[k] for k in range(gates)]
        from_h = [h @ u[k] + b_u[k] for k in range(gates)]
        if rnn_mode == "lstm":  # i, f, c̃, o
            i, f, candidate, o = (p + q for p, q in zip(from_x, from_h, strict=True))
            new_c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(candidate)
            new_h = tf.sigmoid(o) * tf.tanh(new_c)
        else:  # r, z, h̃
            r, z = (tf.sigmoid(from_x[k] + from_h[k]) for k in (0, 1))
            new_c = c
            new_h = z * h + (1 - z) * tf.tanh(from_x[2] + r * from_h[2])
        counts = (t < sequence_lengths)[:, tf.newaxis]
        h, c = tf.where(counts, new_h, h), tf.where(counts, new_c, c)
        outputs.append(tf.where(counts, h, tf.zeros_like(h)))
    return tf.stack(outputs, axis=1), h[:, tf.newaxis], c[:, tf.newaxis]


class Emulator(SimpleNamespace):
    """In the place of `tf.raw_ops`' two operations; counts its runs."""

    def __init__(self):
        super().__init__(forward_runs=0, backward_runs=0)

    def forward(self, **arguments):
        self.forward_runs += 1
        output, h, c = run(**arguments)
        names = ("output", "output_h", "output_c", "reserve_space", "host_reserved")
        nothing = tf.zeros(0)
        return _Results(dict(zip(names, (output, h, c, nothing, nothing), strict=True)))

    def backward(
        self,
        *,
        output,
        output_h,
        output_c,
        output_backprop,
        output_h_backprop,
        output_c_backprop,
        reserve_space,
        host_reserved,
        **arguments,
    ):
        self.backward_runs += 1
        names = ("input", "input_h", "input_c", "params")
        variables = [arguments[name] for name in names]
        with tf.GradientTape() as tape:
            tape.watch(variables)
            outputs = run(**arguments)
        return tape.gradient(
            outputs,
            variables,
            [output_backprop, output_h_backprop, output_c_backprop],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )


class _Results(dict):
    __getattr__ = dict.__getitem__

    def __iter__(self):
        return iter(self.values())
