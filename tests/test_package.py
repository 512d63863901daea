"""What importing the package costs, and that nothing in it imports upward."""

import ast
import configparser
import subprocess
import sys
from pathlib import Path

import pytest

import kerasdl
from kerasdl.errors import InputError

ROOT = Path(__file__).parent.parent

# Of each package, those that it may import; all may use errors, files, runs and _lazy.
ALLOWED = {
    "ops": {"ops"},
    "layers": {"ops", "layers"},
    "decoding": {"decoding", "data"},
    "weights": {"weights"},
    "data": {"data", "weights"},
    "metrics": {"metrics", "data"},
    "reports": {"reports", "metrics", "data", "models"},
    "training": {
        *("training", "reports", "style", "weights", "metrics", "decoding", "models"),
        *("data", "layers", "ops", "tuning"),
    },
    "tuning": {"tuning", "reports", "models"},
}

# Modules that every package may import.
BELOW_ALL = {"backend", "errors", "files", "runs", "_lazy", "tensorflow_private"}

COMMANDS = ("kerasdl.trainers", "kerasdl.export", "kerasdl.configs")


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_import_is_light():
    heavy = ("tensorflow", "keras", "numpy")
    code = f"import kerasdl, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_setup_lists_every_package():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = set(setup["options"]["packages"].split())
    found = set()
    for top in ("kerasdl", "trainers", "export", "configs"):
        for init in (ROOT / top).rglob("__init__.py"):
            parts = init.parent.relative_to(ROOT).parts
            found.add(".".join(parts if top == "kerasdl" else ("kerasdl", *parts)))
    assert listed == found


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_arrows_point_down(package):
    for path in (ROOT / "kerasdl" / package).rglob("*.py"):
        for module in imported_modules(path):
            parts = module.split(".")
            if parts[0] == "kerasdl" and len(parts) > 1 and parts[1] not in BELOW_ALL:
                assert parts[1] in ALLOWED[package], f"{path}: {module}"


def test_the_library_imports_no_command():
    for path in (ROOT / "kerasdl").rglob("*.py"):
        for module in imported_modules(path):
            assert not module.startswith(COMMANDS), f"{path}: {module}"


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="'nonsense'"):
        kerasdl.nonsense  # noqa: B018


def test_errors_are_one_line():
    assert str(InputError("a\n  b")) == "a b"


def test_a_name_that_needs_an_extra_says_which(monkeypatch):
    monkeypatch.delitem(sys.modules, "kerasdl.training.run", raising=False)
    monkeypatch.setitem(sys.modules, "ml_collections", None)
    for name in [m for m in sys.modules if m.startswith("kerasdl.training.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ImportError, match=r"kerasdl\.train needs .*'kerasdl\[jobs\]'"):
        kerasdl.train  # noqa: B018
