"""The compiled pass inside a graph: when it is taken, and that it is the same pass."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.core.protobuf import saved_model_pb2

from kerasdl.ops import execution, lstm
from kerasdl.ops.execution import (
    LEAST_STEPS,
    LOOP_BATCH,
    PART_STEPS,
    SPLIT_BATCH,
    compile_every_length,
    emissions_in_buffers,
    part_lengths,
)
from tests.ops.networks import NETWORKS
from tests.ops.problems import sequence_problem, upstream_like

D, H, T = 2, 3, LEAST_STEPS


def problem(name, n, t=T):
    inputs = NETWORKS[name].problem(n=n, t=t, d=D, h=H)
    generator = np.random.default_rng(3)
    mask = generator.random((n, t)) < 0.7
    on_x, on_h = (generator.binomial(1, 0.5, (n, k)) * 2.0 for k in (D, H))
    return inputs, mask, on_x, on_h


def results_of(name, n, **options):
    """Returns a function of (x, mask, dropout) for all outputs and gradients."""
    function = NETWORKS[name].op
    inputs, *_ = problem(name, n)

    def run(x, mask, on_x, on_h):
        variables = [x, *(tf.constant(value) for value in inputs[1:])]
        with tf.GradientTape() as tape:
            tape.watch(variables)
            outputs = function(
                *variables,
                mask=mask,
                dropout_mask=on_x,
                recurrent_dropout_mask=on_h,
                **options,
            )
            outputs = [output for output in outputs if output is not None]
        upstream = [tf.constant(g) for g in upstream_like(outputs)]
        return [*outputs, *tape.gradient(outputs, variables, upstream)]

    return run


def compiled_calls(function):
    nodes = function.get_concrete_function().graph.as_graph_def().node
    return [node.name for node in nodes if node.attr["_XlaMustCompile"].b]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("n", "options"),
    [
        (3, {}),
        (SPLIT_BATCH + 1, {"return_sequences": False}),
        (SPLIT_BATCH + 1, {"recompute": "sqrt"}),
        (3, {"recompute": "all"}),
    ],
    ids=str,
)
def test_equals_the_loop(name, n, options):
    inputs, *rest = problem(name, n)
    run = results_of(name, n, **options)
    expected = run(tf.constant(inputs[0]), *rest)
    function = tf.function(lambda: run(tf.constant(inputs[0]), *rest), autograph=False)
    assert compiled_calls(function)
    for actual, wanted in zip(function(), expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("n", "return_sequences"),
    [(3, False), (SPLIT_BATCH + 1, True)],
    ids=["whole", "in_halves"],
)
def test_parts_equal_the_loop(name, n, return_sequences, monkeypatch):
    inputs, *rest = problem(name, n)
    run = results_of(name, n, return_sequences=return_sequences)
    expected = run(tf.constant(inputs[0]), *rest)
    whole = tf.function(lambda: run(tf.constant(inputs[0]), *rest), autograph=False)
    calls = len(compiled_calls(whole))
    monkeypatch.setattr(execution, "PART_STEPS", 3)  # 8 steps: 3, 3 and 2
    parts = tf.function(lambda: run(tf.constant(inputs[0]), *rest), autograph=False)
    assert len(compiled_calls(parts)) == 3 * calls
    for actual, wanted in zip(parts(), expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("n", [2 * LOOP_BATCH - 2, 2 * LOOP_BATCH + 1])
def test_a_product_in_the_loop_equals_the_one_before_it(name, n, monkeypatch):
    # Two halves of the batch run side by side, each below or above the bound.
    formed = []
    rule = execution.product_in_loop
    monkeypatch.setattr(
        execution,
        "product_in_loop",
        lambda batch: formed.append(rule(batch)) or formed[-1],
    )
    inputs, mask, on_x, on_h = problem(name, n)
    options = {"mask": mask, "dropout_mask": on_x, "recurrent_dropout_mask": on_h}
    options["recompute"] = "all"  # what inference runs

    def infer():
        tensors = [tf.constant(value) for value in inputs]
        return NETWORKS[name].op(*tensors, **options)

    eager = infer()
    assert not any(formed)
    compiled = tf.function(infer)()
    assert any(formed) == (n > 2 * LOOP_BATCH)
    for expected, output in zip(eager, compiled, strict=True):
        np.testing.assert_allclose(output, expected, rtol=1e-12, atol=1e-14)


@given(steps=st.integers(1, 10_000))
def test_lengths_of_parts(steps):
    lengths = part_lengths(steps, compiled=True)
    assert sum(lengths) == steps
    assert max(lengths) - min(lengths) <= 1
    assert max(lengths) <= PART_STEPS or len(lengths) == 1
    assert (len(lengths) > 1) == (steps >= 2 * PART_STEPS)
    assert part_lengths(steps, compiled=False) == [steps]


def test_an_unknown_length_is_one_part():
    assert part_lengths(None, compiled=True) == [None]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("steps", [T, None], ids=["compiled", "not_compiled"])
@pytest.mark.parametrize("masked", [False, True])
def test_halves_of_an_unknown_batch(name, steps, masked):
    """In halves, whole and of one sample: the same as step by step in eager mode."""
    weights = [tf.constant(value) for value in problem(name, 1)[0]]
    states = NETWORKS[name].states

    def gradient(x, mask):
        zeros = [tf.zeros((tf.shape(x)[0], H), tf.float64)] * states
        variables = [x, *zeros, *weights[1 + states :]]
        with tf.GradientTape() as tape:
            tape.watch(variables)
            sequence, *_ = NETWORKS[name].op(*variables, mask=mask if masked else None)
            loss = tf.reduce_sum(tf.sin(sequence))
        return tape.gradient(loss, variables)

    function = tf.function(
        gradient,
        autograph=False,
        input_signature=[
            tf.TensorSpec((None, steps, D), tf.float64),
            tf.TensorSpec((None, steps), tf.bool),
        ],
    )
    assert bool(compiled_calls(function)) == (steps is not None)
    for n in (1, SPLIT_BATCH + 3):
        (x, *_), mask, *_ = problem(name, n)
        for actual, expected in zip(
            function(x, mask), gradient(tf.constant(x), mask), strict=True
        ):
            np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("n", [1, 2, SPLIT_BATCH + 3])
def test_unknown_batch(n):
    inputs, mask, *_ = problem("lstm", n)

    @tf.function(input_signature=[tf.TensorSpec((None, T, D), tf.float64)])
    def gradient(x):
        states = [tf.constant(state)[: tf.shape(x)[0]] for state in inputs[1:3]]
        with tf.GradientTape() as tape:
            tape.watch(x)
            sequence, *_ = lstm(x, *states, *inputs[3:], mask=mask)
            loss = tf.reduce_sum(tf.sin(sequence))
        return tape.gradient(loss, x)

    assert compiled_calls(gradient)
    actual = gradient(inputs[0])
    tf.config.run_functions_eagerly(True)
    try:
        expected = gradient(tf.constant(inputs[0]))
    finally:
        tf.config.run_functions_eagerly(False)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12)


def test_same_bits_whatever_ran_before():
    run = tf.function(results_of("lstm", 4), autograph=False)
    x, *rest = problem("lstm", 4)
    first = [value.numpy() for value in run(x[0], *rest)]
    for n in (5, SPLIT_BATCH):
        other, *masks = problem("lstm", n)
        tf.function(results_of("lstm", n), autograph=False)(other[0], *masks)
    for again, value in zip(run(x[0], *rest), first, strict=True):
        np.testing.assert_array_equal(again, value)


def test_second_derivatives_through_it():
    inputs, *_ = problem("lstm", 3)

    def derivatives():
        x, *rest = map(tf.constant, inputs)
        with tf.GradientTape() as outer:
            outer.watch([x, *rest])
            with tf.GradientTape() as inner:
                inner.watch(x)
                sequence, *_ = lstm(x, *rest)
            curved = tf.reduce_sum(tf.sin(inner.gradient(sequence, x)))
        return outer.gradient(curved, [x, *rest])

    function = tf.function(derivatives, autograph=False)
    assert compiled_calls(function)
    for actual, wanted in zip(function(), derivatives(), strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-12)


def traced(shape, jit_compile=False, **options):
    weights = sequence_problem(4, 2, n=1, t=1, d=D, h=H)[3:]

    @tf.function(
        autograph=False,
        jit_compile=jit_compile or None,
        input_signature=[tf.TensorSpec(shape, tf.float64)],
    )
    def run(x):
        zeros = tf.zeros((tf.shape(x)[0], H), tf.float64)
        return lstm(x, zeros, zeros, *weights, **options)[0]

    return run


def test_taken_by_rule():
    assert compiled_calls(traced((None, T, D)))
    assert compiled_calls(traced((2, T, D)))
    assert not compiled_calls(traced((2, T - 1, D)))
    assert not compiled_calls(traced((2, None, D)))
    assert not compiled_calls(traced((2, T, D), unroll=True))
    assert not compiled_calls(traced((2, T, D), jit_compile=True))
    with emissions_in_buffers():
        assert not compiled_calls(traced((2, T, D)))
    with compile_every_length():
        assert compiled_calls(traced((2, None, D)))
        assert not compiled_calls(traced((2, T - 1, D)))
    assert not compiled_calls(traced((2, None, D)))


def test_every_length_compiled_equals_the_loop():
    plain, compiled = traced((None, None, D)), traced((None, None, D))
    with compile_every_length():
        assert compiled_calls(compiled)
    for n, t in ((1, 1), (2, 5), (SPLIT_BATCH, 3)):
        x = sequence_problem(4, 2, n=n, t=t, d=D, h=H)[0]
        np.testing.assert_allclose(compiled(x), plain(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("used_before", [False, True])
def test_saved_models_do_not_hold_it(used_before, tmp_path):
    module = tf.Module()
    module.run = traced((None, T, D))
    x = sequence_problem(4, 2, n=2, t=T, d=D, h=H)[0]
    expected = module.run(x) if used_before else None
    tf.saved_model.save(module, tmp_path, signatures={"serving_default": module.run})
    saved = saved_model_pb2.SavedModel.FromString(
        (tmp_path / "saved_model.pb").read_bytes()
    )
    functions = saved.meta_graphs[0].graph_def.library.function
    assert functions
    for function in functions:
        for node in function.node_def:
            assert not node.attr["_XlaMustCompile"].b, (
                function.signature.name,
                node.name,
            )
    if used_before:
        loaded = tf.saved_model.load(tmp_path)
        (output,) = loaded.signatures["serving_default"](tf.constant(x)).values()
        np.testing.assert_allclose(output, expected, rtol=0, atol=1e-12)
