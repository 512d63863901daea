import io
import subprocess
import sys
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from kerasdl.data.pictures import decoding
from kerasdl.data.pictures.decoding import (
    MAX_PIXELS,
    as_jpeg_or_png,
    decode_picture,
    over_white,
    prepare_picture,
    read_picture,
    resize_picture,
    resized_side,
    source_box,
)
from kerasdl.errors import InputError
from tests.data.pictures.encoded_pictures import (
    HEIGHT,
    WIDTH,
    encode,
    exif,
    graph_cases,
    grey16,
    jpeg_of_many_scans,
    photograph,
    png,
    upright,
    with_alpha,
)


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("JPEG", {"quality": 95}, 2),
        ("JPEG", {"quality": 95, "progressive": True}, 2),
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("MPO", {"quality": 95}, 2),
        ("WEBP", {"lossless": True}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
    ],
)
def test_decodes_every_format(kind, options, tolerance):
    expected = photograph()
    decoded = decode_picture(encode(expected, kind, **options), "a")
    assert decoded.dtype == np.uint8
    assert decoded.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(decoded.astype(int) - expected).mean() <= tolerance


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_grey_and_palette(kind, mode):
    image = Image.fromarray(photograph()).convert(mode)
    decoded = decode_picture(encode(image, kind), "a")
    np.testing.assert_array_equal(decoded, np.asarray(image.convert("RGB")))


def test_cmyk_jpeg_is_ink():
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[:, 8:] = (255, 0, 0, 0)  # cyan takes the red away
    decoded = decode_picture(
        encode(Image.fromarray(ink, "CMYK"), "JPEG", quality=100), "a"
    )
    assert np.abs(decoded[8, 2].astype(int) - (255, 255, 255)).max() <= 3
    assert np.abs(decoded[8, 13].astype(int) - (0, 255, 255)).max() <= 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_by_their_high_byte(kind):
    decoded = decode_picture(encode(grey16(), kind), "a")
    np.testing.assert_array_equal(decoded, np.repeat(grey16()[:, :, None] >> 8, 3, 2))


