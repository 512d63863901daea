"""Checks an installed wheel: one top-level name, light import, every module imports."""

import importlib
import pkgutil
import subprocess
import sys
from importlib import metadata

names = {
    path.parts[0]
    for path in metadata.files("kerasdl")
    if not path.parts[0].endswith(".dist-info")
}
assert names == {"kerasdl"}, f"the wheel installs {names}"

code = "import kerasdl, sys; print(*{'tensorflow', 'keras', 'numpy'} & set(sys.modules))"
heavy = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
assert (heavy.stdout, heavy.stderr) == ("\n", ""), heavy

import kerasdl  # noqa: E402

for name in ("certify", "export", "layers", "load", "models", "ops"):
    getattr(kerasdl, name)
try:
    kerasdl.train  # noqa: B018
except ImportError as error:
    assert "pip install 'kerasdl[jobs]'" in str(error), error
else:
    raise AssertionError("kerasdl.train is to need the extra [jobs]")
for room in (kerasdl.ops, kerasdl.layers, kerasdl.models, kerasdl.weights):
    for module in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
        importlib.import_module(module.name)
print(f"kerasdl {kerasdl.__version__} imports on Python {sys.version.split()[0]}")
