"""The diagram on the page of the design is what the files import."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "kerasdl": "kerasdl",
    "trainers": "kerasdl.trainers",
    "export": "kerasdl.export",
    "configs": "kerasdl.configs",
}


def rows():
    """The row of each package, counted from the top."""
    page = (ROOT / "docs" / "design.md").read_text("utf-8")
    diagram = re.search(r"```text\n(.*?)```", page, re.S)[1]
    lines = enumerate(diagram.splitlines())
    return {name: row for row, line in lines for name in line.split()}


def package(module):
    return ".".join(module.split(".")[:2])


def imports():
    """`(file, package, imported package)` of every import within the house."""
    for folder, name in FOLDERS.items():
        for file in (ROOT / folder).rglob("*.py"):
            inner = file.relative_to(ROOT / folder).with_suffix("").parts
            own = package(".".join([name, *(p for p in inner if p != "__init__")]))
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module == "kerasdl":
                    names = [f"kerasdl.{alias.name}" for alias in node.names]
                else:
                    names = [getattr(node, "module", None) or ""]
                for imported in names:
                    if imported.split(".")[0] == "kerasdl" and package(imported) != own:
                        yield file, own, package(imported)


def test_each_package_stands_in_the_diagram():
    found = {"kerasdl.trainers", "kerasdl.export", "kerasdl.configs"}
    for path in (ROOT / "kerasdl").iterdir():
        if path.suffix == ".py" or (path / "__init__.py").exists():
            found.add(f"kerasdl.{path.stem}")
    assert found - {"kerasdl.__init__"} == rows().keys()


def test_every_import_leads_down():
    row, seen = rows(), 0
    for file, own, imported in imports():
        if imported == "kerasdl" or own == "kerasdl":  # the lazy table
            continue
        assert row[own] < row[imported], f"{file}: {own} imports {imported}"
        seen += 1
    assert seen > 300
