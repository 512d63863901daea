"""The transfer job: data, features, loss, scores, the first head."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from kerasdl.data.broken import BrokenInputs
from kerasdl.data.drawn.shapes import drawn_shapes
from kerasdl.data.pictures.augmentation import Augmentation
from kerasdl.data.pictures.batches import (
    FeatureBatches,
    PictureBatches,
    PictureSplit,
)
from kerasdl.data.pictures.class_folders import (
    SPLITS,
    LabelledPicture,
    PictureDataset,
    read_class_folders,
    read_test_folder,
)
from kerasdl.data.pictures.decoding import decode_picture, prepare_picture
from kerasdl.data.pictures.feature_cache import FeatureCache
from kerasdl.data.pictures.tfds_sets import PREFIX, read_picture_tfds
from kerasdl.data.vocabulary import class_names_to_bytes
from kerasdl.errors import InputError
from kerasdl.files import write_text
from kerasdl.metrics.classification import classification_scores
from kerasdl.models.backbones import build_backbone, weights_digest
from kerasdl.models.classifier import (
    BACKBONE,
    HEAD,
    ImageClassifier,
    forward,
    freeze,
    grad_cam,
    image_size,
)
from kerasdl.reports.page import Outcome, Report
from kerasdl.reports.transfer import OtherRun, ShownSplit, report_transfer
from kerasdl.runs import read_metrics, read_rows, read_run
from kerasdl.training.config import split_list
from kerasdl.training.job import Job, Objective
from kerasdl.training.progress import say, track
from kerasdl.training.workdir import Workdir

# Pictures scored at once.
SCORE_BATCH = 32
# Adam's rate where the head is fitted to all features at once.
PROBE_RATE = 3e-3


def load_dataset(config: ConfigDict) -> PictureDataset:
    """The data set that `config.data` names, or drawn shapes where it names none.

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
    freeze(backbone, "all" if config.mode == "freeze" else model.freeze)
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


@dataclasses.dataclass(frozen=True)
class Split:
    """Pictures that could be read, and their features where the backbone is frozen.

    Attributes:
        pictures: N pictures.
        features: float32 (N, F) of the pictures as they are evaluated, or None.
    """

    pictures: PictureSplit
    features: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.pictures)


class SplitReader:
    """Checks pictures and, for a frozen backbone, gives their features.

    Args:
        classifier: Its backbone computes the features, as it stands at each call.
        config: The run's config.

    Attributes:
        broken: The pictures that could not be read.
    """

    def __init__(self, classifier: keras.Model, config: ConfigDict) -> None:
        backbone = classifier.get_layer(BACKBONE)
        self._features = tf.function(lambda images: backbone(images, training=False))
        self._shape = backbone.output_shape[1:]
        self._config = config
        self._size = image_size(classifier)
        self._preparation = config.data.preparation
        self._key = (
            f"{config.model.backbone} {self._size} pooled {weights_digest(backbone)}"
        )
        self.broken = BrokenInputs()

    def read(
        self, pictures: Sequence[LabelledPicture], what: str, with_features: bool
    ) -> Split:
        """The split `what` less its broken pictures.

        Raises:
            InputError: More of them are broken than a run tolerates.
        """
        if with_features:
            cache = self._cache(self._preparation)

            def read(picture: LabelledPicture) -> np.ndarray | None:
                return cache.get(picture.bytes(), picture.where, self._extract)
        else:

            def read(picture: LabelledPicture) -> np.ndarray | None:
                decode_picture(picture.bytes(), picture.where)

        kept, rows = self.broken.readable(pictures, read, f"{what} pictures", say, track)
        features = None
        if with_features:
            features = np.stack(rows) if rows else np.zeros((0, 1), np.float32)
        return Split(PictureSplit(kept), features)

    def variants(
        self, split: Split, augmentation: Augmentation, seed: int, count: int
    ) -> np.ndarray:
        """Features of `count` augmented views of each picture: float32 (count, N, F).

        Where the augmentation changes nothing, those of the pictures as they are:
        (1, N, F).
        """
        if not augmentation.is_random:
            return split.features[None]
        pictures = split.pictures
        fields = dataclasses.asdict(augmentation)
        work = [(v, index) for v in range(count) for index in range(len(pictures))]
        caches = [self._cache(f"{fields} {seed} {variant}") for variant in range(count)]
        rows = []
        for variant, index in track(work, len(work), "features of augmented pictures"):

            def extract(data: bytes, name: str, variant=variant, index=index):
                image = pictures.image(index)
                digest = pictures.digests[index]
                return self._of(augmentation(image, seed, variant, digest))

            picture = pictures.pictures[index]
            rows.append(caches[variant].get(picture.bytes(), picture.where, extract))
        return np.stack(rows).reshape(count, len(pictures), -1)

    def _cache(self, view: str) -> FeatureCache:
        folder = self._config.data.cache or None
        return FeatureCache(folder, f"{self._key} {view}", self._shape)

    def _extract(self, data: bytes, name: str) -> np.ndarray:
        image = decode_picture(data, name)
        return self._of(prepare_picture(image, self._size, self._preparation))

    def _of(self, view: np.ndarray) -> np.ndarray:
        return self._features(view[np.newaxis].astype(np.float32)).numpy()[0]


