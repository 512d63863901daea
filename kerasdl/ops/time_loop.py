"""The loop over time that every recurrent pass of this package runs in."""

import contextlib
import contextvars

import tensorflow as tf

_WRITTEN_OUT = contextvars.ContextVar("steps_written_out", default=False)
_IN_BUFFERS = contextvars.ContextVar("emissions_in_buffers", default=False)


@contextlib.contextmanager
def steps_written_out():
    """Has loops traced inside written out, step after step, where T is known.

    For exports: LiteRT's converter does not quantise a loop to int8.
    """
    token = _WRITTEN_OUT.set(True)
    try:
        yield
    finally:
        _WRITTEN_OUT.reset(token)


@contextlib.contextmanager
def emissions_in_buffers():
    """Has loops traced inside write their emissions into one tensor, not a `TensorArray`.

    For exports: LiteRT (TFLite) has no built-in operation for a `TensorArray`, and its
    loops run with an unknown batch and length when they carry a buffer of fixed shape
    that `tf.tensor_scatter_nd_update` writes into. Slower elsewhere.
    """
    token = _IN_BUFFERS.set(True)
    try:
        yield
    finally:
        _IN_BUFFERS.reset(token)


def in_buffers():
    """Returns whether `emissions_in_buffers` is in force."""
    return _IN_BUFFERS.get()


def time_loop(
    step,
    carry,
    elements,
    emitted,
    steps,
    reverse=False,
    unroll=False,
    overwrite=False,
    start_apart=False,
):
    """Applies `step` along the leading (time) axis.

    Args:
        step: (carry, slices) -> (carry, emissions); lists of tensors. `slices` holds the
            t-th slice of each of `elements`.
        carry: list of tensors, the state before the first step.
        elements: list of tensors (T, ...), or of functions t -> the slice of step t.
        emitted: list of `tf.TensorSpec`, one an emission of a step, without time axis.
        steps: T, a Python integer where it is known, a scalar int32 tensor otherwise.
        reverse: run from t = T-1 down to 0. Emissions still lie at their own t.
        unroll: write the steps out instead of a loop; T must be a Python integer.
        overwrite: put the first emission into the memory of the first element, which is
            of the same shape (a tensor) and is not needed afterwards. It saves the
            largest array of a pass when compiled with XLA; elsewhere it would cost a
            copy.
        start_apart: call `step(carry, slices, at_start=True)` at t = 0; T must be a
            Python integer above 0.

    Returns:
        (carry after the last step, list of stacked emissions (T, ...)).
    """
    if unroll or (_WRITTEN_OUT.get() and isinstance(steps, int)):
        return _unrolled(step, carry, elements, steps, reverse, start_apart)
    if _IN_BUFFERS.get():
        return _in_buffers(step, carry, elements, emitted, steps, reverse, start_apart)
    stores = [
        tf.TensorArray(
            spec.dtype, size=steps, element_shape=spec.shape, clear_after_read=False
        )
        for spec in emitted
    ]
    if overwrite:
        stores[0] = stores[0].unstack(elements[0])
        elements = elements[1:]

    def turn(t, carry, stores, **options):
        # Slicing the leading axis shares memory with the whole; reading from a
        # TensorArray would first copy every element into it.
        slices = _slices(elements, t)
        if overwrite:
            slices.insert(0, stores[0].read(t))
        carry, emissions = step(carry, slices, **options)
        stores = [
            store.write(t, emission)
            for store, emission in zip(stores, emissions, strict=True)
        ]
        return carry, stores

    most = steps - int(start_apart)
    carry, stores = _looped(
        turn, carry, stores, steps, reverse, start_apart, maximum_iterations=most
    )
    return carry, [store.stack() for store in stores]


def _looped(turn, carry, stores, steps, reverse, start_apart, **options):
    carry = list(carry)
    apart = int(start_apart)  # how many steps are outside the loop
    if apart and not reverse:
        carry, stores = turn(0, carry, stores, at_start=True)

    def body(k, carry, stores):
        t = steps - 1 - k if reverse else k + apart
        return k + 1, *turn(t, carry, stores)

    _, carry, stores = tf.while_loop(
        lambda k, *_: k < steps - apart,
        body,
        (tf.constant(0), carry, stores),
        **options,
    )
    if apart and reverse:
        carry, stores = turn(0, carry, stores, at_start=True)
    return carry, stores


def _slices(elements, t):
    return [element(t) if callable(element) else element[t] for element in elements]


def _unrolled(step, carry, elements, steps, reverse, start_apart):
    rows = [
        [element(t) for t in range(steps)]
        if callable(element)
        else tf.unstack(element, num=steps)
        for element in elements
    ]
    emissions = [None] * steps
    for t in reversed(range(steps)) if reverse else range(steps):
        options = {"at_start": True} if start_apart and t == 0 else {}
        carry, emissions[t] = step(carry, [row[t] for row in rows], **options)
    return carry, [tf.stack(column) for column in zip(*emissions, strict=True)]


def _in_buffers(step, carry, elements, emitted, steps, reverse, start_apart):
    batch = tf.shape(carry[0])[0]
    buffers = [
        tf.zeros(tf.stack([steps, batch, *spec.shape[1:]]), spec.dtype)
        for spec in emitted
    ]

    def turn(t, carry, buffers, **options):
        carry, emissions = step(carry, _slices(elements, t), **options)
        buffers = [
            tf.tensor_scatter_nd_update(buffer, [[t]], emission[tf.newaxis])
            for buffer, emission in zip(buffers, emissions, strict=True)
        ]
        return carry, buffers

    return _looped(
        turn,
        carry,
        buffers,
        steps,
        reverse,
        start_apart,
        shape_invariants=tf.nest.map_structure(
            lambda tensor: (
                tf.TensorShape([None] * (tensor.shape.rank - 1)).concatenate(
                    tensor.shape[-1:]
                )
                if tensor.shape.rank
                else tensor.shape
            ),
            (tf.constant(0), list(carry), buffers),
        ),
    )
