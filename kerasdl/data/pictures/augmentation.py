"""Random views of training pictures, each a function of (seed, epoch, picture).

NumPy and Pillow, one picture at a time; Pillow lets other threads run while it resizes.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from kerasdl.data.pictures.decoding import Preparation, prepare_picture, resize_picture
from kerasdl.data.pictures.rand_augment import STRONGEST, rand_augment

# Of the aspect ratio (width / height) of a random crop, and how often one that fits is
# looked for; both as torchvision's RandomResizedCrop.
ASPECT_RATIOS = (3 / 4, 4 / 3)
ATTEMPTS = 10
# ITU-R BT.601, the weights of R, G, B in a grey level.
LUMA = (0.299, 0.587, 0.114)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How a training picture is varied.

    Source of the crop: Szegedy et al., Going deeper with convolutions, 2015, section 6.

    Attributes:
        size: Side S of the result, in pixels.
        min_area: The least share of the picture's area that a random crop shows; the
            largest is 1. At 1.0 there is no random crop: the picture is prepared as for
            evaluation.
        flip: Whether every other picture is mirrored, at random.
        colour: Brightness, contrast and saturation are each scaled by a factor drawn
            from U(1 - colour, 1 + colour), at 0 not at all.
        preparation: As for evaluation, used if there is no random crop.
        operations: How many operations of RandAugment are applied at last.
        strength: Of each of them, from 0 to 10.
    """

    size: int
    min_area: float = 0.08
    flip: bool = True
    colour: float = 0.0
    preparation: Preparation = "crop"
    operations: int = 0
    strength: float = 9.0

    def __post_init__(self) -> None:
        if not 0 < self.min_area <= 1:
            raise ValueError(
                "Received an invalid value for argument `min_area`, expected a "
                f"share above 0 and at most 1, got {self.min_area}."
            )
        if not 0 <= self.colour < 1:
            raise ValueError(
                "Received an invalid value for argument `colour`, expected at least "
                f"0 and below 1, got {self.colour}."
            )
        if not 0 <= self.strength <= STRONGEST:
            raise ValueError(
                "Received an invalid value for argument `strength`, expected a number "
                f"from 0 to {STRONGEST:g}, got {self.strength}."
            )

    @property
    def is_random(self) -> bool:
        """Whether two epochs may show a picture differently."""
        return self.min_area < 1 or self.flip or self.colour > 0 or self.operations > 0

    def __call__(self, image: np.ndarray, seed: int, epoch: int, key: int) -> np.ndarray:
        """The view of a picture in an epoch.

        Args:
            image: uint8 (H, W, 3).
            seed: The run's, not negative.
            epoch: Counted from 0.
            key: Tells pictures apart, not negative; what depends on the picture alone
                makes its views independent of the other pictures.

        Returns:
            uint8 (S, S, 3).
        """
        rng = np.random.default_rng([seed, epoch, key])
        if self.min_area < 1:
            left, top, right, bottom = random_crop_box(
                rng, *image.shape[:2], self.min_area
            )
            view = resize_picture(image[top:bottom, left:right], self.size, self.size)
        else:
            view = prepare_picture(image, self.size, self.preparation)
        if self.flip and rng.random() < 0.5:
            view = view[:, ::-1]
        if self.colour:
            view = _jitter(view, *rng.uniform(1 - self.colour, 1 + self.colour, 3))
        if self.operations:
            view = rand_augment(rng, view, self.operations, self.strength)
        return np.ascontiguousarray(view)


def random_crop_box(
    rng: np.random.Generator, height: int, width: int, min_area: float
) -> tuple[int, int, int, int]:
    """A rectangle of random area, aspect ratio and place inside a picture.

    Args:
        rng: Is drawn from.
        height: Of the picture, in pixels.
        width: Of the picture, in pixels.
        min_area: The least share of its area.

    Returns:
        (left, top, right, bottom) in pixels. Where none of `ATTEMPTS` rectangles fits,
        the largest one in the middle whose aspect ratio is allowed.
    """
    low, high = ASPECT_RATIOS
    for _ in range(ATTEMPTS):
        area = height * width * rng.uniform(min_area, 1.0)
        ratio = math.exp(rng.uniform(math.log(low), math.log(high)))
        crop_width = max(1, round(math.sqrt(area * ratio)))
        crop_height = max(1, round(math.sqrt(area / ratio)))
        if crop_width <= width and crop_height <= height:
            left = int(rng.integers(width - crop_width + 1))
            top = int(rng.integers(height - crop_height + 1))
            return (left, top, left + crop_width, top + crop_height)
    crop_width = max(1, min(width, round(height * high)))
    crop_height = max(1, min(height, round(width / low)))
    left, top = (width - crop_width) // 2, (height - crop_height) // 2
    return (left, top, left + crop_width, top + crop_height)


def _jitter(
    view: np.ndarray, brightness: float, contrast: float, saturation: float
) -> np.ndarray:
    """Scales brightness, distance from the mean grey level, and from each pixel's own."""
    x = view.astype(np.float32) * np.float32(brightness)
    luma = x @ np.array(LUMA, np.float32)  # (S, S)
    middle = luma.mean(dtype=np.float64).astype(np.float32)
    x = middle + np.float32(contrast) * (x - middle)
    luma = (middle + np.float32(contrast) * (luma - middle))[..., None]
    x = luma + np.float32(saturation) * (x - luma)
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)
