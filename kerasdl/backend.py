"""Which backend of Keras this package needs."""

import os
import sys


def check_backend() -> None:
    """Raises ImportError, in one line, if Keras runs or will run on another backend.

    Keras need not be imported: until it is, the environment says which backend it takes.
    """
    keras = sys.modules.get("keras")
    backend = getattr(getattr(keras, "config", None), "backend", None)
    name = backend() if backend else os.environ.get("KERAS_BACKEND")
    if name not in (None, "", "tensorflow"):
        raise ImportError(
            "kerasdl needs Keras on TensorFlow: set KERAS_BACKEND=tensorflow, got "
            f"{name}."
        )
