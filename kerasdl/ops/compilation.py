"""Which sequences are compiled with XLA inside a larger graph, and which are split.

In graph mode every operation of a step is scheduled on its own; compiled, a step is one
matrix product and a handful of fused loops over memory. The choice depends on the shapes
known while tracing, on the devices and on what is being traced, never on time or on
earlier calls, so a run that is resumed in another process makes the same choices and ends
with the same bits. docs/recurrent.md has the measurements behind the numbers here.
"""

import contextlib
import contextvars
import functools

import tensorflow as tf

# No public name tells of an enclosing compilation, or of a SavedModel being written.
from tensorflow.python.ops import control_flow_util
from tensorflow.python.saved_model import save_context

from kerasdl.ops.time_loop import in_buffers

# Fewer steps do not repay the compilation.
LEAST_STEPS = 8
# Where two halves of a batch, side by side, take less time than the whole: from how many
# samples, and compiled up to how many units.
SPLIT_BATCH = 32
SPLIT_UNITS = 128
# The steps of a part, of a sequence that is compiled in parts.
PART_STEPS = 128

_EVERY_LENGTH = contextvars.ContextVar("compile_every_length", default=False)


@contextlib.contextmanager
def compile_every_length():
    """Has sequences whose length is unknown compiled too, anew for each length.

    For training on batches of a few lengths that come again and again: a length costs a
    second or so when it first comes.
    """
    token = _EVERY_LENGTH.set(True)
    try:
        yield
    finally:
        _EVERY_LENGTH.reset(token)


def in_xla():
    """Returns whether what is traced now will be compiled with XLA."""
    return not tf.executing_eagerly() and control_flow_util.GraphOrParentsInXlaContext(
        tf.compat.v1.get_default_graph()
    )


def compiles(steps, unroll):
    """Returns whether to compile a pass over a sequence on its own.

    Not in eager mode, where shapes come and go; not for an unknown number of steps,
    since every new number would compile anew, but in `compile_every_length`; not within
    a compilation, which takes the pass in anyway; not on machines with other devices than
    CPUs; and not in an export: servers refuse compiled functions unless they are started
    for them.

    Args:
        steps: T, an integer where it is known.
        unroll: whether the steps are written out.
    """
    enough = steps >= LEAST_STEPS if isinstance(steps, int) else _EVERY_LENGTH.get()
    return enough and not unroll and _in_open_graph()


def split_point(x, units, on_its_own, unroll):
    """Returns how many of the N samples form the first half of a batch, or None.

    The halves are then run side by side. Compiled, that pays where a product of the whole
    batch keeps one core busy only. Operation by operation it pays at any number of units:
    while one loop waits for its products, the other's pointwise operations are done.

    Args:
        x: (N, T, D).
        units: H.
        on_its_own: what `compiles` said.
        unroll: whether the steps are written out.

    Returns:
        An integer, a scalar tensor where N is not known (N itself for a small batch, so
        that the second half is empty), or None for no halves.
    """
    pays = units <= SPLIT_UNITS if on_its_own else not unroll and _in_open_graph()
    batch = x.shape[0]
    if not pays or (batch is not None and batch < SPLIT_BATCH):
        return None
    if batch is not None:
        return (batch + 1) // 2
    batch = tf.shape(x)[0]
    return tf.where(batch < SPLIT_BATCH, batch, (batch + 1) // 2)


def part_lengths(steps, on_its_own):
    """Returns how many steps each part of a long sequence has, which run one by one.

    What a backward pass keeps of a part, and the gradients that it forms, are freed
    before the next part's: a fifth less memory at 500 steps, for a few hundredths more
    time. The lengths differ by one at most, so that two compilations do for all parts.

    Args:
        steps: T, an integer where it is known.
        on_its_own: what `compiles` said.
    """
    if not (on_its_own and isinstance(steps, int) and steps >= 2 * PART_STEPS):
        return [steps]
    count = -(-steps // PART_STEPS)
    return [steps // count + (k < steps % count) for k in range(count)]


@functools.cache
def compiled(function, plan):
    """Returns `function(plan, ...)` compiled; one for all layers with the same plan.

    Args:
        function: (plan, *tensors) -> tensors.
        plan: hashable.
    """
    return tf.function(
        functools.partial(function, plan), jit_compile=True, autograph=False
    )


def _in_open_graph():
    """Whether a graph is traced that nothing but CPUs of this process will run."""
    return (
        not tf.executing_eagerly()
        and not in_xla()
        and not in_buffers()
        and not save_context.in_save_context()
        and _only_cpus()
    )


@functools.cache
def _only_cpus():
    return all(
        device.device_type == "CPU" for device in tf.config.list_physical_devices()
    )
