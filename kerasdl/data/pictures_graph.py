"""`kerasdl.data.pictures` in TensorFlow operations, for exports that take encoded bytes.

Agrees with Pillow to one grey level after resizing, and needs nothing but TensorFlow
where it runs. What TensorFlow decodes is narrower than what Pillow does:

| format | read | refused, or different |
|---|---|---|
| JPEG | grey, RGB, CMYK; baseline and progressive; EXIF orientation | |
| PNG | 1 to 16 bits; grey, palette, RGB, alpha; EXIF orientation; first frame | |
| BMP | 8 bits with or without a palette, 24 bits; no compression | 1, 4, 16, 32 bits, run lengths: refused |
| WebP | lossy, lossless, alpha, EXIF orientation; first frame | |
| TIFF | | refused |

A picture that is broken, of another format, or over 100 megapixels raises
`tf.errors.InvalidArgumentError`, which a server answers a request with.
"""

import tensorflow as tf

from kerasdl.data.pictures import (
    MAX_PIXELS,
    PREPARATIONS,
    Preparation,
    resized_side,
)

_JPEG_START = b"\xff\xd8"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_BMP_START = b"BM"
_EXIF_START = b"Exif\x00\x00"
_ORIENTATION_TAG = 0x0112


def decode_and_prepare(
    image_bytes: tf.Tensor, size: int, how: Preparation = "squash"
) -> tf.Tensor:
    """Decodes a picture and makes it a network's input, as `prepare_picture` does.

    Args:
        image_bytes: Scalar string, an encoded picture. For a batch, `tf.map_fn` over
            string (N,) with `fn_output_signature=tf.float32`.
        size: The side of the result, in pixels.
        how: `"squash"` or `"crop"`; see `kerasdl.data.pictures.prepare_picture`.

    Returns:
        float32 (size, size, 3), RGB, whole grey levels in 0..255.

    Raises:
        ValueError: Where `how` is neither.
        tf.errors.InvalidArgumentError: When run, where the bytes are no whole picture
            of a format in the table above.
    """
    return prepare(decode(image_bytes), size, how)


def decode(image_bytes: tf.Tensor) -> tf.Tensor:
    """Decodes a scalar string to an upright picture: uint8 (H, W, 3)."""
    is_jpeg = _starts_with(image_bytes, _JPEG_START)
    is_png = _starts_with(image_bytes, _PNG_START)
    is_bmp = _starts_with(image_bytes, _BMP_START)
    is_webp = tf.logical_and(
        _starts_with(image_bytes, b"RIFF"),
        tf.equal(tf.strings.substr(image_bytes, 8, 4), b"WEBP"),
    )
    known = tf.reduce_any([is_jpeg, is_png, is_bmp, is_webp])
    with tf.control_dependencies(
        [
            tf.debugging.Assert(
                known,
                ["expected a JPEG, PNG, BMP or WebP picture, got bytes that begin with"]
                + [tf.strings.substr(image_bytes, 0, 8)],
            )
        ]
    ):
        image_bytes = tf.identity(image_bytes)
    image = tf.case(
        [
            (is_jpeg, lambda: _decode_jpeg(image_bytes)),
            (is_png, lambda: _decode_png(image_bytes)),
            (is_bmp, lambda: _decode_bmp(image_bytes)),
        ],
        default=lambda: _decode_webp(image_bytes),
    )
    return tf.ensure_shape(image, (None, None, 3))


def prepare(image: tf.Tensor, size: int, how: Preparation = "squash") -> tf.Tensor:
    """Resizes uint8 or float32 (H, W, 3) to float32 (size, size, 3); see above."""
    height = tf.shape(image)[0]
    width = tf.shape(image)[1]
    if how == "squash":
        resized_height = resized_width = tf.constant(size)
    elif how == "crop":
        side = tf.constant(resized_side(size), tf.int64)
        shorter = tf.cast(tf.minimum(height, width), tf.int64)
        resized_height = tf.cast(side * tf.cast(height, tf.int64) // shorter, tf.int32)
        resized_width = tf.cast(side * tf.cast(width, tf.int64) // shorter, tf.int32)
    else:
        raise ValueError(
            "Received an invalid value for argument `how`, expected one of "
            f"{', '.join(PREPARATIONS)}, got {how}."
        )
    resized = tf.stack([resized_height, resized_width])
    # Resizing and cropping are one operation: pixel y of the result is at
    # (y + 1/2 + offset) / scale of the picture, and nothing else is computed.
    shift = tf.cast((resized - size) // 2, tf.float32)
    scale = tf.cast(resized, tf.float32) / tf.cast(tf.shape(image)[:2], tf.float32)
    prepared = tf.raw_ops.ScaleAndTranslate(
        images=image[tf.newaxis],
        size=[size, size],
        scale=scale,
        translation=-shift,
        kernel_type="triangle",
        antialias=True,
    )[0]
    return tf.ensure_shape(tf.round(prepared), (size, size, 3))


def _starts_with(data: tf.Tensor, magic: bytes) -> tf.Tensor:
    return tf.equal(tf.strings.substr(data, 0, len(magic)), magic)


def _check_pixels(height: tf.Tensor, width: tf.Tensor) -> tf.Operation:
    pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
    return tf.debugging.Assert(
        pixels <= MAX_PIXELS,
        [f"expected at most {MAX_PIXELS // 1_000_000} megapixels, got", pixels],
    )


def _decode_jpeg(data: tf.Tensor) -> tf.Tensor:
    shape = tf.io.extract_jpeg_shape(data)
    with tf.control_dependencies([_check_pixels(shape[0], shape[1])]):
        image = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
    return _upright(image, _jpeg_exif(data))


def _decode_png(data: tf.Tensor) -> tf.Tensor:
    # The header chunk is first: length, "IHDR", width, height.
    width = _integer(data, 16, 4, little_endian=tf.constant(False))
    height = _integer(data, 20, 4, little_endian=tf.constant(False))
    with tf.control_dependencies([_check_pixels(height, width)]):
        image = tf.io.decode_png(data, channels=4)
    return _upright(_over_white(image), _png_exif(data))


