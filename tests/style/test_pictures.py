"""Profiles, sizes and colours of pictures."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from kerasdl.errors import InputError
from kerasdl.style.examples import drawn_strokes, drawn_town
from kerasdl.style.pictures import (
    FORMATS,
    decode_srgb,
    encode_picture,
    fit_shorter_side,
    grey,
    grey_like,
    luminance,
    read_srgb,
    shares_of_masks,
    srgb_profile,
    with_colours_of,
)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize("format", FORMATS)
def test_results_carry_their_profile(format, image):
    smooth = np.asarray(Image.fromarray(image).resize((64, 48), Image.Resampling.BICUBIC))
    with Image.open(io.BytesIO(encode_picture(smooth, format))) as written:
        assert written.format == FORMATS[format][1]
        assert written.info["icc_profile"] == srgb_profile()
        assert np.abs(np.asarray(written.convert("RGB"), int) - smooth).mean() < 8
    if format == "png":
        with Image.open(io.BytesIO(encode_picture(image, format))) as written:
            np.testing.assert_array_equal(np.asarray(written), image)


def test_another_profile_is_converted(tmp_path, image):
    # With the primaries of red and blue exchanged, the channels are to be exchanged too.
    profile = bytearray(srgb_profile())
    swapped = profile.replace(b"rXYZ", b"_XYZ").replace(b"bXYZ", b"rXYZ")
    swapped = swapped.replace(b"_XYZ", b"bXYZ")
    path = tmp_path / "swapped.png"
    Image.fromarray(image).save(path, icc_profile=bytes(swapped))
    converted = read_srgb(path).astype(int)
    assert np.abs(converted - image[..., ::-1]).max() <= 3


def test_its_own_profile_changes_nothing(tmp_path, image):
    path = tmp_path / "srgb.png"
    Image.fromarray(image).save(path, icc_profile=srgb_profile())
    assert np.abs(read_srgb(path).astype(int) - image).max() <= 1


@pytest.mark.parametrize(
    "profile",
    [b"damaged", ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()],
    ids=["damaged", "lab"],
)
def test_a_profile_of_no_use_is_ignored(tmp_path, image, profile):
    path = tmp_path / "picture.png"
    Image.fromarray(image).save(path, icc_profile=profile)
    np.testing.assert_array_equal(read_srgb(path), image)


def test_a_profile_of_odd_bytes_is_ignored_or_used(image):
    profile = srgb_profile()
    rng = np.random.default_rng(0)
    for _ in range(200):
        odd = bytearray(profile)
        for place in rng.integers(0, len(profile), 8):
            odd[place] = rng.integers(0, 256)
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG", icc_profile=bytes(odd))
        assert decode_srgb(file.getvalue(), "odd.png").shape == image.shape


def test_an_elongated_picture_is_refused_before_it_is_scaled_up(tmp_path):
    tall = np.zeros((2000, 10, 3), np.uint8)
    with pytest.raises(InputError, match=r"x: .* ratio of at most 20, got 10 x 2000\."):
        fit_shorter_side(tall, 256, "x")
    Image.fromarray(tall).save(tmp_path / "tall.png")
    with pytest.raises(InputError, match=r"tall.png: .* ratio of at most 20"):
        read_srgb(tmp_path / "tall.png")
    wide = np.zeros((10, 200, 3), np.uint8)
    with pytest.raises(InputError, match=r"x: .* 8192 pixels, got 8200 x 410 from 200 x"):
        fit_shorter_side(wide, 410, "x")
    assert fit_shorter_side(wide, 409).shape == (409, 8180, 3)


def test_exif_orientation_is_applied(tmp_path, image):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.png"
    Image.fromarray(image).save(path, exif=exif)
    np.testing.assert_array_equal(read_srgb(path), np.rot90(image, -1))


def test_a_missing_picture(tmp_path):
    with pytest.raises(InputError, match=r"none.png: cannot be read: No such file"):
        read_srgb(tmp_path / "none.png")


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [((768, 1024), 192, (192, 256)), ((10, 3), 6, (20, 6)), ((1, 1), 5, (5, 5))],
)
def test_the_shorter_side(shape, size, expected):
    fitted = fit_shorter_side(np.zeros((*shape, 3), np.uint8), size)
    assert fitted.shape == (*expected, 3)


def test_colours_are_those_of_the_content(image):
    other = np.roll(image, 5, axis=1) // 3 + 80
    kept = with_colours_of(grey(image), other)
    inside = ((kept > 0) & (kept < 255)).all(axis=-1)
    assert inside.sum() > 20
    np.testing.assert_allclose(luminance(kept)[inside], luminance(image)[inside], atol=2)
    difference = kept.astype(float) - other
    # Equal chrominance: the three channels differ from the content's by one amount.
    assert np.ptp(difference[inside], axis=-1).max() <= 3
    assert np.abs(with_colours_of(image, image).astype(int) - image).max() <= 1


def test_a_grey_style_has_the_contents_tones(image):
    dark = image // 5
    matched = luminance(grey_like(dark, image // 2 + 60))
    wanted = luminance(image // 2 + 60)
    assert abs(matched.mean() - wanted.mean()) < 1.5
    assert abs(matched.std() - wanted.std()) < 3


def test_a_nearly_flat_style_is_not_made_of_its_noise(image):
    flat = 90 + (np.random.default_rng(0).integers(0, 2, (16, 16, 1)) * [1, 1, 1])
    matched = luminance(grey_like(flat.astype(np.uint8), image))
    assert matched.std() < 0.2 * luminance(image).std()


def masks_of(*arrays):
    return [np.repeat(np.uint8(a)[..., np.newaxis], 3, -1) for a in arrays]


def test_masks_are_shares():
    left, top = np.zeros((6, 8)), np.zeros((6, 8))
    left[:, :4], top[:3] = 255, 255
    top[3:, 4:] = 51
    shares = shares_of_masks(masks_of(left, top), ["a", "b"], 2, (600, 800))
    assert shares.shape == (6, 8, 2)
    np.testing.assert_allclose(shares[0, 0], [0.5, 0.5], atol=1e-6)  # both are white
    np.testing.assert_allclose(shares[0, 7], [0, 1], atol=1e-6)
    np.testing.assert_allclose(shares[5, 7], [0, 0.2], atol=1e-6)  # no style for the rest
    np.testing.assert_allclose(shares[5, 0], [1, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ([np.ones((6, 8))], "`masks` must be one for each style, got 1 for 2"),
        ([np.ones((6, 8)), np.zeros((6, 8))], "b: a mask must not be black everywhere"),
        ([np.ones((60, 80)), np.ones((60, 60))], "b: .* 800 x 600, got 60 x 60"),
    ],
)
def test_masks_that_are_refused(masks, message):
    with pytest.raises(InputError, match=message):
        shares_of_masks(masks_of(*masks), ["a", "b"], 2, (600, 800))


@pytest.mark.parametrize("draw", [drawn_town, drawn_strokes])
def test_drawn_pictures(draw):
    picture = draw(48)
    assert picture.shape == (48, 64, 3)
    assert picture.dtype == np.uint8
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 300
    np.testing.assert_array_equal(picture, draw(48))
    assert (picture != draw(48, seed=1)).mean() > 0.2
