"""COCO's own layout: a JSON file per split (Chen et al. 2015)."""

from __future__ import annotations

import re
from pathlib import Path

from kerasdl.data.captions.dataset import CaptionCollector, first_folder, has, records
from kerasdl.data.json_files import read_json
from kerasdl.data.splits import SPLITS
from kerasdl.errors import InputError, shown

_ANNOTATIONS_NAME = re.compile(r"captions_(train|val|test)(.*)\.json")


def find_coco(root: Path) -> dict[str, Path]:
    """The json of each split that `root` has, train first; empty in another layout.

    Raises:
        InputError: There are two of one split, of two years for instance.
    """
    found: dict[str, Path] = {}
    for path in sorted((root / "annotations").glob("captions_*.json")):
        match = _ANNOTATIONS_NAME.fullmatch(path.name)
        if match is None:
            continue
        split = match[1]
        if split in found:
            raise InputError(
                f"{path.parent}: expected one captions_{split}*.json, got "
                f"{found[split].name} and {path.name}"
            )
        found[split] = path
    return {split: found[split] for split in SPLITS if split in found}


def read_coco(root: Path, annotations: dict[str, Path], collector: CaptionCollector):
    """Reads the pictures in the order of `images`, captions in that of `annotations`.

    The pictures of `captions_val2017.json` lie in `val2017/`, `images/val2017/` or
    `images/`. Pictures without a caption are left out and noted.

    Raises:
        InputError: A file is no such json, the folder of the pictures is missing, or an
            entry is bad, which is named by its place in its list, from 0.
    """
    for split, path in annotations.items():
        year = path.stem.removeprefix(f"captions_{split}")
        folder = first_folder(root, (f"{split}{year}", f"images/{split}{year}", "images"))
        content = read_json(path)
        names = _read_names(path, content, collector)
        captions = _read_captions(path, content, collector)
        without = [name for key, name in names.items() if key not in captions]
        if without:
            collector.notes.append(
                f"{path}: {len(without)} pictures without a caption left out, the first: "
                f"{without[0]}"
            )
        for key, name in names.items():
            if key in captions:
                collector.add(split, name, captions[key], folder / name)


def _read_names(
    path: Path, content: object, collector: CaptionCollector
) -> dict[int, str]:
    """The name of each good entry of `images`, by its id."""
    names: dict[int, str] = {}
    for index, image in enumerate(records(path, content, "images")):
        where = f"{path}: images[{index}]"
        if not has(image, id=int, file_name=str):
            collector.errors.report(
                f"{where}: expected an object with id (a number) and file_name (a "
                f"string), got {shown(image)}"
            )
            continue
        name = collector.picture_name(where, image["file_name"])
        if name is None:
            continue
        if image["id"] in names:
            collector.errors.report(
                f"{where}: expected each id once, got {image['id']} again"
            )
        elif collector.is_first(where, name):
            names[image["id"]] = name
    return names


def _read_captions(
    path: Path, content: object, collector: CaptionCollector
) -> dict[int, list[str]]:
    """The good captions, by the id of their picture, which may be a bad entry."""
    known = {
        image["id"] for image in records(path, content, "images") if has(image, id=int)
    }
    captions: dict[int, list[str]] = {}
    for index, annotation in enumerate(records(path, content, "annotations")):
        where = f"{path}: annotations[{index}]"
        if not has(annotation, image_id=int, caption=str):
            collector.errors.report(
                f"{where}: expected an object with image_id (a number) and caption (a "
                f"string), got {shown(annotation)}"
            )
            continue
        if annotation["image_id"] not in known:
            collector.errors.report(
                f"{where}: expected the id of one of images, got image_id "
                f"{annotation['image_id']}"
            )
            continue
        caption = collector.caption(where, annotation["caption"])
        if caption is not None:
            captions.setdefault(annotation["image_id"], []).append(caption)
    return captions
