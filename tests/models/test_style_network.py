"""The feed-forward network."""

import keras
import numpy as np
import pytest

from kerasdl.models.style_network import (
    NORM_EPSILON,
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
