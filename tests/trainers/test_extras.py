"""Without the packages of the extra, a trainer says in one line what to install."""

import runpy
import sys

import pytest


def test_without_the_extra_it_is_one_line(monkeypatch):
    for name in [m for m in sys.modules if m.startswith("kerasdl.trainers")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ml_collections", None)
    with pytest.raises(SystemExit, match=r"pip install 'kerasdl\[jobs\]'"):
        runpy.run_module("kerasdl.trainers.captioning", run_name="__main__")
