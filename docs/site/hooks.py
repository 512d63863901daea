"""What the site is made of besides the pages in docs/: nothing here is stored twice.

The first page is the README; Configs is read from the config files, the API from the
docstrings; a link to a file of the repository leads to a page of that file; formulas
become MathML, which browsers draw without a script.
"""

from __future__ import annotations

import html
import posixpath
import re
import runpy
import shutil
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# What the wheel maps into the package; see package_dir in setup.cfg.
MAPPED = ("configs", "export", "trainers")
# What each page of the API shows: a module, or a function of one.
API = {
    "layers": ("Layers", ["kerasdl.layers"]),
    "ops": ("Operations", ["kerasdl.ops"]),
    "models": (
        "Models",
        [
            "kerasdl.models.captioner.ImageCaptioner",
            "kerasdl.models.classifier.ImageClassifier",
            "kerasdl.models.text.classifier.TextClassifier",
            "kerasdl.models.style_network.StylePainter",
            "kerasdl.models.backbones",
        ],
    ),
    "training": (
        "Training",
        ["kerasdl.training.run", "kerasdl.training.job", "kerasdl.errors"],
    ),
    "tuning": (
        "Fine-tuning",
        [
            "kerasdl.tuning.discriminative",
            "kerasdl.tuning.unfreezing",
            "kerasdl.tuning.one_cycle",
            "kerasdl.tuning.rate_finder",
            "kerasdl.models.layer_groups",
        ],
    ),
    "export": (
        "Export and prediction",
        [
            "kerasdl.export.to_saved_model",
            "kerasdl.export.to_tflite",
            "kerasdl.export.proof",
            "kerasdl.export.loading",
        ],
    ),
    "style": ("Style", ["kerasdl.style", "kerasdl.style.options"]),
    "diagnostics": (
        "Diagnostics",
        ["kerasdl.certification", "kerasdl.training.memory_horizon"],
    ),
}
# Names of fields stay whole; wide formulas scroll by themselves.
STYLES = """
.md-typeset table:not([class]) td:first-child code { white-space: nowrap; }
mtd[columnalign="left"] { text-align: left; }
mtd[columnalign="right"] { text-align: right; }
math[display="block"] { overflow-x: auto; max-width: 100%; margin: 1em 0; }
"""
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^([ \t]*```.*?^[ \t]*```)", re.M | re.S)