class Scorer:
    """Classifies pictures as they are evaluated, and scores the answers.

    Args:
        classifier: The model to score, as it stands at each call.
        preparation: Of the pictures.
    """

    def __init__(self, classifier: keras.Model, preparation: str) -> None:
        self._head = tf.function(
            lambda x: tf.nn.softmax(classifier.get_layer(HEAD)(x, training=False)),
            reduce_retracing=True,
        )
        self._whole = tf.function(
            lambda x: tf.nn.softmax(classifier(tf.cast(x, tf.float32), training=False)),
            reduce_retracing=True,
        )
        self._classes = classifier.output_shape[-1]
        self._size = image_size(classifier)
        self._preparation = preparation

    def prepared(self, split: Split, indices: Sequence[int]) -> np.ndarray:
        """Some pictures of a split as the network sees them: uint8 (N, S, S, 3)."""
        return np.stack(
            [
                prepare_picture(split.pictures.image(i), self._size, self._preparation)
                for i in indices
            ]
        )

    def probabilities(self, split: Split) -> np.ndarray:
        """float32 (N, K); from the features where the split has them."""
        rows = [np.zeros((0, self._classes), np.float32)]
        for start in range(0, len(split), SCORE_BATCH):
            stop = min(start + SCORE_BATCH, len(split))
            if split.features is None:
                batch = self._whole(self.prepared(split, range(start, stop)))
            else:
                batch = self._head(split.features[start:stop])
            rows.append(batch.numpy())
        return np.concatenate(rows)

    def scores(self, split: Split, name: str) -> dict[str, float]:
        """`name/accuracy`, `f1_macro`, `loss`, `ece`; empty where the split is."""
        if not len(split):
            return {}
        figures = classification_scores(split.pictures.labels, self.probabilities(split))
        return {f"{name}/{metric}": value for metric, value in figures.items()}


def class_weights(labels: np.ndarray, classes: int, kind: str) -> np.ndarray:
    """The weight of each class in the loss, float32 (classes,).

    Args:
        labels: int (N,), of the training split.
        classes: K.
        kind: `none` for ones; `balanced` for N / (K · the class's pictures), with which
            every class counts as much, and the average picture counts 1.

    """
    if kind == "none":
        return np.ones(classes, np.float32)
    counts = np.maximum(np.bincount(labels, minlength=classes), 1)
    return (len(labels) / (classes * counts)).astype(np.float32)


def classification_loss(
    logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor, smoothing: float = 0.0
) -> tf.Tensor:
    """Cross-entropy in nats, averaged over the minibatch.

    Args:
        logits: float (N, K).
        labels: int (N,).
        weights: float (K,), of each class.
        smoothing: ε of label smoothing (Szegedy et al. 2016, section 7): the target is
            1 - ε + ε / K for the class and ε / K for each other.

    Returns:
        A scalar.
    """
    classes = logits.shape[-1]
    targets = tf.one_hot(labels, classes) * (1 - smoothing) + smoothing / classes
    losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
    return tf.reduce_mean(losses * tf.gather(weights, labels))


