"""Neural style transfer: a content picture repainted in the manner of another.

`stylize` is the whole of it; the modules hold its parts. Importing this package imports
nothing heavy.
"""

import importlib
from typing import Any

_LAZY = {
    "stylize": "kerasdl.style.transfer",
    "StyleOptions": "kerasdl.style.options",
    "StyleResult": "kerasdl.style.transfer",
    "StyleState": "kerasdl.style.descent",
    "StyleStep": "kerasdl.style.transfer",
}

__all__ = ["StyleOptions", "StyleResult", "StyleState", "StyleStep", "stylize"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
