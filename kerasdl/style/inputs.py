"""What one repainting reads: content, styles, masks and start, at every scale."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from kerasdl.errors import InputError
from kerasdl.style.features import to_normalised
from kerasdl.style.options import INITS, StyleOptions, numbers
from kerasdl.style.pictures import (
    fit_shorter_side,
    fitted_size,
    grey,
    grey_like,
    read_srgb,
    shares_of_masks,
)

Picture = str | Path | np.ndarray


class Pictures:
    """Content, styles and starting picture at every scale.

    Attributes:
        warm: Of a video's later frame: what to start from, (1, H, W, 3), normalised.
        anchor: What it is held to; see `StyleObjective`.
    """

    warm: tf.Tensor | None = None
    anchor: tuple[tf.Tensor, tf.Tensor] | None = None

    def __init__(
        self,
        content: Picture,
        styles: list[Picture],
        masks: list[Picture],
        options: StyleOptions,
    ) -> None:
        if not styles:
            raise InputError("`styles` must name a picture at least, got none.")
        numbers("style_mix", options.style_mix, len(styles))
        self._options = options
        self._content = _read(content, "content")
        self._styles = [_read(style, "styles") for style in styles]
        fitted_size(self._content, options.image_size, _name(content, "content"))
        for style, given in zip(self._styles, styles, strict=True):
            fitted_size(style, options.full_style_size, _name(given, "styles"))
        self._masks = None
        if masks:
            self._masks = shares_of_masks(
                [_read(mask, "masks") for mask in masks],
                [_name(mask, "masks") for mask in masks],
                len(styles),
                self._content.shape[:2],
            )
        self._init = None
        if options.init not in INITS:
            self._init = _read(options.init, "init")

    def size_at(self, scale: int, size: int) -> int:
        """A size of the last scale, in pixels, as it is at `scale`."""
        return max(1, size >> (self._options.scales - 1 - scale))

    def content_at(self, scale: int) -> np.ndarray:
        """The content in its colours, uint8 (H, W, 3)."""
        return fit_shorter_side(
            self._content, self.size_at(scale, self._options.image_size)
        )

    def target_at(self, scale: int) -> tf.Tensor:
        """The content as the network is to see it, (1, H, W, 3), normalised units."""
        content = self.content_at(scale)
        return _tensor(grey(content) if self._options.keep_colours else content)

    def styles_at(self, scale: int) -> list[tf.Tensor]:
        """The styles as the network is to see them, (1, H_s, W_s, 3) each."""
        size = self.size_at(scale, self._options.full_style_size)
        fitted = [fit_shorter_side(style, size) for style in self._styles]
        if self._options.keep_colours:
            content = self.content_at(scale)
            fitted = [grey_like(style, content) for style in fitted]
        return [_tensor(style) for style in fitted]

    def masks_at(self, scale: int) -> tf.Tensor | None:
        """The share of each style at each pixel, (1, H, W, styles); None if not given."""
        if self._masks is None:
            return None
        size = self.content_at(scale).shape[:2]
        resized = tf.image.resize(self._masks[np.newaxis], size, antialias=True)
        return tf.clip_by_value(resized, 0.0, 1.0)

    def initial_at(self, scale: int) -> tf.Tensor:
        """What a run that began at `scale` would start from, (1, H, W, 3)."""
        content = self.content_at(scale)
        if self._options.init == "noise":
            rng = np.random.default_rng([self._options.seed, scale])
            return tf.constant(rng.random((1, *content.shape), np.float32))
        if self._init is None:
            return self.target_at(scale)
        height, width = content.shape[:2]
        fitted = tf.image.resize(
            self._init[np.newaxis], (height, width), "bilinear", antialias=True
        )
        return to_normalised(fitted)


def _name(picture: Picture, argument: str) -> str:
    """What an error calls a picture: its path, or the argument that it was given as."""
    return f"`{argument}`" if isinstance(picture, np.ndarray) else str(picture)


def _read(picture: Picture, argument: str) -> np.ndarray:
    if not isinstance(picture, np.ndarray):
        return read_srgb(picture)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] != 3:
        raise InputError(
            f"`{argument}` must be a path or uint8 of shape (H, W, 3), got "
            f"{picture.dtype} of shape {picture.shape}."
        )
    if 0 in picture.shape:
        raise InputError(f"`{argument}` has no pixel, got shape {picture.shape}.")
    return picture


def _tensor(image: np.ndarray) -> tf.Tensor:
    return to_normalised(tf.constant(image[np.newaxis], tf.float32))
