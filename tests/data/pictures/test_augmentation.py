import numpy as np
import pytest
from PIL import Image

from kerasdl.data.pictures.augmentation import (
    ASPECT_RATIOS,
    Augmentation,
    random_crop_box,
)
from kerasdl.data.pictures.decoding import prepare_picture


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def test_a_view_is_a_function_of_seed_epoch_and_key(image):
    augment = Augmentation(16, colour=0.3)
    view = augment(image, 1, 2, 3)
    assert view.shape == (16, 16, 3) and view.dtype == np.uint8
    np.testing.assert_array_equal(view, Augmentation(16, colour=0.3)(image, 1, 2, 3))
    for other in ((0, 2, 3), (1, 0, 3), (1, 2, 0)):
        assert not np.array_equal(view, augment(image, *other))


def test_without_randomness_it_is_the_evaluation_view(image):
    augment = Augmentation(16, min_area=1.0, flip=False)
    assert not augment.is_random
    for epoch in range(3):
        view = augment(image, 0, epoch, 5)
        np.testing.assert_array_equal(view, prepare_picture(image, 16, "crop"))


def test_a_flip_mirrors_about_half_of_the_views(image):
    augment = Augmentation(16, min_area=1.0, flip=True, preparation="squash")
    straight = prepare_picture(image, 16, "squash")
    mirrored = 0
    for key in range(200):
        view = augment(image, 0, 0, key)
        if not np.array_equal(view, straight):
            np.testing.assert_array_equal(view[:, ::-1], straight)
            mirrored += 1
    assert 70 <= mirrored <= 130


def test_a_crop_is_that_part_of_the_picture_resized(image):
    augment = Augmentation(16, min_area=0.3, flip=False)
    box = random_crop_box(np.random.default_rng([4, 5, 6]), 40, 60, 0.3)
    left, top, right, bottom = box
    part = Image.fromarray(image[top:bottom, left:right])
    expected = np.asarray(part.resize((16, 16), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(augment(image, 4, 5, 6), expected)


@pytest.mark.parametrize(
    "height, width", [(40, 60), (500, 333), (1, 1), (2, 900), (700, 3)]
)
def test_crops_lie_inside_and_have_the_area_and_ratio(height, width):
    rng = np.random.default_rng(0)
    areas = []
    for _ in range(300):
        left, top, right, bottom = random_crop_box(rng, height, width, 0.08)
        assert 0 <= left < right <= width and 0 <= top < bottom <= height
        areas.append((right - left) * (bottom - top) / (height * width))
        if min(height, width) > 30:
            ratio = (right - left) / (bottom - top)
            assert ASPECT_RATIOS[0] * 0.85 < ratio < ASPECT_RATIOS[1] * 1.15
    if min(height, width) > 30:
        assert min(areas) > 0.07 and max(areas) > 0.75
        assert 0.3 < np.mean(areas) < 0.6


def test_colour_keeps_a_grey_picture_grey():
    grey = np.full((20, 20, 3), 90, np.uint8)
    levels = {
        tuple(Augmentation(8, 1.0, False, colour=0.4)(grey, 0, 0, k)[0, 0])
        for k in range(50)
    }
    assert all(r == g == b for r, g, b in levels)
    assert 54 <= min(levels)[0] < max(levels)[0] <= 126


@pytest.mark.parametrize(
    "field, value", [("min_area", 0.0), ("min_area", 1.5), ("colour", 1.0)]
)
def test_fields_out_of_range_are_refused(field, value):
    with pytest.raises(ValueError, match=f"argument `{field}`.*got {value}"):
        Augmentation(16, **{field: value})