def on_startup(**_: object) -> None:
    """Lays the package out as it is installed, for the reader of docstrings.

    Before the config is read: that reader leaves out folders that are not there yet.
    """
    package = ROOT / "build" / "api" / "kerasdl"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(ROOT / "kerasdl", package)
    for name in MAPPED:
        shutil.copytree(ROOT / name, package / name)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are made."""
    pages = {
        "index.md": _moved((ROOT / "README.md").read_text("utf-8"), ""),
        "configs.md": configs_page(),
        **{f"api/{name}.md": _api_page(*of) for name, of in API.items()},
        **{
            f"notebooks/{path.stem}.md": runpy.run_path(str(DOCS / "site/notebook.py"))[
                "to_markdown"
            ](path)
            for path in sorted((DOCS / "notebooks").glob("*.py"))
        },
    }
    for page in sorted(DOCS.rglob("*.md")):
        for target in _targets(page.read_text("utf-8"), page.parent):
            if target.is_file() and DOCS not in target.parents and target.suffix != ".md":
                name = target.relative_to(ROOT).as_posix()
                fence = "python" if target.suffix == ".py" else "text"
                text = target.read_text("utf-8")
                pages[f"source/{name}.md"] = (
                    f"---\nsearch:\n  exclude: true\n---\n"
                    f"# {name}\n\n````{fence}\n{text}````\n"
                )
    pages["site.css"] = STYLES
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page, **_) -> str:
    """Leads links that leave docs/ to the pages of those files."""
    return _moved(markdown, posixpath.dirname(page.file.src_uri), stay=True)


def on_page_content(text: str, **_) -> str:
    """Formulas as MathML."""

    def mathml(match: re.Match) -> str:
        block = match[1] == "div"
        latex = html.unescape(match[2]).strip()[2:-2]
        display = "block" if block else "inline"
        latex = re.sub(r"\b(begin|end)\{aligned\}", r"\1{align*}", latex)
        return convert(" ".join(latex.split()), display=display)

    return re.sub(r'<(div|span) class="arithmatex">(.*?)</\1>', mathml, text, flags=re.S)


def configs_page() -> str:
    """Every config with its docstring, its figure, and every field with its meaning."""
    from kerasdl.training.config import packaged_configs
    from kerasdl.training.fields import config_fields, describe_config
    from kerasdl.training.jobs import JOBS

    # The config that declares all fields of the others in its folder.
    full = {_folder(spec.configs[0]): spec.configs[0] for spec in JOBS.values()}
    complete = {path for spec in JOBS.values() for path in spec.configs}
    lines = [
        "# Configs",
        "",
        "A config is a Python file; `--config=FILE` names it and `--config.FIELD=VALUE`",
        "changes a field. This page is made from the files.",
        "",
    ]
    for path in sorted(packaged_configs(), key=lambda p: (_folder(p), p not in complete)):
        text, headline = describe_config(path)
        first, _, rest = text.partition("\n")
        lines += [f"## {path.removeprefix('configs/')}", "", first, ""]
        if rest.strip():
            lines += [rest.strip("\n"), ""]
        if headline:
            lines += [f"Headline figure: {headline}", ""]
        default = {field.name: field for field in config_fields(full[_folder(path)])}
        fields = config_fields(path)
        if path not in complete:
            fields = [f for f in fields if default[f.name].value != f.value]
            lines += [f"What differs from `{full[_folder(path)]}`:", ""]
        lines += ["| field | value | meaning |", "|---|---|---|"]
        for name, value, text in fields:
            meaning = default[name].meaning if name in default else text
            meaning = (text if path in complete and text else meaning) or text
            meaning = meaning.replace("|", "\\|").replace("<", "&lt;")
            lines.append(f"| `{name}` | `{value!r}` | {meaning} |")
        lines.append("")
    return "\n".join(lines)


def _folder(path: str) -> str:
    return path.split("/")[1]


def _api_page(title: str, names: list[str]) -> str:
    parts = [f"# {title}", ""]
    for name in names:
        parts += [f"::: {name}", ""]
    return "\n".join(parts)


def _targets(text: str, folder: Path) -> list[Path]:
    links = _LINK.findall(_FENCE.sub("", text))
    return [
        (folder / target.partition("#")[0]).resolve()
        for _, _, target in links
        if not re.match(r"[a-z]+:|#", target)
    ]


def _moved(text: str, folder: str, stay: bool = False) -> str:
    """A page's text with links that fit the site.

    Args:
        text: Markdown.
        folder: Of the page, below docs/.
        stay: Whether the page lies in docs/; the README lies above it.
    """

    def moved(match: re.Match) -> str:
        mark, label, target = match.groups()
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        path, sharp, anchor = target.partition("#")
        here = posixpath.join("docs", folder) if stay else ""
        path = posixpath.normpath(posixpath.join(here, path))
        if path == "README.md":
            path = "index.md"
        elif path.startswith("docs/"):
            path = path.removeprefix("docs/")
            if path.startswith("notebooks/"):
                path = path.removesuffix(".py") + ".md"
        else:
            path = f"source/{path}.md"
        path = posixpath.relpath(path, folder or ".")
        return f"{mark}[{label}]({path}{sharp}{anchor})"

    parts = _FENCE.split(text)
    return "".join(
        part if part.lstrip().startswith("```") else _LINK.sub(moved, part)
        for part in parts
    )
