"""The transfer job: data, features, loss, scores, the first head."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from kerasdl.data.pictures.augmentation import Augmentation
from kerasdl.data.pictures.batches import (
    FeatureBatches,
    PictureBatches,
)
from kerasdl.data.pictures.class_folders import (
    SPLITS,
    PictureDataset,
)
from kerasdl.data.pictures.mixing import MixedBatches
from kerasdl.data.vocabulary import class_names_to_bytes
from kerasdl.errors import InputError
from kerasdl.files import write_text
from kerasdl.models.classifier import (
    BACKBONE,
    HEAD,
    class_maps,
    image_size,
)
from kerasdl.models.layer_groups import layer_groups
from kerasdl.reports.page import Outcome, Report
from kerasdl.reports.transfer import ShownSplit, report_transfer
from kerasdl.training.calibration import fit_temperature
from kerasdl.training.distribution import shard
from kerasdl.training.job import Job, Objective
from kerasdl.training.optimization import make_optimizer, make_schedule
from kerasdl.training.progress import say
from kerasdl.training.rate_sweep import sweep_rates
from kerasdl.training.transfer_few import logistic_head, prototype_head
from kerasdl.training.transfer_folds import cross_validate, take_all_steps
from kerasdl.training.transfer_losses import (
    class_weights,
    fit_head,
    head_loss,
    picture_loss,
)
from kerasdl.training.transfer_parts import (
    build_model,
    load_dataset,
    make_augmentation,
    other_runs,
)
from kerasdl.training.transfer_splits import Scorer, SplitReader
from kerasdl.training.workdir import MetricsLog, Workdir
from kerasdl.tuning.discriminative import DiscriminativeOptimizer, layer_rates
from kerasdl.tuning.rate_finder import RateCurve
from kerasdl.tuning.unfreezing import train_last, trained_groups

# Modes in which the head is computed from the features of the frozen network at once.
COMPUTED = ("linear", "prototype")


class TransferJob(Job):
    """A picture classifier on a pretrained network: its head is trained, or all of it.

    Args:
        config: Checked by `kerasdl.training.jobs`.
        dataset: The pictures; those that `config.data` names if it is None.
    """

    name = "transfer"

    def __init__(self, config: ConfigDict, dataset: PictureDataset | None = None) -> None:
        super().__init__(config)
        self._dataset = dataset
        self._curve: RateCurve | None = None
        # By one temperature; the probabilities of the split shown as they were without.
        self._temperature: float | None = None
        self._uncalibrated: np.ndarray | None = None

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
        self.dataset = self._dataset or load_dataset(config)
        self.notes += self.dataset.notes
        classes = len(self.dataset.class_names)
        self.model = build_model(config, classes)
        cached = config.mode in COMPUTED or (
            config.mode == "freeze" and config.cache_features
        )
        reader = SplitReader(self.model, config)
        self.splits = {
            name: reader.read(getattr(self.dataset, name), name, cached)
            for name in SPLITS
        }
        self.notes += reader.broken.notes
        train, size = self.splits["train"], image_size(self.model)
        augmentation = make_augmentation(config, size)
        weights = class_weights(train.pictures.labels, classes, config.class_weights)
        self._check_calibration()
        self.scorer = Scorer(self.model, config.data.preparation, config.target)
        self._before = {
            f"{name}/accuracy_before": scores[f"{name}/accuracy"]
            for name in ("val", "test")
            if (scores := self.scorer.scores(self.splits[name], name))
        }
        if config.mode == "finetune" and (config.probe_steps or config.linear_start):
            probed = reader.read(self.dataset.train, "train", with_features=True)
            if config.linear_start:
                self._features = probed.as_is()[None]
                self._compute_head("linear")
            if config.probe_steps:
                fit_head(self.model, probed, weights, config.probe_steps, config.target)
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
        views = 0 if config.mode == "finetune" else config.augment.variants
        labels = train.pictures.labels
        classes = tf.TensorSpec((None, *labels.shape[1:]), tf.int32)
        smoothing, target = config.label_smoothing, config.target
        if cached:
            model = self.model.get_layer(HEAD)
            features = reader.variants(train, augmentation, config.seed, views)
            self._features = features
            batches = FeatureBatches(
                features, train.pictures.labels, config.batch_size, config.seed, shard()
            )
            inputs = tf.TensorSpec((None, features.shape[-1]), tf.float32)
            loss = head_loss(self.model, weights, smoothing, target)
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
            if config.augment.mixup or config.augment.cutmix:
                names, augment = self.dataset.class_names, config.augment
                batches = MixedBatches(batches, len(names), augment.mixup, augment.cutmix)
                classes = tf.TensorSpec((None, len(names)), tf.float32)
            inputs = tf.TensorSpec((None, size, size, 3), tf.uint8)
            update = config.model.update_batch_norm
            loss = picture_loss(self.model, weights, smoothing, update, target)
        self._trained = model.trainable_variables
        self._groups = [
            trained
            for group in layer_groups(self.model)
            if (trained := [layer for layer in group if layer.trainable])
        ]
        return Objective(
            model,
            loss,
            batches,
            len(batches),
            (inputs, classes),
            changes=self._unfreeze,
        )

    def _unfreeze(self, epoch: int) -> bool:
        """Trains the groups of layers whose turn it is, and says whether that is new."""
        every = self.config.unfreeze_every
        return bool(every) and train_last(self._groups, trained_groups(epoch, every))

    def _check_calibration(self) -> None:
        labels = self.splits["train"].pictures.labels
        kind = self.config.calibration
        if kind == "folds" and labels.ndim == 1 and np.bincount(labels).min() < 2:
            raise InputError(
                "--config.calibration must not be folds with a single training picture "
                "of a class: nothing of it can be held out; got 'folds'."
            )
        if kind == "val" and not len(self.splits["val"]):
            raise InputError(
                "--config.calibration must not be val without validation pictures, got "
                "'val'."
            )

    def schedule(self, steps_per_epoch: int) -> Any:
        """The learning rate; the one that was found by trial if that is to be used."""
        fields = self.config.to_dict()
        if self._curve is not None and self.config.lr_find == "use":
            fields["learning_rate"] = self._curve.suggestion
        return make_schedule(ConfigDict(fields), steps_per_epoch)

    def optimizer(self, rate: Any) -> keras.optimizers.Optimizer:
        """The optimiser at a learning rate, smaller towards the input if told to."""
        optimizer, decay = make_optimizer(self.config, rate), self.config.layer_decay
        if decay == 1:
            return optimizer
        return DiscriminativeOptimizer(
            optimizer, layer_rates(self.model, decay, self._groups)
        )

    def fit(self, workdir: Workdir, objective: Objective) -> Outcome:
        """Finds a rate if told to, trains, and calibrates the probabilities."""
        if self.config.lr_find != "none":
            self._curve = sweep_rates(self, objective)
            self._curve.save(workdir / "learning_rate.png")
            say(f"learning rate suggested: {self._curve.suggestion:.2g}")
        if self.config.mode in COMPUTED:
            outcome = self._compute(workdir)
        else:
            outcome = super().fit(workdir, objective)
        if self.config.calibration != "none":
            self._calibrate()
        return outcome

    def fit_in_memory(self, objective: Objective) -> None:
        """Trains to the last epoch, and leaves nothing but the model."""
        if self.config.mode in COMPUTED:
            self._compute_head(self.config.mode)
        else:
            take_all_steps(self, objective)

    def _compute(self, workdir: Workdir) -> Outcome:
        started = time.monotonic()
        self._compute_head(self.config.mode)
        loss = self.scorer.scores(self.splits["train"], "train")["train/loss"]
        row = {"epoch": 1, "train/loss": loss, **self.evaluate()}
        log = MetricsLog(workdir)
        log.restore([])
        log.append(row)
        seconds = time.monotonic() - started
        return Outcome(workdir.root, workdir.config, [row], 1, seconds)

    def _compute_head(self, kind: str) -> None:
        labels = self.splits["train"].pictures.labels
        if kind == "linear":
            kernel, bias = logistic_head(self._features, labels, self.config.seed)
        else:
            kernel, bias = prototype_head(self._features.mean(axis=0), labels)
        self.model.get_layer(HEAD).set_weights([kernel, bias])

    def _calibrate(self) -> None:
        """Divides the logits by the temperature that suits held-out pictures best."""
        config, val = self.config, self.splits["val"]
        if config.calibration == "val":
            logits, labels = self.scorer.logits(val), val.pictures.labels
        else:
            held = cross_validate(
                self._uncalibrated_job,
                dataclasses.replace(
                    self.dataset, train=self.splits["train"].pictures.pictures
                ),
                config.calibration_folds,
                config.seed,
            )
            logits, labels = held.logits, held.labels
        if labels.ndim == 2:  # each label of each picture by its own sigmoid
            logits = logits[:, 0]
        self._temperature = fit_temperature(logits, labels, cautious=True)
        say(f"calibrated by the temperature {self._temperature:.3f}")
        self._uncalibrated = self.scorer.probabilities(self.splits[self._shown])
        self._before |= {
            f"{name}/{metric}_uncalibrated": scores[f"{name}/{metric}"]
            for name in ("val", "test")
            if (scores := self.scorer.scores(self.splits[name], name))
            for metric in ("loss", "ece")
        }
        self.model.scale_logits(1 / self._temperature)

    def _uncalibrated_job(self, dataset: PictureDataset) -> TransferJob:
        """A job like this one on other pictures, at the rate that this one found."""
        fields = self.config.to_dict() | {"calibration": "none", "lr_find": "none"}
        fields["report"]["compare"] = ""
        if self._curve is not None and self.config.lr_find == "use":
            fields["learning_rate"] = self._curve.suggestion
        return TransferJob(ConfigDict(fields), dataset)

    @property
    def _shown(self) -> str:
        """The split that the report shows."""
        return next(name for name in ("val", "test", "train") if len(self.splits[name]))

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
        if self._curve is not None:
            scores["learning_rate_suggested"] = self._curve.suggestion
        if self._temperature is not None:
            scores["temperature"] = self._temperature
        return scores | {
            "epochs": len(outcome.rows),
            "pictures_per_second": round(trained / max(outcome.seconds, 1e-9), 1),
            "seconds_preparation": round(self.seconds_before, 1),
            "parameters_trained": int(sum(np.prod(w.shape) for w in self._trained)),
        }

    def report(self, outcome: Outcome) -> Report:
        """Confusion, samples, mistakes, class maps, calibration, curves."""
        shown = self._shown
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
            return images, class_maps(self.model, tf.cast(images, tf.float32), chosen)[0]

        return report_transfer(
            outcome,
            ShownSplit(
                shown,
                split.pictures,
                self.dataset.class_names,
                self.scorer.probabilities(split),
                heat,
                self._uncalibrated,
                self.model.decision,
            ),
            self._others,
            pictures={name: len(one) for name, one in self.splits.items()},
            copies=copies,
            trained_layers=(sum(layers), len(layers)),
            size=image_size(self.model),
            rates=self._curve and self._curve.chart(),
        )


make_job = TransferJob
