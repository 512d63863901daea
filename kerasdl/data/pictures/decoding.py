"""The one decoder of pictures, and the way from a picture to a network's input.

Pillow and NumPy alone, so that a device needs nothing else. Training, export checks and
prediction all come through here; `kerasdl.data.pictures.graph` is the same in TensorFlow
operations, for models that take encoded bytes.

A decoded picture is a uint8 array (H, W, 3): RGB, upright, first frame, transparency
laid over white. Colour profiles are not applied.
"""

import contextlib
import io
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from kerasdl.data.pictures.files import read_picture_bytes
from kerasdl.errors import InputError

# What the bytes may hold, whatever the name says. JPEG includes the MPO of some cameras,
# with further pictures behind the first.
PICTURE_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")
MAX_PIXELS = 100_000_000
# Pillow's decoder of WebP holds four copies of a picture, of four bytes per pixel.
MAX_WEBP_PIXELS = 50_000_000
MAX_RATIO = 20
# A progressive JPEG usually has 10 scans, and each takes time for every pixel.
MAX_SCANS = 100
MAX_SCANNED_PIXELS = 2_000_000_000
STRIP_PIXELS = 1 << 22
START_OF_SCAN = b"\xff\xda"

# The network's share of the shorter side: 224 of 256, the evaluation crop of most
# ImageNet networks.
CROP_PART = 224
CROP_WHOLE = 256

Preparation = Literal["squash", "crop"]
PREPARATIONS: tuple[Preparation, ...] = ("squash", "crop")

_ORIENTATION_TAG = 0x0112
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Pillow registers its plugins lazily; `formats` may only name registered ones.
Image.init()
_filters = threading.Lock()


def read_picture(path: str | Path) -> np.ndarray:
    """Reads and decodes the picture at `path`; see `decode_picture`.

    Raises:
        InputError: Where the file cannot be read, and as `decode_picture` does.
    """
    return decode_picture(read_picture_bytes(path), str(path))


def decode_picture(data: bytes, name: str) -> np.ndarray:
    """Decodes an encoded picture.

    Args:
        data: The bytes of a JPEG, PNG, BMP, WebP or TIFF file.
        name: What an error calls the picture: its path, or its key in a data set.

    Returns:
        uint8 (H, W, 3), RGB. The EXIF orientation is applied; CMYK, palette, grey and
        16-bit pixels are converted (16 bits by their high byte); transparent pixels are
        laid over white; of several frames or pages it is the first.

    Raises:
        InputError: `data` is empty, truncated, no picture or of another format; or it
            declares more than 100 megapixels (50 of a WebP), sides in a ratio over 20 or
            thousands of scans, which is checked before any pixel is decoded.
    """
    if not data:
        raise InputError(f"{name}: expected a picture, got an empty file.")
    image = _open(data, name)
    check_size(*image.size, name)
    if image.format == "WEBP" and image.width * image.height > MAX_WEBP_PIXELS:
        raise _too_large(name, f"{image.width} x {image.height}", MAX_WEBP_PIXELS)
    if image.format in ("JPEG", "MPO"):
        _check_scans(data, image.width * image.height, name)
    try:
        # A damaged TIFF warns while it loads; other formats decode beside each other.
        with _no_warnings() if image.format == "TIFF" else contextlib.nullcontext():
            image.load()
        image = _upright(image)
        return _to_rgb(image)
    except Exception as error:  # Pillow's decoders raise any of a dozen kinds
        raise InputError(
            f"{name}: expected a whole picture, got a broken {image.format}: {error}."
        ) from error


def check_size(width: int, height: int, name: str) -> None:
    """Refuses a picture that is too large or too elongated.

    Raises:
        InputError: It has more than `MAX_PIXELS`, or one side is more than `MAX_RATIO`
            times the other.
    """
    if width * height > MAX_PIXELS:
        raise _too_large(name, f"{width} x {height}")
    if max(width, height) > MAX_RATIO * min(width, height):
        raise InputError(
            f"{name}: expected sides in a ratio of at most {MAX_RATIO}, got "
            f"{width} x {height}."
        )


