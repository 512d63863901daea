"""Names of a package that are imported when they are first used."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

# Packages of the extra [jobs] that some module imports at its top.
_OF_THE_JOBS = frozenset(
    {"jinja2", "matplotlib", "ml_collections", "nltk", "PIL", "pycocoevalcap", "scipy"}
    | {"tensorflow_datasets", "tensorflow_text", "tqdm"}
)


def lazy_names(
    package: str, names: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns `__getattr__` and `__dir__` for a package's `__init__.py` (PEP 562).

    Args:
        package: The package's `__name__`.
        names: Where each public name is: `"module"`, or `"module:attribute"`.
    """

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, attribute = names[name].partition(":")
        try:
            value = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name not in _OF_THE_JOBS:
                raise
            raise ImportError(
                f"{package}.{name} needs the packages of an extra: "
                f"pip install 'kerasdl[jobs]' ({error.name} is not installed)."
            ) from error
        return getattr(value, attribute) if attribute else value

    def list_names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *names})

    return get, list_names
