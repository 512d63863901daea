"""Lists the trainers, the configs that ship with them, and what each config comes to."""

import ast
from pathlib import Path

from kerasdl.training.config import packaged_configs
from kerasdl.training.fields import describe_config


def main() -> None:
    """Prints the lists."""
    folder = Path(__file__).parent
    trainers = sorted(p for p in folder.glob("*.py") if not p.name.startswith("_"))
    print("The trainers; each explains itself with --help:\n")
    for path in trainers:
        text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        print(f"  kerasdl.trainers.{path.stem}\n    {text.partition('.')[0]}.")
    print("\nThe configs, for --config=FILE, with their headline figures if measured:\n")
    for path in packaged_configs():
        text, headline = describe_config(path)
        print(f"  {path}\n    {text.partition(chr(10))[0]}")
        if headline:
            print(f"    {headline}")


if __name__ == "__main__":
    main()
