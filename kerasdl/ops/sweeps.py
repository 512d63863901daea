"""The definition of a recurrent network, and the forward and backward sweep over time.

A network is a `Cell`: its equations for one step, forward and backward. `forward_sweep`
and `backward_sweep` apply them to all steps. Whatever needs no recurrence is outside
their loops: x W of all steps is one product before the forward loop; ∂x, ∂W, ∂U and ∂b
are one product each after the backward loop. docs/derivations.md derives both.
"""

import dataclasses
import functools
from typing import ClassVar

import tensorflow as tf

from kerasdl.ops import execution
from kerasdl.ops.activations import get_activation
from kerasdl.ops.checks import check_shape, to_tensors
from kerasdl.ops.products import (
    bias_gradient,
    input_gradient,
    kernel_gradient,
    product,
)
from kerasdl.ops.scan import scan
from kerasdl.ops.sequences import (
    rows_by_gate,
    select_rows,
    state_before,
    states_before,
    swap_batch_and_time,
)


@dataclasses.dataclass(frozen=True)
class Cell:
    """The equations of one step; a subclass is a recurrent network.

    Attributes:
        activation: name of the activation ψ.
        gates: how many blocks of H columns the kernels have.
        kept: what the forward step keeps beside the new states, as widths in units of H.
        by_gate: whether the forward step takes the gates of x_t W + b one by one.
        bias_rows: what stands before the last axis of the bias.
        cudnn: what cuDNN calls the network with tanh and σ; None if it has none such.
    """

    activation: str
    gates: ClassVar[int]
    kept: ClassVar[tuple] = ()
    by_gate: ClassVar[bool] = False
    bias_rows: ClassVar[tuple] = ()
    cudnn: ClassVar[str | None] = None

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if field.name.endswith("activation"):
                get_activation(getattr(self, field.name), field.name)

    @property
    def psi(self):
        """The activation ψ."""
        return get_activation(self.activation)

    def input_bias(self, bias):
        """Returns the bias that is added to x W, of the shape of its last axis."""
        return bias

    def forward(self, recurrent_kernel, bias, on_h):
        """Returns the forward step: (x_t W + b, states) -> (new states, kept).

        Args:
            recurrent_kernel, bias: the latter may be None.
            on_h: dropout factors of h_{t-1} or None.
        """
        raise NotImplementedError

    def elements(self, states, kept, before):
        """Returns what the backward step reads of step t, for all steps (T, N, ·).

        Args:
            states: the stacks of the states after each step, (T, N, H) each.
            kept: the stacks of what the forward steps kept.
            before: k -> the stack of the k-th state before each step, in a form that
                `scan` takes.
        """
        raise NotImplementedError

    def backward(self, recurrent_kernel, batch, on_h):
        """Returns the backward step.

        It takes (the gradients that reach the states from outside and from step t + 1,
        the elements of step t) and returns (∂a_t (N, gates·H), the *whole* gradients that
        reach the states, the gradients that step t sends to the states before it).
        """
        raise NotImplementedError

    def recurrent_gradients(self, d_a, kept, h_before, on_h, bias):
        """Returns [∂U] or [∂U, ∂b], from ∂a_t and h_{t-1} of all steps.

        Args:
            d_a: (T, N, gates·H).
            kept: the stacks of what the forward steps kept.
            h_before: (T, N, H).
            on_h: dropout factors of h_{t-1} or None.
            bias: whether there is one.
        """
        d_weights = [kernel_gradient(d_a, h_before, on_h)]
        return d_weights + [bias_gradient(d_a)] * bias


@dataclasses.dataclass(frozen=True)
class GatedCell(Cell):
    """A cell whose gates have an activation φ of their own, given by name."""

    recurrent_activation: str

    @property
    def phi(self):
        """The activation φ of the gates."""
        return get_activation(self.recurrent_activation)


def forward_sweep(cell, inputs, keep, sequence, unroll=False):
    """Runs all steps forward.

    Args:
        cell: a `Cell`.
        inputs: `Inputs`, time first.
        keep: whether to keep what `backward_sweep` needs.
        sequence: whether the sequence of hidden states is wanted.
        unroll: write the steps out.

    Returns:
        (states after the last step, saved): `saved` is [h (T, N, H)] for a sequence, and
        with `keep` [the stacks of all states, h first, and what the steps kept].
    """
    x, states, weights, mask, (on_x, on_h) = inputs
    kernel, recurrent_kernel, *bias = weights
    bias = bias[0] if bias else None
    step = cell.forward(recurrent_kernel, bias, on_h)
    late_product = not keep and execution.product_in_loop(x.shape[1])
    a_x = x if late_product else product(x, kernel, on_x)  # (T, N, gates·H)
    # XLA adds the bias in passing inside the loop; without it that is an operation more
    # in each step.
    late_bias = execution.fused() and bias is not None
    if bias is not None and not late_bias:
        a_x = tf.nn.bias_add(a_x, cell.input_bias(bias))

    def turn(states, slices):
        a_t, *counts = slices
        a_t = product(a_t, kernel, on_x) if late_product else a_t
        new_states, kept = step(a_t + cell.input_bias(bias) if late_bias else a_t, states)
        new_states = _where_counted(counts, new_states, states)
        emitted = [*kept, *new_states] if keep else new_states[:1] if sequence else []
        return new_states, emitted

    units = recurrent_kernel.shape[0]
    widths = [*cell.kept, *(1 for _ in states)] if keep else [1] * sequence
    specs = [
        tf.TensorSpec((states[0].shape[0] or x.shape[1], width * units), x.dtype)
        for width in widths
    ]
    overwrite = execution.fused() and not late_product and widths[:1] == [cell.gates]
    if cell.by_gate and not overwrite and not late_product:
        a_x = rows_by_gate(a_x, cell.gates)
    states, stacks = scan(
        turn,
        states,
        [a_x] if mask is None else [a_x, mask],
        specs,
        inputs.steps,
        unroll=unroll,
        overwrite=overwrite,
    )
    return states, stacks[len(cell.kept) :] + stacks[: len(cell.kept)] if keep else stacks


