"""Image-classification sets of TensorFlow Datasets, by name."""

from __future__ import annotations

from kerasdl.data.pictures.class_folders import (
    LabelledPicture,
    PictureDataset,
    check_classes,
    hold_out_validation,
)
from kerasdl.data.splits import SPLITS
from kerasdl.data.tfds_sets import PREFIX, find_feature, open_tfds, read_splits
from kerasdl.errors import InputError


def read_picture_tfds(
    name: str, val_share: float = 0.2, folder: str = ""
) -> PictureDataset:
    """Reads a set that is prepared on this machine, or prepares it first.

    The encoded pictures are held in memory; they are decoded as files are.

    Args:
        name: As `tfds.builder` takes it: `tf_flowers`, `hymenoptera`.
        val_share: The share of the training pictures that becomes the validation split
            if the set has none.
        folder: Where prepared sets are kept; "" for TFDS's usual place.

    Raises:
        InputError: As `open_tfds`, or the set has not one picture and one label an
            example, or no split `train`.
    """
    import tensorflow_datasets as tfds

    what = f"{PREFIX}{name}"
    builder = open_tfds(name, folder)
    image = find_feature(builder, tfds.features.Image, "a picture")
    label = find_feature(builder, tfds.features.ClassLabel, "a label")
    class_names = tuple(builder.info.features[label].names)
    splits: dict[str, list[LabelledPicture]] = {split: [] for split in SPLITS}
    decoders = {image: tfds.decode.SkipDecoding()}
    for split, tfds_split, number, example in read_splits(builder, decoders=decoders):
        picture_name = f"{tfds_split}/{number:06d}"
        picture = LabelledPicture(picture_name, int(example[label]), data=example[image])
        splits[split].append(picture)
    if not splits["train"]:
        raise InputError(f"{what}: expected a split `train`, got none.")
    notes = []
    if not splits["val"]:
        lacking = f"{what}: no validation split"
        notes.append(hold_out_validation(splits, val_share, lacking))
    check_classes(what, class_names, splits["train"])
    return PictureDataset(class_names, **splits, notes=tuple(notes))
