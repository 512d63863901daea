import numpy as np
import pytest
import tensorflow as tf

from kerasdl.ops import lstm
from kerasdl.ops.execution import emissions_in_buffers, steps_written_out
from kerasdl.ops.scan import scan
from tests.ops.problems import MASKS, D, sequence_problem


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("how", ["loop", "unroll", "buffers"])
@pytest.mark.parametrize("by_function", [False, True])
def test_emissions_lie_at_their_own_step(how, reverse, by_function):
    steps = 5
    x = np.random.default_rng(0).normal(size=(steps, 2, 3))

    def step(carry, slices):
        total = 0.5 * carry[0] + slices[0]
        return [total], [carry[0], total]

    def run():
        return scan(
            step,
            [tf.zeros((2, 3), tf.float64)],
            [(lambda t: tf.constant(x)[t]) if by_function else tf.constant(x)],
            [tf.TensorSpec((2, 3), tf.float64)] * 2,
            steps,
            reverse=reverse,
            unroll=how == "unroll",
        )

    if how == "buffers":
        with emissions_in_buffers():
            (carry,), (before, after) = run()
    else:
        (carry,), (before, after) = run()
    total = np.zeros((2, 3))
    for t in range(steps)[:: -1 if reverse else 1]:
        np.testing.assert_allclose(before[t], total)
        total = 0.5 * total + x[t]
        np.testing.assert_allclose(after[t], total)
    np.testing.assert_allclose(carry, total)


def test_in_buffers_a_sequence_converts_to_litert_with_any_batch_and_length():
    from ai_edge_litert.interpreter import Interpreter

    x, h0, _, *weights = (
        value.astype(np.float32) for value in sequence_problem(gates=4, states=2)
    )
    mask = MASKS["holes"]
    signature = [
        tf.TensorSpec((None, None, D), tf.float32, name="x"),
        tf.TensorSpec((None, None), tf.bool, name="mask"),
    ]

    @tf.function(input_signature=signature)
    def run(x, mask):
        zeros = tf.zeros((tf.shape(x)[0], h0.shape[1]))
        return lstm(x, zeros, zeros, *weights, mask=mask)[0]

    with emissions_in_buffers():
        concrete = run.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    interpreter = Interpreter(model_content=converter.convert())
    for batch, length in ((3, 4), (1, 2), (2, 1)):
        inputs = {3: x[:batch, :length], 2: mask[:batch, :length]}
        details = interpreter.get_input_details()
        for detail in details:
            value = inputs[len(detail["shape"])]
            interpreter.resize_tensor_input(detail["index"], value.shape)
        interpreter.allocate_tensors()
        for detail in details:
            interpreter.set_tensor(detail["index"], inputs[len(detail["shape"])])
        interpreter.invoke()
        output = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        np.testing.assert_allclose(output, run(*inputs.values()), rtol=0, atol=1e-6)


def test_written_out_there_is_no_loop():
    x = tf.reshape(tf.range(12.0), (3, 2, 2))

    def run(x):
        carry, (sums,) = scan(
            lambda carry, slices: ([carry[0] + slices[0]], [carry[0] + slices[0]]),
            [tf.zeros((2, 2))],
            [x],
            [tf.TensorSpec((2, 2))],
            3,
        )
        return carry[0], sums

    loop = tf.function(run, autograph=False).get_concrete_function(x)
    with steps_written_out():
        written = tf.function(run, autograph=False).get_concrete_function(x)
    for graph, loops in ((loop.graph, True), (written.graph, False)):
        assert any("While" in node.op for node in graph.as_graph_def().node) == loops
    for actual, expected in zip(written(x), loop(x), strict=True):
        np.testing.assert_array_equal(actual, expected)
