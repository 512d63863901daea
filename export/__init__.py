"""Exports of trained models: SavedModel, TFLite, and prediction from either.

    kerasdl.export.tflite(model, "m.tflite", ...)     built-in operations, checked
    kerasdl.export.onnx(model, "m.onnx", ...)         for ONNX Runtime, checked
    kerasdl.export.saved_model(model, "served", ...)  for TensorFlow Serving, checked
    kerasdl.export.verify("m.tflite")                 checked again, anywhere

The commands have modules of the same names; the names here stay functions whatever has
been imported.
"""

import importlib
import sys
import types
from typing import Any

_FUNCTIONS = {
    "onnx": "kerasdl.export.to_onnx",
    "saved_model": "kerasdl.export.to_saved_model",
    "tflite": "kerasdl.export.to_tflite",
    "verify": "kerasdl.export.proof",
}

__all__ = ["onnx", "saved_model", "tflite", "verify"]


class _Package(types.ModuleType):
    """Keeps the functions' names when Python binds the commands' modules to them."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _FUNCTIONS and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


def __getattr__(name: str) -> Any:
    if name not in _FUNCTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_FUNCTIONS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_FUNCTIONS})


sys.modules[__name__].__class__ = _Package