def test_sixteen_bit_colour_by_its_high_byte():
    colour = np.stack([grey16(), grey16().T.reshape(HEIGHT, WIDTH), grey16() // 3], -1)
    decoded = decode_picture(
        png(16, 2, colour.astype(">u2").tobytes(), WIDTH, HEIGHT), "a"
    )
    np.testing.assert_array_equal(decoded, colour >> 8)


def test_transparent_sixteen_bit_grey_is_white():
    grey = np.full((2, 8), 0x1234, np.uint16)
    grey[0, 0] = 0x1200  # the same high byte: not the transparent grey
    transparent = png(16, 0, grey.astype(">u2").tobytes(), 8, 2, (b"tRNS", b"\x12\x34"))
    decoded = decode_picture(transparent, "a")
    assert decoded[0, 0].tolist() == [0x12] * 3
    assert (decoded[1] == 255).all()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_alpha_over_white(kind):
    image = with_alpha()
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    decoded = decode_picture(encode(image, kind, **options), "a")
    rgba = np.asarray(image).astype(float)
    alpha = rgba[:, :, 3:] / 255
    expected = rgba[:, :, :3] * alpha + 255 * (1 - alpha)
    assert np.abs(decoded - expected).max() <= 0.5 + 1e-9


@given(st.integers(0, 255), st.integers(0, 255))
@settings(max_examples=50, deadline=None)
def test_over_white_rounds_to_nearest(level, alpha):
    pixel = np.array([[[level, level, level, alpha]]], np.uint8)
    expected = np.floor((level * alpha + 255 * (255 - alpha)) / 255 + 0.5)
    assert over_white(pixel)[0, 0, 0] == expected


def test_transparent_palette_over_white():
    image = Image.new("P", (4, 2), 0)
    image.putpalette([200, 10, 20, 0, 0, 0])
    image.putpixel((1, 0), 1)
    decoded = decode_picture(encode(image, "PNG", transparency=0), "a")
    assert decoded[0, 0].tolist() == [255, 255, 255]
    assert decoded[0, 1].tolist() == [0, 0, 0]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(kind, orientation):
    stored = photograph()
    options = {"lossless": True} if kind == "WEBP" else {}
    plain = decode_picture(encode(stored, kind, **options), "a")
    data = encode(stored, kind, exif=exif(orientation), **options)
    np.testing.assert_array_equal(
        decode_picture(data, "a"), upright(plain, orientation), strict=True
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_pillows(orientation):
    data = encode(photograph(), "JPEG", exif=exif(orientation, ">"))
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(decode_picture(data, "a"), np.asarray(expected))


@pytest.mark.parametrize("orientation", [0, 9, 4000])
def test_unknown_orientation_is_upright(orientation):
    data = encode(photograph(), "PNG", exif=exif(orientation))
    np.testing.assert_array_equal(decode_picture(data, "a"), photograph())


def test_damaged_exif_does_not_break_the_picture():
    data = encode(photograph(), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    np.testing.assert_array_equal(decode_picture(data, "a"), photograph())


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_first_frame(kind):
    first, second = photograph(seed=3), photograph(seed=4)
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(
        first, kind, save_all=True, append_images=[Image.fromarray(second)], **options
    )
    assert Image.open(io.BytesIO(data)).n_frames == 2
    np.testing.assert_array_equal(decode_picture(data, "a"), first)


def test_content_counts_and_not_the_name():
    data = encode(photograph(), "PNG")
    np.testing.assert_array_equal(decode_picture(data, "a.jpg"), photograph())


def test_empty():
    with pytest.raises(InputError, match=r"folder/a\.jpg: .* empty file"):
        decode_picture(b"", "folder/a.jpg")


@pytest.mark.parametrize(
    "data", [b"x", b"<html>not found</html>", bytes(100), encode(photograph(), "GIF")]
)
def test_not_a_picture(data):
    with pytest.raises(InputError, match=rf"^a\.jpg: .*got {len(data)} bytes") as caught:
        decode_picture(data, "a.jpg")
    assert repr(data[:8]) in str(caught.value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP", "TIFF"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated(kind, share):
    data = encode(np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8), kind)
    with pytest.raises(InputError, match=r"^folder/a: expected"):
        decode_picture(data[: int(len(data) * share)], "folder/a")


def test_progressive_jpeg_lacking_its_last_scan():
    data = encode(photograph(200, 300), "JPEG", progressive=True)
    with pytest.raises(InputError, match="broken JPEG: image file is truncated"):
        decode_picture(data[:-400], "a")


def test_errors_are_one_line():
    with pytest.raises(InputError) as caught:
        decode_picture(b"\n\nno\n", "a")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("width", "height"), [(10_001, 10_000), (1 << 30, 1 << 10)])
def test_megapixels_are_checked_before_decoding(width, height):
    data = png(8, 0, bytes(height), width, height)  # nothing but the header's promise
    with pytest.raises(InputError, match="at most 100 megapixels"):
        decode_picture(data, "a")


def test_megapixels_of_a_webp():
    data = encode(Image.new("L", (8000, 6251)), "WEBP", lossless=True, quality=0)
    with pytest.raises(InputError, match="at most 50 megapixels, got 8000 x 6251"):
        decode_picture(data, "a")


@pytest.mark.parametrize("name", graph_cases())
def test_strips_make_the_same_picture(name, monkeypatch):
    data = graph_cases()[name]
    whole = decode_picture(data, name)
    monkeypatch.setattr(decoding, "STRIP_PIXELS", 5 * whole.shape[1] + 1)
    np.testing.assert_array_equal(decode_picture(data, name), whole, strict=True)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "CMYK"])
def test_conversion_takes_little_more_than_its_result(mode, monkeypatch):
    """A picture of 100 megapixels would take 2.3 GB at once, and takes 0.8 GB."""
    monkeypatch.setattr(decoding, "STRIP_PIXELS", 1 << 14)
    data = encode(Image.new(mode, (1000, 1000)), "TIFF")
    decode_picture(data, "a")
    tracemalloc.start()
    try:
        decoded = decode_picture(data, "a")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.4 * decoded.nbytes


@pytest.mark.parametrize(("width", "height"), [(2000, 10), (10**8, 1), (21, 1)])
def test_an_elongated_picture_is_refused_before_decoding(width, height):
    data = png(8, 0, bytes(height), width, height)
    with pytest.raises(InputError, match=rf"a: .*at most 20, got {width} x {height}\."):
        decode_picture(data, "a")
    assert decode_picture(encode(photograph(1, 20), "PNG"), "a").shape == (1, 20, 3)


@pytest.mark.parametrize(
    ("width", "height", "scans"), [(16, 16, 101), (16, 16, 9_000), (5000, 5000, 90)]
)
def test_a_jpeg_of_very_many_scans_is_refused_before_decoding(width, height, scans):
    data = jpeg_of_many_scans(width, height, scans)
    with pytest.raises(InputError, match=f"a: expected at most 100 scans, .* {scans} sc"):
        decode_picture(data, "a")
    assert decode_picture(jpeg_of_many_scans(32, 48, 100), "a").shape == (48, 32, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_pictures_for_a_model_that_reads_jpeg_and_png(kind):
    data = encode(photograph(), kind, **({"lossless": True} if kind == "WEBP" else {}))
    served = as_jpeg_or_png(data, "a")
    assert (served == data) == (kind in ("JPEG", "PNG"))
    np.testing.assert_array_equal(decode_picture(served, "a"), decode_picture(data, "a"))
    with pytest.raises(InputError, match=r"^a: expected a whole picture"):
        as_jpeg_or_png(data[:-200], "a")


def test_largest_picture_is_read_without_a_warning():
    data = encode(Image.new("1", (10_000, MAX_PIXELS // 10_000)), "PNG")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode_picture(data, "a").shape == (10_000, 10_000, 3)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_a_white_are_refused(mode):
    data = encode(Image.new(mode, (4, 4)), "TIFF")
    with pytest.raises(InputError, match=f"mode {mode}"):
        decode_picture(data, "a")


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_damage_never_raises_anything_else(data):
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "BMP", "WEBP", "TIFF"]))
    encoded = bytearray(encode(photograph(), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, min(len(encoded), 200) - 1))
        encoded[place] = data.draw(st.integers(0, 255))
    try:
        decoded = decode_picture(bytes(encoded), "a")
    except InputError:
        return
    assert decoded.dtype == np.uint8
    assert decoded.ndim == 3


def test_read_picture(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encode(photograph(), "PNG"))
    np.testing.assert_array_equal(read_picture(path), photograph())
    with pytest.raises(InputError, match=r"missing\.png: cannot be read: No such file"):
        read_picture(tmp_path / "missing.png")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_picture(tmp_path)


def test_resize_is_pillows():
    image = photograph(90, 70)
    expected = Image.fromarray(image).resize((33, 21), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(resize_picture(image, 21, 33), np.asarray(expected))


@pytest.mark.parametrize(("height", "width"), [(90, 70), (70, 90), (64, 64), (20, 300)])
def test_squash_is_one_resize(height, width):
    image = photograph(height, width)
    prepared = prepare_picture(image, 32)
    assert prepared.shape == (32, 32, 3)
    assert prepared.dtype == np.uint8
    expected = resize_picture(image, 32, 32)
    # The order of the passes, and with it a rounding, may differ.
    assert np.abs(prepared.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(("height", "width"), [(300, 400), (400, 300), (256, 256)])
def test_crop_is_resize_then_centre_crop(height, width):
    image = photograph(height, width)
    side = 256 / min(height, width)
    resized = resize_picture(image, int(height * side), int(width * side))
    top = (resized.shape[0] - 224) // 2
    left = (resized.shape[1] - 224) // 2
    expected = resized[top : top + 224, left : left + 224]
    prepared = prepare_picture(image, 224, "crop")
    assert prepared.shape == (224, 224, 3)
    assert np.abs(prepared.astype(int) - expected).max() <= 1


def test_crop_of_a_picture_of_its_own_size_is_exact():
    image = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    np.testing.assert_array_equal(
        prepare_picture(image, 224, "crop"), image[16:240, 16:240]
    )


@pytest.mark.parametrize("how", ["squash", "crop"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (60_000, 2)])
def test_extreme_shapes(shape, how):
    image = np.full((*shape, 3), 77, np.uint8)
    prepared = prepare_picture(image, 224, how)
    assert prepared.shape == (224, 224, 3)
    assert (prepared == 77).all()


def test_sizes_of_the_crop():
    assert resized_side(224) == 256
    assert source_box(512, 256, 224, "crop") == (16.0, 144.0, 240.0, 368.0)
    assert source_box(10, 20, 224, "squash") == (0.0, 0.0, 20.0, 10.0)


def test_unknown_preparation():
    with pytest.raises(ValueError, match="`how`, expected one of squash, crop, got fit"):
        prepare_picture(photograph(), 32, "fit")


def test_needs_no_tensorflow():
    code = (
        "import sys, kerasdl.data.pictures.decoding\n"
        "heavy = {'tensorflow', 'keras', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(' '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
