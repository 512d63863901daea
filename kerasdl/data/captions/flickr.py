"""Flickr8k's own layout (Hodosh, Young and Hockenmaier 2013; Flickr30k shares it)."""

from __future__ import annotations

import re
from pathlib import Path

from kerasdl.data.captions.dataset import CaptionCollector, first_folder
from kerasdl.data.texts.lines import read_lines
from kerasdl.errors import shown

CAPTIONS_NAME = "Flickr8k.token.txt"
LIST_NAMES = {
    "train": "Flickr_8k.trainImages.txt",
    "val": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}
# The text archive unpacks into a folder of its own.
TEXT_FOLDERS = ("", "Flickr8k_text")
# Flicker8k, with the slip, is how the archive of the pictures unpacks.
PICTURE_FOLDERS = ("images", "Images", "Flicker8k_Dataset", "Flickr8k_Dataset")

_CAPTION_LINE = re.compile(r"([^\t]+)#\d+\t(.*)", re.DOTALL)


def find_flickr8k(root: Path) -> Path | None:
    """The file of the captions, if `root` holds Flickr8k's layout."""
    paths = (root / folder / CAPTIONS_NAME for folder in TEXT_FOLDERS)
    return next((path for path in paths if path.is_file()), None)


def read_flickr8k(root: Path, captions_path: Path, collector: CaptionCollector) -> None:
    """Reads `PICTURE#NUMBER<tab>CAPTION` lines and the lists of pictures by split.

    A picture on no list is not used: the full data set has captions of one that is not
    in it. The list of test pictures may be absent.

    Raises:
        InputError: A file or the folder of the pictures is missing, or a line is bad.
    """
    folder = first_folder(root, PICTURE_FOLDERS)
    captions = _read_captions(captions_path, collector)
    places: dict[str, str] = {}
    for split, list_name in LIST_NAMES.items():
        list_path = captions_path.with_name(list_name)
        if split == "test" and not list_path.is_file():
            continue
        for number, line in read_lines(list_path, collector.errors):
            where = f"{list_path}: line {number}"
            listed = line.strip()
            name = collector.picture_name(where, listed)
            if name is None:
                continue
            if name in places:
                collector.errors.report(
                    f"{where}: expected each picture once, got {shown(listed)}, which is "
                    f"also in {places[name]}"
                )
                continue
            places[name] = where
            if listed not in captions:
                collector.errors.report(
                    f"{where}: expected a picture with captions in "
                    f"{captions_path.name}, got {shown(listed)}"
                )
                continue
            collector.add(split, name, captions[listed], folder / name)


def _read_captions(path: Path, collector: CaptionCollector) -> dict[str, list[str]]:
    captions: dict[str, list[str]] = {}
    for number, line in read_lines(path, collector.errors):
        where = f"{path}: line {number}"
        match = _CAPTION_LINE.fullmatch(line)
        if match is None:
            collector.errors.report(
                f"{where}: expected PICTURE#NUMBER, a tab and a caption, got "
                f"{shown(line)}"
            )
            continue
        caption = collector.caption(where, match[2])
        if caption is not None:
            captions.setdefault(match[1].strip(), []).append(caption)
    return captions
