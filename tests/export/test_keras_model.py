"""A user's Keras models as `.tflite` files, run where there is no TensorFlow."""

import keras
import numpy as np
import pytest

import kerasdl
from tests.export.keras_models import (
    L,
    cells_model,
    draw,
    run,
    sequence_model,
    states_model,
)


def test_masks_wrappers_any_batch_and_length(tmp_path):
    model, path = sequence_model(), tmp_path / "m.tflite"
    entry = kerasdl.export.tflite(model, path)
    assert entry["strategy"] == "loop" and entry["reference"] == "float64"
    # The unchanged model converts too, at the fixed shapes of a call.
    assert entry["latency"]["stock"]["threads"]["1"]["median_ms"] > 0
    assert 0 < entry["conversion"]["peak_bytes"] < 4 << 30
    assert entry["signatures"]["serving_default"] == {
        "inputs": {"words": {"dtype": "int32", "shape": [-1, -1]}},
        "outputs": {"scores": {"dtype": "float32", "shape": [-1, 3]}},
    }
    one = np.array([[1, 2, 3, 4, 0, 0, 0]], "int32")
    many = np.array([[5, 6, 0, 0], [1, 0, 2, 8], [0, 0, 0, 0]], "int32")
    calls = [("serving_default", {"words": ids}) for ids in (one, one, many, one)]
    answers = [a["scores"] for a in run(path, calls, tmp_path)]
    for answer, (_, inputs) in zip(answers, calls, strict=True):
        np.testing.assert_allclose(answer, model(inputs["words"]), atol=1e-6)
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(answers[0], answers[3])


def test_initial_states_several_inputs_and_outputs(tmp_path):
    model, path = states_model(), tmp_path / "m.tflite"
    entry = kerasdl.export.tflite(model, path)
    assert entry["signatures"]["serving_default"]["inputs"].keys() == {"x", "h0", "c0"}
    x = draw(2, 5, 4)
    x[1, 3:] = 0  # masked
    inputs = {"x": x, "h0": draw(2, 3, seed=1), "c0": draw(2, 3, seed=2)}
    (answer,) = run(path, [("serving_default", inputs)], tmp_path)
    expected = model([inputs["x"], inputs["h0"], inputs["c0"]])
    assert answer.keys() == {"y", "h", "c"}
    for name, value in answer.items():
        np.testing.assert_allclose(value, expected[name], atol=1e-6)


def test_one_step_at_a_time_is_the_whole_sequence(tmp_path):
    model, path = cells_model(), tmp_path / "m.tflite"
    entry = kerasdl.export.tflite(model, path, signatures=("infer", "step"))
    step = entry["signatures"]["step"]
    states = entry["states"]
    assert set(step["inputs"]) == {"x", *states} and set(step["outputs"]) == {
        "y",
        *states,
    }
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(path)).get_signature_runner("step")
    x = draw(2, 8, 4)
    carried = {
        name: np.zeros((2, step["inputs"][name]["shape"][1]), "f") for name in states
    }
    for t in range(8):
        answer = runner(x=x[:, t], **carried)
        carried = {name: answer[name].copy() for name in states}
        np.testing.assert_allclose(answer["y"], model(x[:, : t + 1]), atol=1e-5)
    assert "WHILE" not in operations_of_signature(path, "step")
    assert "WHILE" in operations_of_signature(path, "serving_default")


def test_a_sequential_model_steps_too(tmp_path):
    model = keras.Sequential([keras.Input((None, 3)), keras.layers.GRU(4)])
    outside = keras.Input((5, 3))
    keras.Model(outside, model(outside))  # a use that is not the exported model's
    path = tmp_path / "m.tflite"
    entry = kerasdl.export.tflite(model, path, signatures=("infer", "step"))
    assert entry["comparison"]["step"]["largest_difference"] <= 1e-5


