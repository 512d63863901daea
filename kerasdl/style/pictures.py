"""Pictures in and out of style transfer: sizes, colour profiles, luminance."""

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from kerasdl.data.pictures.decoding import check_size, decode_picture, resize_picture
from kerasdl.data.pictures.files import read_picture_bytes
from kerasdl.errors import InputError

# Format -> (ending of the file, Pillow's name, how it is saved).
FORMATS = {
    "png": (".png", "PNG", {"optimize": True}),
    "jpeg": (".jpg", "JPEG", {"quality": 92, "subsampling": 0}),
    "webp": (".webp", "WEBP", {"quality": 92}),
}

# The longest side that a picture is resized to.
MAX_SIDE = 8192

# By how much a mask's proportions may differ from the content's, as a ratio.
MASK_SLACK = 0.02

# Grey levels: a style is not made more contrasted than as if it had this spread, or the
# noise of a flat one would become its strokes.
LEAST_SPREAD = 4.0

# Where an ICC header holds the time at which it was made, and the time that ours say:
# the year, month and day of the sRGB standard's publication, 16 bits each.
_ICC_DATE = slice(24, 36)
_DATE = bytes((7, 207, 0, 10, 0, 18, 0, 0, 0, 0, 0, 0))

# Luminance and the two chrominances of NTSC, as Gatys et al., 2016, Preserving Color in
# Neural Artistic Style Transfer, section 3.2.
RGB_TO_YIQ = np.array(
    [
        [0.299, 0.587, 0.114],
        [0.595716, -0.274453, -0.321263],
        [0.211456, -0.522591, 0.311135],
    ]
)


def srgb_profile() -> bytes:
    """The ICC profile that results carry, the same bytes each time."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[: _ICC_DATE.start] + _DATE + profile[_ICC_DATE.stop :]


def read_srgb(path: str | Path) -> np.ndarray:
    """The picture at `path` in sRGB; see `decode_srgb`.

    Raises:
        InputError: The file is no picture that can be read.
    """
    return decode_srgb(read_picture_bytes(path), str(path))


def decode_srgb(data: bytes, name: str) -> np.ndarray:
    """An encoded picture in sRGB: uint8 (H, W, 3), upright.

    Pixels of an embedded RGB profile (Adobe RGB, Display P3, ...) are converted; those of
    other colour models and of damaged profiles are taken as they decode.

    Args:
        data: The bytes of the file.
        name: What an error calls the picture.

    Raises:
        InputError: It is no picture that can be read.
    """
    image = decode_picture(data, name)
    try:
        with Image.open(io.BytesIO(data)) as opened:
            profile = opened.info.get("icc_profile")
        if not profile:
            return image
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != "RGB":
            return image
        converted = ImageCms.profileToProfile(
            Image.fromarray(image), source, ImageCms.createProfile("sRGB")
        )
    except Exception:  # a damaged profile raises what struct, codecs and LCMS do
        return image
    return np.asarray(converted)


def encode_picture(image: np.ndarray, format: str) -> bytes:
    """uint8 (H, W, 3) in sRGB as the bytes of a file that says so.

    Args:
        image: The pixels.
        format: A key of `FORMATS`.
    """
    _, name, options = FORMATS[format]
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, name, icc_profile=srgb_profile(), **options)
    return buffer.getvalue()


def fit_shorter_side(image: np.ndarray, size: int, name: str = "picture") -> np.ndarray:
    """Resizes so that the shorter side has `size` pixels; uint8 (H, W, 3) both ways.

    Raises:
        InputError: As `fitted_size`.
    """
    return resize_picture(image, *fitted_size(image, size, name))


def fitted_size(image: np.ndarray, size: int, name: str) -> tuple[int, int]:
    """Height and width of a picture whose shorter side is resized to `size` pixels.

    Args:
        image: uint8 (H, W, 3).
        size: In pixels.
        name: What an error calls the picture.

    Raises:
        InputError: A resized side would be above `MAX_SIDE`, or one side of the picture
            is more than `MAX_RATIO` times the other.
    """
    height, width = image.shape[:2]
    check_size(width, height, name)
    shorter = min(height, width)
    fitted = max(1, size * height // shorter), max(1, size * width // shorter)
    if max(fitted) > MAX_SIDE:
        raise InputError(
            f"{name}: expected resized sides of at most {MAX_SIDE} pixels, got "
            f"{fitted[1]} x {fitted[0]} from {width} x {height}."
        )
    return fitted


def shares_of_masks(
    masks: Sequence[np.ndarray],
    names: Sequence[str],
    styles: int,
    size: tuple[int, int],
) -> np.ndarray:
    """The share of each style at each pixel.

    Args:
        masks: uint8 (H_m, W_m, 3) each; luminance counts.
        names: What an error calls each.
        styles: How many styles there are.
        size: Height and width of the content.

    Returns:
        float32 (H, W, styles), at the largest of the masks' sizes; the shares of a pixel
        add up to 1 at most.

    Raises:
        InputError: There is not one mask a style, a mask has other proportions than the
            content, or is black everywhere.
    """
    if len(masks) != styles:
        raise InputError(
            f"`masks` must be one for each style, got {len(masks)} for {styles}."
        )
    height, width = size
    for mask, name in zip(masks, names, strict=True):
        proportions = mask.shape[0] * width / (mask.shape[1] * height)
        # Half a pixel of a small mask is no other shape.
        slack = MASK_SLACK + 1 / min(mask.shape[:2])
        if abs(math.log(proportions)) > slack:
            raise InputError(
                f"{name}: a mask must have the proportions of the content, {width} x "
                f"{height}, got {mask.shape[1]} x {mask.shape[0]}."
            )
        if not mask.any():
            raise InputError(f"{name}: a mask must not be black everywhere.")
    common = max((mask.shape[:2] for mask in masks), key=math.prod)
    shares = np.stack([luminance(resize_picture(m, *common)) for m in masks], -1) / 255
    return (shares / np.maximum(shares.sum(-1, keepdims=True), 1)).astype(np.float32)


def grey_like(style: np.ndarray, content: np.ndarray) -> np.ndarray:
    """The style's luminance with the content's mean and spread, as a grey picture.

    Equation 10 of Gatys et al., 2016, on luminance; without it a dark style would ask
    for tones that the content's colours do not go with.

    Args:
        style: uint8 (H_s, W_s, 3).
        content: uint8 (H, W, 3).

    Returns:
        uint8 (H_s, W_s, 3), three equal channels.
    """
    style_y, content_y = luminance(style), luminance(content)
    spread = content_y.std() / max(style_y.std(), LEAST_SPREAD)
    matched = (style_y - style_y.mean()) * spread + content_y.mean()
    return _grey(matched)


def grey(image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) as three equal channels of luminance."""
    return _grey(luminance(image))


def luminance(image: np.ndarray) -> np.ndarray:
    """Y of uint8 (H, W, 3), float64 (H, W) in 0..255."""
    return image @ RGB_TO_YIQ[0]


def with_colours_of(image: np.ndarray, content: np.ndarray) -> np.ndarray:
    """The luminance of `image` with the chrominance of `content`, uint8 (H, W, 3) all."""
    yiq = content @ RGB_TO_YIQ.T
    yiq[..., 0] = luminance(image)
    return np.clip(np.rint(yiq @ np.linalg.inv(RGB_TO_YIQ).T), 0, 255).astype(np.uint8)


def _grey(values: np.ndarray) -> np.ndarray:
    channel = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return np.repeat(channel[..., np.newaxis], 3, axis=-1)
