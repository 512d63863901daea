"""The pages link to files that are there, and name modules and configs that exist."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kerasdl.training.config import packaged_configs
from kerasdl.training.fields import describe_config

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            file = page.parent / path if path else page
            assert file.exists(), f"{page.name}: {target}"
            if anchor and file.suffix == ".md":
                assert anchor in _anchors(file.read_text("utf-8")), f"{target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_configs_exist(page):
    text = page.read_text("utf-8")
    for module in re.findall(r"python -m (kerasdl[\w.]+)", text):
        assert importlib.util.find_spec(module), f"{page.name}: {module}"
    for config in re.findall(r"\bconfigs/\w+/\w+\.py", text):
        assert (ROOT / config).is_file(), f"{page.name}: {config}"


@pytest.mark.parametrize("config", packaged_configs())
def test_headline_figures_are_those_of_the_docs(config):
    headline = describe_config(config)[1].partition(" (")[0]
    for figure in re.findall(r"\d\S* ← \S+ → \d\S*|\d[\d.e-]+", headline):
        rows = [line for page in PAGES for line in page.read_text("utf-8").split("\n")]
        assert any(figure in row for row in rows), f"{config}: {figure}"


def test_figures_of_the_readme_are_those_of_the_configs():
    headlines = {Path(p).stem: describe_config(p)[1] for p in packaged_configs()}
    rows = re.findall(
        r"^\| `(\w+)`.*\| (\d[\d., ←→]*\d)(?: \([^|]*\))? \|$",
        (ROOT / "README.md").read_text("utf-8"),
        flags=re.M,
    )
    assert len(rows) == 8
    for config, figure in rows:
        assert f" {figure} (" in headlines[config] + " ("


def test_the_list_of_trainers_and_configs():
    command = [sys.executable, "-m", "kerasdl.trainers"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 90 and not done.stderr
    for name in ("captioning", "compare", "local_workers"):
        assert f"  kerasdl.trainers.{name}" in lines
    for config in packaged_configs():
        place = lines.index(f"  {config}")
        headline = describe_config(config)[1]
        if headline:
            assert lines[place + 2].strip() == headline
    assert sum("←" in line for line in lines) > 5


def test_a_pipe_that_closes_ends_a_list_quietly():
    for command in ("-m kerasdl.trainers", "-m kerasdl.trainers.captioning --help"):
        line = f"{sys.executable} {command} | (sleep 0.3; true)"
        done = subprocess.run(
            ["bash", "-c", line], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


def _anchors(text):
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ +(.+)$", text, flags=re.M)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in headings
    }
