"""The feed-forward network."""

import keras
import numpy as np
import pytest

from kerasdl.models.style_network import (
    NORM_EPSILON,
    ConditionalInstanceNormalization,
    InstanceNormalization,
    StylePainter,
    apply_to_any_size,
)


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return StylePainter(filters=4, residual_blocks=2)


def test_instance_normalization_equals_numpy():
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, (2, 5, 6, 4)).astype(np.float32)
    layer = InstanceNormalization()
    layer.build(x.shape)
    gamma, beta = rng.normal(size=(2, 4)).astype(np.float32)
    layer.set_weights([gamma, beta])
    mean, variance = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    expected = gamma * (x - mean) / np.sqrt(variance + NORM_EPSILON) + beta
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


def test_conditional_normalization_equals_numpy():
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, (2, 5, 6, 4)).astype(np.float32)
    layer = ConditionalInstanceNormalization(3)
    weights = np.float32([[0, 1, 0], [0.2, 0.3, 0.5]])
    layer(x, weights)
    gammas, betas = rng.normal(size=(2, 3, 4)).astype(np.float32)
    layer.set_weights([gammas, betas])
    for k in range(2):
        mean, variance = x[k].mean((0, 1)), x[k].var((0, 1))
        gamma, beta = (sum(w * g for w, g in zip(weights[k], each, strict=True))
                       for each in (gammas, betas))  # fmt: skip
        expected = gamma * (x[k] - mean) / np.sqrt(variance + NORM_EPSILON) + beta
        np.testing.assert_allclose(layer(x, weights)[k], expected, atol=1e-5)


def test_a_painter_of_several_styles_has_the_one_s_network_for_each(tmp_path):
    """With the scales and shifts of one style, it is the painter of that style."""
    keras.utils.set_random_seed(1)
    several, one = (StylePainter(filters=4, residual_blocks=1, styles=n) for n in (3, 1))
    rng = np.random.default_rng(0)
    for layer in several.layers:
        for weight in layer.weights:
            weight.assign(weight + rng.normal(0, 0.1, weight.shape))
    for layer in one.layers:
        given = several.get_layer(layer.name).get_weights()
        if isinstance(layer, InstanceNormalization):
            given = [values[2] for values in given]
        layer.set_weights(given)
    image = rng.uniform(0, 255, (1, 14, 17, 3)).astype(np.float32)
    weights = np.float32([[0, 0, 1]])
    styled = apply_to_any_size(several, image, weights)
    np.testing.assert_allclose(styled, apply_to_any_size(one, image), atol=1)
    assert np.abs(styled - apply_to_any_size(several, image, weights[:, ::-1])).max() > 3
    several.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(apply_to_any_size(loaded, image, weights), styled)


def test_the_papers_network_has_the_papers_size():
    # Convolutions: 3·32·81 + 32·64·9 + 64·128·9 + 10·128²·9 + 128·64·9 + 64·32·9, the
    # last one 32·3·81 + 3; two parameters a normalised channel.
    convolutions = 7776 + 18432 + 73728 + 10 * 147456 + 73728 + 18432 + 7776 + 3
    channels = 32 + 64 + 128 + 10 * 128 + 64 + 32
    assert StylePainter().count_params() == convolutions + 2 * channels


@pytest.mark.parametrize("size", [(32, 32), (33, 46), (5, 7)])
def test_pictures_keep_their_size_and_range(network, size):
    images = np.random.default_rng(1).uniform(0, 255, (2, *size, 3)).astype(np.float32)
    styled = apply_to_any_size(network, images).numpy()
    assert styled.shape == images.shape
    assert styled.min() >= 0 and styled.max() <= 255
    np.testing.assert_array_equal(styled, np.rint(styled))
    alone = apply_to_any_size(network, images[:1]).numpy()
    np.testing.assert_allclose(alone, styled[:1], atol=1)


def test_contrast_of_the_input_does_not_matter(network):
    # Every channel is normalised after the first convolution.
    image = np.random.default_rng(2).uniform(100, 150, (1, 32, 32, 3)).astype(np.float32)
    louder = 2 * (image - 127.5) + 127.5
    difference = network(image).numpy() - network(louder).numpy()
    assert np.abs(difference).max() < 1


def test_it_saves_and_loads(network, tmp_path):
    network.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    image = np.random.default_rng(3).uniform(0, 255, (1, 16, 16, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded(image), network(image))
