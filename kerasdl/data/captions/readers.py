"""Reads captioned pictures in whichever layout a folder has."""

from __future__ import annotations

import os
from pathlib import Path

from kerasdl.data.captions.coco import find_coco, read_coco
from kerasdl.data.captions.dataset import (
    CaptionCollector,
    CaptionDataset,
    CaptionedPicture,
)
from kerasdl.data.captions.flickr import CAPTIONS_NAME, find_flickr8k, read_flickr8k
from kerasdl.data.captions.tables import TABLE_NAMES, find_tables, read_tables
from kerasdl.data.texts.lines import LineErrors
from kerasdl.errors import InputError

__all__ = ["CaptionDataset", "CaptionedPicture", "read_captions"]


def read_captions(
    root: str | os.PathLike, skip_bad_lines: bool = False
) -> CaptionDataset:
    """Reads a data set of captioned pictures in its own layout.

    - Flickr8k: `Flickr8k.token.txt`, `Flickr_8k.{train,dev,test}Images.txt` (or all in
      `Flickr8k_text/`), and the pictures in `images/` or `Flicker8k_Dataset/`.
    - COCO: `annotations/captions_{train,val,test}*.json`, and the pictures in
      `train2017/` and so on, as the json is called.
    - A table with one caption a line, `image,caption[,split]`, as CSV with a header or as
      JSON lines: `root` is the file, or a folder with one of `captions.csv`,
      `captions.jsonl` and `captions.txt` (CSV). The pictures lie beside it or in
      `images/`. `split` is train, val or test; without it, a tenth of the pictures,
      chosen by a hash of their names, is for validation.

    The pictures are not opened: one that is missing is broken when it is decoded. Their
    names may not lead out of the folder, though links inside it may. Names that do not
    end as pictures are left out and noted.

    Args:
        root: The data set's folder, or a table.
        skip_bad_lines: Whether a bad line (in COCO, an entry) is left out and counted,
            rather than refused.

    Raises:
        InputError: There is no such layout, a file of it is missing, a line is bad
            (empty, no UTF-8, holding NUL, above 100,000 characters, or not of the
            layout), a picture is in two splits, or there is none at all.
    """
    root = Path(root)
    if not root.exists():
        raise InputError(f"{root}: expected a folder or a table of captions, got no file")
    collector = CaptionCollector(root, LineErrors(skip_bad_lines))
    if captions_path := find_flickr8k(root):
        read_flickr8k(root, captions_path, collector)
    elif annotations := find_coco(root):
        read_coco(root, annotations, collector)
    elif tables := find_tables(root):
        read_tables(root, tables, collector)
    else:
        raise InputError(
            f"{root}: expected {CAPTIONS_NAME}, annotations/captions_*.json or one of "
            f"{', '.join(TABLE_NAMES)}, got a folder with none of them"
        )
    return collector.dataset()
