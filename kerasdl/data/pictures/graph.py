"""`pictures.decoding` in TensorFlow operations, for exports that take encoded bytes.

Agrees with Pillow to one grey level, resizes as it does to the bit, and needs nothing but
TensorFlow where it runs. It reads JPEG (grey, RGB, CMYK; baseline, progressive) and PNG
(1 to 16 bits; grey, palette, RGB, alpha; the first frame), with their EXIF orientation.

Another format, named in the message, and a picture that is broken or that `decoding`
refuses for its size, raise `tf.errors.InvalidArgumentError`, which a server answers a
request with. Messages quote no byte of a picture: clients expect text.
"""

import tensorflow as tf

from kerasdl.data.pictures.decoding import (
    MAX_PIXELS,
    MAX_RATIO,
    MAX_SCANNED_PIXELS,
    MAX_SCANS,
    PREPARATIONS,
    START_OF_SCAN,
    Preparation,
    resized_side,
)
from kerasdl.data.pictures.graph_orientation import (
    Octets,
    find_exif_in_jpeg,
    find_png_chunk,
    orientation_at,
    upright,
)
from kerasdl.data.pictures.graph_resizing import resize_exactly

_JPEG_START = b"\xff\xd8"
_PNG_START = b"\x89PNG\r\n\x1a\n"
# How other formats begin, and what a message calls them.
_OTHER_STARTS = {
    b"GIF8": "a GIF",
    b"BM": "a BMP",
    b"RIFF": "a WebP",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
}


def decode_and_prepare(
    image_bytes: tf.Tensor, size: int, how: Preparation = "squash"
) -> tf.Tensor:
    """Decodes a picture and makes it a network's input, as `prepare_picture` does.

    Args:
        image_bytes: Scalar string, an encoded picture. For a batch, `tf.map_fn` over
            string (N,) with `fn_output_signature=tf.float32`.
        size: The side of the result, in pixels.
        how: `"squash"` or `"crop"`; see `kerasdl.data.pictures.decoding.prepare_picture`.

    Returns:
        float32 (size, size, 3), RGB, whole grey levels in 0..255.

    Raises:
        ValueError: Where `how` is neither.
        tf.errors.InvalidArgumentError: When run, if the bytes are no whole picture
            of a format named above.
    """
    return prepare(decode(image_bytes), size, how)


# All control flow here is TensorFlow's already; rewriting the Python doubles the tracing.
@tf.autograph.experimental.do_not_convert
def decode(image_bytes: tf.Tensor) -> tf.Tensor:
    """Decodes a scalar string to an upright picture: uint8 (H, W, 3)."""
    # Padded, because substr refuses a place beyond the string's end.
    start = tf.strings.join([tf.strings.substr(image_bytes, 0, 8), b"\0" * 8])
    is_jpeg, is_png = _begins(start, _JPEG_START), _begins(start, _PNG_START)
    received = tf.constant("bytes of no picture")
    for magic, name in _OTHER_STARTS.items():
        received = tf.where(_begins(start, magic), name, received)
    received = tf.where(tf.equal(tf.strings.length(image_bytes), 0), "none", received)
    known = tf.debugging.Assert(
        is_jpeg | is_png, ["expected a JPEG or PNG picture, got", received]
    )
    with tf.control_dependencies([known]):
        image_bytes = tf.identity(image_bytes)
    octets = Octets(image_bytes)
    image, exif = tf.cond(
        is_jpeg,
        lambda: _decode_jpeg(image_bytes, octets),
        lambda: _decode_png(image_bytes, octets),
    )
    image = upright(image, orientation_at(octets, exif))
    return tf.ensure_shape(image, (None, None, 3))


@tf.autograph.experimental.do_not_convert
def prepare(image: tf.Tensor, size: int, how: Preparation = "squash") -> tf.Tensor:
    """`prepare_picture` to the bit: uint8 (H, W, 3) to float32 (size, size, 3)."""
    height = tf.cast(tf.shape(image)[0], tf.int64)
    width = tf.cast(tf.shape(image)[1], tf.int64)
    resized = resize_exactly(image, _source_box(height, width, size, how), size)
    return tf.cast(resized, tf.float32)


