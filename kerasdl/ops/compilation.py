"""Which sequences are compiled with XLA inside a larger graph, and which are split.

In graph mode every operation of a step is scheduled on its own; compiled, a step is one
matrix product and a handful of fused loops over memory. The choice depends on the shapes
known while tracing, on the devices and on what is being traced, never on time or on
earlier calls, so a run that is resumed in another process makes the same choices and ends
with the same bits. docs/recurrent.md has the measurements behind the numbers here.
"""

import functools

import tensorflow as tf

# No public name tells of an enclosing compilation, or of a SavedModel being written.
from tensorflow.python.ops import control_flow_util
from tensorflow.python.saved_model import save_context

from kerasdl.ops.time_loop import in_buffers

# Fewer steps do not repay the compilation.
LEAST_STEPS = 8
# Where two halves of a batch, side by side, take less time than the whole.
SPLIT_UNITS = 128
SPLIT_BATCH = 32


def in_xla():
    """Returns whether what is traced now will be compiled with XLA."""
    return not tf.executing_eagerly() and control_flow_util.GraphOrParentsInXlaContext(
        tf.compat.v1.get_default_graph()
    )


def compiles(steps, unroll):
    """Returns whether to compile a pass over a sequence on its own.

    Not in eager mode, where shapes come and go; not for an unknown number of steps,
    since every new number would compile anew; not within a compilation, which takes the
    pass in anyway; not on machines with other devices than CPUs; and not in an export:
    servers refuse compiled functions unless they are started for them.

    Args:
        steps: T, an integer where it is known.
        unroll: whether the steps are written out.
    """
    return (
        isinstance(steps, int)
        and steps >= LEAST_STEPS
        and not unroll
        and not tf.executing_eagerly()
        and not in_xla()
        and not in_buffers()
        and not save_context.in_save_context()
        and _only_cpus()
    )


def split_point(x, units):
    """Returns how many of the N samples form the first half of a batch, or None.

    The halves are then run side by side, which pays where a product of the whole batch
    keeps one core busy only.

    Args:
        x: (N, T, D).
        units: H.

    Returns:
        An integer, a scalar tensor where N is not known (N itself for a small batch, so
        that the second half is empty), or None for no halves.
    """
    batch = x.shape[0]
    if units > SPLIT_UNITS or (batch is not None and batch < SPLIT_BATCH):
        return None
    if batch is not None:
        return (batch + 1) // 2
    batch = tf.shape(x)[0]
    return tf.where(batch < SPLIT_BATCH, batch, (batch + 1) // 2)


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


@functools.cache
def _only_cpus():
    return all(
        device.device_type == "CPU" for device in tf.config.list_physical_devices()
    )
