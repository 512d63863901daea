"""Reads captioned pictures in whichever layout a folder has."""

from __future__ import annotations

import os
from pathlib import Path

from kerasdl.data.captions import flickr, tables
from kerasdl.data.captions.coco import find_coco, read_coco
from kerasdl.data.captions.course import find_course, read_course
from kerasdl.data.captions.dataset import (
    CaptionCollector,
    CaptionDataset,
    CaptionedPicture,
)
from kerasdl.data.captions.karpathy import find_karpathy, read_karpathy
from kerasdl.data.texts.lines import LineErrors
from kerasdl.data.tfds_sets import PREFIX
from kerasdl.errors import InputError

__all__ = ["CaptionDataset", "CaptionedPicture", "read_captions"]


def read_captions(
    root: str | os.PathLike, skip_bad_lines: bool = False, tfds_folder: str = ""
) -> CaptionDataset:
    """Reads a data set of captioned pictures in its own layout.

    - Flickr8k: `Flickr8k.token.txt`, `Flickr_8k.{train,dev,test}Images.txt` (or all in
      `Flickr8k_text/`), and the pictures in `images/` or `Flicker8k_Dataset/`.
    - Flickr30k: a `.token` file, or `results.csv` with `|` between its columns; the
      pictures in `images/` or `flickr30k_images/`.
    - COCO 2014 or 2017: `annotations/captions_{train,val,test}*.json`, and the pictures
      in `train2017/` and so on, as the json is called.
    - Karpathy's splits: `dataset_{coco,flickr8k,flickr30k}.json`. In a folder of COCO or
      Flickr8k that has this file too, name the file.
    - The course's HDF5 files: `coco2014_captions.h5`, with features for pictures.
    - A table with one caption per row, `image,caption[,split]`, as CSV with a header or
      as JSON lines: `root` is the file, or a folder with one of `captions.csv`,
      `captions.jsonl`, `captions.txt` (CSV), and Hugging Face's `metadata.csv` and
      `metadata.jsonl` (`file_name,text`), which may lie in a folder for each split. The
      pictures lie beside the table or in `images/`.
    - `tfds:NAME`, a set of TensorFlow Datasets, such as `tfds:coco_captions`.

    Without splits, a tenth of the pictures, chosen by a hash of their names, is for
    validation. Splits are by picture always.

    The pictures are not opened: one that is missing is broken when it is decoded. Their
    names may not lead out of the folder, though links inside it may. Names that do not
    end as pictures are left out and noted.

    Args:
        root: The data set's folder, a file of it, or `tfds:NAME`.
        skip_bad_lines: Whether a bad line (in JSON, an entry) is left out and counted,
            rather than refused.
        tfds_folder: Where TFDS keeps prepared sets; "" for its usual one.

    Raises:
        InputError: There is no such layout, a file of it is missing, a line is bad (no
            UTF-8, holding NUL, above 100,000 characters, or not of the layout), a picture
            is in two splits, or there is none at all.
    """
    if str(root).startswith(PREFIX):
        from kerasdl.data.captions.tfds_sets import unpack_tfds

        root = unpack_tfds(str(root).removeprefix(PREFIX), tfds_folder)
    root = Path(root)
    if not root.exists():
        raise InputError(f"{root}: expected a folder or a table of captions, got no file")
    collector = CaptionCollector(root, LineErrors(skip_bad_lines))
    if captions_path := flickr.find_flickr(root):
        flickr.read_flickr(root, captions_path, collector)
    elif annotations := find_coco(root):
        read_coco(root, annotations, collector)
    elif json_path := find_karpathy(root):
        read_karpathy(json_path, collector)
    elif find_course(root):
        read_course(root, collector)
    elif found := tables.find_tables(root):
        tables.read_tables(root, found, collector)
    else:
        raise InputError(
            f"{root}: expected {flickr.CAPTIONS_NAME}, annotations/captions_*.json or "
            f"one of {', '.join(tables.TABLE_NAMES)} (or another layout that the "
            "documentation names), got a folder with none of them"
        )
    return collector.dataset()
