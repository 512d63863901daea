"""Rounded convolutions with their means put right, on small networks."""

import keras
import numpy as np
import pytest

from kerasdl.export.bias_correction import correct_biases, rounded


def images(count=6, seed=0):
    random = np.random.default_rng(seed)
    return random.uniform(0, 1, (count, 12, 12, 3)).astype("float32")


def network(seed=0):
    """Convolutions with a bias, with a BatchNorm, depthwise, in a model of its own."""
    keras.utils.set_random_seed(seed)
    inner_in = keras.Input((6, 6, 8))
    x = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(inner_in)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.ReLU()(x)
    inner = keras.Model(inner_in, x, name="inner")
    image = keras.Input((12, 12, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
    x = inner(x)
    x = keras.layers.Conv2D(5, 1, use_bias=False)(x)
    x = keras.layers.BatchNormalization()(x)
    model = keras.Model(image, x)
    random = np.random.default_rng(seed)
    for variable in model.variables:
        values = random.normal(size=variable.shape)
        # A channel with one large weight: the others fall on few of the 255 steps.
        if variable.name == "kernel":
            values.reshape(-1, values.shape[-1])[0] *= 40
        name = variable.path.rsplit("/", 1)[-1]
        variable.assign(np.abs(values) + 0.5 if name == "moving_variance" else values)
    return model


def round_all(model):
    """Rounds the kernels of `network` and corrects nothing."""
    for layer in (model, model.get_layer("inner")):
        for part in layer.layers:
            if hasattr(part, "kernel"):
                depthwise = isinstance(part, keras.layers.DepthwiseConv2D)
                part.kernel.assign(rounded(np.array(part.kernel), depthwise))


def channel_means(model, given):
    return model(given, training=False).numpy().mean(axis=(0, 1, 2))


@pytest.mark.parametrize("shape", [(3, 3, 4, 6), (3, 3, 6, 1)])
def test_rounded_has_255_steps_a_channel(shape):
    kernel = np.random.default_rng(1).normal(size=shape)
    depthwise = shape[-1] == 1
    result = rounded(kernel, depthwise)
    channels = np.moveaxis(kernel, 2 if depthwise else 3, 0).reshape(6, -1)
    actual = np.moveaxis(result, 2 if depthwise else 3, 0).reshape(6, -1)
    for channel, steps in zip(channels, actual, strict=True):
        scale = max(abs(channel)) / 127
        np.testing.assert_allclose(steps, np.rint(channel / scale) * scale, atol=1e-12)
    np.testing.assert_allclose(rounded(result, depthwise), result, atol=1e-12)
    np.testing.assert_array_equal(rounded(np.zeros((1, 1, 2, 2)), depthwise), 0)


def test_the_means_are_those_before_rounding():
    model, uncorrected = network(), network()
    given = images()
    expected = channel_means(model, given)
    round_all(uncorrected)
    before = model.get_weights()
    model, count = correct_biases(original := model, given)
    assert count == 3
    for variable, value in zip(original.get_weights(), before, strict=True):
        np.testing.assert_array_equal(variable, value)  # the model is left as it is
    moved = np.abs(channel_means(uncorrected, given) - expected).max()
    assert moved > 0.01  # rounding alone moves them
    np.testing.assert_allclose(channel_means(model, given), expected, atol=1e-4 * moved)
    for part, twin in zip(model.layers, uncorrected.layers, strict=True):
        if hasattr(part, "kernel"):
            np.testing.assert_array_equal(np.array(part.kernel), np.array(twin.kernel))


def test_other_pictures_come_nearer_too():
    model, exact = network(3), network(3)
    uncorrected = network(3)
    round_all(uncorrected)
    model, _ = correct_biases(model, images(20))
    unseen = images(20, seed=9)
    expected = exact(unseen).numpy()
    errors = [
        np.abs((m(unseen).numpy() - expected).mean(axis=(0, 1, 2))).max()
        for m in (model, uncorrected)
    ]
    assert errors[0] < 0.2 * errors[1]


def test_what_has_no_place_or_is_applied_twice_stays():
    keras.utils.set_random_seed(0)
    image = keras.Input((12, 12, 3))
    twice = keras.layers.Conv2D(3, 3, padding="same")
    x = twice(twice(image))
    alone = keras.layers.Conv2D(4, 1, use_bias=False)
    model = keras.Model(image, alone(x))
    before = [np.array(v) for v in model.variables]
    copy, count = correct_biases(model, images())
    assert count == 0
    for variable, value in zip(copy.variables, before, strict=True):
        np.testing.assert_array_equal(np.array(variable), value)


def test_scales_are_those_of_output_channels():
    kernel = np.random.default_rng(4).normal(size=(3, 3, 5, 2))
    kernel[:, :, 0] *= 100
    single = kernel[..., :1]
    for given, depthwise, channels in (
        (kernel, True, [kernel[:, :, c, m] for c in range(5) for m in range(2)]),
        (kernel, False, [kernel[..., f] for f in range(2)]),
        (single, False, [single]),
    ):
        steps = np.abs(rounded(given, depthwise) - given)
        worst = max(np.abs(channel).max() for channel in channels) / 127 / 2
        assert steps.max() <= worst + 1e-12
        if depthwise:  # the large channel leaves the others' scales alone
            assert steps[:, :, 1:].max() < worst / 10
