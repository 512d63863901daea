"""The examples in the docstrings of the commands and exports run as they are written.

Those of `kerasdl/` are collected by pytest itself; these folders are packages under other
names than their paths.
"""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MODULES = sorted(
    ".".join(("kerasdl", *path.relative_to(ROOT).with_suffix("").parts))
    for folder in ("export", "trainers")
    for path in (ROOT / folder).rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    failed, tried = doctest.testmod(importlib.import_module(name), optionflags=OPTIONS)
    assert tried and not failed
