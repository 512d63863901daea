"""What a transfer run is made of, by its config: data, model, augmentation."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import keras
from ml_collections import ConfigDict

from kerasdl.data.drawn.shapes import drawn_shapes
from kerasdl.data.pictures.augmentation import Augmentation
from kerasdl.data.pictures.class_folders import (
    PictureDataset,
    in_order,
    read_class_folders,
    read_test_folder,
)
from kerasdl.data.pictures.label_tables import find_label_table, read_label_table
from kerasdl.data.pictures.tfds_sets import PREFIX, read_picture_tfds
from kerasdl.data.texts.dataset import sort_labels
from kerasdl.errors import InputError
from kerasdl.models.backbones import build_backbone
from kerasdl.models.classifier import BACKBONE, ImageClassifier, freeze
from kerasdl.reports.comparison import ComparedRun
from kerasdl.training.config import split_list


def load_dataset(config: ConfigDict) -> PictureDataset:
    """The data set that `config.data` names, or drawn shapes if it names none.

    Raises:
        InputError: A folder is missing, empty or not of this layout.
    """
    data = config.data
    # Runs of before these fields are exported too.
    target, labels = config.get("target", "classes"), data.get("labels", "")
    if data.root.startswith(PREFIX):
        name = data.root.removeprefix(PREFIX)
        dataset = read_picture_tfds(name, data.val_share, data.tfds_folder)
    elif data.root:
        dataset = _read_folder(data, target == "multi_label", split_list(labels))
    elif target == "multi_label":
        raise InputError(
            "--config.data.root must name a table of labels if --config.target is "
            "multi_label, got ''."
        )
    else:
        counts = (data.drawn_train, data.drawn_val, data.drawn_test)
        dataset = drawn_shapes(config.seed, *counts)
    if target == "ordinal" or (labels and target == "classes"):
        order = split_list(labels) or sort_labels(dataset.class_names)
        dataset = in_order(dataset, order)
    if data.test:
        test = read_test_folder(data.test, dataset.class_names)
        dataset = dataclasses.replace(dataset, test=test)
    return dataset


def _read_folder(
    data: ConfigDict, multi_label: bool, class_names: list[str]
) -> PictureDataset:
    """Class folders, or the pictures that a table of labels lists."""
    table = find_label_table(data.root)
    if table is None:
        if multi_label:
            raise InputError(
                f"{data.root}: expected labels.csv or labels.tsv with the columns image "
                "and labels, since --config.target is multi_label."
            )
        return read_class_folders(data.root, data.val_share)
    if data.test:
        raise InputError(
            "--config.data.test must be empty with a table of labels, which has the "
            f"split test itself, got {data.test!r}."
        )
    return read_label_table(table, data.val_share, multi_label, class_names)


def build_model(config: ConfigDict, classes: int) -> keras.Model:
    """A pretrained backbone with an untrained head, the frozen parts frozen."""
    model = config.model
    backbone = build_backbone(
        model.backbone,
        size=model.image_size or None,
        output="pooled",
        weights=config.weights or "default",
    )
    classifier = ImageClassifier(
        backbone,
        classes,
        model.dropout,
        model.mirrored,
        multi_label=config.target == "multi_label",
    )
    spec = model.freeze if config.mode == "finetune" else "all"
    freeze(classifier.get_layer(BACKBONE), spec)
    return classifier


def make_augmentation(config: ConfigDict, size: int) -> Augmentation:
    """How training pictures are varied.

    Raises:
        InputError: A field of `config.augment` is out of range.
    """
    augment = config.augment
    try:
        return Augmentation(
            size=size,
            min_area=augment.min_area,
            flip=augment.flip,
            colour=augment.colour,
            preparation=config.data.preparation,
            operations=augment.rand_operations,
            strength=augment.rand_strength,
        )
    except ValueError as error:
        raise InputError(f"--config.augment: {error}") from error


def other_runs(workdirs: str) -> dict[str, ComparedRun]:
    """The runs to set beside this one.

    Args:
        workdirs: Their folders, with commas between.

    Returns:
        By the folder's name.

    Raises:
        InputError: A folder holds no finished transfer run.
    """
    runs = {}
    for folder in map(Path, split_list(workdirs)):
        run = ComparedRun.read(folder)
        if run.job != "transfer":
            raise InputError(
                f"--config.report.compare: {str(folder)!r} holds no transfer run, but a "
                f"{run.job} run."
            )
        runs[folder.name] = run
    return runs
