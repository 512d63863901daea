"""The EXIF orientation of an encoded picture, in TensorFlow operations.

Sources: JPEG (ITU-T T.81, annex B), PNG (third edition, the eXIf chunk), and TIFF 6.0,
section 2, whose directories EXIF consists of.
"""

import tensorflow as tf

EXIF_START = b"Exif\x00\x00"
_ORIENTATION_TAG = 0x0112
_TIFF_SHORT, _TIFF_LONG = 3, 4
# Of a file made of millions of empty segments, no more are looked at.
_MOST_SEGMENTS = 10_000


class Octets:
    """The bytes of a string scalar as numbers; beyond its end they read as 0."""

    def __init__(self, data: tf.Tensor) -> None:
        self._values = tf.io.decode_raw(data, tf.uint8)
        self.size = tf.size(self._values, out_type=tf.int64)

    def span(self, start: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
        """uint8 (stop - start,), shorter if the data end before `stop`."""
        return self._values[start:stop]

    def _padded(self, start: tf.Tensor, count: int) -> tf.Tensor:
        found = self._values[start : start + count]
        return tf.pad(found, [[0, count - tf.size(found)]])

    def equals(self, start: tf.Tensor, expected: bytes) -> tf.Tensor:
        """Whether `expected` is at `start`."""
        found = self._padded(start, len(expected))
        return tf.reduce_all(tf.equal(found, tf.constant(list(expected), tf.uint8)))

    def count(self, pair: bytes) -> tf.Tensor:
        """How often two bytes follow one another: int64."""
        first, second = self._values[:-1], self._values[1:]
        found = tf.equal(first, pair[0]) & tf.equal(second, pair[1])
        return tf.math.count_nonzero(found, dtype=tf.int64)

    def big(self, start: tf.Tensor, count: int) -> tf.Tensor:
        """The unsigned integer of `count` bytes at `start`, highest byte first: int64."""
        digits = tf.cast(self._padded(start, count), tf.int64)
        return tf.reduce_sum(digits * [256**power for power in reversed(range(count))])

    def little(self, start: tf.Tensor, count: int) -> tf.Tensor:
        """The same, lowest byte first."""
        digits = tf.cast(self._padded(start, count), tf.int64)
        return tf.reduce_sum(digits * [256**power for power in range(count)])


def find_exif_in_jpeg(octets: Octets) -> tf.Tensor:
    """Where the TIFF block of the first EXIF segment starts; the end if there is none.

    A segment is FF, a marker, and a length that counts itself. They end where the scan
    starts (DA).
    """

    def is_exif(start: tf.Tensor) -> tf.Tensor:
        return tf.equal(octets.big(start, 2), 0xFFE1) & octets.equals(
            start + 4, EXIF_START
        )

    def goes_on(start: tf.Tensor) -> tf.Tensor:
        is_segment = tf.equal(octets.big(start, 1), 0xFF)
        is_scan = tf.equal(octets.big(start + 1, 1), 0xDA)
        return is_segment & ~is_scan & ~is_exif(start)

    def advance(start: tf.Tensor) -> tf.Tensor:
        # Any number of FF may fill the space before a marker.
        is_fill = tf.equal(octets.big(start + 1, 1), 0xFF)
        return tf.where(is_fill, start + 1, start + 2 + octets.big(start + 2, 2))

    (start,) = tf.while_loop(
        goes_on,
        lambda start: (advance(start),),
        (int64_constant(2),),
        maximum_iterations=_MOST_SEGMENTS,
    )
    return tf.where(is_exif(start), start + 4 + len(EXIF_START), octets.size)


def find_png_chunk(octets: Octets, kind: bytes) -> tf.Tensor:
    """Where the contents of the first chunk `kind` start; the end if there is none.

    A chunk is a length, a name, contents, and a checksum of 4 bytes.
    """

    def is_found(start: tf.Tensor) -> tf.Tensor:
        return octets.equals(start + 4, kind)

    (start,) = tf.while_loop(
        lambda start: (start < octets.size) & ~is_found(start),
        lambda start: (start + 12 + octets.big(start, 4),),
        (int64_constant(8),),
        maximum_iterations=_MOST_SEGMENTS,
    )
    return tf.where(is_found(start), start + 8, octets.size)


def orientation_at(octets: Octets, exif: tf.Tensor) -> tf.Tensor:
    """The orientation in the TIFF block at `exif`, int64; 1 if it gives none.

    The block is "II" or "MM" for the byte order, 42, the place of its first directory;
    the directory is a count and entries of 12 bytes: tag, type, count, value.
    """

    def read(little: bool) -> tf.Tensor:
        number = octets.little if little else octets.big
        directory = exif + number(exif + 4, 4)
        entries = number(directory, 2)
        table = octets.span(directory + 2, directory + 2 + 12 * entries)
        rows = tf.size(table) // 12
        table = tf.cast(tf.reshape(table[: 12 * rows], (rows, 12)), tf.int64)

        def column(start: int, count: int) -> tf.Tensor:
            powers = range(count) if little else reversed(range(count))
            digits = table[:, start : start + count]
            return tf.reduce_sum(digits * [256**power for power in powers], axis=1)

        kind = column(2, 2)
        value = tf.where(tf.equal(kind, _TIFF_SHORT), column(8, 2), column(8, 4))
        is_orientation = (
            tf.equal(column(0, 2), _ORIENTATION_TAG)
            & (tf.equal(kind, _TIFF_SHORT) | tf.equal(kind, _TIFF_LONG))
            & tf.equal(column(4, 4), 1)
        )
        return tf.reduce_max(tf.where(is_orientation, value, 1), axis=0)

    return tf.case(
        [
            (octets.equals(exif, b"II*\x00"), lambda: tf.maximum(read(True), 1)),
            (octets.equals(exif, b"MM\x00*"), lambda: tf.maximum(read(False), 1)),
        ],
        default=lambda: int64_constant(1),
    )


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Undoes an EXIF orientation: uint8 (H, W, 3) to (H, W, 3) or (W, H, 3)."""

    def is_one_of(*orientations: int) -> tf.Tensor:
        return tf.reduce_any(tf.equal(orientation, orientations))

    image = tf.cond(
        is_one_of(5, 6, 7, 8),
        lambda: tf.transpose(image, (1, 0, 2)),
        lambda: image,
    )
    image = tf.cond(
        is_one_of(2, 3, 6, 7), lambda: tf.reverse(image, axis=[1]), lambda: image
    )
    return tf.cond(
        is_one_of(3, 4, 7, 8), lambda: tf.reverse(image, axis=[0]), lambda: image
    )


def int64_constant(value: int) -> tf.Tensor:
    """A scalar, of the type that places in the data have."""
    return tf.constant(value, tf.int64)
