"""The optimisers on losses with known answers."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from kerasdl.errors import InputError
from kerasdl.style.descent import (
    AdamDescent,
    StyleState,
    clamp_range,
    pixel_range,
)
from kerasdl.style.lbfgs import LbfgsDescent
from kerasdl.style.options import StyleOptions

SHAPE = (1, 4, 5, 3)


class Quadratic:
    """Σ a (x - b)² in place of the style objective."""

    traceable = True

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.curvature = rng.uniform(0.5, 20, SHAPE).astype(np.float32)
        self.minimum = rng.normal(0, 1.5, SHAPE).astype(np.float32)

    def losses(self, image):
        return tf.reduce_sum(self.curvature * (image - self.minimum) ** 2)[tf.newaxis]

    def losses_and_gradient(self, image):
        return self.losses(image), 2 * self.curvature * (image - self.minimum)


def start(seed=7):
    image = np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)
    return StyleState(0, 0, image, np.zeros((2, *SHAPE), np.float32), 0.0)


def slow_adam(objective, options, image):
    """The recipe in NumPy, float64."""
    x = image.astype(np.float64)
    m = v = np.zeros_like(x)
    low, high = clamp_range(options)
    rate, t, losses = options.learning_rate, 0, []
    for iteration in range(options.iterations):
        if not options.clamp_until or iteration < options.clamp_until:
            x = np.clip(x, low, high)
        losses.append((objective.curvature * (x - objective.minimum) ** 2).sum())
        gradient = 2 * objective.curvature * (x - objective.minimum)
        if options.decay_at and iteration == options.decay_at:
            rate, t = options.decay_learning_rate, 0
            m = v = np.zeros_like(x)
        t += 1
        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * gradient**2
        step = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        x = x - rate * step
    return x, losses


RECIPE = StyleOptions(
    iterations=40,
    learning_rate=3.0,
    decay_at=30,
    decay_learning_rate=0.1,
    clamp=1.5,
    clamp_until=35,
)


@pytest.mark.parametrize(
    "options",
    [RECIPE, StyleOptions(iterations=25, learning_rate=0.05)],
    ids=["recipe", "pixels"],
)
def test_adam_equals_a_slow_one(options):
    objective, seen = Quadratic(), []
    descent = AdamDescent(objective, options, start(), options.iterations)
    assert descent.run(lambda number, losses: seen.append((number, float(losses[0]))))
    expected, losses = slow_adam(objective, options, start().image)
    if not options.clamp_until:
        expected = np.clip(expected, *clamp_range(options))
    np.testing.assert_allclose(descent.image, expected, atol=2e-4)
    assert [number for number, _ in seen] == list(range(options.iterations))
    np.testing.assert_allclose([loss for _, loss in seen], losses, rtol=1e-3)


def test_adam_resumed_gives_the_same_bits():
    whole = AdamDescent(Quadratic(), RECIPE, start(), 40)
    whole.run(lambda number, losses: False)
    part = AdamDescent(Quadratic(), RECIPE, start(), 40)
    assert not part.run(lambda number, losses: number == 16)
    assert part.state.iteration == 17
    rest = AdamDescent(Quadratic(), RECIPE, part.state, 40)
    assert rest.run(lambda number, losses: False)
    np.testing.assert_array_equal(rest.image, whole.image)


def test_the_result_is_the_mean_of_the_iterates_and_resumes_to_the_same_bits():
    """Of x_1 to x_t with weights d^(t − k), which a weighted mean in NumPy gives too."""
    options = dataclasses.replace(RECIPE, average_decay=0.8, iterations=12)
    zeros = np.zeros(SHAPE, np.float32)
    plain = dataclasses.replace(options, average_decay=0.0)
    iterates = []
    descent = AdamDescent(Quadratic(), plain, start(), 12)
    assert descent.run(lambda number, losses: iterates.append(descent.image))
    weights = 0.8 ** np.arange(11, -1, -1)
    expected = np.average(iterates, axis=0, weights=weights)
    state = dataclasses.replace(start(), average=zeros)
    whole = AdamDescent(Quadratic(), options, state, 12)
    assert whole.run(lambda number, losses: False)
    np.testing.assert_allclose(whole.image, expected, atol=1e-5)
    assert np.abs(whole.image - iterates[-1]).max() > 0.1
    part = AdamDescent(Quadratic(), options, state, 12)
    part.run(lambda number, losses: number == 4)
    rest = AdamDescent(Quadratic(), options, part.state, 12)
    assert rest.run(lambda number, losses: False)
    np.testing.assert_array_equal(rest.image, whole.image)


def test_adam_under_xla():
    options = dataclasses.replace(RECIPE, compile="xla")
    images = []
    for chosen in (RECIPE, options):
        descent = AdamDescent(Quadratic(), chosen, start(), 40)
        descent.run(lambda number, losses: False)
        images.append(descent.image)
    np.testing.assert_allclose(images[0], images[1], atol=1e-3)


def test_lbfgs_finds_the_minimum_within_the_pixel_range():
    objective, seen = Quadratic(), []
    options = StyleOptions(optimizer="lbfgs", iterations=60)
    descent = LbfgsDescent(objective, options, start(), 60)
    assert descent.run(lambda number, losses: seen.append((number, float(losses[0]))))
    # The curvatures are diagonal, so the bounded minimum is the nearest bounded point.
    low, high = pixel_range()
    expected = np.clip(objective.minimum, low, high)
    np.testing.assert_allclose(descent.image, expected, atol=5e-3)
    assert (descent.image >= low).all() and (descent.image <= high).all()
    losses = [loss for _, loss in seen]
    # Clamping between two runs of L-BFGS may raise the loss again, but not by much.
    assert max(losses[-3:]) < losses[0] / 100
    assert [number for number, _ in seen] == list(range(len(seen)))


def test_lbfgs_stops_when_told_and_goes_on_from_a_boundary():
    options = StyleOptions(optimizer="lbfgs", iterations=30)
    descent = LbfgsDescent(Quadratic(), options, start(), 30)
    assert not descent.run(lambda number, losses: number == 4)
    assert descent.state.iteration == 0
    rest = LbfgsDescent(Quadratic(), options, descent.state, 30)
    whole = LbfgsDescent(Quadratic(), options, start(), 30)
    for run in (rest, whole):
        run.run(lambda number, losses: False)
    np.testing.assert_array_equal(rest.image, whole.image)


def test_a_state_on_disk(tmp_path):
    state = dataclasses.replace(start(), scale=1, iteration=12, seconds=3.5)
    state.save(tmp_path / "s.npz")
    loaded = StyleState.load(tmp_path / "s.npz")
    assert (loaded.scale, loaded.iteration, loaded.seconds) == (1, 12, 3.5)
    np.testing.assert_array_equal(loaded.image, state.image)
    assert loaded.average is None
    dataclasses.replace(state, average=2 * state.image).save(tmp_path / "s.npz")
    mean = StyleState.load(tmp_path / "s.npz").average
    np.testing.assert_array_equal(mean, 2 * state.image)
    (tmp_path / "s.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(InputError, match=r"s.npz: not a state of kerasdl"):
        StyleState.load(tmp_path / "s.npz")


def test_the_pixel_range():
    low, high = pixel_range()
    np.testing.assert_allclose(low, [-2.1179, -2.0357, -1.8044], atol=1e-4)
    np.testing.assert_allclose(high, [2.2489, 2.4286, 2.64], atol=1e-4)
