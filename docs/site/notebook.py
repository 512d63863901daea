"""Runs the notebooks from their sources, and makes pages of them.

    python docs/site/notebook.py                  runs all, each in a fresh kernel
    python docs/site/notebook.py docs/notebooks/layers.py

A source is a Python file whose cells begin with `# %%`, those of text with
`# %% [markdown]`.
What running it shows is kept below build/, which is not part of the repository.
"""

import shutil
import sys
import time
from pathlib import Path

import jupytext
import nbformat

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "docs" / "notebooks"
RUN = ROOT / "build" / "notebooks"
SECONDS = 240  # on a busy machine; alone each takes less than 40


def run(source: Path) -> None:
    """Runs one notebook; an exception in a cell ends it."""
    from nbclient import NotebookClient

    started = time.monotonic()
    notebook = jupytext.read(source)
    folder = RUN / source.stem  # an empty one: no run of before is gone on with
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    NotebookClient(
        notebook, timeout=SECONDS, resources={"metadata": {"path": str(folder)}}
    ).execute()
    nbformat.write(notebook, RUN / f"{source.stem}.ipynb")
    print(f"{source.stem}: {time.monotonic() - started:.0f} s", flush=True)


def to_markdown(source: Path) -> str:
    """The page of a notebook, with what it showed if this very source was run."""
    notebook, ran = jupytext.read(source), RUN / f"{source.stem}.ipynb"
    if ran.exists():
        executed = nbformat.read(ran, as_version=4)
        if [c.source for c in executed.cells] == [c.source for c in notebook.cells]:
            notebook = executed
    parts = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        parts += filter(None, map(_shown, cell.get("outputs", [])))
    return "\n\n".join(parts) + "\n"


def _shown(output: nbformat.NotebookNode) -> str:
    """What a cell printed on standard output, its picture, or its value."""
    if output.output_type == "stream":
        return f"```text\n{output.text.rstrip()}\n```" if output.name == "stdout" else ""
    data = output.get("data", {})
    if "image/png" in data:
        picture = "".join(data["image/png"].split())
        return f'<img alt="What the cell shows" src="data:image/png;base64,{picture}">'
    return f"```text\n{data['text/plain']}\n```" if "text/plain" in data else ""


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(SOURCES.glob("*.py")):
        run(Path(name))
