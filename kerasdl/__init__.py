"""Recurrent layers with hand-derived gradients, and four jobs built on them.

Importing this package imports nothing heavy; TensorFlow comes with the first name
that needs it.
"""

import importlib
from typing import Any

_LAZY = {"load": "kerasdl.loading", "InputError": "kerasdl.errors"}
_SUBPACKAGES = (
    *("data", "decoding", "layers", "metrics", "models", "ops", "style", "weights"),
)

__all__ = ["InputError", "layers", "load", "models", "ops"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in _SUBPACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_SUBPACKAGES})
