from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl import layers
from kerasdl.layers import (
    from_keras,
    from_torch_state_dict,
    to_keras,
    to_torch_state_dict,
)

D, H, T = 3, 5, 4


@pytest.fixture(scope="module")
def goldens():
    with np.load(Path(__file__).parent / "goldens" / "torch.npz") as arrays:
        return dict(arrays)


def of(goldens, name, group=""):
    start = f"{name}.{group}"
    return {k.removeprefix(start): v for k, v in goldens.items() if k.startswith(start)}


def torch_layer(name, **arguments):
    layer = getattr(layers, name)(H, return_sequences=True, dtype="float64", **arguments)
    layer.build((None, T, D))
    return layer


@pytest.mark.parametrize("name", ["LSTM", "GRU", "SimpleRNN"])
def test_outputs_and_gradients_equal_those_of_torch(name, goldens):
    layer, golden = torch_layer(name), of(goldens, name)
    from_torch_state_dict(layer, of(goldens, name, "state_dict."))
    x = tf.constant(golden["x"])
    variables = [x, *(weight.value for weight in layer.trainable_weights)]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        outputs = layer(x)
    gradients = tape.gradient(outputs, variables, output_gradients=golden["upstream"])
    expected = of(goldens, name, "gradient.")
    pairs = [
        (outputs, golden["outputs"]),
        (gradients[0], golden["d_x"]),
        *zip(gradients[1:], torch_gradients(name, expected), strict=True),
    ]
    for actual, wanted in pairs:
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-12)


def torch_gradients(name, expected):
    """Returns the gradients of PyTorch's weights in our layout."""
    arrays = [expected[f"{part}_l0"] for part in ("weight_ih", "weight_hh")]
    biases = [expected[f"bias_{part}_l0"] for part in ("ih", "hh")]
    if name != "GRU":
        np.testing.assert_allclose(*biases, rtol=1e-12)
        return [*(array.T for array in arrays), biases[0]]
    reset, update, candidate = (slice(k * H, (k + 1) * H) for k in range(3))
    arrays, biases = (
        [np.concatenate([a[update], a[reset], a[candidate]]) for a in group]
        for group in (arrays, biases)
    )
    return [*(array.T for array in arrays), np.stack(biases)]


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("name", ["LSTM", "GRU", "SimpleRNN"])
def test_torch_state_dict_there_and_back(name, use_bias):
    layer, again = (torch_layer(name, use_bias=use_bias) for _ in range(2))
    state_dict = to_torch_state_dict(layer, prefix="encoder.", number=1, reverse=True)
    suffix = "l1_reverse"
    assert state_dict[f"encoder.weight_hh_{suffix}"].shape[1] == H
    assert (f"encoder.bias_ih_{suffix}" in state_dict) is use_bias
    from_torch_state_dict(again, state_dict, prefix="encoder.", number=1, reverse=True)
    for one, other in zip(layer.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight_hh_l0": None}, r"expected the key 'weight_hh_l0', got the keys"),
        ({"weight_ih_l0": np.zeros((9, 3))}, r"of shape \(20, 3\), got \(9, 3\)"),
        ({"weight_hr_l0": np.zeros((2, 5))}, r"without projection, got weight_hr_l0"),
        ({"bias_ih_l0": None}, r"with biases for a layer with use_bias=True"),
    ],
    ids=["missing", "shape", "projection", "bias"],
)
def test_refuses_a_state_dict(changes, message, goldens):
    state_dict = {**of(goldens, "LSTM", "state_dict."), **changes}
    state_dict = {key: value for key, value in state_dict.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        from_torch_state_dict(torch_layer("LSTM"), state_dict)


def test_torch_has_no_gru_with_the_reset_gate_before_the_product():
    layer = torch_layer("GRU", reset_after=False)
    with pytest.raises(ValueError, match=r"`layer`, .*reset_after=True.*got .*False"):
        to_torch_state_dict(layer)


def keras_model():
    """A functional model with recurrent layers at every depth."""
    words = keras.Input((None,))
    x = keras.layers.Embedding(9, 4, mask_zero=True)(words)
    x = keras.layers.Bidirectional(
        keras.layers.LSTM(5, return_sequences=True, dropout=0.2, seed=1)
    )(x)
    inner = keras.Sequential(
        [
            keras.Input((None, 10)),
            keras.layers.SimpleRNN(4, return_sequences=True, use_bias=False),
        ],
        name="inner",
    )
    x = keras.layers.TimeDistributed(keras.layers.Dense(3))(inner(x))
    cells = [keras.layers.LSTMCell(3), keras.layers.SimpleRNNCell(2)]
    x = keras.layers.RNN(cells, return_sequences=True)(x)
    x = keras.layers.GRU(4, return_sequences=True, reset_after=False)(x)
    shared = keras.layers.LSTM(3, activation="relu", zero_output_for_mask=True)
    x = keras.layers.Concatenate()([shared(x), shared(x)])
    return keras.Model(words, keras.layers.Dense(2)(x))


def test_model_of_keras_becomes_ours_with_equal_outputs(tmp_path):
    model = keras_model()
    ours = from_keras(model)
    x = np.random.default_rng(0).integers(0, 9, (4, 6))
    np.testing.assert_allclose(ours(x), model(x), rtol=0, atol=1e-6)
    assert type(ours.layers[2].forward_layer) is layers.LSTM
    assert type(ours.layers[2].backward_layer) is layers.LSTM
    assert type(ours.get_layer("inner").layers[0]) is layers.SimpleRNN
    assert [type(cell) for cell in ours.layers[5].cell.cells] == [
        layers.LSTMCell,
        layers.SimpleRNNCell,
    ]
    assert [layer.name for layer in ours.layers] == [layer.name for layer in model.layers]
    assert ours.layers[2].forward_layer.dropout == 0.2
    assert type(ours.layers[6]) is layers.GRU
    back = to_keras(ours)
    assert type(back.layers[2].forward_layer) is keras.layers.LSTM
    assert type(back.layers[6]) is keras.layers.GRU
    assert back.get_config() == model.get_config()
    np.testing.assert_array_equal(back(x), model(x))
    ours.layers[-1].kernel.assign_add(tf.ones((6, 2)))
    assert np.abs(ours(x) - model(x)).max() > 1e-3
    ours.save(tmp_path / "ours.keras")
    loaded = keras.models.load_model(tmp_path / "ours.keras")
    np.testing.assert_array_equal(loaded(x), ours(x))


def test_layer_of_keras_becomes_ours():
    layer = keras.layers.LSTM(4, name="memory")
    with pytest.raises(ValueError, match=r"expected a built one, got 'memory'"):
        from_keras(layer)
    x = np.ones((2, 3, 5), "float32")
    expected = layer(x)
    ours = from_keras(layer)
    assert type(ours) is layers.LSTM
    np.testing.assert_allclose(ours(x), expected, rtol=0, atol=1e-6)


@keras.saving.register_keras_serializable(package="kerasdl_tests")
class Hiding(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.recurrent = keras.layers.LSTM(4, name="inside")

    def call(self, x):
        return self.recurrent(x)


def test_refuses_a_model_that_hides_its_layers():
    model = Hiding()
    model(np.ones((2, 3, 5), "float32"))
    with pytest.raises(ValueError, match=r"got Hiding .* with the hidden 'inside'"):
        from_keras(model)