def head_loss(
    classifier: keras.Model, weights: np.ndarray, smoothing: float
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The loss of one minibatch of features (N, F) and labels (N,)."""
    head = classifier.get_layer(HEAD)

    def loss(features: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return classification_loss(
            head(features, training=True), labels, weights, smoothing
        )

    return loss


def picture_loss(
    classifier: keras.Model,
    weights: np.ndarray,
    smoothing: float,
    update_batch_norm: bool,
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The loss of one minibatch of images uint8 (N, S, S, 3) and labels (N,)."""

    def loss(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        logits = forward(classifier, tf.cast(images, tf.float32), update_batch_norm)
        return classification_loss(logits, labels, weights, smoothing)

    return loss


def fit_head(
    classifier: keras.Model, split: Split, weights: np.ndarray, steps: int
) -> None:
    """Fits the head to the features of the frozen backbone, all at once.

    Fine-tuning that begins with a random head first spoils the features that it came
    for; beginning with a fitted one, it need not (Kumar et al., Fine-tuning can distort
    pretrained features, 2022).

    Args:
        classifier: Its head changes, from what it is.
        split: The training split, with features.
        weights: Of the classes, (K,).
        steps: Of Adam.
    """
    head = classifier.get_layer(HEAD)
    optimizer = keras.optimizers.Adam(PROBE_RATE)
    optimizer.build(head.trainable_variables)

    @tf.function
    def step(features: tf.Tensor, labels: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            logits = head(features, training=False)
            loss = classification_loss(logits, labels, weights)
        gradients = tape.gradient(loss, head.trainable_variables)
        optimizer.apply_gradients(zip(gradients, head.trainable_variables, strict=True))

    features, labels = tf.constant(split.features), tf.constant(split.pictures.labels)
    for number in range(steps):
        optimizer.learning_rate = PROBE_RATE * (1 - number / steps)
        step(features, labels)


class TransferJob(Job):
    """A picture classifier on a pretrained network: its head is trained, or all of it."""

    name = "transfer"

    def build(self) -> Objective:
        """Reads the pictures, scores the untrained head, and fits it if told to."""
        config, started = self.config, time.monotonic()
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
                features, train.pictures.labels, config.batch_size, config.seed
            )
            inputs = tf.TensorSpec((None, features.shape[-1]), tf.float32)
            loss = head_loss(self.model, weights, config.label_smoothing)
        else:
            model, size = self.model, image_size(self.model)
            batches = PictureBatches(
                train.pictures, augmentation, config.batch_size, config.seed, views
            )
            inputs = tf.TensorSpec((None, size, size, 3), tf.uint8)
            update = config.model.update_batch_norm
            loss = picture_loss(self.model, weights, config.label_smoothing, update)
        signature = (inputs, tf.TensorSpec((None,), tf.int32))
        self._trained = model.trainable_variables
        return Objective(model, loss, batches, len(batches), signature)

    @property
    def monitor(self) -> str:
        """The config's, or the training loss without a validation split."""
        return self.config.monitor if len(self.splits["val"]) else "train/loss"

    def save(self, workdir: Workdir) -> None:
        """Writes labels.txt."""
        labels = class_names_to_bytes(self.dataset.class_names).decode()
        write_text(workdir / "labels.txt", labels)

    def evaluate(self) -> dict[str, float]:
        """Scores of the validation split."""
        return self.scorer.scores(self.splits["val"], "val")

    def score(self, outcome: Outcome) -> dict[str, Any]:
        """Scores of every split, before and after; how fast it trained."""
        scores: dict[str, Any] = {}
        for name, split in self.splits.items():
            scores |= self.scorer.scores(split, name)
        scores |= self._before
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


def other_runs(workdirs: str) -> dict[str, OtherRun]:
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
        run = read_run(folder)
        if run["job"] != "transfer":
            raise InputError(
                f"--config.report.compare: {str(folder)!r} holds no transfer run, but a "
                f"{run['job']} run."
            )
        rows = read_rows(folder / "metrics.jsonl")
        mode = run["config"].get("mode", "")
        runs[folder.name] = OtherRun(read_metrics(folder), rows, mode)
    return runs
