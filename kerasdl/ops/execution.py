"""How a pass over a sequence is executed: in XLA, in halves, in parts, for an export.

This is the only module that knows of compilers, devices and exports. Everything else
asks it: `fused()` before it chooses between the equations as they stand and their faster
form, `in_pieces()` to run a sequence, `cudnn_mode()` for NVIDIA's kernels in the place of
ours, `written_out()` and `in_buffers()` for the loop.

In graph mode every operation of a step is scheduled on its own; compiled with XLA, a
step is one matrix product and a handful of fused loops over memory. The choice depends on
the shapes known while tracing, on the devices and on what is being traced, never on time
or on earlier calls, so a run that is resumed in another process makes the same choices
and ends with the same bits. docs/recurrent.md has the measurements behind the numbers.
"""

import contextlib
import contextvars
import functools

import tensorflow as tf

from kerasdl.tensorflow_private import in_saved_model, in_xla

# Fewer steps do not repay the compilation.
LEAST_STEPS = 8
# Two halves of a batch, side by side, take less time than the whole from this many
# samples and, if compiled, up to this many units.
SPLIT_BATCH = 32
SPLIT_UNITS = 128
# x_t W of this many samples is formed in a compiled loop rather than before it.
LOOP_BATCH = 64
# The number of steps in a part, if a long sequence is compiled in parts.
PART_STEPS = 128


def _switch(name, doc):
    """Returns a context manager and the function that tells whether it is in force."""
    variable = contextvars.ContextVar(name, default=False)

    @contextlib.contextmanager
    def switched_on():
        token = variable.set(True)
        try:
            yield
        finally:
            variable.reset(token)

    switched_on.__name__ = switched_on.__qualname__ = name
    switched_on.__doc__ = doc
    return switched_on, variable.get


steps_written_out, written_out = _switch(
    "steps_written_out",
    """Has loops traced inside written out, step after step, if T is known.

    For exports: LiteRT's converter does not quantise a loop to int8.
    """,
)
emissions_in_buffers, in_buffers = _switch(
    "emissions_in_buffers",
    """Has loops traced inside write what they emit into one tensor, not a `TensorArray`.

    For exports: LiteRT (TFLite) has no built-in operation for a `TensorArray`, and its
    loops run with an unknown batch and length when they carry a buffer of fixed shape
    that `tf.tensor_scatter_nd_update` writes into. Slower elsewhere.
    """,
)
compile_every_length, _every_length = _switch(
    "compile_every_length",
    """Has sequences whose length is unknown compiled too, anew for each length.

    For training on batches of a few lengths that come again and again: a length costs a
    second or so when it first comes.
    """,
)


def fused():
    """Returns whether what is traced now will be compiled with XLA.

    Pointwise operations next to each other are then one loop over memory.
    """
    return in_xla()


def product_in_loop(batch):
    """Returns whether x_t W is formed step by step if nothing of it is kept.

    Of a large batch, compiled, the product of one step occupies the cores as well as that
    of all steps, and its result is read again while it is still in the cache.

    Args:
        batch: N if it is known, else None.
    """
    return fused() and batch is not None and batch >= LOOP_BATCH


def in_pieces(run, inputs, unroll, whole_time):
    """Runs a sequence as a whole, or in halves of the batch and parts of the time.

    Args:
        run: (inputs, compiled) -> [sequence (N, T, H)] or [], and the list of the last
            states; `compiled` says whether to compile the passes.
        inputs: `kerasdl.ops.sequences.Inputs`, batch first.
        unroll: whether the steps are written out.
        whole_time: whether the steps are to stay in one part.

    Returns:
        The same as `run`.
    """
    steps, units = inputs.x.shape[1], inputs.weights[1].shape[0]
    compiled = compiles(steps, unroll)
    lengths = [steps] if whole_time else part_lengths(steps, compiled)
    run = functools.partial(_in_parts, run, lengths, compiled)
    sizes = half_sizes(inputs.x, units, compiled, unroll)
    if sizes is None:
        return run(inputs)
    (first, h), (second, k) = (run(half) for half in inputs.split_batch(sizes))
    sequence = [tf.concat(pair, axis=0) for pair in zip(first, second, strict=True)]
    return sequence, [tf.concat(pair, axis=0) for pair in zip(h, k, strict=True)]


