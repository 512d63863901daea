"""The style objective of a picture that is too large for memory, tile by tile, exactly.

A Gram matrix is a sum over places, so those of tiles add up to the picture's:

1. Of each tile the network gives the features; the sums F Fᵀ over the places that the
   tile owns are added to G_l.
2. With D_l = ∂L/∂G_l, each tile's gradient is that of Σ_l ⟨D_l, its share of G_l⟩, of its
   part of the content loss and of total variation; the tiles' gradients are added up.

Both the losses and the gradient are those of the whole picture, but for the order of the
sums. That needs tiles which overlap by as far as a feature can see (its receptive field),
so that no feature which a tile owns sees the tile's edge, and which begin where the
network's strides put them: at multiples of the whole stride, all of one length, which
leaves the same remainder by that stride as the picture's, so that every layer pads a tile
as it pads the picture.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from kerasdl.errors import InputError
from kerasdl.style.network import Reading, Regions, StyleNetwork, channel_sums
from kerasdl.style.objective import StyleObjective
from kerasdl.style.options import StyleOptions
from kerasdl.style.reach import Reach, reaches


class Span(NamedTuple):
    """A tile along one axis: pixels [start, stop), of which it owns [first, last)."""

    start: int
    stop: int
    first: int
    last: int


def spans(side: int, tile: int, reach: Reach) -> list[Span]:
    """Tiles of at most `tile` pixels along a side, which together own each pixel once.

    Args:
        side: Of the picture, in pixels.
        tile: The longest that a tile may be.
        reach: The largest stride of the layers, and how far they see.

    Raises:
        InputError: If tiles are too small to own anything.
    """
    if side <= tile:
        return [Span(0, side, 0, side)]
    stride = reach.stride
    length = tile - (tile - side) % stride
    least = reach.before + reach.after + 3 * stride
    if length < least:
        raise InputError(
            f"`tile_size` must be at least {least + stride} pixels for these layers, of "
            f"which some see {reach.before} + {reach.after} pixels, got {tile}."
        )
    tiles = [Span(0, length, 0, 0)]
    while True:
        start, stop, first, _ = tiles[-1]
        if stop == side:
            tiles[-1] = Span(start, stop, first, side)
            return tiles
        last = (stop - reach.after) // stride * stride
        tiles[-1] = Span(start, stop, first, last)
        start = min((last - reach.before) // stride * stride, side - length)
        tiles.append(Span(start, start + length, last, 0))


class Cut(NamedTuple):
    """What a tile owns of a layer's map, int32 (2,) each, rows and columns.

    Attributes:
        inner: Where it begins in the tile's map.
        outer: Where it begins in the picture's map.
        size: Its height and width.
    """

    inner: np.ndarray
    outer: np.ndarray
    size: np.ndarray

    def of(self, value: tf.Tensor, whole: bool = False) -> tf.Tensor:
        """The part, of the map (1, H_l, W_l, C) of the tile or of the whole picture."""
        begin = tf.pad(self.outer if whole else self.inner, [(1, 1)])
        size = tf.concat([[1], self.size, [value.shape[-1]]], 0)
        return tf.slice(value, begin, size)


class Tile(NamedTuple):
    """A tile of a picture, by rows and columns."""

    rows: Span
    columns: Span

    def of(self, image: tf.Tensor | tf.Variable) -> Any:
        """Its pixels, of a picture (1, H, W, C); those of a variable can be assigned."""
        (top, bottom, *_), (left, right, *_) = self
        return image[:, top:bottom, left:right]

    def cut(self, shape: Sequence[int], stride: int) -> Cut:
        """What it owns of a map (H_l, W_l, ...) of that stride."""
        inner, outer, size = [], [], []
        for span, side in zip(self, shape, strict=False):
            # The last tile owns what is left, however the last layers round.
            last = side if span.last == span.stop else span.last // stride
            outer.append(span.first // stride)
            inner.append((span.first - span.start) // stride)
            size.append(last - outer[-1])
        return Cut(*(np.array(values, np.int32) for values in (inner, outer, size)))


class TiledNetwork(StyleNetwork):
    """A `StyleNetwork` that reads one picture, of any size, tile by tile.

    Args:
        options: As `StyleNetwork`; `tile_size` is the longest side of a tile.

    Raises:
        InputError: As `StyleNetwork`, or if a layer may see the whole picture.
    """

    def __init__(self, options: StyleOptions) -> None:
        super().__init__(options)
        self._tile_size = options.tile_size
        found = reaches(self.extractor.model)
        layers = [found[name] for name in self.extractor.layers]
        self._strides = {
            name: reach.stride
            for name, reach in zip(self.extractor.names, layers, strict=True)
        }
        strides, before, after = zip(*layers, strict=True)
        # One pixel at least after a tile's own: total variation looks at the next.
        self._reach = Reach(max(strides), max(before), max(1, *after))
        self._read_tile = tf.function(self._tile_reading, reduce_retracing=True)

    def tiles(self, size: tuple[int, int]) -> list[Tile]:
        """The tiles of a picture of `size` (H, W), which together own each pixel once.

        Raises:
            InputError: If `tile_size` is too small for the layers.
        """
        rows, columns = (spans(side, self._tile_size, self._reach) for side in size)
        return [Tile(row, column) for row in rows for column in columns]

    def cuts(self, tile: Tile, size: tuple[int, int]) -> dict[str, Cut]:
        """What a tile owns of each layer's map, of a picture of `size` (H, W)."""
        shapes = self.extractor.shapes(size)
        return {n: tile.cut(shapes[n], stride) for n, stride in self._strides.items()}

    def sizes(self, size: tuple[int, int]) -> dict[str, np.ndarray]:
        """C·H·W of each layer's map, of a picture of `size` (H, W)."""
        shapes = self.extractor.shapes(size)
        return {name: np.float32(np.prod(shape)) for name, shape in shapes.items()}

    def owned(
        self,
        pixels: tf.Tensor,
        cuts: Mapping[str, Cut],
        sizes: Mapping[str, tf.Tensor],
        regions: Mapping[str, Regions] | None,
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Features that a tile owns, by layer, and its share of the Gram matrices."""
        features = {
            name: cuts[name].of(value) for name, value in self.features(pixels).items()
        }
        if regions is not None:
            regions = {
                name: Regions(
                    tuple(cuts[name].of(root, whole=True) for root in roots), sizes
                )
                for name, (roots, sizes) in regions.items()
            }
        return features, self.grams(features, regions, sizes)

    def _tile_reading(self, pixels, cuts, sizes, regions, with_content) -> Reading:
        features, grams = self.owned(pixels, cuts, sizes, regions)
        if not with_content:
            return Reading({}, {}, grams)
        content = {name: features[name] for name in self.content_layers}
        sums = {name: channel_sums(value) for name, value in content.items()}
        return Reading(content, sums, grams)

    def read(
        self,
        images: tf.Tensor,
        regions: Mapping[str, Regions] | None = None,
        with_content: bool = True,
    ) -> Reading:
        """As `StyleNetwork.read`, of (1, H, W, 3); the Gram matrices alone if told so."""
        size = tuple(images.shape[1:3])
        content = {
            name: np.empty((1, *shape), np.float32)
            for name, shape in self.extractor.shapes(size).items()
            if with_content and name in self.content_layers
        }
        sums: dict[str, Any] = {}
        grams: dict[str, Any] = {}
        for tile in self.tiles(size):
            cuts = self.cuts(tile, size)
            part = self._read_tile(
                tile.of(images), cuts, self.sizes(size), regions, with_content
            )
            for name, value in part.content.items():
                (top, left), (height, width) = cuts[name].outer, cuts[name].size
                content[name][:, top : top + height, left : left + width] = value
            for total, values in ((sums, part.sums), (grams, part.grams)):
                for name, value in values.items():
                    total[name] = total.get(name, 0.0) + np.asarray(value, np.float64)
        return Reading(
            {name: tf.convert_to_tensor(value) for name, value in content.items()},
            sums,
            {name: tf.constant(value, tf.float32) for name, value in grams.items()},
        )


class TiledObjective(StyleObjective):
    """A `StyleObjective` of one picture, with a `TiledNetwork`."""

    traceable = False
    network: TiledNetwork

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._loss_pass = tf.function(
            lambda *inputs: tf.stack(self._tile_losses(*inputs)[0])
        )
        self._gradient_pass = tf.function(self._tile_gradient)
        self._style_pass = tf.function(self._style_gradient)
        self._gradient: tf.Variable | None = None
        super().__init__(*args, **kwargs)

    def _variation(self, images: tf.Tensor) -> tf.Tensor:
        size = tuple(images.shape[1:3])
        return tf.add_n(
            [
                _own_variation(tile.of(images), tile.cut(size, 1))
                for tile in self.network.tiles(size)
            ]
        )

    def _style_gradient(self, grams):
        """The style losses, and ∂L/∂G_l."""
        with tf.GradientTape() as tape:
            tape.watch(grams)
            losses = self._style_losses(grams)
            total = tf.add_n(losses)
        return losses, tape.gradient(total, grams)

    def _tile_losses(self, pixels, cuts, own, sizes, wanted):
        """A tile's content losses and variation, and its share of the Gram matrices."""
        features, grams = self.network.owned(pixels, cuts, sizes, self._regions)
        targets = {name: cuts[name].of(p, whole=True) for name, p in wanted.items()}
        content = self._content_losses(features, targets)
        return [*content, self._tv_weight * _own_variation(pixels, own)], grams

    def _tile_gradient(self, pixels, cuts, own, sizes, wanted, upstream):
        """A tile's content losses and variation, and its part of the gradient."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(pixels)
            local, grams = self._tile_losses(pixels, cuts, own, sizes, wanted)
            style = [tf.reduce_sum(upstream[name] * grams[name]) for name in grams]
            total = tf.add_n([*local, *style])
        return tf.stack(local), tape.gradient(total, pixels)

    def losses(self, images, wanted=None, shares=None) -> tf.Tensor:
        """As `StyleObjective.losses`, of one picture, of `content`'s features."""
        grams = self.network.read(images, self._regions, with_content=False).grams
        style, _ = self._style_pass(grams)
        local = 0.0
        for inputs in self._tiles(images):
            local = local + np.asarray(self._loss_pass(*inputs), np.float64)
        return self._sum(style, local)

    def _tiles(self, image: tf.Tensor | tf.Variable) -> Iterator[tuple]:
        """The arguments of `_tile_losses` for each tile."""
        network, size = self.network, tuple(image.shape[1:3])
        for tile in network.tiles(size):
            cuts, own = network.cuts(tile, size), tile.cut(size, 1)
            yield tile.of(image), cuts, own, network.sizes(size), self._content

    def _sum(self, style: list[tf.Tensor], local: np.ndarray) -> tf.Tensor:
        *content, variation = tf.unstack(tf.constant(local, tf.float32))
        return self._together(content, style, variation)

    def _zero_gradient(self, shape: tuple[int, ...]) -> tf.Variable:
        """Where the tiles' gradients are added up, one for all iterations.

        A new one each time would wait for Python's collector, large as it is.
        """
        if self._gradient is None:
            self._gradient = tf.Variable(tf.zeros(shape))
            return self._gradient
        for tile in self.network.tiles(tuple(shape[1:3])):
            pixels = tile.of(self._gradient)
            pixels.assign(tf.zeros_like(pixels))
        return self._gradient

    def losses_and_gradient(
        self, image: tf.Tensor | tf.Variable
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`losses`, and the gradient of the total, (1, H, W, 3)."""
        tiles = self.network.tiles(tuple(image.shape[1:3]))
        grams = self.network.read(image, self._regions, with_content=False).grams
        style, upstream = self._style_pass(grams)
        gradient = self._zero_gradient(image.shape)
        local = 0.0
        for tile, inputs in zip(tiles, self._tiles(image), strict=True):
            losses, part = self._gradient_pass(*inputs, upstream)
            local = local + np.asarray(losses, np.float64)
            pixels = tile.of(gradient)
            pixels.assign(pixels + part)
        return self._sum(style, local), gradient.read_value()


def _own_variation(pixels: tf.Tensor, own: Cut) -> tf.Tensor:
    """Total variation between the pixels that a tile owns and the next ones."""
    top, left = own.inner[0], own.inner[1]
    height, width = own.size[0], own.size[1]
    columns = pixels[:, top : top + height + 1, left : left + width]
    rows = pixels[:, top : top + height, left : left + width + 1]
    down = columns[:, 1:] - columns[:, :-1]
    right = rows[:, :, 1:] - rows[:, :, :-1]
    return 2 * (tf.nn.l2_loss(down) + tf.nn.l2_loss(right))
