"""The layouts of Flickr8k (Hodosh et al. 2013) and Flickr30k (Young et al. 2014)."""

from __future__ import annotations

import re
from pathlib import Path

from kerasdl.data.captions.dataset import (
    CaptionCollector,
    drawn_for_validation,
    first_folder,
)
from kerasdl.data.texts.lines import read_lines
from kerasdl.errors import InputError, shown

CAPTIONS_NAME = "Flickr8k.token.txt"
LIST_NAMES = {
    "train": "Flickr_8k.trainImages.txt",
    "val": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}
# The text archive unpacks into a folder of its own.
TEXT_FOLDERS = ("", "Flickr8k_text")
# Flickr30k's captions come without lists: as published, and as a table of Kaggle's.
TOKEN_SUFFIX, TABLE_NAME = ".token", "results.csv"
_TABLE_HEADER = re.compile(r"\s*image_name\s*\|\s*comment_number\s*\|\s*comment\s*")
# Flicker8k, with the slip, is how the archive of the pictures unpacks.
PICTURE_FOLDERS = (
    "images", "Images", "Flicker8k_Dataset", "Flickr8k_Dataset",
    "flickr30k-images", "flickr30k_images",
)  # fmt: skip

_CAPTION_LINE = re.compile(r"([^\t]+)#\d+\t(.*)", re.DOTALL)
# Every copy of the table lacks the second bar in one of its lines.
_TABLE_LINE = re.compile(r"([^|]+?)\s*\|\s*\d+\s*\|?\s*(.*)", re.DOTALL)


def find_flickr(root: Path) -> Path | None:
    """The file of the captions, if `root` is one or holds one of these layouts.

    Raises:
        InputError: `root` has two files of captions without lists.
    """
    if root.is_file():
        is_captions = root.suffix.lower() == TOKEN_SUFFIX or root.name == TABLE_NAME
        return root if is_captions else None
    paths = (root / folder / CAPTIONS_NAME for folder in TEXT_FOLDERS)
    with_lists = next((path for path in paths if path.is_file()), None)
    if with_lists:
        return with_lists
    found = sorted(path for path in root.glob(f"*{TOKEN_SUFFIX}") if path.is_file())
    found += [root / TABLE_NAME] * (root / TABLE_NAME).is_file()
    if len(found) > 1:
        raise InputError(
            f"{root}: expected one file of captions, got {found[0].name} and "
            f"{found[1].name}"
        )
    return found[0] if found else None


def read_flickr(root: Path, captions_path: Path, collector: CaptionCollector) -> None:
    """Reads captions line by line, and the lists of pictures by split if there are any.

    A line is `PICTURE#NUMBER<tab>CAPTION` or `PICTURE| NUMBER| CAPTION`. With lists, a
    picture on none of them is not used: the full Flickr8k has captions of one that is not
    in it. The list of test pictures may be absent. Without lists, a tenth of the pictures
    is for validation.

    Raises:
        InputError: A file or the folder of the pictures is missing, or a line is bad.
    """
    root = captions_path.parent if root.is_file() else root
    folder = first_folder(root, PICTURE_FOLDERS)
    captions = _read_captions(captions_path, collector)
    if captions_path.name != CAPTIONS_NAME:
        names = {
            name: texts
            for listed, (where, texts) in captions.items()
            if (name := collector.picture_name(where, listed)) is not None
        }
        held_out = drawn_for_validation(names)
        for name, texts in names.items():
            split = "val" if name in held_out else "train"
            collector.add(split, name, texts, folder / name)
        return
    for split, list_name in LIST_NAMES.items():
        list_path = captions_path.with_name(list_name)
        if split == "test" and not list_path.is_file():
            continue
        for number, line in read_lines(list_path, collector.errors):
            where = f"{list_path}: line {number}"
            listed = line.strip()
            name = collector.picture_name(where, listed)
            if name is None or not collector.is_first(where, name, listed):
                continue
            if listed not in captions:
                collector.errors.report(
                    f"{where}: expected a picture with captions in "
                    f"{captions_path.name}, got {shown(listed)}"
                )
                continue
            collector.add(split, name, captions[listed][1], folder / name)


def _read_captions(
    path: Path, collector: CaptionCollector
) -> dict[str, tuple[str, list[str]]]:
    """By picture: where it is first, and its captions."""
    is_table = path.name == TABLE_NAME
    pattern = _TABLE_LINE if is_table else _CAPTION_LINE
    expected = "PICTURE| NUMBER| CAPTION"
    if not is_table:
        expected = "PICTURE#NUMBER, a tab and a caption"
    captions: dict[str, tuple[str, list[str]]] = {}
    for number, line in read_lines(path, collector.errors):
        if is_table and not captions and _TABLE_HEADER.fullmatch(line):
            continue
        where = f"{path}: line {number}"
        match = pattern.fullmatch(line)
        if match is None:
            collector.errors.report(f"{where}: expected {expected}, got {shown(line)}")
            continue
        caption = collector.caption(where, match[2])
        if caption is not None:
            captions.setdefault(match[1].strip(), (where, []))[1].append(caption)
    return captions
