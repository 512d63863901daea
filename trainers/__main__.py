"""Lists the trainers, the configs that ship with them, and what each config comes to."""

import ast
from pathlib import Path

from kerasdl.training.command import print_and_end
from kerasdl.training.config import packaged_configs
from kerasdl.training.fields import describe_config


def lists() -> list[str]:
    """The lines of both lists."""
    folder = Path(__file__).parent
    lines = ["The trainers; each explains itself with --help:", ""]
    for path in sorted(p for p in folder.glob("*.py") if not p.name.startswith("_")):
        text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        lines += [f"  kerasdl.trainers.{path.stem}", f"    {text.partition('.')[0]}."]
    lines += ["", "The configs, for --config=FILE, with what was measured:", ""]
    for path in packaged_configs():
        text, headline = describe_config(path)
        lines += [f"  {path}", f"    {text.partition(chr(10))[0]}"]
        lines += [f"    {headline}"] if headline else []
    return lines


if __name__ == "__main__":
    print_and_end("\n".join(lists()))