def operations_of_signature(path, name):
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(path.read_bytes())
    kinds = {v: k for k, v in vars(schema.BuiltinOperator).items()}
    for index in range(model.SignatureDefsLength()):
        signature = model.SignatureDefs(index)
        if signature.SignatureKey().decode() == name:
            graph = model.Subgraphs(signature.SubgraphIndex())
            codes = [
                model.OperatorCodes(graph.Operators(k).OpcodeIndex())
                for k in range(graph.OperatorsLength())
            ]
            return {kinds[max(c.BuiltinCode(), c.DeprecatedBuiltinCode())] for c in codes}
    raise AssertionError(name)


def lstm_float64(x, kernel, recurrent, bias):
    """h_T and the largest |c| by the equations, in float64."""
    h = c = np.zeros((len(x), recurrent.shape[0]))
    largest = 0.0
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ kernel + h @ recurrent + bias, 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        largest = max(largest, np.abs(c).max())
    return h, c, largest


@pytest.mark.parametrize("strategy", ["loop", "unrolled"])
def test_a_cell_state_beyond_ten_and_back(strategy, tmp_path):
    """What the converter's own fused LSTM clips at 10."""
    keras.utils.set_random_seed(3)
    x = keras.Input((30, 2), name="x")
    h, _, c = L.LSTM(3, return_state=True)(x)
    model = keras.Model(x, {"h": h, "c": c})
    kernel, recurrent, bias = model.layers[1].get_weights()
    bias[:3], bias[3:6] = 4.0, 6.0  # input and forget gates open
    model.layers[1].set_weights([kernel, recurrent, bias])
    path = tmp_path / "m.tflite"
    kerasdl.export.tflite(model, path, strategy=strategy, stock=False)
    large, small = np.full((1, 30, 2), 3, "f"), draw(3, 30, 2) / 9
    calls = [("serving_default", {"x": given}) for given in (large, small, large)]
    answers = run(path, calls, tmp_path)
    for (_, inputs), answer in zip(calls, answers, strict=True):
        h, c, largest = lstm_float64(inputs["x"].astype(float), kernel, recurrent, bias)
        np.testing.assert_allclose(answer["c"], c, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(answer["h"], h, atol=1e-6)
        assert (largest > 10) == (inputs["x"] is large)
    assert ("WHILE" in operations_of_signature(path, "serving_default")) == (
        strategy == "loop"
    )


@pytest.mark.parametrize("quantize", ["dynamic", "weights", "int8"])
def test_quantised(quantize, tmp_path):
    keras.utils.set_random_seed(4)
    model = keras.Sequential(
        [
            keras.Input((None, 8), name="x"),
            L.LSTM(64, return_sequences=True),
            L.LSTM(32),
            L.Dense(4, activation="softmax", name="p"),
        ]
    )
    path = tmp_path / "m.tflite"
    given = draw(60, 10, 8)
    entry = kerasdl.export.tflite(
        model, path, steps=10, quantize=quantize, representative=given, stock=False
    )
    assert entry["strategy"] == ("loop" if quantize == "weights" else "unrolled")
    assert path.stat().st_size < 0.5 * 4 * model.count_params() + 120_000
    details = entry["signatures"]["serving_default"]
    assert (
        details["inputs"]["x"]["dtype"] == details["outputs"]["p"]["dtype"] == "float32"
    )
    answer = kerasdl.load(path).predict(given[0])["p"]
    np.testing.assert_allclose(answer, model(given[:1])[0], atol=0.03)


def test_saved_model_keeps_the_names(tmp_path):
    model = states_model()
    folder, entry = kerasdl.export.saved_model(model, tmp_path / "served")
    assert folder.name == "1" and entry["largest_difference"] < 1e-5
    inputs = {"x": draw(5, 4), "h0": draw(3, seed=1), "c0": draw(3, seed=2)}
    answer = kerasdl.load(folder).predict(inputs)
    expected = model([inputs[name][np.newaxis] for name in ("x", "h0", "c0")])
    for name, value in expected.items():
        np.testing.assert_allclose(answer[name], value[0], atol=1e-6)
    kerasdl.export.verify(folder)
