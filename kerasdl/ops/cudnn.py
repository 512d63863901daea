"""The forward and backward pass by NVIDIA's cuDNN kernels, through TensorFlow.

`kerasdl.ops.execution.cudnn_mode` says which networks they can run, and `right_padded`
which masks. Where they run they give the first derivative; a second one, which they do
not have, is that of our equations.
"""

import tensorflow as tf

# In which order cuDNN has the gates: its GRU starts with r.
_ORDERS = {"lstm": (0, 1, 2, 3), "gru": (1, 0, 2)}


def right_padded(mask):
    """Returns whether the rows of a mask (N, T) are true steps, then masked ones."""
    lengths = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
    padded = tf.sequence_mask(lengths, tf.shape(mask)[1])
    return tf.reduce_all(tf.equal(mask, padded)) & tf.reduce_all(lengths > 0)


def cudnn_passes(mode, inputs, return_sequences):
    """Returns the forward and the backward pass for `with_backward`.

    Args:
        mode: "lstm" or "gru".
        inputs: `Inputs`, batch first, without dropout; its mask, if any, right-padded.
        return_sequences: whether the sequence of hidden states is an output.
    """
    mask, count = inputs.mask, len(inputs.states)

    def prepared(tensors):
        x, states, weights = tensors[0], tensors[1 : 1 + count], tensors[1 + count :]
        if mask is None:
            lengths = tf.fill(tf.shape(x)[:1], tf.shape(x)[1])
        else:
            lengths = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
        h, c = [state[:, tf.newaxis] for state in [*states, tf.zeros_like(states[0])][:2]]
        return {
            "input": x,
            "input_h": h,
            "input_c": c,
            "params": _joined(mode, *weights),
            "sequence_lengths": lengths,
            "rnn_mode": mode,
            "time_major": False,
        }

    def forward(*tensors):
        results = tf.raw_ops.CudnnRNNV3(**prepared(tensors))
        states = [results.output_h[:, 0], results.output_c[:, 0]][:count]
        sequence = results.output
        if mask is not None:  # cuDNN has zeros after the end; our steps repeat the state
            sequence = tf.where(mask[..., tf.newaxis], sequence, states[0][:, tf.newaxis])
        return [sequence] * return_sequences + states, list(results)

    def backward(tensors, saved, gradients):
        output, h, c, reserve_space, host_reserved = saved
        d_output = tf.zeros_like(output)
        d_states = list(gradients[-count:])
        if return_sequences:
            d_output = gradients[0]
            if mask is not None:
                counts = tf.cast(mask[..., tf.newaxis], d_output.dtype)
                d_states[0] += tf.reduce_sum(d_output * (1 - counts), axis=1)
                d_output *= counts
        d_h, d_c = [d[:, tf.newaxis] for d in [*d_states, tf.zeros_like(d_states[0])][:2]]
        d_x, d_h, d_c, d_params = tf.raw_ops.CudnnRNNBackpropV3(
            **prepared(tensors),
            output=output,
            output_h=h,
            output_c=c,
            output_backprop=d_output,
            output_h_backprop=d_h,
            output_c_backprop=d_c,
            reserve_space=reserve_space,
            host_reserved=host_reserved,
        )
        weights = list(tensors[1 + count :])
        with tf.GradientTape() as tape:  # the layout is a linear function
            tape.watch(weights)
            joined = _joined(mode, *weights)
        d_weights = tape.gradient(joined, weights, output_gradients=d_params)
        return [d_x, *[d_h[:, 0], d_c[:, 0]][:count], *d_weights]

    return forward, backward


def _joined(mode, kernel, recurrent_kernel, bias):
    """Returns the weights as cuDNN has them: transposed, a gate after another, flat."""
    order = _ORDERS[mode]
    if bias.shape.rank == 1:  # cuDNN has a bias for each of the two products
        bias = tf.stack([tf.zeros_like(bias), bias])
    parts = []
    for weight in (kernel, recurrent_kernel, *tf.unstack(bias)):
        gates = tf.split(tf.transpose(weight), len(order))
        parts += [tf.reshape(gates[k], [-1]) for k in order]
    return tf.concat(parts, axis=0)