def as_jpeg_or_png(data: bytes, name: str) -> bytes:
    """A picture for a model that decodes JPEG and PNG alone, as a served one does.

    Args:
        data: An encoded picture.
        name: What an error calls it.

    Returns:
        `data` itself if it is a JPEG or PNG, else a PNG of its pixels.

    Raises:
        InputError: As `decode_picture`.
    """
    image = decode_picture(data, name)
    if data.startswith((b"\xff\xd8", b"\x89PNG")):
        return data
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def resize_picture(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes with Pillow's bilinear filter, widened to antialias when it shrinks.

    Args:
        image: uint8 (H, W, 3).
        height: Of the result, in pixels.
        width: Of the result, in pixels.

    Returns:
        uint8 (height, width, 3).
    """
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def prepare_picture(
    image: np.ndarray, size: int, how: Preparation = "squash"
) -> np.ndarray:
    """Makes a decoded picture into a network's square input.

    Args:
        image: uint8 (H, W, 3).
        size: The side of the result, in pixels.
        how: `"squash"` resizes the whole picture and gives up its aspect ratio.
            `"crop"` resizes the shorter side to `size` * 256 / 224 and keeps the middle;
            only the pixels that are kept are computed.

    Returns:
        uint8 (size, size, 3).
    """
    height, width = image.shape[:2]
    left, top, right, bottom = source_box(height, width, size, how)
    picture = Image.fromarray(image)
    # Pillow rounds between its two passes, and from version 13 on chooses their order by
    # the picture's shape. The longer side first is never much work, and is the same in
    # every version and in `kerasdl.data.pictures.graph_resizing`.
    bilinear = Image.Resampling.BILINEAR
    if height > width:
        picture = picture.resize((width, size), bilinear, (0, top, width, bottom))
        picture = picture.resize((size, size), bilinear, (left, 0, right, size))
    else:
        picture = picture.resize((size, height), bilinear, (left, 0, right, height))
        picture = picture.resize((size, size), bilinear, (0, top, size, bottom))
    return np.asarray(picture)


def source_box(
    height: int, width: int, size: int, how: Preparation
) -> tuple[float, float, float, float]:
    """The part of a picture that `prepare_picture` shows.

    Returns:
        (left, top, right, bottom) in the picture's pixels, fractions of one included.
    """
    if how == "squash":
        return (0.0, 0.0, float(width), float(height))
    if how != "crop":
        raise ValueError(
            "Received an invalid value for argument `how`, expected one of "
            f"{', '.join(PREPARATIONS)}, got {how}."
        )
    side = resized_side(size)
    shorter = min(height, width)
    resized_height = side * height // shorter
    resized_width = side * width // shorter
    top = (resized_height - size) // 2
    left = (resized_width - size) // 2
    return (
        left * width / resized_width,
        top * height / resized_height,
        (left + size) * width / resized_width,
        (top + size) * height / resized_height,
    )


def resized_side(size: int) -> int:
    """The length of the shorter side before a crop to `size`: 256 for 224."""
    return round(size * CROP_WHOLE / CROP_PART)


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    """Silences Pillow on what is either an error here or of no consequence.

    The filters are the process's, so one thread at a time.
    """
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _open(data: bytes, name: str) -> Image.Image:
    """Reads the header alone. Pillow's own limits on pixels are replaced by ours."""
    try:
        with _no_warnings():
            return Image.open(io.BytesIO(data), formats=PICTURE_FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_large(name, str(error)) from error
    except Image.UnidentifiedImageError as error:
        raise InputError(
            f"{name}: expected a JPEG, PNG, BMP, WebP or TIFF picture, got "
            f"{len(data)} bytes that begin with {data[:8]!r}."
        ) from error
    except Exception as error:
        raise InputError(
            f"{name}: expected a whole picture, got a broken header: {error}."
        ) from error


def _check_scans(data: bytes, pixels: int, name: str) -> None:
    """Refuses a small JPEG that takes minutes to decode."""
    # These bytes are nothing but a scan's start: inside a scan, 00 follows FF.
    scans = data.count(START_OF_SCAN)
    if scans > MAX_SCANS or scans * pixels > MAX_SCANNED_PIXELS:
        raise InputError(
            f"{name}: expected at most {MAX_SCANS} scans, and "
            f"{MAX_SCANNED_PIXELS // 1_000_000} megapixels over all of them, got {scans} "
            f"scans of {pixels / 1e6:.1f} megapixels."
        )


def _too_large(name: str, received: str, most: int = MAX_PIXELS) -> InputError:
    return InputError(
        f"{name}: expected at most {most // 1_000_000} megapixels, got {received}."
    )


def _upright(image: Image.Image) -> Image.Image:
    """Applies the EXIF orientation. (Pillow has applied a TIFF's own when it loaded.)"""
    if image.format == "TIFF":
        return image
    transposition = _TRANSPOSITIONS.get(_orientation(image.info.get("exif", b"")))
    return image if transposition is None else image.transpose(transposition)


def _orientation(exif: bytes) -> int:
    """The orientation 1 to 8 in an EXIF block; 1 if there is none or it is damaged.

    Only EXIF counts: Pillow's own `getexif` would also believe an XMP packet, which the
    graph does not read.
    """
    block = Image.Exif()
    try:
        with _no_warnings():
            block.load(exif)
            return int(block.get(_ORIENTATION_TAG, 1))
    except Exception:  # damaged metadata does not make the pixels unreadable
        return 1


def _to_rgb(image: Image.Image) -> np.ndarray:
    """Any mode that Pillow decodes, as uint8 (H, W, 3).

    Strip by strip: a conversion takes several times the memory of what it converts.
    """
    width, height = image.size
    rows = max(1, STRIP_PIXELS // width)
    if rows >= height:
        return _strip_to_rgb(image)
    result = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        result[top:bottom] = _strip_to_rgb(image.crop((0, top, width, bottom)))
    return result


def _strip_to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I;16"):
        return _grey16_to_rgb(np.asarray(image), image.info.get("transparency"))
    if image.mode in ("I", "F"):
        raise ValueError(f"32-bit pixels (mode {image.mode}) have no agreed white")
    if "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        return over_white(np.asarray(image.convert("RGBA")))
    return np.array(image.convert("RGB"))


def _grey16_to_rgb(grey: np.ndarray, transparent: int | None) -> np.ndarray:
    high = (grey.astype(np.uint16) >> 8).astype(np.uint8)
    if transparent is not None:
        high = np.where(grey == transparent, np.uint8(255), high)
    return np.repeat(high[:, :, None], 3, axis=2)


def over_white(rgba: np.ndarray) -> np.ndarray:
    """Lays uint8 (H, W, 4) over white, rounding to the nearest grey level: (H, W, 3)."""
    alpha = rgba[:, :, 3:].astype(np.uint16)
    white = 255 * (255 - alpha)
    return ((rgba[:, :, :3] * alpha + white + 127) // 255).astype(np.uint8)
