"""The transfer job: data, features, loss, scores, the first head."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from kerasdl.data.drawn.shapes import drawn_shapes
from kerasdl.data.pictures.augmentation import Augmentation
from kerasdl.data.pictures.batches import (
    FeatureBatches,
    PictureBatches,
)
from kerasdl.data.pictures.class_folders import (
    SPLITS,
    PictureDataset,
    read_class_folders,
    read_test_folder,
)
from kerasdl.data.pictures.tfds_sets import PREFIX, read_picture_tfds
from kerasdl.data.vocabulary import class_names_to_bytes
from kerasdl.errors import InputError
from kerasdl.files import write_text
from kerasdl.models.backbones import build_backbone
from kerasdl.models.classifier import (
    BACKBONE,
    HEAD,
    ImageClassifier,
    freeze,
    grad_cam,
    image_size,
)
from kerasdl.reports.comparison import ComparedRun
from kerasdl.reports.page import Outcome, Report
from kerasdl.reports.transfer import ShownSplit, report_transfer
from kerasdl.training.config import split_list
from kerasdl.training.distribution import shard
from kerasdl.training.job import Job, Objective
from kerasdl.training.transfer_losses import (
    class_weights,
    fit_head,
    head_loss,
    picture_loss,
)
from kerasdl.training.transfer_splits import Scorer, SplitReader
from kerasdl.training.workdir import Workdir


def load_dataset(config: ConfigDict) -> PictureDataset:
    """The data set that `config.data` names, or drawn shapes if it names none.

    Raises:
        InputError: A folder is missing, empty or not of this layout.
    """
    data = config.data
    if data.root.startswith(PREFIX):
        name = data.root.removeprefix(PREFIX)
        dataset = read_picture_tfds(name, data.val_share, data.tfds_folder)
    elif data.root:
        dataset = read_class_folders(data.root, data.val_share)
    else:
        counts = (data.drawn_train, data.drawn_val, data.drawn_test)
        dataset = drawn_shapes(config.seed, *counts)
    if data.test:
        test = read_test_folder(data.test, dataset.class_names)
        dataset = dataclasses.replace(dataset, test=test)
    return dataset


def build_model(config: ConfigDict, classes: int) -> keras.Model:
    """A pretrained backbone with an untrained head, the frozen parts frozen."""
    model = config.model
    backbone = build_backbone(
        model.backbone,
        size=model.image_size or None,
        output="pooled",
        weights=config.weights or "default",
    )
    classifier = ImageClassifier(backbone, classes, model.dropout)
    spec = "all" if config.mode == "freeze" else model.freeze
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
        )
    except ValueError as error:
        raise InputError(f"--config.augment: {error}") from error


class TransferJob(Job):
    """A picture classifier on a pretrained network: its head is trained, or all of it."""

    name = "transfer"

    def build(self) -> Objective:
        """Reads the pictures, scores the untrained head, and fits it if told to."""
        config, started = self.config, time.monotonic()
        moves = config.mode == "finetune" and config.model.update_batch_norm
        if config.distribute != "none" and moves:
            raise InputError(
                "--config.model.update_batch_norm must be False on several replicas: "
                f"each sees a part of the batch; got --config.distribute="
                f"{config.distribute}."
            )
        self._others = other_runs(config.report.compare)
        self.dataset = load_dataset(config)
        self.notes += self.dataset.notes
        classes = len(self.dataset.class_names)
        self.model = build_model(config, classes)
        cached = config.mode == "freeze" and config.cache_features
        reader = SplitReader(self.model, config)
        self.splits = {
            name: reader.read(getattr(self.dataset, name), name, cached)
            for name in SPLITS
        }
        self.notes += reader.broken.notes
        train, size = self.splits["train"], image_size(self.model)
        augmentation = make_augmentation(config, size)
        weights = class_weights(train.pictures.labels, classes, config.class_weights)
        self.scorer = Scorer(self.model, config.data.preparation)
        self._before = {
            f"{name}/accuracy_before": scores[f"{name}/accuracy"]
            for name in ("val", "test")
            if (scores := self.scorer.scores(self.splits[name], name))
        }
        if config.mode == "finetune" and config.probe_steps:
            probed = reader.read(self.dataset.train, "train", with_features=True)
            fit_head(self.model, probed, weights, config.probe_steps)
        objective = self._objective(reader, augmentation, weights, cached)
        self.seconds_before = time.monotonic() - started
        return objective

    def _objective(
        self,
        reader: SplitReader,
        augmentation: Augmentation,
        weights: np.ndarray,
        cached: bool,
    ) -> Objective:
        config, train = self.config, self.splits["train"]
        views = config.augment.variants if config.mode == "freeze" else 0
        if cached:
            model = self.model.get_layer(HEAD)
            features = reader.variants(train, augmentation, config.seed, views)
            batches = FeatureBatches(
                features, train.pictures.labels, config.batch_size, config.seed, shard()
            )
            inputs = tf.TensorSpec((None, features.shape[-1]), tf.float32)
            loss = head_loss(self.model, weights, config.label_smoothing)
        else:
            model, size = self.model, image_size(self.model)
            batches = PictureBatches(
                train.pictures,
                augmentation,
                config.batch_size,
                config.seed,
                views,
                shard(),
            )
            inputs = tf.TensorSpec((None, size, size, 3), tf.uint8)
            update = config.model.update_batch_norm
            loss = picture_loss(self.model, weights, config.label_smoothing, update)
        signature = (inputs, tf.TensorSpec((None,), tf.int32))
        self._trained = model.trainable_variables
        return Objective(model, loss, batches, len(batches), signature)

    def save(self, workdir: Workdir) -> None:
        """Writes labels.txt."""
        labels = class_names_to_bytes(self.dataset.class_names).decode()
        write_text(workdir / "labels.txt", labels)

    def score(self, outcome: Outcome) -> dict[str, Any]:
        """Scores of every split, before and after; how fast it trained."""
        scores = super().score(outcome) | self._before
        if "val/accuracy" in outcome.rows[-1]:
            scores["val/accuracy_last"] = outcome.rows[-1]["val/accuracy"]
        trained = len(self.splits["train"]) * len(outcome.rows)
        return scores | {
            "epochs": len(outcome.rows),
            "pictures_per_second": round(trained / max(outcome.seconds, 1e-9), 1),
            "seconds_preparation": round(self.seconds_before, 1),
            "parameters_trained": int(sum(np.prod(w.shape) for w in self._trained)),
        }

    def report(self, outcome: Outcome) -> Report:
        """Confusion, samples, mistakes, Grad-CAM, calibration, curves."""
        shown = next(name for name in ("val", "test", "train") if len(self.splits[name]))
        split = self.splits[shown]
        backbone = self.model.get_layer(BACKBONE)
        layers = [layer.trainable for layer in backbone.layers if layer.weights]
        copies = {
            name: self.splits[name].pictures.copies_in(self.splits["train"].pictures)
            for name in ("val", "test")
        }

        def heat(indices: Sequence[int], classes: np.ndarray) -> tuple:
            images = self.scorer.prepared(split, indices)
            chosen = tf.constant(classes, tf.int32)
            return images, grad_cam(self.model, tf.cast(images, tf.float32), chosen)[0]

        return report_transfer(
            outcome,
            ShownSplit(
                shown,
                split.pictures,
                self.dataset.class_names,
                self.scorer.probabilities(split),
                heat,
            ),
            self._others,
            pictures={name: len(one) for name, one in self.splits.items()},
            copies=copies,
            trained_layers=(sum(layers), len(layers)),
            size=image_size(self.model),
        )


make_job = TransferJob


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
