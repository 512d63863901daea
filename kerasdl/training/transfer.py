"""What the transfer trainer is made of: data, features, loss, scores, the first head."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from kerasdl.data.broken import BrokenInputs
from kerasdl.data.drawn.shapes import drawn_shapes
from kerasdl.data.pictures.augmentation import Augmentation
from kerasdl.data.pictures.batches import PictureSplit
from kerasdl.data.pictures.class_folders import (
    LabelledPicture,
    PictureDataset,
    read_class_folders,
    read_test_folder,
)
from kerasdl.data.pictures.decoding import decode_picture, prepare_picture
from kerasdl.data.pictures.feature_cache import FeatureCache
from kerasdl.data.pictures.tfds_sets import PREFIX, read_picture_tfds
from kerasdl.errors import InputError
from kerasdl.metrics.classification import classification_scores
from kerasdl.models.backbones import build_backbone, weights_digest
from kerasdl.models.classifier import (
    BACKBONE,
    HEAD,
    ImageClassifier,
    forward,
    freeze,
    image_size,
)
from kerasdl.training import schedules
from kerasdl.training.progress import say, track

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
        return FeatureCache(self._config.data.cache or None, f"{self._key} {view}")

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

    Raises:
        InputError: `kind` is another.
    """
    if kind == "none":
        return np.ones(classes, np.float32)
    if kind != "balanced":
        raise InputError(
            f"--config.class_weights must be one of none, balanced, got {kind!r}."
        )
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


def make_optimizer(config: ConfigDict) -> keras.optimizers.Optimizer:
    """SGD with momentum or AdamW; weight decay spares biases and BatchNorm."""
    decay = config.weight_decay or None
    clip = config.clip_norm or None
    if config.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(
            config.learning_rate,
            momentum=config.momentum,
            weight_decay=decay,
            global_clipnorm=clip,
        )
    else:
        optimizer = keras.optimizers.AdamW(
            config.learning_rate,
            weight_decay=config.weight_decay,
            global_clipnorm=clip,
        )
    if decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return optimizer


def make_schedule(config: ConfigDict) -> schedules.Schedule:
    """The learning rate by epoch."""
    if config.schedule == "cosine":
        return schedules.cosine_decay(config.learning_rate, config.epochs, config.warmup)
    return schedules.step_decay(
        config.learning_rate, config.rate_decay, every=config.decay_every
    )
