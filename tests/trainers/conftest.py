"""Commands run in this process: most tests need not wait for TensorFlow to load again."""

import runpy
import sys
import types

import pytest
from absl import flags


@pytest.fixture
def run_here(monkeypatch, capfd):
    """Runs `[python, -m, module, *arguments]` as a process of its own would."""

    def run(command):
        _, _, module, *arguments = command
        known = flags.FLAGS.__dict__
        with monkeypatch.context() as patch:
            for name in ("__flags", "__flags_by_module", "__flags_by_module_id"):
                patch.setitem(known, name, _copied(known[name]))
            patch.setattr(sys, "argv", [module, *arguments])
            patch.setattr(sys, "orig_argv", list(command))
            capfd.readouterr()
            try:
                runpy.run_module(module, run_name="__main__", alter_sys=True)
                code = 0
            except SystemExit as stop:
                code = stop.code or 0
        out, err = capfd.readouterr()
        return types.SimpleNamespace(returncode=code, stdout=out, stderr=err)

    return run


def _copied(flags_or_lists):
    return {
        key: list(value) if isinstance(value, list) else value
        for key, value in flags_or_lists.items()
    }
