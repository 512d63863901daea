"""The options of style transfer: their names, defaults and ranges.

No TensorFlow here: configs are built from `StyleOptions` before anything heavy loads.
"""

import dataclasses
import math
import os
from collections.abc import Mapping
from typing import Any

from kerasdl.errors import InputError

# What a run makes: one picture, a network that makes them, or a video.
METHODS = ("picture", "network", "video")
OUTPUT_FORMATS = ("png", "jpeg", "webp")
# What is optimised, if it is not a picture of the caller's that `init` names.
INITS = ("content", "noise")
CHOICES = {
    "pooling": ("max", "average"),
    "weighting": ("normalised", "raw"),
    "optimizer": ("adam", "lbfgs"),
    "precision": ("float32", "mixed_bfloat16"),
    "compile": ("auto", "graph", "xla"),
}
_POSITIVE = ("image_size", "style_size", "iterations", "scales", "learning_rate")
_NOT_NEGATIVE = (
    "style_scale",
    "init_noise",
    "tile_size",
    "content_weight",
    "style_weight",
    "tv_weight",
    "temporal_weight",
    "coarse_iterations",
    "decay_at",
    "clamp",
    "clamp_until",
)


@dataclasses.dataclass(frozen=True)
class StyleOptions:
    """How a picture is stylised. Lists are comma-separated strings, as flags are.

    Attributes:
        backbone: The network whose features are matched: a name of
            `kerasdl.style.features.STYLE_LAYERS`.
        weights: The path of its weights; "" for those that come with it.
        pooling: "max", or "average" in place of every max-pooling.
        feature_divisors: What a layer's features are divided by, `LAYER=NUMBER` each; 1
            for layers that are not named.
        content_layers: Layers whose features are kept; "" for the network's usual ones.
        content_weight: w_c, of the content loss.
        style_layers: Layers whose Gram matrices are matched; "" for the usual ones.
        layer_weights: w_l of each style layer; "" for 1 each.
        style_weight: A factor on all `layer_weights`.
        tv_weight: w_tv, of the total variation.
        temporal_weight: w_t, of a video's temporal loss: a frame is held to the one
            before.
        weighting: "raw" takes the weights as they are (the recipes). "normalised"
            divides each term by what it is before anything has happened, so that
            weights mean the same in any network and at any size: a style layer by its
            loss at the initial picture (each starts at `style_weight` over the number
            of layers, if `layer_weights` are equal), the content loss by that of flat
            features, total variation by the content picture's own. If `init` is a
            picture of yours, style layers are divided by their losses at the content,
            and the content loss by what it is at that picture, if that is more. Each
            divisor has a floor, for pictures that are flat or have the style already.
        image_size: Shorter side of the result, in pixels.
        style_size: Shorter side of the style pictures, in pixels.
        style_scale: The shorter side of the style pictures as a multiple of the result's,
            at each scale, instead of `style_size`; 0 for `style_size`. Above 1 strokes
            are larger than in the painting, below 1 finer.
        style_mix: Share of each style; "" for equal shares.
        init: "content", "noise" (uniform in [0, 1), normalised units), or a picture's
            path.
        init_noise: Standard deviation of the noise that is added to the content as the
            start, in normalised units. Where the content is the same along a line, so is
            every step, and strokes become scan lines, unless noise tells them apart.
        optimizer: "adam" or "lbfgs".
        iterations: Of the optimiser, at the last scale.
        scales: How many sizes are worked through, each twice the last.
        coarse_iterations: At each scale but the last; 0 for `iterations`.
        learning_rate: Of Adam, in normalised units.
        decay_at: The iteration from which a fresh Adam goes on at
            `decay_learning_rate`; 0 for never. Counted within each scale.
        decay_learning_rate: See `decay_at`.
        clamp: The picture stays within [-clamp, clamp] in normalised units; 0 keeps it
            to what pixels can show.
        clamp_until: Clamped before each iteration below this; 0 for all.
        average_decay: The result is the mean of the iterates of Adam, each weighted by
            this to the power of its age (Polyak averaging in exponential form, corrected
            for the start as Adam's moments are); 0 for the last iterate.
        stretch: Whether the result is stretched from its own minimum and maximum to
            0..255 instead of cut off there.
        keep_colours: Keeps the content's colours: only luminance is transferred.
        tile_size: Pictures with a longer side are worked through in overlapping tiles of
            at most this side, in pixels, which bounds the memory; losses and gradient
            are the same. 0 for never.
        precision: "mixed_bfloat16" computes features in bfloat16 (and a network that is
            trained, too), losses and picture in float32. float16 has too small a range.
        compile: "graph", "xla", or "auto", which measures both on a GPU and takes
            graph on a CPU.
        seed: Of the noise, and of pictures that are drawn.
    """

    backbone: str = "efficientnet_lite0"
    weights: str = ""
    pooling: str = "max"
    feature_divisors: str = ""
    content_layers: str = ""
    content_weight: float = 1.0
    style_layers: str = ""
    layer_weights: str = ""
    style_weight: float = 20.0
    tv_weight: float = 0.1
    temporal_weight: float = 10.0
    weighting: str = "normalised"
    image_size: int = 256
    style_size: int = 256
    style_scale: float = 0.0
    style_mix: str = ""
    init: str = "content"
    init_noise: float = 0.1
    optimizer: str = "adam"
    iterations: int = 100
    scales: int = 1
    coarse_iterations: int = 0
    learning_rate: float = 0.05
    decay_at: int = 0
    decay_learning_rate: float = 0.1
    clamp: float = 0.0
    clamp_until: int = 0
    average_decay: float = 0.0
    stretch: bool = False
    keep_colours: bool = False
    tile_size: int = 0
    precision: str = "float32"
    compile: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise InputError(
                    f"`{name}` must be one of {', '.join(choices)}, "
                    f"got {getattr(self, name)!r}."
                )
        for name in _POSITIVE:
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"`{name}` must be positive, got {getattr(self, name)}.")
        for name in _NOT_NEGATIVE:
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(
                    f"`{name}` must not be negative, got {getattr(self, name)}."
                )
        if self.image_size >> (self.scales - 1) < 16:
            raise InputError(
                f"`scales` must leave 16 pixels at the coarsest, got {self.scales} for "
                f"`image_size` {self.image_size}."
            )
        if not 0 <= self.average_decay < 1:
            raise InputError(
                f"`average_decay` must be at least 0 and less than 1, got "
                f"{self.average_decay}."
            )
        if self.average_decay and self.optimizer != "adam":
            raise InputError(
                "`average_decay` is of Adam's iterates and must be 0 for another "
                f"`optimizer`, got {self.average_decay} with {self.optimizer!r}."
            )
        for name in ("layer_weights", "style_mix"):
            numbers(name, getattr(self, name))
        named_numbers("feature_divisors", self.feature_divisors)

    @property
    def total_iterations(self) -> int:
        """Iterations over all scales."""
        return sum(self.iterations_at(scale) for scale in range(self.scales))

    @property
    def full_style_size(self) -> int:
        """Shorter side of the style pictures at the last scale, in pixels."""
        if not self.style_scale:
            return self.style_size
        return max(1, round(self.style_scale * self.image_size))

    def iterations_at(self, scale: int) -> int:
        """Iterations at `scale`, the coarsest being 0."""
        last = scale == self.scales - 1
        return self.iterations if last else self.coarse_iterations or self.iterations


