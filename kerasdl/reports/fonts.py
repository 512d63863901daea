"""Fonts for text in any script: matplotlib's own covers Latin, Greek, Cyrillic and a few.

What that lacks is looked for in the fonts of the system, and in those that the extra
`[fonts]` installs: Noto Sans for Chinese, Japanese, Korean, Arabic and Indian scripts.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
from collections.abc import Iterable
from pathlib import Path

from matplotlib import font_manager

BASE_FAMILY = "DejaVu Sans"
# Packages that hold a font; those of fontpkg announce themselves by an entry point.
_PACKAGES = ("cvttf_NotoSansCJK_Regular",)
_ENTRY_POINTS = "fontpkg.family"
_SUFFIXES = (".ttf", ".otf")
# It has a box for every character, which says which script is missing, not the text.
_NO_TEXT = ("Last Resort", "Adobe Blank")


def families_for(texts: Iterable[str]) -> list[str]:
    """The font families to draw some texts with, by preference.

    Args:
        texts: What is to be drawn.

    Returns:
        `BASE_FAMILY`, and as few others as have all the characters that it lacks, if
        there are such fonts.
    """
    characters = {ord(c) for text in texts for c in text if not c.isspace()}
    base = font_manager.findfont(BASE_FAMILY)
    missing = characters - _characters(base)
    families = [BASE_FAMILY]
    fonts = _other_fonts() if missing else {}
    while missing:
        best = max(fonts, key=lambda path: len(missing & _characters(path)), default="")
        if not best or not missing & _characters(best):
            break
        families.append(fonts[best])
        missing -= _characters(best)
    return families


def _other_fonts() -> dict[str, str]:
    """The family of each font file, those of packages first."""
    _add_packaged_fonts()
    entries = [e for e in font_manager.fontManager.ttflist if e.style == "normal"]
    entries.sort(key=lambda e: (e.weight not in (400, "normal", "regular"), e.fname))
    return {
        entry.fname: entry.name
        for entry in entries
        if entry.name != BASE_FAMILY and not entry.name.startswith(_NO_TEXT)
    }


@functools.cache
def _add_packaged_fonts() -> None:
    found = importlib.metadata.entry_points(group=_ENTRY_POINTS)
    for package in (*_PACKAGES, *(point.value for point in found)):
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for path in sorted(Path(folder).rglob("*")):
                if path.suffix.lower() in _SUFFIXES:
                    font_manager.fontManager.addfont(path)


@functools.cache
def _characters(path: str) -> frozenset[int]:
    """The code points that a font has."""
    try:
        return frozenset(font_manager.get_font(path).get_charmap())
    except (OSError, RuntimeError):  # no font that FreeType reads
        return frozenset()
