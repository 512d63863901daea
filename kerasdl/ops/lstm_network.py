"""The loops over time of the LSTM, forward and backward.

The equations are those of `kerasdl.ops.lstm`, derived in docs/derivations.md.
"""

from typing import NamedTuple

import tensorflow as tf

from kerasdl.ops.compilation import in_xla
from kerasdl.ops.gate_products import (
    gate_product,
    gate_product_input_gradient,
    gate_product_kernel_gradient,
    recurrent_kernel_gradient,
    recurrent_product_gradient,
)
from kerasdl.ops.lstm_gates import advance, gate_gradient, local_derivatives, make_gates
from kerasdl.ops.sequences import (
    select_rows,
    state_before,
    states_before,
    step_count_of,
    sum_of_rows,
)
from kerasdl.ops.time_loop import time_loop


class LSTMNetwork(NamedTuple):
    """The two sweeps of the LSTM; see `kerasdl.ops.recurrence` for their arguments.

    Attributes:
        activation: name of ψ.
        recurrent_activation: name of φ.
    """

    activation: str
    recurrent_activation: str

    def gates(self, recurrent_kernel):
        """Returns the functions of the four gates for these activations."""
        return make_gates(self.activation, self.recurrent_activation, recurrent_kernel)

    def forward(
        self,
        x,
        states,
        weights,
        counts,
        dropout,
        keep,
        sequence,
        unroll,
        from_zero=False,
    ):
        """Runs forward. `saved` is [h (T, N, H), gates (T, N, 4H), c (T, N, H)]."""
        kernel, recurrent_kernel, *bias = weights
        gates = self.gates(recurrent_kernel)
        bias = [gates.scaled(b) for b in bias]
        z = gate_product(x, gates.scaled(kernel), dropout[0])  # (T, N, 4H)
        # XLA adds the bias in passing inside the loop; without it that is an operation
        # more in each step.
        fused = in_xla()
        if bias and not fused:
            z = tf.nn.bias_add(z, bias.pop())
        recurrent = gates.scaled(recurrent_kernel)

        def step(carry, slices, at_start=False):
            h, c = carry
            a = slices[0]
            if not at_start:
                a += gate_product(h, recurrent, dropout[1])
            values = gates.values(a + bias[0] if bias else a)
            new_h, new_c, _ = advance(gates, values, c)
            counted = None if counts is None else slices[1]
            new_h = select_rows(counted, new_h, h)
            new_c = select_rows(counted, new_c, c)
            if keep:
                return [new_h, new_c], [values, new_h, new_c]
            return [new_h, new_c], [new_h] if sequence else []

        row = states[0].shape[0] or x.shape[1]
        narrow = tf.TensorSpec((row, gates.units), x.dtype)
        wide = tf.TensorSpec((row, 4 * gates.units), x.dtype)
        states, stacks = time_loop(
            step,
            states,
            [z] if counts is None else [z, counts],
            [wide, narrow, narrow] if keep else [narrow] * sequence,
            step_count_of(x),
            unroll=unroll,
            overwrite=keep and fused,
            start_apart=from_zero,
        )
        if keep:
            values, h, c = stacks
            stacks = [h, values, c]
        return states, stacks

    def backward(
        self,
        x,
        states,
        weights,
        counts,
        dropout,
        saved,
        d_sequence,
        d_states,
        unroll,
        norms=False,
        from_zero=False,
    ):
        """Runs backward; the norms are those of δ and γ."""
        kernel, recurrent_kernel, *bias = weights
        gates = self.gates(recurrent_kernel)
        h, values, c = saved

        def derivatives(values, previous_c, c):
            return local_derivatives(
                gates, values, previous_c, gates.activation.function(c)
            )

        # Compiled, a step forms them in passing, in the cache; operation by operation
        # they cost less for all steps at once.
        fused = in_xla()
        if fused:
            elements = [values, lambda t: state_before(states[1], c, t), c]
        else:
            previous_c = states_before(states[1], c)
            elements = list(derivatives(values, previous_c, c))
        if counts is not None:
            elements.append(counts)
        if d_sequence is not None:
            elements.append(d_sequence)
        to_h = recurrent_product_gradient(recurrent_kernel, x.shape[1], dropout[1])
        nothing = tf.zeros((tf.shape(x)[1], 4 * gates.units), x.dtype)

        def step(carry, slices, at_start=False):
            delta, gamma = carry
            if d_sequence is not None:
                *slices, d_h = slices
                delta += d_h
            factors, from_h, f = derivatives(*slices[:3]) if fused else slices[:3]
            counted = None if counts is None else slices[3]
            # A masked step hands on what it receives.
            gamma = select_rows(counted, gamma + delta * from_h, gamma)
            a = gate_gradient(delta, gamma, factors)
            previous = carry
            if not at_start:
                previous = [
                    select_rows(counted, to_h(a), delta),
                    select_rows(counted, gamma * f, gamma),
                ]
            a = select_rows(counted, a, nothing)
            measured = [tf.norm(v, axis=-1) for v in (delta, gamma)] if norms else []
            return previous, [a, *measured]

        row = tf.TensorSpec(x.shape[1:2], x.dtype)
        d_states, (a, *measured) = time_loop(
            step,
            d_states,
            elements,
            [tf.TensorSpec((x.shape[1], 4 * gates.units), x.dtype)] + [row] * 2 * norms,
            step_count_of(x),
            reverse=True,
            unroll=unroll,
            start_apart=from_zero,
        )
        d_weights = [
            gate_product_kernel_gradient(a, x, dropout[0]),
            recurrent_kernel_gradient(a, states[0], h, dropout[1], from_zero),
        ]
        if bias:
            d_weights.append(sum_of_rows(a))
        d_x = gate_product_input_gradient(a, kernel, dropout[0])
        return d_x, d_states, d_weights, measured
