"""Image-classification sets of TensorFlow Datasets, by name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kerasdl.data.pictures.class_folders import (
    SPLIT_FOLDERS,
    LabelledPicture,
    PictureDataset,
    check_classes,
    hold_out,
)
from kerasdl.data.texts.tfds_sets import check_reachable
from kerasdl.errors import InputError

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

# How a root names such a set.
PREFIX = "tfds:"


def read_picture_tfds(
    name: str, val_share: float = 0.2, folder: str = ""
) -> PictureDataset:
    """Reads a set that is prepared on this machine, or prepares it first.

    The encoded pictures are held in memory; they are decoded as files are.

    Args:
        name: As `tfds.builder` takes it: `tf_flowers`, `hymenoptera`.
        val_share: Of the training pictures that become the validation split where the
            set has none.
        folder: Where prepared sets are kept; "" for TFDS's usual place.

    Raises:
        InputError: There is no such set, it has not one picture and one label an example,
            or it is not prepared and its hosts cannot be reached.
    """
    import tensorflow_datasets as tfds

    import kerasdl.data.pictures.hymenoptera_builder  # registers `hymenoptera`

    del kerasdl
    what = f"{PREFIX}{name}"
    # Without code of the community's: to search it is a download.
    try:
        builder = tfds.builder(name, data_dir=folder or None)
    except Exception as error:  # TFDS raises what its registry, files and network do
        first = (str(error).strip().splitlines() or [""])[0]
        raise InputError(
            f"{what}: no such set of TensorFlow Datasets: {first[:200]}"
        ) from error
    image = _only_feature(builder, what, tfds.features.Image, "a picture")
    label = _only_feature(builder, what, tfds.features.ClassLabel, "a label")
    if not os.path.isdir(builder.data_dir):
        _prepare(builder, what)
    class_names = tuple(builder.info.features[label].names)
    splits = {
        split: _read_split(builder, names, image, label)
        for split, names in SPLIT_FOLDERS.items()
    }
    if not splits["train"]:
        raise InputError(f"{what}: expected a split `train`, got none.")
    notes = []
    if not splits["val"]:
        splits["train"], splits["val"] = hold_out(splits["train"], val_share)
        notes.append(
            f"{what}: no validation split; {len(splits['val'])} training pictures held "
            "out by the hash of their bytes."
        )
    check_classes(what, class_names, splits["train"])
    return PictureDataset(class_names, **splits, notes=tuple(notes))


def _prepare(builder: tfds.core.DatasetBuilder, what: str) -> None:
    urls = getattr(builder, "url_infos", None) or {}
    if not has_manual_files(builder):
        check_reachable(f"{what}: not prepared in {builder.data_dir}", urls)
    try:
        builder.download_and_prepare()
    except Exception as error:
        raise InputError(f"{what}: cannot be prepared: {error}") from error


def has_manual_files(builder: tfds.core.DatasetBuilder) -> bool:
    """Whether something lies in TFDS's folder of manual downloads for a set."""
    folder = os.path.join(builder._data_dir_root, "downloads", "manual")
    return bool(
        builder.MANUAL_DOWNLOAD_INSTRUCTIONS
        and os.path.isdir(folder)
        and os.listdir(folder)
    )


def _only_feature(
    builder: tfds.core.DatasetBuilder, what: str, kind: type, wanted: str
) -> str:
    features = builder.info.features
    found = [key for key, feature in features.items() if isinstance(feature, kind)]
    if len(found) != 1:
        raise InputError(
            f"{what}: expected {wanted} of each example, got the features "
            f"{', '.join(features)}."
        )
    return found[0]


def _read_split(
    builder: tfds.core.DatasetBuilder, names: tuple[str, ...], image: str, label: str
) -> list[LabelledPicture]:
    import tensorflow_datasets as tfds

    split = next((name for name in names if name in builder.info.splits), None)
    if split is None:
        return []
    examples = builder.as_dataset(
        split=split, decoders={image: tfds.decode.SkipDecoding()}
    )
    return [
        LabelledPicture(f"{split}/{number:06d}", int(e[label]), data=e[image])
        for number, e in enumerate(tfds.as_numpy(examples))
    ]
