"""`pictures.decoding` in TensorFlow operations, for exports that take encoded bytes.

Agrees with Pillow to one grey level, resizes as it does to the bit, and needs nothing but
TensorFlow where it runs. What TensorFlow decodes is narrower than what Pillow does:

| format | read | refused |
|---|---|---|
| JPEG | grey, RGB, CMYK; baseline, progressive; EXIF orientation | |
| PNG | 1 to 16 bits; grey, palette, RGB, alpha; EXIF orientation; first frame | |
| BMP | 8 bits grey or palette; 24 bits; 32 bits, alpha | 1, 4, 16 bits; run lengths |
| WebP | lossy, lossless, alpha, EXIF orientation; first frame | |
| TIFF | | all |

A picture that is broken, of another format, or over 100 megapixels raises
`tf.errors.InvalidArgumentError`, which a server answers a request with.
"""

import tensorflow as tf

from kerasdl.data.pictures.decoding import (
    MAX_PIXELS,
    PREPARATIONS,
    Preparation,
    resized_side,
)
from kerasdl.data.pictures.graph_orientation import (
    EXIF_START,
    Octets,
    find_chunk,
    find_exif_in_jpeg,
    orientation_at,
    upright,
)
from kerasdl.data.pictures.graph_resizing import resize_exactly