def backward_sweep(cell, inputs, saved, d_sequence, d_states, unroll=False, norms=False):
    """Runs all steps backward.

    Args:
        cell: a `Cell`.
        inputs: `Inputs`, time first.
        saved: what `forward_sweep` kept.
        d_sequence: ∂L/∂h_t from outside, (T, N, H) or a function t -> (N, H), or None.
        d_states: the gradients of the states after the last step, (N, H) each.
        unroll: write the steps out.
        norms: whether to measure the gradients that reach the states.

    Returns:
        (d_x (T, N, D), d_states, d_weights, norms): the last a list of (T, N), one for
        each state, empty unless asked for.
    """
    x, initial, (kernel, recurrent_kernel, *bias), mask, (on_x, on_h) = inputs
    stacks, kept = saved[: len(initial)], saved[len(initial) :]

    def before(k):
        if execution.fused():
            return functools.partial(state_before, initial[k], stacks[k])
        return states_before(initial[k], stacks[k])

    step = cell.backward(recurrent_kernel, x.shape[1], on_h)
    elements = cell.elements(stacks, kept, before)
    count = len(elements)
    elements += [] if d_sequence is None else [d_sequence]
    elements += [] if mask is None else [mask]
    width = cell.gates * recurrent_kernel.shape[0]
    nothing = tf.zeros((tf.shape(x)[1], width), x.dtype)

    def turn(d_states, slices):
        slices, rest = slices[:count], slices[count:]
        if d_sequence is not None:
            d_states = [d_states[0] + rest.pop(0), *d_states[1:]]
        d_a, whole, d_before = step(d_states, slices)
        # A masked step adds nothing to the sums, and hands on what it receives.
        (d_a,) = _where_counted(rest, [d_a], [nothing])
        d_before = _where_counted(rest, d_before, d_states)
        if not norms:
            return d_before, [d_a]
        whole = _where_counted(rest, whole, d_states)
        return d_before, [d_a, *(tf.norm(d_state, axis=-1) for d_state in whole)]

    row = tf.TensorSpec(x.shape[1:2], x.dtype)
    d_states, (d_a, *measured) = scan(
        turn,
        d_states,
        elements,
        [tf.TensorSpec((x.shape[1], width), x.dtype)] + [row] * len(initial) * norms,
        inputs.steps,
        reverse=True,
        unroll=unroll,
        # A slice that several operations read would be copied before it is overwritten.
        overwrite=execution.fused() and count == 1,
    )
    h_before = states_before(initial[0], stacks[0])
    d_weights = [
        kernel_gradient(d_a, x, on_x),
        *cell.recurrent_gradients(d_a, kept, h_before, on_h, bool(bias)),
    ]
    return input_gradient(d_a, kernel, on_x), d_states, d_weights, measured


def _where_counted(counts, new, old):
    """`new` at steps that count, `old` at masked ones; `counts` is [] or [(N, 1)]."""
    if not counts:
        return new
    return [select_rows(counts[0], *pair) for pair in zip(new, old, strict=True)]


def gradient_norms(cell, inputs, d_sequence):
    """Returns the norms of what reaches each state at every step, (N, T) each.

    Args:
        cell: a `Cell`.
        inputs: `Inputs`; None in the place of a state is zero.
        d_sequence: ∂L/∂h_t at every step, from outside, (N, T, H).
    """
    (d_sequence,) = to_tensors(inputs.x, d_sequence)[1:]
    check_shape("d_sequence", d_sequence, ("N", "T", inputs.weights[1].shape[0]))
    inputs = inputs.with_all_states().time_first()
    _, saved = forward_sweep(cell, inputs, keep=True, sequence=False)
    d_states = [tf.zeros_like(state) for state in inputs.states]
    *_, norms = backward_sweep(
        cell, inputs, saved, swap_batch_and_time(d_sequence), d_states, norms=True
    )
    return tuple(tf.transpose(norm) for norm in norms)
