"""Training a feed-forward network, for one style or several, on a folder of pictures."""

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
from kerasdl.style.network import StyleNetwork
from kerasdl.style.objective import StyleObjective
from kerasdl.style.options import NetworkOptions
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
_TERMS = ("loss", "content", "style", "tv")  # as StyleObjective.losses begins


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


class NetworkJob(Job):
    """Trains a feed-forward network that repaints any picture in one style or several."""

    name = "style"
    monitor = "val/loss"

    def build(self) -> Objective:
        """Reads the styles and the held-out pictures, and builds the network.

        Raises:
            InputError: If pictures cannot be read, or a network that keeps styles apart
                has one.
        """
        config = self.config
        self._options = NetworkOptions(**config.network.to_dict())
        self._train, self._held_out, self._tests = picture_splits(config)
        options = style_options(config)
        pictures = style_pictures(config)
        conditional = self._options.conditional
        if conditional and len(pictures) < 2:
            raise InputError(
                "--config.styles must name several pictures with "
                f"--config.network.conditional, got {len(pictures)}."
            )
        self._style_names = [
            path.stem if isinstance(path, Path) else "drawn" for path in pictures
        ]
        self._styles = [
            fit_shorter_side(as_array(style), options.full_style_size, "--config.styles")
            for style in pictures
        ]
        self._val = _fixed_crops(self._held_out, config.seed)
        objective = StyleObjective(
            StyleNetwork(options),
            options,
            to_normalised(self._val),
            [
                to_normalised(style[np.newaxis].astype(np.float32))
                for style in self._styles
            ],
            apart=conditional,
        )
        self.model = network = StylePainter(
            self._options.filters,
            self._options.residual_blocks,
            len(self._styles) if conditional else 1,
        )

        def losses(images, *shares, training):
            styled = network([images, *shares] if shares else images, training=training)
            wanted = objective.network.content_features(to_normalised(images))
            return objective.losses(to_normalised(styled), wanted, *shares)

        self._losses = tf.function(
            lambda *batch: losses(*batch, training=False), reduce_retracing=True
        )
        size = options.image_size
        signature = [tf.TensorSpec((None, size, size, 3), tf.float32)]
        if conditional:
            signature.append(tf.TensorSpec((None, len(self._styles)), tf.float32))
        return Objective(
            network,
            lambda *batch: losses(*batch, training=True)[0],
            self._batches,
            self._options.steps_per_epoch,
            signature,
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

    def _batches(self, epoch: int) -> Iterator[tuple[tf.Tensor, ...]]:
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
            batch = (tf.constant(np.stack(crops), tf.float32),)
            if self._options.conditional:
                # As many pictures of each style, or as nearly as the batch allows.
                styles = len(self._styles)
                chosen = (rng.integers(styles) + np.arange(size)) % styles
                batch += (tf.one_hot(chosen, styles),)
            yield batch

    def _scores(self, images: np.ndarray, split: str) -> dict[str, float]:
        """The mean losses of `images`, in each style if they are kept apart."""
        size = self._options.batch_size
        styles = len(self._styles) if self._options.conditional else 1
        sums = np.zeros((styles, len(_TERMS)))
        for style in range(styles):
            for start in range(0, len(images), size):
                part = images[start : start + size]
                batch = (tf.constant(part),)
                if self._options.conditional:
                    batch += (tf.one_hot([style] * len(part), styles),)
                losses = self._losses(*batch)[: len(_TERMS)].numpy()
                sums[style] += losses * len(part) / len(images)
        scores = dict(zip(_TERMS, sums.mean(0), strict=True))
        if self._options.conditional:
            of_style = sums[:, _TERMS.index("style")]
            scores |= {
                f"style/{name}": loss
                for name, loss in zip(self._style_names, of_style, strict=True)
            }
        return {f"{split}/{name}": float(value) for name, value in scores.items()}

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
        styles = len(self._styles)
        for index, path in enumerate(shown.paths[:SHOWN]):
            image = fit_shorter_side(shown.picture(path), self.config.image_size)
            name = path.name if isinstance(path, Path) else f"drawn {path}"
            weights = None
            if self._options.conditional:
                weights = np.eye(styles, dtype=np.float32)[index % styles]
                name += f", {self._style_names[index % styles]}"
            samples.append((name, image, repaint(self.model, image, weights)))
        broken = list(self._train.broken.values())
        return report_style_network(outcome, self._styles, samples, broken)


def repaint(
    network: keras.Model, image: np.ndarray, style_weights: np.ndarray | None = None
) -> np.ndarray:
    """A picture, uint8 (H, W, 3), by a trained network: the same shape.

    Args:
        network: A `StylePainter`.
        image: uint8 (H, W, 3).
        style_weights: float32 (styles,), if it has several; equal shares if None.
    """
    batch = tf.constant(image[np.newaxis], tf.float32)
    weights = None
    if network.styles > 1:
        if style_weights is None:
            style_weights = np.full(network.styles, 1 / network.styles)
        weights = tf.constant(np.asarray(style_weights)[np.newaxis], tf.float32)
    return apply_to_any_size(network, batch, weights).numpy()[0].astype(np.uint8)


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
