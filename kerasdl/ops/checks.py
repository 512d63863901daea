"""Checks of arguments: one line with the argument, the rule and what was received."""

import tensorflow as tf

from kerasdl.ops.sequences import Inputs


def to_tensors(x, *others):
    """Converts arguments to tensors of x's type, None staying None; returns a list."""
    x = tf.convert_to_tensor(x)
    return [x] + [
        None if value is None else tf.convert_to_tensor(value, dtype=x.dtype)
        for value in others
    ]


def check_shape(argument, tensor, expected):
    """Checks the shape of an argument as far as it is known while tracing.

    Args:
        argument: its name, for the message.
        tensor: a tensor.
        expected: tuple with an integer for an axis that has to have that length, and a
            string, its symbol, for one that may have any.

    Raises:
        ValueError: naming the argument, the rule and the shape received.
    """
    wanted = [axis if isinstance(axis, int) else None for axis in expected]
    if not tensor.shape.is_compatible_with(wanted):
        symbols = ", ".join(str(axis) for axis in expected)
        raise ValueError(
            f"Received an invalid value for argument `{argument}`, expected a tensor of "
            f"shape ({symbols}), got one of shape {tuple(tensor.shape)}."
        )


def checked_inputs(cell, x, states, weights, mask, dropout=(None, None)):
    """Returns the arguments of a recurrent network as `Inputs`.

    Args:
        cell: a `kerasdl.ops.sweeps.Cell`.
        x: (N, T, D).
        states: name -> (N, H) or None, the states before the first step.
        weights: kernel (D, gates·H), recurrent kernel (H, gates·H), bias or None.
        mask: (N, T) or (1, T), which stands for all samples, or None.
        dropout: factors for x_t and for h_{t-1}, or None.

    Raises:
        ValueError: an argument of the wrong shape.
    """
    x, kernel, recurrent_kernel, bias, *rest = to_tensors(
        x, *weights, *states.values(), *dropout
    )
    check_shape("x", x, ("N", "T", "D"))
    gates = cell.gates
    columns = "H" if gates == 1 else f"{gates}H"
    check_shape("recurrent_kernel", recurrent_kernel, ("H", columns))
    units = recurrent_kernel.shape[0]
    check_shape("recurrent_kernel", recurrent_kernel, (units, gates * units))
    check_shape("kernel", kernel, (x.shape[-1] or "D", gates * units))
    if bias is not None:
        check_shape("bias", bias, (*cell.bias_rows, gates * units))
    initial, dropout = rest[: len(states)], rest[len(states) :]
    for argument, state in zip(states, initial, strict=True):
        if state is not None:
            check_shape(argument, state, ("N", units))
    weights = [kernel, recurrent_kernel] + ([] if bias is None else [bias])
    return Inputs(x, initial, weights, check_mask(mask, x), dropout)


def one_step(x, recurrent_kernel, **states):
    """Returns x (N, D) as a sequence of one, (N, 1, D), if it and the states (N, H) fit.

    Raises:
        ValueError: an argument of the wrong shape.
    """
    x = tf.convert_to_tensor(x)
    check_shape("x", x, ("N", "D"))
    units = tf.convert_to_tensor(recurrent_kernel).shape[0]
    for argument, state in states.items():
        check_shape(argument, tf.convert_to_tensor(state), ("N", units or "H"))
    return x[:, tf.newaxis]


def check_mask(mask, x):
    """Returns mask (N, T) of x (N, T, D) as bool, or None for None.

    One row (1, T) stands for all samples.

    Raises:
        ValueError: another shape.
    """
    if mask is None:
        return None
    mask = tf.cast(mask, tf.bool)
    check_shape("mask", mask, ("N", "T"))
    batch, steps = x.shape[:2]
    if mask.shape[0] == 1 and batch != 1:
        mask = tf.repeat(mask, tf.shape(x)[0], axis=0)
    check_shape("mask", mask, (batch or "N", steps or "T"))
    return mask


def check_recompute(recompute, modes=(None, "sqrt", "all")):
    """Raises ValueError for a `recompute` that is none of `modes`."""
    if recompute not in modes:
        raise ValueError(
            "Received an invalid value for argument `recompute`, expected one of "
            f"{', '.join(map(repr, modes))}, got {recompute!r}."
        )


def check_unroll(unroll, x):
    """Raises ValueError if `unroll` is asked for and T of x (N, T, D) is not known."""
    if unroll and x.shape[1] is None:
        raise ValueError(
            "Received an invalid value for argument `unroll`, expected False for x of "
            f"unknown length, got {unroll}."
        )