def _in_parts(run, lengths, compiled, inputs):
    if len(lengths) == 1:
        return run(inputs, compiled)
    sequences, states = [], inputs.states
    for part in inputs.split_time(lengths):
        sequence, states = run(part._replace(states=states), compiled)
        sequences += sequence
    return [tf.concat(sequences, axis=1)] if sequences else [], states


def compiles(steps, unroll):
    """Returns whether to compile a pass over a sequence on its own.

    Not in eager mode, in which shapes come and go; not for an unknown number of steps,
    since every new number would compile anew, except in `compile_every_length`; not
    within a compilation, which takes the pass in anyway; not on machines with other
    devices than CPUs; and not in an export: servers refuse compiled functions unless they
    are started for them.

    Args:
        steps: T, or None if it is not known.
        unroll: whether the steps are written out.
    """
    enough = _every_length() if steps is None else steps >= LEAST_STEPS
    return enough and not unroll and _in_open_graph()


def half_sizes(x, units, compiled, unroll):
    """Returns the sizes of the two halves of a batch that run side by side, or None.

    Compiled, halves pay if a product of the whole batch keeps one core busy only.
    Operation by operation they pay at any number of units: while one loop waits for its
    products, the other's pointwise operations are done.

    Args:
        x: (N, T, D).
        units: H.
        compiled: what `compiles` said.
        unroll: whether the steps are written out.

    Returns:
        [n, N - n], integers if N is known, else scalar tensors (N and 0 for a small
        batch); None for no halves.
    """
    batch, steps = x.shape[:2]
    pays = units <= SPLIT_UNITS if compiled else not unroll and _in_open_graph()
    if not pays or steps == 1 or (batch is not None and batch < SPLIT_BATCH):
        return None
    if batch is not None:
        return [(batch + 1) // 2, batch // 2]
    batch = tf.shape(x)[0]
    first = tf.where(batch < SPLIT_BATCH, batch, (batch + 1) // 2)
    return [first, batch - first]


def part_lengths(steps, compiled):
    """Returns how many steps each part of a long sequence has, which run one by one.

    What a backward pass keeps of a part, and the gradients that it forms, are freed
    before the next part's: a fifth less memory at 500 steps, for a few hundredths more
    time. The lengths differ by one at most, so that two compilations do for all parts.

    Args:
        steps: T, or None if it is not known.
        compiled: what `compiles` said.
    """
    if not compiled or steps is None or steps < 2 * PART_STEPS:
        return [steps]
    count = -(-steps // PART_STEPS)
    return [steps // count + (k < steps % count) for k in range(count)]


@functools.cache
def compiled_pass(function, plan):
    """Returns `function(plan, ...)` compiled; one for all layers with the same plan.

    Args:
        function: (plan, *tensors) -> tensors.
        plan: hashable.
    """
    return tf.function(
        functools.partial(function, plan), jit_compile=True, autograph=False
    )


def cudnn_mode(plan, inputs):
    """Returns what cuDNN calls the network if its kernels can run it here, else None.

    They can if a GPU is present, outside XLA and exports, if the gates are tanh and σ,
    there is a bias, the steps are not written out, memory is not to be saved at the cost
    of time, and dropout, if any, is one mask for x_t.

    Args:
        plan: `kerasdl.ops.recurrence.Plan`.
        inputs: `kerasdl.ops.sequences.Inputs`, batch first.
    """
    cell, (on_x, on_h) = plan.cell, inputs.dropout
    can = (
        cell.cudnn is not None
        and (cell.activation, cell.recurrent_activation) == ("tanh", "sigmoid")
        and len(inputs.weights) == 3
        and not plan.unroll
        and plan.recompute != "sqrt"
        and on_h is None
        and (on_x is None or on_x.shape.rank == 2)
    )
    here = (
        not (fused() or in_buffers() or written_out() or in_saved_model())
        and inputs.x.shape[1] != 1  # a step of somebody else's loop runs where that runs
        and tf.config.list_logical_devices("GPU")
    )
    return cell.cudnn if can and here else None


def _in_open_graph():
    """Whether a graph is traced that nothing but CPUs of this process will run."""
    return (
        not tf.executing_eagerly()
        and not fused()
        and not in_buffers()
        and not written_out()
        and not in_saved_model()
        and _only_cpus()
    )


@functools.cache
def _only_cpus():
    return all(
        device.device_type == "CPU" for device in tf.config.list_physical_devices()
    )
