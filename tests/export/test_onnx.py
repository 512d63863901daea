"""Keras models as ONNX files, run by ONNX Runtime."""

import subprocess
import sys

import keras
import numpy as np
import pytest

import kerasdl
from kerasdl.errors import InputError
from tests.export.conftest import write_run
from tests.export.keras_models import draw, sequence_model, states_model

pytest.importorskip("tf2onnx")
onnxruntime = pytest.importorskip("onnxruntime")
L = keras.layers


def answers_of(path, **inputs):
    session = onnxruntime.InferenceSession(str(path))
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


def test_masks_any_batch_and_length(tmp_path):
    model, path = sequence_model(), tmp_path / "m.onnx"
    entry = kerasdl.export.onnx(model, path)
    assert entry["signatures"]["serving_default"] == {
        "inputs": {"words": {"dtype": "int32", "shape": [-1, -1]}},
        "outputs": {"scores": {"dtype": "float32", "shape": [-1, 3]}},
    }
    assert entry["operations"]["Loop"] >= 3 and entry["largest_difference"] < 1e-5
    assert entry["runs_on"]["ONNX Runtime"]["runs"] == "yes"
    for words in ([[1, 2, 3, 4, 0, 0, 0]], [[5, 6, 0], [1, 0, 2], [0, 0, 0]]):
        ids = np.array(words, "int32")
        answer = answers_of(path, words=ids)["scores"]
        np.testing.assert_allclose(answer, model(ids), atol=1e-6)
    report = kerasdl.export.verify(path)
    assert report["latency"]["threads"]["2"]["median_ms"] > 0


def test_the_command_takes_a_file_with_several_inputs(tmp_path):
    model, path = states_model(), tmp_path / "m.onnx"
    model.save(tmp_path / "m.keras")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "kerasdl.export.onnx", f"--output={path}"),
            f"--model={tmp_path / 'm.keras'}",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "answers as the model's" in done.stdout
    inputs = {"x": draw(2, 5, 4), "h0": draw(2, 3, seed=1), "c0": draw(2, 3, seed=2)}
    answer = answers_of(path, **inputs)
    for name, value in model(list(inputs.values())).items():
        np.testing.assert_allclose(answer[name], value, atol=1e-6)


def test_a_captioner(tmp_path):
    entry = kerasdl.export.onnx(write_run(tmp_path / "w"), tmp_path / "m.onnx")
    comparison = entry["comparison"]["serving_default"]
    assert comparison["agreeing"] == comparison["examples"] == 12


def test_refusals(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"--output must end in \.onnx, got"):
        kerasdl.export.onnx(sequence_model(), tmp_path / "m.tflite")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'tf2onnx is not installed; .*kerasdl\[onnx\]"'):
        kerasdl.export.onnx(sequence_model(), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())
