"""Karpathy's splits of COCO, Flickr8k and Flickr30k: pictures and captions in one json.

Karpathy and Fei-Fei, Deep Visual-Semantic Alignments for Generating Image Descriptions,
2015. Captioners are compared on these splits: COCO's have 113,287 pictures to train on,
5,000 to validate and 5,000 to test.
"""

from __future__ import annotations

from pathlib import Path

from kerasdl.data.captions.dataset import CaptionCollector, first_folder, has, records
from kerasdl.data.captions.flickr import PICTURE_FOLDERS
from kerasdl.data.json_files import read_json
from kerasdl.data.splits import split_named
from kerasdl.errors import InputError, shown

NAMES = (
    "dataset_coco.json",
    "dataset_flickr8k.json",
    "dataset_flickr30k.json",
    "dataset.json",
)
# Training pictures from COCO's own validation split.
_RESTVAL = "restval"


def find_karpathy(root: Path) -> Path | None:
    """The json, if `root` is one or a folder with one.

    Raises:
        InputError: The folder has two.
    """
    if root.is_file():
        return root if root.suffix.lower() == ".json" else None
    found = [root / name for name in NAMES if (root / name).is_file()]
    if len(found) > 1:
        raise InputError(
            f"{root}: expected one of {', '.join(NAMES)}, got {found[0].name} and "
            f"{found[1].name}"
        )
    return found[0] if found else None


def read_karpathy(path: Path, collector: CaptionCollector) -> None:
    """Reads the pictures in the order of `images`, captions in that of `sentences`.

    A picture of COCO lies in the folder that its `filepath` names, below the json's
    folder or its `images/`; one of Flickr in `images/` or what else the archives of
    Flickr unpack as, or beside the json.

    Raises:
        InputError: The file is no such json, a folder of pictures is missing, or an entry
            is bad, which is named by its place in its list, from 0.
    """
    folders: dict[str, Path] = {}
    for index, image in enumerate(records(path, read_json(path), "images")):
        where = f"{path}: images[{index}]"
        sentences = image.get("sentences") if isinstance(image, dict) else None
        if (
            not has(image, filename=str, split=str)
            or not isinstance(image.get("filepath", ""), str)
            or not isinstance(sentences, list)
            or not all(has(sentence, raw=str) for sentence in sentences)
        ):
            collector.errors.report(
                f"{where}: expected an object with filename, split and sentences (each "
                f"with the string raw), got {shown(image)}"
            )
            continue
        split = "train" if image["split"] == _RESTVAL else split_named(image["split"])
        if split is None:
            collector.errors.report(
                f"{where}: expected a split of train, restval, val or test, got "
                f"{shown(image['split'])}"
            )
            continue
        inner = image.get("filepath", "")
        name = collector.picture_name(where, f"{inner}/{image['filename']}".lstrip("/"))
        texts = [collector.caption(where, sentence["raw"]) for sentence in sentences]
        texts = [text for text in texts if text is not None]
        if name is None or not texts or not collector.is_first(where, name):
            continue
        if inner not in folders:
            choices = (".", "images") if inner else (*PICTURE_FOLDERS, ".")
            folders[inner] = first_folder(
                path.parent, tuple(f"{choice}/{inner}" for choice in choices)
            )
        collector.add(split, name, texts, folders[inner] / image["filename"])
