"""Training a feed-forward network for one style, on any folder of pictures."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from kerasdl.data.broken import check_broken
from kerasdl.data.pictures.decoding import read_picture
from kerasdl.errors import InputError
from kerasdl.models.style_network import StylePainter, apply_to_any_size
from kerasdl.reports.page import Outcome, Report
from kerasdl.reports.style_network import report_style_network
from kerasdl.style.examples import drawn_town
from kerasdl.style.features import to_normalised
from kerasdl.style.losses import content_loss, total_variation
from kerasdl.style.objective import StyleNetwork, style_start
from kerasdl.style.options import NetworkOptions, StyleOptions, numbers
from kerasdl.style.pictures import fit_shorter_side, read_srgb
from kerasdl.training.job import Job, Objective
from kerasdl.training.optimization import make_optimizer, make_schedule
from kerasdl.training.progress import say
from kerasdl.training.style import (
    as_array,
    list_pictures,
    style_options,
    style_pictures,
)

# One picture of so many is held out, to score and to show.
HELD_OUT = 10
MOST_HELD_OUT = 16
# Crops are cut from pictures whose shorter side is so much longer.
CROP_MARGIN = 1.2
# Pictures of the report, each beside what becomes of it.
SHOWN = 4
_TERMS = ("loss", "content", "style", "tv")


class PictureSet:
    """Pictures in files, or drawn ones; broken files are skipped with a warning.

    Args:
        paths: The files; numbers of drawn pictures if `drawn`.
        drawn: Whether the pictures are drawn.
        size: Side of the crops, in pixels.

    Attributes:
        broken: The message of each file that could not be read.
    """

    def __init__(self, paths: Sequence[Path | int], drawn: bool, size: int) -> None:
        self.paths = list(paths)
        self.broken: dict[Path | int, str] = {}
        self._drawn = drawn
        self._size = size

    def __len__(self) -> int:
        return len(self.paths)

    def picture(self, path: Path | int) -> np.ndarray:
        """uint8 (H, W, 3).

        Raises:
            InputError: Where the file is no picture that can be read.
        """
        if self._drawn:
            return drawn_town(round(self._size * CROP_MARGIN), seed=int(path))
        return read_srgb(path)

    def crop(self, path: Path | int, rng: np.random.Generator) -> np.ndarray | None:
        """A random square of a picture, mirrored or not; None if it is broken."""
        try:
            image = self.picture(path)
        except InputError as error:
            if path not in self.broken:
                self.broken[path] = str(error)
                say(f"skipped: {error}")
                check_broken(list(self.broken.values()), len(self.paths), "pictures")
            return None
        image = fit_shorter_side(image, round(self._size * CROP_MARGIN))
        top, left = (int(rng.integers(0, n - self._size + 1)) for n in image.shape[:2])
        crop = image[top : top + self._size, left : left + self._size]
        return crop[:, ::-1] if rng.random() < 0.5 else crop


class NetworkObjective:
    """The style objective of a batch: means over its pictures.

    Args:
        options: Network, layers, weights.
        styles: uint8 (H, W, 3) each, at their size.
        reference: float32 (N, S, S, 3) in 0..255: normalised weights are relative to
            the losses of these pictures as they are.
    """

    def __init__(
        self, options: StyleOptions, styles: Sequence[np.ndarray], reference: np.ndarray
    ) -> None:
        self._network = StyleNetwork(options)
        layers = self._network.style_layers
        shares = np.array(numbers("style_mix", options.style_mix, len(styles)))
        self._targets = dict.fromkeys(layers, 0.0)
        for share, style in zip(shares / shares.sum(), styles, strict=True):
            grams = self._network.style_grams(_normalised(style[np.newaxis]))
            for name in layers:
                self._targets[name] += share * grams[name]
        raw = numbers("layer_weights", options.layer_weights, len(layers))
        self._style_weights = {
            name: options.style_weight * w for name, w in zip(layers, raw, strict=True)
        }
        self._content_weight, self._tv_weight = options.content_weight, options.tv_weight
        if options.weighting == "normalised":
            images = _normalised(reference)
            count = len(reference)
            features = tf.function(self._network.features)(images)
            content_start, tv_start = self._network.flat_losses(features, images)
            grams = self._network.grams(features)
            self._content_weight *= count / content_start
            self._tv_weight *= count / tv_start
            for name, target in self._targets.items():
                self._style_weights[name] /= sum(raw) * style_start(grams[name], target)

    def terms(self, images: tf.Tensor, styled: tf.Tensor) -> dict[str, tf.Tensor]:
        """`loss` and its parts, scalars, of RGB (N, S, S, 3) in 0..255."""
        count = tf.cast(tf.shape(images)[0], tf.float32)
        wanted = self._network.content_features(_normalised(images))
        picture = _normalised(styled)
        features = self._network.features(picture)
        grams = self._network.grams(features)
        content = tf.add_n(
            [self._network.content_loss(features, n, p) for n, p in wanted.items()]
        )
        style = tf.add_n(
            [
                self._style_weights[name] * content_loss(grams[name], target)
                for name, target in self._targets.items()
            ]
        )
        content *= self._content_weight / count
        style /= count
        variation = self._tv_weight * total_variation(picture) / count
        return {
            "loss": content + style + variation,
            "content": content,
            "style": style,
            "tv": variation,
        }


class NetworkJob(Job):
    """Trains a feed-forward network that repaints any picture in one style."""

    name = "style"
    monitor = "val/loss"

    def build(self) -> Objective:
        """Reads the styles and the held-out pictures, and builds the network."""
        config = self.config
        self._options = NetworkOptions(**config.network.to_dict())
        self._train, self._held_out, self._tests = picture_splits(config)
        options = style_options(config)
        self._styles = [
            fit_shorter_side(as_array(style), options.style_size, "--config.styles")
            for style in style_pictures(config)
        ]
        self._val = _fixed_crops(self._held_out, config.seed)
        objective = NetworkObjective(options, self._styles, self._val)
        network = StylePainter(self._options.filters, self._options.residual_blocks)
        self.model = network
        self._terms = tf.function(
            lambda images: objective.terms(images, network(images, training=False)),
            reduce_retracing=True,
        )
        size = options.image_size
        return Objective(
            network,
            lambda images: objective.terms(images, network(images, training=True))[
                "loss"
            ],
            self._batches,
            self._options.steps_per_epoch,
            [tf.TensorSpec((None, size, size, 3), tf.float32)],
        )

    @property
    def epochs(self) -> int:
        """As many as take `network.steps` steps."""
        return -(-self._options.steps // self._options.steps_per_epoch)

    def schedule(self, steps_per_epoch: int) -> Any:
        """Half a cosine from `network.learning_rate` to 0."""
        return make_schedule(self.config.network, steps_per_epoch, self.epochs)

    def optimizer(self, rate: Any) -> keras.optimizers.Optimizer:
        """Adam, as `network` says."""
        return make_optimizer(self.config.network, rate)

    def _batches(self, epoch: int) -> Iterator[tuple[tf.Tensor]]:
        size = self._options.batch_size
        for step in range(self._options.steps_per_epoch):
            # Of (seed, epoch, step) alone, so that a resumed run sees the same crops.
            rng = np.random.default_rng([self.config.seed, epoch, step])
            crops: list[np.ndarray] = []
            while len(crops) < size:
                path = self._train.paths[rng.integers(len(self._train))]
                crop = self._train.crop(path, rng)
                if crop is not None:
                    crops.append(crop)
            yield (tf.constant(np.stack(crops), tf.float32),)

    def _scores(self, images: np.ndarray, split: str) -> dict[str, float]:
        size = self._options.batch_size
        sums = dict.fromkeys(_TERMS, 0.0)
        for start in range(0, len(images), size):
            part = images[start : start + size]
            for name, value in self._terms(tf.constant(part)).items():
                sums[name] += float(value) * len(part)
        return {f"{split}/{name}": sums[name] / len(images) for name in _TERMS}

    def evaluate(self) -> dict[str, float]:
        """The losses of the held-out pictures."""
        return self._scores(self._val, "val")

    def score(self, outcome: Outcome) -> dict[str, Any]:
        """The losses of the held-out pictures, and of those of `data.test`."""
        scores = self.evaluate()
        if self._tests is not None:
            crops = _fixed_crops(self._tests, self.config.seed)
            scores |= self._scores(crops, "test")
        return scores

    def report(self, outcome: Outcome) -> Report:
        """Pictures not trained on, before and after; curves."""
        shown, samples = self._tests or self._held_out, []
        for path in shown.paths[:SHOWN]:
            image = fit_shorter_side(shown.picture(path), self.config.image_size)
            name = path.name if isinstance(path, Path) else f"drawn {path}"
            samples.append((name, image, repaint(self.model, image)))
        broken = list(self._train.broken.values())
        return report_style_network(outcome, self._styles, samples, broken)


def repaint(network: keras.Model, image: np.ndarray) -> np.ndarray:
    """A picture, uint8 (H, W, 3), by a trained network: the same shape."""
    batch = tf.constant(image[np.newaxis], tf.float32)
    return apply_to_any_size(network, batch).numpy()[0].astype(np.uint8)


def picture_splits(
    config: ConfigDict,
) -> tuple[PictureSet, PictureSet, PictureSet | None]:
    """Pictures to train on, held out, and of `data.test`.

    Raises:
        InputError: Where there are fewer than two, or a folder holds none.
    """
    size = config.image_size
    drawn = not config.data.root
    paths: list[Path | int] = list(range(1, config.network.drawn + 1))
    if not drawn:
        paths = list(list_pictures(config.data.root, "data.root"))
        random.Random(config.seed).shuffle(paths)
    count = min(MOST_HELD_OUT, max(1, len(paths) // HELD_OUT))
    held_out = [path for path in paths[:count] if _is_readable(path)]
    if len(paths) <= count or not held_out:
        raise InputError(
            "--config.data.root must hold two pictures at least, one to train on and one "
            f"to hold out, got {len(paths)} in {config.data.root!r}."
        )
    tests = None
    if config.data.test:
        given = list_pictures(config.data.test, "data.test")
        tests = PictureSet([p for p in given if _is_readable(p)], False, size)
    return (
        PictureSet(paths[count:], drawn, size),
        PictureSet(held_out, drawn, size),
        tests,
    )


def _is_readable(path: Path | int) -> bool:
    if not isinstance(path, Path):
        return True
    try:
        read_picture(path)
    except InputError as error:
        say(f"skipped: {error}")
        return False
    return True


def _fixed_crops(pictures: PictureSet, seed: int) -> np.ndarray:
    """One crop of each picture, always the same: float32 (N, S, S, 3) in 0..255."""
    crops = [
        pictures.crop(path, np.random.default_rng([seed, index]))
        for index, path in enumerate(pictures.paths)
    ]
    return np.stack(crops).astype(np.float32)


def _normalised(images: Any) -> tf.Tensor:
    return to_normalised(tf.cast(images, tf.float32))


class TrainedStyleNetwork:
    """`kerasdl.load` of a run that trained a network.

    Args:
        root: The run's folder.

    Attributes:
        model: The network.
    """

    def __init__(self, root: Path) -> None:
        self.model = keras.saving.load_model(root / "model.keras", compile=False)

    def stylize(self, path: str | Path) -> np.ndarray:
        """The picture at `path` in the run's style, uint8 (H, W, 3), at its own size.

        Raises:
            InputError: Where the file is no picture that can be read.
        """
        return repaint(self.model, read_srgb(path))
