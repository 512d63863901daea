"""The loop over time in which every recurrent pass of this package runs."""

import tensorflow as tf

from kerasdl.ops import execution


def scan(
    step, carry, elements, emitted, steps, *, reverse=False, unroll=False, overwrite=False
):
    """Applies `step` along the leading (time) axis.

    Args:
        step: (carry, slices) -> (carry, emissions); lists of tensors. `slices` holds the
            t-th slice of each of `elements`.
        carry: list of tensors, the state before the first step.
        elements: list of tensors (T, ...), or of functions t -> the slice of step t.
        emitted: list of `tf.TensorSpec`, one per emission of a step, without time axis.
        steps: T, a Python integer if it is known, else a scalar int32 tensor.
        reverse: run from t = T-1 down to 0. Emissions still lie at their own t.
        unroll: write the steps out instead of a loop; T must be a Python integer.
        overwrite: put the first emission into the memory of the first element, which is
            of the same shape (a tensor) and is not needed afterwards. It saves the
            largest array of a pass when compiled with XLA; elsewhere it would cost a
            copy.

    Returns:
        (carry after the last step, list of stacked emissions (T, ...)).
    """
    if isinstance(steps, int) and (unroll or steps == 1 or execution.written_out()):
        return _unrolled(step, carry, elements, steps, reverse)
    if execution.in_buffers():
        return _in_buffers(step, carry, elements, emitted, steps, reverse)
    stores = [
        tf.TensorArray(
            spec.dtype, size=steps, element_shape=spec.shape, clear_after_read=False
        )
        for spec in emitted
    ]
    if overwrite:
        stores[0] = stores[0].unstack(elements[0])
        elements = elements[1:]

    def turn(t, carry, stores):
        # Slicing the leading axis shares memory with the whole; reading from a
        # TensorArray would first copy every element into it.
        slices = _slices(elements, t)
        if overwrite:
            slices.insert(0, stores[0].read(t))
        carry, emissions = step(carry, slices)
        stores = [
            store.write(t, emission)
            for store, emission in zip(stores, emissions, strict=True)
        ]
        return carry, stores

    carry, stores = _looped(turn, carry, stores, steps, reverse, maximum_iterations=steps)
    return carry, [store.stack() for store in stores]


def _looped(turn, carry, stores, steps, reverse, **options):
    def body(k, carry, stores):
        return k + 1, *turn(steps - 1 - k if reverse else k, carry, stores)

    _, carry, stores = tf.while_loop(
        lambda k, *_: k < steps, body, (tf.constant(0), list(carry), stores), **options
    )
    return carry, stores


def _slices(elements, t):
    return [element(t) if callable(element) else element[t] for element in elements]


def _unrolled(step, carry, elements, steps, reverse):
    # LiteRT's operation for `tf.unstack` does not take a batch that is known only when
    # it runs; elsewhere its gradient is one operation, that of slices one each.
    sliced = execution.written_out()
    rows = [
        _slices_of(element, steps)
        if callable(element) or (sliced and element.shape[1] is None)
        else tf.unstack(element, num=steps)
        for element in elements
    ]
    emissions = [None] * steps
    for t in reversed(range(steps)) if reverse else range(steps):
        carry, emissions[t] = step(carry, [row[t] for row in rows])
    return carry, [tf.stack(column) for column in zip(*emissions, strict=True)]


def _slices_of(element, steps):
    return [element(t) if callable(element) else element[t] for t in range(steps)]


def _in_buffers(step, carry, elements, emitted, steps, reverse):
    batch = tf.shape(carry[0])[0]
    buffers = [
        tf.zeros(tf.stack([steps, batch, *spec.shape[1:]]), spec.dtype)
        for spec in emitted
    ]

    def turn(t, carry, buffers):
        carry, emissions = step(carry, _slices(elements, t))
        buffers = [
            tf.tensor_scatter_nd_update(buffer, [[t]], emission[tf.newaxis])
            for buffer, emission in zip(buffers, emissions, strict=True)
        ]
        return carry, buffers

    def invariant(tensor):
        shape = tensor.shape
        return tf.TensorShape([None] * (shape.rank - 1) + list(shape[-1:]))

    invariants = tf.nest.map_structure(invariant, (list(carry), buffers))
    return _looped(
        turn,
        carry,
        buffers,
        steps,
        reverse,
        shape_invariants=(tf.TensorShape([]), *invariants),
    )
