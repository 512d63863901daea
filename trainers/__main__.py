"""Lists the trainers and the configs that ship with them."""

import ast
from pathlib import Path

from kerasdl.training.config import find_config, packaged_configs


def _first_line(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return text.partition("\n")[0]


folder = Path(__file__).parent
trainers = sorted(p for p in folder.glob("*.py") if not p.name.startswith("_"))
print(
    "The trainers; each explains itself with --help:\n",
    *(f"  kerasdl.trainers.{p.stem:24}{_first_line(p)}" for p in trainers),
    "\nThe configs, for --config=FILE:\n",
    *(f"  {path:41}{_first_line(find_config(path))}" for path in packaged_configs()),
    sep="\n",
)
