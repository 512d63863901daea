"""Biases of gates, in Keras's layers and in ours."""

import keras
import numpy as np
import pytest

from kerasdl import layers

H, T = 400, 50


def bias_of(layer):
    layer.build((None, None, 1))
    return layer.cell.bias.numpy()


@pytest.mark.parametrize("package", [keras.layers, layers], ids=["keras", "kerasdl"])
def test_chrono_biases_of_an_lstm(package):
    chrono = layers.ChronoBias(H, T, seed=0)
    layer = package.LSTM(H, unit_forget_bias=False, bias_initializer=chrono)
    i, f, c, o = np.split(bias_of(layer), 4)
    np.testing.assert_array_equal(i, -f)
    assert not c.any() and not o.any()
    draws = np.exp(f)  # uniform on [1, T - 1]
    assert 1 <= draws.min() < 2 and T - 2 < draws.max() <= T - 1
    np.testing.assert_allclose(np.sort(draws), np.linspace(1, T - 1, H), atol=4)


@pytest.mark.parametrize("reset_after", [True, False])
def test_chrono_biases_of_a_gru_keep_the_state(reset_after):
    chrono = layers.ChronoBias(H, T, seed=0)
    layer = layers.GRU(H, reset_after=reset_after, bias_initializer=chrono)
    bias = bias_of(layer)
    if reset_after:
        assert not bias[1].any()
        bias = bias[0]
    z, r, h = np.split(bias, 3)
    assert not r.any() and not h.any() and z.min() >= 0 and np.exp(z).max() <= T - 1
    # Without input a unit forgets as its update gate says: half after ln ½ / ln σ(z).
    layer.cell.kernel.assign(np.zeros_like(layer.cell.kernel))
    layer.cell.recurrent_kernel.assign(np.zeros_like(layer.cell.recurrent_kernel))
    h_5 = layer(np.zeros((1, 5, 1)), initial_state=np.ones((1, H), np.float32))
    np.testing.assert_allclose(h_5[0], (1 / (1 + np.exp(-z))) ** 5, rtol=1e-5)


def test_a_forget_bias_of_1_is_the_default_of_keras():
    given = layers.LSTM(3, unit_forget_bias=False, bias_initializer=layers.ForgetBias(3))
    np.testing.assert_array_equal(bias_of(given), bias_of(keras.layers.LSTM(3)))


@pytest.mark.parametrize(
    "initializer", [layers.ForgetBias(2, 3), layers.ChronoBias(2, 9)]
)
def test_a_layer_is_saved_with_its_initializer(initializer, tmp_path):
    layer = keras.layers.GRU(2, bias_initializer=initializer)
    model = keras.Sequential([keras.Input((4, 1)), layer])
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    again = loaded.layers[0].cell.bias_initializer
    assert type(again) is type(initializer)
    assert again.get_config() == initializer.get_config()


def test_draws_follow_the_seed():
    one, same, other = (layers.ChronoBias(4, 9, seed)((16,)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.ChronoBias(0, 9), "`units`, expected a positive integer, got 0"),
        (lambda: layers.ChronoBias(4, 2), "`longest`, .* greater than 2, got 2"),
        (lambda: layers.ForgetBias(4)((4,)), r"got \(4,\); .*unit_forget_bias=False"),
        (lambda: layers.ForgetBias(4)((2, 16)), r"`shape`, expected \(16,\) of an LSTM"),
        (
            lambda: layers.LSTM(4, bias_initializer=layers.ForgetBias(4)).build(
                (1, 2, 3)
            ),
            r"got \(4,\)",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
