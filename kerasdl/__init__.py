"""Recurrent layers with hand-derived gradients, and four jobs built on them.

Importing this package imports nothing heavy; TensorFlow comes with the first name
that needs it.
"""

from kerasdl._lazy import lazy_names
from kerasdl.backend import check_backend

__all__ = [
    "InputError",
    "certify",
    "data",
    "decoding",
    "export",
    "layers",
    "load",
    "metrics",
    "models",
    "ops",
    "style",
    "train",
    "tuning",
    "weights",
]
__version__ = "0.1.0"

check_backend()

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "InputError": "kerasdl.errors:InputError",
        "certify": "kerasdl.certification:certify",
        "load": "kerasdl.export.loading:load",
        "train": "kerasdl.training.run:train",
        **{
            name: f"{__name__}.{name}"
            for name in __all__
            if name not in ("InputError", "certify", "load", "train")
        },
    },
)