@dataclasses.dataclass(frozen=True)
class NetworkOptions:
    """What a feed-forward network is and how it is trained.

    The losses are those of `StyleOptions`, on crops of `image_size` pixels.

    Attributes:
        conditional: Whether several styles are kept apart: the network then takes the
            share of each. If not, it paints in their mixture (`style_mix`).
        filters: Channels of the first convolution; the others have two and four times
            as many. 32 in the paper.
        residual_blocks: 5 in the paper.
        steps: Minibatches to train on.
        batch_size: Pictures per minibatch.
        learning_rate: Of Adam; it falls to 0 along half a cosine.
        steps_per_epoch: Steps between two rows of metrics and two checkpoints.
        drawn: Pictures drawn to train on if no folder is named.
    """

    conditional: bool = False
    filters: int = 32
    residual_blocks: int = 5
    steps: int = 2000
    batch_size: int = 4
    learning_rate: float = 1e-3
    steps_per_epoch: int = 100
    drawn: int = 64

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name != "conditional" and not 0 < value < math.inf:
                raise InputError(f"`network.{field.name}` must be positive, got {value}.")


@dataclasses.dataclass(frozen=True)
class VideoOptions:
    """How a video is stylised; its first frame is as `StyleOptions` say.

    Attributes:
        iterations: Of each later frame, which starts from the one before; there is one
            scale.
        most_frames: Frames after which to stop; 0 for all.
        fps: Frames per second of `result.mp4`; 0 for those of the file that was read, or
            for 25.
        write_file: Whether to write `result.mp4` besides the frames.
        drawn: Frames drawn if no video is named.
    """

    iterations: int = 40
    most_frames: int = 0
    fps: float = 0.0
    write_file: bool = False
    drawn: int = 8

    def __post_init__(self) -> None:
        for name, least in (("iterations", 1), ("drawn", 1), ("most_frames", 0)):
            if getattr(self, name) < least:
                raise InputError(
                    f"`video.{name}` must be at least {least}, got {getattr(self, name)}."
                )
        if not 0 <= self.fps < math.inf:
            raise InputError(f"`video.fps` must not be negative, got {self.fps}.")


