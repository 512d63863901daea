"""Another backend of Keras is refused in one line, before anything fails obscurely."""

import os
import subprocess
import sys

import pytest

from kerasdl import backend


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_another_backend_is_one_line(name):
    done = subprocess.run(
        [sys.executable, "-c", "import kerasdl"],
        env={**os.environ, "KERAS_BACKEND": name},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and done.stderr.splitlines()[-1] == (
        "ImportError: kerasdl needs Keras on TensorFlow: set KERAS_BACKEND=tensorflow, "
        f"got {name}."
    )


def test_a_keras_that_is_imported_says_its_backend(monkeypatch):
    import keras

    monkeypatch.setenv("KERAS_BACKEND", "torch")
    backend.check_backend()  # Keras runs on TensorFlow, whatever is set since
    monkeypatch.setattr(keras.config, "backend", lambda: "openvino")
    with pytest.raises(ImportError, match="KERAS_BACKEND=tensorflow, got openvino"):
        backend.check_backend()
