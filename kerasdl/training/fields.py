"""Reads configs: their docstrings, headline figures and the meanings of their fields.

`--help`, the list of configs and the page of configs are made from this. A field's
meaning stands in one place: a comment of the config file on its line or above it, or the
docstring of the options that the field belongs to.
"""

from __future__ import annotations

import ast
import inspect
import io
import re
import tokenize
from typing import Any, NamedTuple

from kerasdl.decoding.options import DecodeOptions
from kerasdl.runs import flatten
from kerasdl.style.options import NetworkOptions, StyleOptions, VideoOptions
from kerasdl.training.config import find_config, read_config

# The options that fields with a prefix are handed to, by folder of the config.
_OPTIONS = {
    "captioning": {"decode.": DecodeOptions},
    "style": {
        "": StyleOptions,
        "network.": NetworkOptions,
        "video.": VideoOptions,
    },
}
_WIDTH = 36


class Field(NamedTuple):
    """A field of a config.

    Attributes:
        name: Dotted.
        value: Its value in the config.
        meaning: What it says, in a line.
    """

    name: str
    value: Any
    meaning: str


def describe_config(path: str) -> tuple[str, str]:
    """What a config's docstring says, and the headline figure that its last line holds.

    The figure is `low ← median → high` over seeds if there are several; "" if nothing was
    measured. The docs hold the same figures, which a test compares.
    """
    text = ast.get_docstring(ast.parse(find_config(path).read_text("utf-8"))) or ""
    text, _, headline = text.partition("\n\nHeadline: ")
    return text, headline


def config_fields(path: str) -> list[Field]:
    """All fields of a config, with what its own file says of them."""
    meanings = _attributes(path) | _comments(find_config(path).read_text("utf-8"))
    values = flatten(read_config(path).to_dict())
    return [Field(name, value, meanings.get(name, "")) for name, value in values.items()]


def describe_fields(path: str) -> list[str]:
    """A line for each field of a config: its name, its value, what it means in short."""
    lines = [
        (f"{field.name}={field.value}", field.meaning.split(". ")[0])
        for field in config_fields(path)
    ]
    width = min(_WIDTH, 2 + max(len(setting) for setting, _ in lines))
    return [f"  {setting:{width}}  {short}".rstrip() for setting, short in lines]


def _comments(source: str) -> dict[str, str]:
    """The comments of assignments to `config.NAME`, on their lines or else above them."""
    lines = source.split("\n")
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found = {}
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Assign):
            continue
        name = ast.unparse(node.targets[0])
        inside = range(node.lineno, node.end_lineno + 1)
        texts = [comments[line] for line in inside if line in comments]
        line = node.lineno - 1
        while not texts[:1] and line in comments and lines[line - 1].strip()[:1] == "#":
            line -= 1
        above = [comments[n] for n in range(line + 1, node.lineno) if n in comments]
        if name.startswith("config."):
            found[name.removeprefix("config.")] = " ".join(texts or above)
    return {name: text for name, text in found.items() if text}


def _attributes(path: str) -> dict[str, str]:
    """What the docstrings of a config's options say of its fields."""
    options = _OPTIONS.get(find_config(path).parent.name, {})
    found = {}
    for prefix, of in options.items():
        text = inspect.getdoc(of).partition("Attributes:\n")[2]
        entries = re.findall(r"^    (\w[\w, ]*): (.*?)(?=^    \w|\Z)", text, re.M | re.S)
        for names, meaning in entries:
            for name in names.split(", "):
                found[prefix + name] = " ".join(meaning.split())
    return found