def _source_box(height, width, size, how) -> tf.Tensor:
    """`kerasdl.data.pictures.decoding.source_box` of int64 scalars, as float64 (4,)."""
    if how == "squash":
        return tf.cast(tf.stack([0, 0, width, height]), tf.float64)
    if how != "crop":
        raise ValueError(
            "Received an invalid value for argument `how`, expected one of "
            f"{', '.join(PREPARATIONS)}, got {how}."
        )
    side = tf.constant(resized_side(size), tf.int64)
    shorter = tf.minimum(height, width)
    resized_height = side * height // shorter
    resized_width = side * width // shorter
    top = (resized_height - size) // 2
    left = (resized_width - size) // 2
    return tf.stack(
        [
            left * width / resized_width,
            top * height / resized_height,
            (left + size) * width / resized_width,
            (top + size) * height / resized_height,
        ]
    )


def _begins(data: tf.Tensor, magic: bytes) -> tf.Tensor:
    return tf.equal(tf.strings.substr(data, 0, len(magic)), magic)


def _check_size(height: tf.Tensor, width: tf.Tensor) -> tf.Operation:
    """`kerasdl.data.pictures.decoding.check_size`."""
    height, width = tf.cast(height, tf.int64), tf.cast(width, tf.int64)
    shorter, longer = tf.minimum(height, width), tf.maximum(height, width)
    return tf.group(
        tf.debugging.Assert(
            # Divided, because the product of two sides may overflow.
            height <= MAX_PIXELS // tf.maximum(width, 1),
            [
                f"expected at most {MAX_PIXELS // 1_000_000} megapixels, got "
                "height and width",
                height,
                width,
            ],
        ),
        tf.debugging.Assert(
            longer <= MAX_RATIO * shorter,
            [
                f"expected sides in a ratio of at most {MAX_RATIO}, got height and width",
                height,
                width,
            ],
        ),
    )


def _check_scans(octets: Octets, pixels: tf.Tensor) -> tf.Operation:
    """`kerasdl.data.pictures.decoding._check_scans`."""
    scans = octets.count(START_OF_SCAN)
    return tf.debugging.Assert(
        (scans <= MAX_SCANS) & (scans * pixels <= MAX_SCANNED_PIXELS),
        [f"expected a JPEG of at most {MAX_SCANS} scans of few pixels, got", scans],
    )


def _decode_jpeg(data: tf.Tensor, octets: Octets) -> tuple[tf.Tensor, tf.Tensor]:
    shape = tf.cast(tf.io.extract_jpeg_shape(data), tf.int64)
    checks = [_check_size(shape[0], shape[1]), _check_scans(octets, shape[0] * shape[1])]
    with tf.control_dependencies(checks):
        image = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
    return image, find_exif_in_jpeg(octets)


def _decode_png(data: tf.Tensor, octets: Octets) -> tuple[tf.Tensor, tf.Tensor]:
    # The first chunk is the header: length, "IHDR", width, height.
    with tf.control_dependencies([_check_size(octets.big(20, 4), octets.big(16, 4))]):
        data = tf.identity(data)
    # Colour types 4 and 6 have an alpha channel, and a tRNS chunk gives any other one.
    # Asked for alpha if there is none, the op fills it with the highest value of the
    # file's bit depth: 1 for a black and white picture, not 255.
    colour_type = octets.big(25, 1)
    transparency = find_png_chunk(octets, b"tRNS")
    has_channel = tf.reduce_any(tf.equal(colour_type, (4, 6)))
    has_alpha = has_channel | (transparency < octets.size)
    image = tf.cond(
        has_alpha,
        lambda: _over_white(tf.io.decode_png(data, channels=4)),
        lambda: tf.io.decode_png(data, channels=3),
    )
    return image, find_png_chunk(octets, b"eXIf")


def _over_white(rgba: tf.Tensor) -> tf.Tensor:
    """`kerasdl.data.pictures.decoding.over_white`: uint8 (H, W, 4) to (H, W, 3)."""
    rgba = tf.cast(rgba, tf.uint16)
    colour, alpha = rgba[:, :, :3], rgba[:, :, 3:]
    white = 255 * (255 - alpha)
    return tf.cast((colour * alpha + white + 127) // 255, tf.uint8)
