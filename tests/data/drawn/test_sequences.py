import numpy as np
import pytest

from kerasdl.data.drawn.sequences import (
    CHANCE,
    DIGITS,
    adding_batch,
    copying_batch,
    digit_batch,
    pixel_batch,
)


def test_targets_are_sums_of_the_marked_numbers():
    inputs, targets = adding_batch(np.random.default_rng(0), 500, 21)
    assert inputs.shape == (500, 21, 2) and inputs.dtype == np.float32
    numbers, marks = inputs[..., 0], inputs[..., 1]
    assert set(np.unique(marks)) == {0.0, 1.0}
    np.testing.assert_array_equal(marks[:, :10].sum(axis=1), 1)
    np.testing.assert_array_equal(marks[:, 10:].sum(axis=1), 1)
    np.testing.assert_allclose((numbers * marks).sum(axis=1), targets[:, 0], rtol=1e-6)


def test_chance_is_the_variance_of_the_target():
    _, targets = adding_batch(np.random.default_rng(1), 50_000, 4)
    assert abs(((targets - 1.0) ** 2).mean() - CHANCE) < 0.005


def test_what_is_to_be_copied_stands_before_the_blanks_alone():
    inputs, targets = copying_batch(np.random.default_rng(0), 300, 7, 3, 4)
    assert inputs.shape == (300, 13, 6) and targets.shape == (300, 3)
    np.testing.assert_array_equal(inputs.sum(axis=2), 1)
    codes = inputs.argmax(axis=2)
    np.testing.assert_array_equal(codes[:, :3], targets)
    assert (codes[:, 3:10] == 4).all() and (codes[:, 10:] == 5).all()
    assert set(np.unique(targets)) == {0, 1, 2, 3}


def test_digits_are_told_apart_by_their_mean_pictures():
    """A reference of another kind: the nearest of ten mean pictures of other draws."""
    pictures, digits = digit_batch(np.random.default_rng(0), 600, 12)
    assert pictures.shape == (600, 12, 12) and pictures.dtype == np.float32
    assert pictures.min() >= 0 and pictures.max() <= 1
    means = np.stack([pictures[digits == d].mean(axis=0) for d in range(DIGITS)])
    others, truth = digit_batch(np.random.default_rng(1), 600, 12)
    gaps = ((others[:, np.newaxis] - means) ** 2).sum(axis=(2, 3))
    assert 0.4 < (gaps.argmin(axis=1) == truth).mean() < 0.99


@pytest.mark.parametrize("seed", [0, 1])
def test_pixels_are_the_picture_in_another_order(seed):
    order = np.random.default_rng(5).permutation(36)
    pictures, digits = digit_batch(np.random.default_rng(seed), 8, 6)
    pixels, same = pixel_batch(np.random.default_rng(seed), 8, order)
    np.testing.assert_array_equal(digits, same)
    np.testing.assert_array_equal(
        pixels[:, np.argsort(order), 0].reshape(8, 6, 6), pictures
    )
