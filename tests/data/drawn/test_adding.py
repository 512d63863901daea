import numpy as np

from kerasdl.data.drawn.adding import CHANCE, adding_batch


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
