"""COCO as the course EECS 498-007 (Michigan 2019, after Stanford's CS231n) gives it.

Captions as word ids and pictures as features of VGG-16 come in HDF5; of the pictures
themselves there are addresses alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kerasdl.data.captions.dataset import CaptionCollector
from kerasdl.data.captions.tokens import SPECIAL_TOKENS
from kerasdl.data.captions.vocabulary import END, UNK
from kerasdl.data.json_files import read_json
from kerasdl.data.texts.lines import LineErrors, read_lines
from kerasdl.errors import InputError, shown
from kerasdl.files import open_regular
from kerasdl.weights.trial import try_in_child

CAPTIONS_NAME = "coco2014_captions.h5"
VOCABULARY_NAME = "coco2014_vocab.json"
# By preference: the principal components (512 wide), then all of fc7 (4096).
FEATURE_NAMES = ("{split}2014_vgg16_fc7_pca.h5", "{split}2014_vgg16_fc7.h5")
ADDRESSES_NAME = "{split}2014_urls.txt"


def find_course(root: Path) -> bool:
    """Whether `root` holds this layout."""
    return (root / CAPTIONS_NAME).is_file()


def read_course(root: Path, collector: CaptionCollector) -> None:
    """Reads captions and features; a picture is named by its address.

    `{train,val}_captions` (N, T) and `{train,val}_image_idxs` (N,) are of
    coco2014_captions.h5, `idx_to_word` of coco2014_vocab.json, `features` (P, F) of
    train2014_vgg16_fc7_pca.h5 and its like. Features that a file stores in one piece stay
    on the disk until they are used.

    Raises:
        InputError: A file is missing, holds anything but plain numbers, or an index in it
            is out of range.
    """
    words = _read_words(root / VOCABULARY_NAME)
    path = root / CAPTIONS_NAME
    arrays = _read_arrays(path)
    for split in ("train", "val"):
        captions = _integers(path, arrays, f"{split}_captions", 2, len(words))
        addresses = root / ADDRESSES_NAME.format(split=split)
        names = [line.strip() for _, line in read_lines(addresses, LineErrors())]
        features = _read_features(root, split, len(names))
        pictures = _integers(path, arrays, f"{split}_image_idxs", 1, len(names))
        if len(pictures) != len(captions):
            raise InputError(
                f"{path}: expected a picture for each of {len(captions)} captions, got "
                f"{len(pictures)} in {split}_image_idxs"
            )
        texts: dict[int, list[str]] = {}
        for row, picture in enumerate(pictures.tolist()):
            text = _spell(captions[row].tolist(), words)
            caption = collector.caption(f"{path}: {split}_captions[{row}]", text)
            if caption is not None:
                texts.setdefault(picture, []).append(caption)
        for picture, spelt in texts.items():
            collector.add(split, names[picture], spelt, features=features[picture])


def _read_words(path: Path) -> list[str]:
    content = read_json(path)
    words = content.get("idx_to_word") if isinstance(content, dict) else None
    if (
        not isinstance(words, list)
        or not all(isinstance(word, str) for word in words)
        or tuple(words[: len(SPECIAL_TOKENS)]) != SPECIAL_TOKENS
    ):
        raise InputError(
            f"{path}: expected an object whose idx_to_word is a list of words, the first "
            f"{', '.join(SPECIAL_TOKENS)}, got {shown(content)}"
        )
    return words


def _spell(ids: list[int], words: list[str]) -> str:
    """The words of a caption up to `<END>`; an unknown word stays as `<UNK>`."""
    ids = ids[: ids.index(END)] if END in ids else ids
    return " ".join(words[index] for index in ids if index >= UNK)


def _read_arrays(path: Path) -> dict[str, Any]:
    """The arrays of an HDF5 file, after a child process has read it unharmed."""
    import h5py

    open_regular(path).close()
    try_in_child("kerasdl.weights.hdf5", path, "a file of plain arrays in HDF5")
    arrays: dict[str, Any] = {}
    with open(path, "rb") as stream, h5py.File(stream, "r") as file:
        for name, dataset in file.items():
            if not isinstance(dataset, h5py.Dataset):
                continue
            offset = dataset.id.get_offset()
            if offset is None or 0 in dataset.shape:  # in chunks, or of nothing
                arrays[name] = dataset[()]
            else:
                arrays[name] = np.memmap(
                    path, dataset.dtype, "r", offset, tuple(dataset.shape)
                )
    return arrays


def _integers(
    path: Path, arrays: dict[str, Any], name: str, dimensions: int, limit: int
) -> np.ndarray:
    array = arrays.get(name)
    if array is None or array.ndim != dimensions or array.dtype.kind not in "iu":
        got = "none" if array is None else f"{array.dtype} of shape {array.shape}"
        raise InputError(
            f"{path}: expected {name} of {dimensions} dimensions of whole numbers, got "
            f"{got}"
        )
    if array.size and not 0 <= int(array.min()) <= int(array.max()) < limit:
        raise InputError(
            f"{path}: expected {name} from 0 to {limit - 1}, got {array.min()} to "
            f"{array.max()}"
        )
    return array


def _read_features(root: Path, split: str, count: int) -> np.ndarray:
    paths = [root / name.format(split=split) for name in FEATURE_NAMES]
    path = next((path for path in paths if path.is_file()), paths[0])
    features = _read_arrays(path).get("features")
    if (
        features is None
        or features.ndim != 2
        or features.dtype.kind != "f"
        or len(features) != count
    ):
        got = "none"
        if features is not None:
            got = f"{features.dtype} of shape {features.shape}"
        raise InputError(
            f"{path}: expected features of {count} pictures, floating-point numbers in 2 "
            f"dimensions, got {got}"
        )
    return features