def make_options(fields: dict[str, Any]) -> StyleOptions:
    """`StyleOptions` from fields by name.

    Args:
        fields: Values by field; a list stands for comma-separated text, a mapping for
            `NAME=NUMBER` of each of its items, a path for text.

    Raises:
        InputError: If there is no such option, or a value is out of range.
    """
    names = [field.name for field in dataclasses.fields(StyleOptions)]
    for name in fields:
        if name not in names:
            raise InputError(f"no option {name!r}; there are {', '.join(names)}.")
    return StyleOptions(**{name: _as_text(value) for name, value in fields.items()})


def _as_text(value: Any) -> Any:
    if isinstance(value, Mapping):
        value = [f"{name}={number}" for name, number in value.items()]
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def words(text: str) -> tuple[str, ...]:
    """The parts of a comma-separated list.

    >>> words("fire2, fire3"), words("")
    (('fire2', 'fire3'), ())
    """
    return tuple(part.strip() for part in text.split(",") if part.strip())


def numbers(name: str, text: str, count: int = 0) -> tuple[float, ...]:
    """The numbers of a comma-separated list; `count` ones if it is empty.

    >>> numbers("layer_weights", "2, 0.5"), numbers("layer_weights", "", 3)
    ((2.0, 0.5), (1.0, 1.0, 1.0))

    Raises:
        InputError: If a part is no positive number, or there are not `count` (if
            given) of them.
    """
    try:
        values = tuple(float(part) for part in words(text))
    except ValueError as error:
        raise InputError(f"`{name}` must be numbers, got {text!r}.") from error
    if not all(0 < value < math.inf for value in values):
        raise InputError(f"`{name}` must be positive numbers, got {text!r}.")
    if not values:
        return (1.0,) * count
    if count and len(values) != count:
        raise InputError(f"`{name}` must be {count} numbers, got {text!r}.")
    return values


def named_numbers(name: str, text: str) -> dict[str, float]:
    """The positive numbers of a comma-separated list of `NAME=NUMBER`.

    >>> named_numbers("feature_divisors", "fire2=20, fire3=16")
    {'fire2': 20.0, 'fire3': 16.0}

    Raises:
        InputError: If a part is anything else.
    """
    values = {}
    for part in words(text):
        key, _, value = part.partition("=")
        if not (key and value):
            raise InputError(f"`{name}` must be LAYER=NUMBER, got {part!r}.")
        values[key.strip()] = numbers(name, value)[0]
    return values