_JPEG_START = b"\xff\xd8"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_BMP_START = b"BM"
_WEBP_ANIMATION, _WEBP_ALPHA = 0x02, 0x10  # flags of the extended header


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
        tf.errors.InvalidArgumentError: When run, where the bytes are no whole picture
            of a format in the table above.
    """
    return prepare(decode(image_bytes), size, how)


# All control flow here is TensorFlow's already; rewriting the Python doubles the tracing.
@tf.autograph.experimental.do_not_convert
def decode(image_bytes: tf.Tensor) -> tf.Tensor:
    """Decodes a scalar string to an upright picture: uint8 (H, W, 3)."""
    # Padded, because substr refuses a place beyond the string's end.
    start = tf.strings.join([tf.strings.substr(image_bytes, 0, 12), b"\0" * 12])
    is_jpeg = _is_at(start, 0, _JPEG_START)
    is_png = _is_at(start, 0, _PNG_START)
    is_bmp = _is_at(start, 0, _BMP_START)
    is_webp = _is_at(start, 0, b"RIFF") & _is_at(start, 8, b"WEBP")
    known = tf.reduce_any([is_jpeg, is_png, is_bmp, is_webp])
    with tf.control_dependencies(
        [
            tf.debugging.Assert(
                known,
                [
                    "expected a JPEG, PNG, BMP or WebP picture, got one that begins with",
                    tf.strings.substr(image_bytes, 0, 8),
                ],
            )
        ]
    ):
        image_bytes = tf.identity(image_bytes)
    octets = Octets(image_bytes)
    image, exif = tf.case(
        [
            (is_jpeg, lambda: _decode_jpeg(image_bytes, octets)),
            (is_png, lambda: _decode_png(image_bytes, octets)),
            (is_bmp, lambda: _decode_bmp(image_bytes, octets)),
        ],
        default=lambda: _decode_webp(image_bytes, octets),
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


def _is_at(data: tf.Tensor, place: int, magic: bytes) -> tf.Tensor:
    return tf.equal(tf.strings.substr(data, place, len(magic)), magic)


def _check_pixels(height: tf.Tensor, width: tf.Tensor) -> tf.Operation:
    pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
    return tf.debugging.Assert(
        pixels <= MAX_PIXELS,
        [f"expected at most {MAX_PIXELS // 1_000_000} megapixels, got", pixels],
    )


# Each decoder gives uint8 (H, W, 3) as stored, and where an EXIF block starts, or the
# end of the file. `octets` are the numbers of `data`.


def _decode_jpeg(data: tf.Tensor, octets: Octets) -> tuple[tf.Tensor, tf.Tensor]:
    shape = tf.io.extract_jpeg_shape(data)
    with tf.control_dependencies([_check_pixels(shape[0], shape[1])]):
        image = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
    return image, find_exif_in_jpeg(octets)


def _decode_png(data: tf.Tensor, octets: Octets) -> tuple[tf.Tensor, tf.Tensor]:
    # The first chunk is the header: length, "IHDR", width, height.
    with tf.control_dependencies([_check_pixels(octets.big(20, 4), octets.big(16, 4))]):
        data = tf.identity(data)
    # Colour types 4 and 6 have an alpha channel, and a tRNS chunk gives any other one.
    # Asked for alpha where there is none, the op fills it with the highest value of the
    # file's bit depth: 1 for a black and white picture, not 255.
    colour_type = octets.big(25, 1)
    transparency = find_chunk(octets, 8, b"tRNS", little=False)
    has_channel = tf.reduce_any(tf.equal(colour_type, (4, 6)))
    has_alpha = has_channel | (transparency < octets.size)
    image = tf.cond(
        has_alpha,
        lambda: _over_white(tf.io.decode_png(data, channels=4)),
        lambda: tf.io.decode_png(data, channels=3),
    )
    return image, find_chunk(octets, 8, b"eXIf", little=False)


def _decode_webp(data: tf.Tensor, octets: Octets) -> tuple[tf.Tensor, tf.Tensor]:
    still = tf.cond(
        octets.equals(12, b"VP8X") & (octets.big(20, 1) & _WEBP_ANIMATION > 0),
        lambda: _first_webp_frame(data, octets),
        lambda: data,
    )
    # The op gives frames, and 4 channels only where the file has them.
    image = tf.io.decode_webp(still, channels=0)[0]  # (H, W, 3 or 4)
    shape = tf.shape(image)
    with tf.control_dependencies([_check_pixels(shape[0], shape[1])]):
        image = tf.cond(
            tf.equal(shape[2], 4), lambda: _over_white(image), lambda: image[:, :, :3]
        )
    exif = find_chunk(octets, 12, b"EXIF", little=True)
    prefixed = octets.equals(exif, EXIF_START)
    return image, tf.where(prefixed, exif + len(EXIF_START), exif)


def _first_webp_frame(data: tf.Tensor, octets: Octets) -> tf.Tensor:
    """A still WebP file of an animation's first frame.

    TensorFlow writes the RGBA frames of an animation without transparency into a buffer
    made for RGB. A frame (ANMF) is its corner, size, duration and flags in 16 bytes, and
    then the chunks of a still picture, to which the extended header is put back.
    """
    frame = find_chunk(octets, 12, b"ANMF", little=True)
    length = octets.little(frame - 4, 4)
    canvas = tf.strings.substr(data, 24, 6)
    whole = tf.equal(octets.little(frame, 6), 0) & tf.equal(
        canvas, tf.strings.substr(data, frame + 6, 6)
    )
    with tf.control_dependencies(
        [
            tf.debugging.Assert(
                whole,
                [
                    "expected an animated WebP whose first frame fills it, got corner",
                    octets.little(frame, 3),
                    octets.little(frame + 3, 3),
                ],
            )
        ]
    ):
        chunks = tf.strings.substr(data, frame + 16, length - 16)
    alpha = tf.where(octets.big(20, 1) & _WEBP_ALPHA > 0, _WEBP_ALPHA, 0)
    header = tf.strings.join(
        [b"WEBPVP8X\x0a\x00\x00\x00", _octet(alpha), b"\x00\x00\x00", canvas]
    )
    size = tf.strings.length(header) + tf.strings.length(chunks)
    digits = [_octet(tf.bitwise.right_shift(size, shift)) for shift in (0, 8, 16, 24)]
    return tf.strings.join([b"RIFF", *digits, header, chunks])


def _octet(value: tf.Tensor) -> tf.Tensor:
    """A string of one byte, the low 8 bits of `value`."""
    all_octets = tf.constant([bytes([octet]) for octet in range(256)])
    return all_octets[tf.cast(value, tf.int32) & 255]


def _decode_bmp(data: tf.Tensor, octets: Octets) -> tuple[tf.Tensor, tf.Tensor]:
    header_size = octets.little(14, 4)
    bits = octets.little(28, 2)
    compression = octets.little(30, 4)
    has_masks = tf.equal(compression, 3)
    # TensorFlow looks at neither of these, and would give wrong colours.
    has_red_third = tf.equal(octets.little(54, 4), 0xFF0000)
    is_read = tf.equal(compression, 0) | (has_masks & has_red_third)
    with tf.control_dependencies(
        [
            tf.debugging.Assert(
                is_read & (header_size >= 40),
                ["expected a BMP picture without compression, got method", compression],
            )
        ]
    ):
        image = tf.io.decode_bmp(data, channels=0)  # (H, W, 1, 3 or 4)
    has_alpha = has_masks & (header_size >= 56) & (octets.little(66, 4) > 0)
    shape = tf.shape(image)
    with tf.control_dependencies([_check_pixels(shape[0], shape[1])]):
        image = tf.case(
            [
                (tf.equal(bits, 8), lambda: _bmp_colours(octets, image)),
                (tf.equal(bits, 32) & has_alpha, lambda: _over_white(image)),
            ],
            default=lambda: image[:, :, :3],
        )
    return image, octets.size


def _bmp_colours(octets: Octets, image: tf.Tensor) -> tf.Tensor:
    """Indices (H, W, 1) to the colours of the palette that precedes the pixels."""
    palette = octets.span(14 + octets.little(14, 4), octets.little(10, 4))
    entries = tf.size(palette) // 4
    colours = tf.reshape(palette[: 4 * entries], (entries, 4))[
        :, 2::-1
    ]  # B G R _ to R G B
    return tf.gather(colours, tf.cast(image[:, :, 0], tf.int32))


def _over_white(rgba: tf.Tensor) -> tf.Tensor:
    """`kerasdl.data.pictures.decoding.over_white`: uint8 (H, W, 4) to (H, W, 3)."""
    rgba = tf.cast(rgba, tf.uint16)
    colour, alpha = rgba[:, :, :3], rgba[:, :, 3:]
    white = 255 * (255 - alpha)
    return tf.cast((colour * alpha + white + 127) // 255, tf.uint8)
