"""Captioned pictures of TensorFlow Datasets, by name: `coco_captions` and its like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kerasdl.data.captions.tables import TABLE_NAMES
from kerasdl.data.pictures.feature_cache import default_cache_folder
from kerasdl.data.texts.lines import decode_text
from kerasdl.data.texts.tables import JSON_SUFFIX
from kerasdl.data.tfds_sets import PREFIX, find_feature, open_tfds, read_splits
from kerasdl.errors import InputError
from kerasdl.files import make_folder, write_text

CAPTION_FEATURES = ("captions", "caption", "text")


def unpack_tfds(name: str, folder: str = "") -> Path:
    """A set as a folder with a table of captions, which `read_tables` reads.

    COCO's pictures do not fit into memory, and TFDS's records cannot be read one by one.
    So the encoded pictures are written to the cache once; the table comes last, and
    where it is, the set is not opened again.

    Args:
        name: As `tfds.builder` takes it: `coco_captions`, `coco_captions/2014`.
        folder: Where prepared sets are kept; "" for TFDS's usual place.

    Raises:
        InputError: As `open_tfds`, or the set has no picture or no captions.
    """
    import tensorflow_datasets as tfds

    builder = open_tfds(name, folder)
    root = default_cache_folder() / "tfds" / builder.info.full_name
    table = root / next(name for name in TABLE_NAMES if name.endswith(JSON_SUFFIX))
    if table.is_file():
        return root
    image = find_feature(builder, tfds.features.Image, "a picture")
    caption = next((c for c in CAPTION_FEATURES if c in builder.info.features), None)
    if caption is None:
        raise InputError(
            f"{PREFIX}{name}: expected a feature {', '.join(CAPTION_FEATURES)}, got the "
            f"features {', '.join(builder.info.features)}"
        )
    rows = []
    decoders = {image: tfds.decode.SkipDecoding()}
    for split, tfds_split, number, example in read_splits(builder, decoders=decoders):
        data = example[image]
        suffix = ".png" if data.startswith(b"\x89PNG") else ".jpg"
        picture = f"{tfds_split}/{number:06d}{suffix}"
        texts = [decode_text(raw)[0] for raw in _texts(example[caption])]
        rows.append({"image": picture, "captions": texts, "split": split})
        make_folder((root / picture).parent)
        (root / picture).write_bytes(data)
    lines = (json.dumps(row, ensure_ascii=False) for row in rows if row["captions"])
    write_text(table, "".join(f"{line}\n" for line in lines))
    return root


def _texts(value: Any) -> list[bytes]:
    """A string, a sequence of strings, or a sequence of objects with a `text`."""
    if isinstance(value, dict):
        value = value["text"]
    return [value] if isinstance(value, bytes) else list(value)
