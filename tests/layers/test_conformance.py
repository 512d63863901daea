"""Our layers against Keras's with the same weights: outputs and all gradients."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl import layers

N, T, D, H = 3, 5, 4, 6
LAYERS = ("SimpleRNN", "LSTM", "GRU")
MASK = np.array([[1, 1, 1, 1, 0], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0]], bool)


def pair(name, seed=3, **arguments):
    """Returns Keras's layer and ours, built, with the same weights."""
    theirs = getattr(keras.layers, name)(H, seed=seed, **arguments)
    ours = getattr(layers, name)(H, seed=seed, **arguments)
    for layer in (theirs, ours):
        layer.build((N, T, D))
    generator = np.random.default_rng(0)
    ours.set_weights([generator.normal(size=w.shape) for w in ours.get_weights()])
    theirs.set_weights(ours.get_weights())
    return theirs, ours


def draw(*shape, dtype="float64", seed=1):
    return tf.constant(np.random.default_rng(seed).normal(size=shape), dtype)


def outputs_and_gradients(layer, x, states, **call):
    """Returns outputs and the gradients of x, the states and the weights."""
    inputs = [x, *states]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        if states:
            call["initial_state"] = states
        outputs = tf.nest.flatten(layer(x, **call))
        loss = sum(
            tf.reduce_sum(output * draw(*output.shape, dtype=output.dtype, seed=k))
            for k, output in enumerate(outputs)
        )
    gradients = tape.gradient(loss, inputs + [w.value for w in layer.trainable_weights])
    return [value.numpy() for value in (*outputs, *gradients)]


def assert_equal(theirs, ours, tolerance=1e-12):
    assert len(theirs) == len(ours)
    for expected, actual in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(
    ("masked", "go_backwards", "return_sequences", "given_states", "use_bias"),
    itertools.product([False, True], repeat=5),
)
def test_outputs_and_all_gradients(
    name, masked, go_backwards, return_sequences, given_states, use_bias
):
    theirs, ours = pair(
        name,
        go_backwards=go_backwards,
        return_sequences=return_sequences,
        return_state=True,
        use_bias=use_bias,
        dtype="float64",
    )
    states = [draw(N, H, seed=k) for k in range(len(ours.state_size))] * given_states
    call = {"mask": tf.constant(MASK)} if masked else {}
    assert_equal(
        *(
            outputs_and_gradients(layer, draw(N, T, D), states, **call)
            for layer in (theirs, ours)
        )
    )


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    "arguments",
    [
        {"dropout": 0.4},
        {"recurrent_dropout": 0.4},
        {"dropout": 0.3, "recurrent_dropout": 0.4},
        {"dropout": 0.3, "unroll": True},
        {"zero_output_for_mask": True, "return_sequences": True},
        {"zero_output_for_mask": True},
        {"unroll": True, "return_sequences": True},
        {"activation": "relu"},
        {"activation": None},
        {"activation": "hard_sigmoid"},
    ],
    ids=str,
)
def test_options_in_training(name, masked, arguments):
    theirs, ours = pair(name, dtype="float64", return_state=True, **arguments)
    call = {"training": True, **({"mask": tf.constant(MASK)} if masked else {})}
    assert_equal(
        *(
            outputs_and_gradients(layer, draw(N, T, D), [], **call)
            for layer in (theirs, ours)
        )
    )


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    "arguments",
    [
        {"return_sequences": True, "go_backwards": True},
        {"use_bias": False},
        {"dropout": 0.3, "recurrent_dropout": 0.4},
        {"activation": "relu", "recurrent_activation": "hard_sigmoid"},
        {"unroll": True},
    ],
    ids=str,
)
def test_gru_with_the_reset_gate_before_the_product(masked, arguments):
    theirs, ours = pair("GRU", dtype="float64", reset_after=False, **arguments)
    call = {"training": True, **({"mask": tf.constant(MASK)} if masked else {})}
    assert_equal(
        *(
            outputs_and_gradients(layer, draw(N, T, D), [], **call)
            for layer in (theirs, ours)
        )
    )


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("recompute", [None, "all"])
def test_dropout_draws_new_masks_each_call_and_none_in_inference(name, recompute):
    layer = getattr(layers, name)(
        H, dropout=0.5, recurrent_dropout=0.5, seed=1, recompute=recompute
    )
    x = draw(N, T, D, dtype="float32")
    once, twice = layer(x, training=True), layer(x, training=True)
    assert np.abs(once - twice).max() > 1e-3
    np.testing.assert_array_equal(layer(x), layer(x, training=False))


@pytest.mark.parametrize("name", LAYERS)
def test_stateful_carries_its_state_and_resets(name):
    theirs, ours = pair(name, stateful=True, dtype="float64")
    x = draw(N, T, D)
    first = ours(x)
    np.testing.assert_allclose(theirs(x), first, rtol=0, atol=1e-14)
    np.testing.assert_allclose(theirs(x), ours(x), rtol=0, atol=1e-14)
    ours.reset_state()
    np.testing.assert_array_equal(ours(x), first)
    with pytest.raises(ValueError, match=r"Expected batch size: 3.*\n.*batch size: 2"):
        ours(x[:2])


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("merge_mode", ["concat", "sum"])
def test_bidirectional(name, merge_mode):
    theirs, ours = (
        keras.layers.Bidirectional(layer, merge_mode=merge_mode)
        for layer in pair(name, return_sequences=True, dtype="float64")
    )
    for layer in (theirs, ours):
        layer.build((N, T, D))
    ours.set_weights([draw(*w.shape, seed=7).numpy() for w in ours.get_weights()])
    theirs.set_weights(ours.get_weights())
    call = {"mask": tf.constant(MASK)}
    assert_equal(
        *(
            outputs_and_gradients(layer, draw(N, T, D), [], **call)
            for layer in (theirs, ours)
        )
    )


def fitted(module, name, jit_compile):
    """Returns losses, predictions and weights of a small model after training."""
    keras.utils.set_random_seed(0)
    recurrent = getattr(module, name)
    model = keras.Sequential(
        [
            keras.Input((None,)),
            keras.layers.Embedding(9, 4, mask_zero=True),
            recurrent(5, return_sequences=True),
            keras.layers.TimeDistributed(keras.layers.Dense(4)),
            recurrent(3),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit_compile)
    generator = np.random.default_rng(0)
    x, y = generator.integers(0, 9, (20, 6)), generator.normal(size=(20, 1))
    x[:, -2:] = 0
    losses = model.fit(x, y, batch_size=10, epochs=2, verbose=0).history["loss"]
    return losses, model.predict(x[:, :4], verbose=0), model.get_weights()


@pytest.mark.parametrize("name", LAYERS)
def test_fit_equals_that_of_keras(name):
    expected = fitted(keras.layers, name, jit_compile=False)
    for jit_compile in (False, True):
        actual = fitted(layers, name, jit_compile)
        for ours, theirs in zip(
            tf.nest.flatten(actual), tf.nest.flatten(expected), strict=True
        ):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_saved_and_loaded(name, tmp_path):
    arguments = {
        "return_sequences": True,
        "go_backwards": True,
        "zero_output_for_mask": True,
        "dropout": 0.25,
        "recurrent_dropout": 0.5,
        "seed": 11,
        "use_bias": False,
        "activation": "relu",
        "kernel_regularizer": keras.regularizers.L2(0.1),
        "activity_regularizer": keras.regularizers.L2(0.2),
        "recurrent_constraint": keras.constraints.MaxNorm(2.0),
        "recompute": "all",
    }
    model = keras.Sequential(
        [keras.Input((None, D)), getattr(layers, name)(H, **arguments)]
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = draw(N, T, D, dtype="float32")
    np.testing.assert_array_equal(loaded(x), model(x))
    config = loaded.layers[0].get_config()
    assert config == model.layers[0].get_config()
    for argument in set(arguments) - {"activity_regularizer"}:
        assert argument in config
    assert type(loaded.layers[0]) is getattr(layers, name)
    assert len(loaded.losses) == len(model.losses) == 2


@pytest.mark.parametrize("name", LAYERS)
def test_weights_file_of_keras_loads(name, tmp_path):
    theirs, ours = (
        keras.Sequential([keras.Input((T, D)), getattr(module, name)(H)])
        for module in (keras.layers, layers)
    )
    theirs.save_weights(tmp_path / "model.weights.h5")
    ours.load_weights(tmp_path / "model.weights.h5")
    x = draw(N, T, D, dtype="float32")
    np.testing.assert_allclose(ours(x), theirs(x), rtol=0, atol=1e-6)
    for model in (theirs, ours):
        names = ["kernel", "recurrent_kernel", "bias"]
        assert [weight.name for weight in model.weights] == names


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [("float64", 1e-12), ("mixed_bfloat16", 0.1), ("mixed_float16", 0.02)],
)
def test_precision(name, dtype, tolerance):
    theirs, ours = pair(name, dtype=dtype, return_sequences=True)
    x = draw(N, T, D, dtype=ours.compute_dtype)
    expected, actual = (
        outputs_and_gradients(layer, x, [])[0] for layer in (theirs, ours)
    )
    assert actual.dtype == expected.dtype == ours.compute_dtype
    difference = np.abs(actual.astype("float64") - expected.astype("float64")).max()
    assert difference <= tolerance


@pytest.mark.parametrize("name", LAYERS)
def test_in_a_subclassed_model_and_under_a_function_of_unknown_shape(name):
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.supports_masking = True
            self.recurrent = getattr(layers, name)(H, return_state=True)

        def call(self, inputs, mask=None):
            return self.recurrent(inputs, mask=mask)

    model = Model()
    x = draw(N, T, D, dtype="float32")
    expected = model(x, mask=tf.constant(MASK))

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, D)),
            tf.TensorSpec((None, None), tf.bool),
        ]
    )
    def run(x, mask):
        return model(x, mask=mask)

    for actual, wanted in zip(run(x, MASK), expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": -3}, "`units`, expected a positive integer, got -3"),
        ({"units": 2.5}, "`units`, expected a positive integer, got 2.5"),
        (
            {"activation": "gelu"},
            "`activation`, expected one of tanh, .* got the function gelu",
        ),
        ({"activation": tf.nn.tanh}, "`activation`, .* got the function tanh"),
        ({"recompute": "some"}, "`recompute`, expected one of None, .* got 'some'"),
    ],
    ids=lambda value: next(iter(value.items())) if isinstance(value, dict) else "",
)
def test_refuses(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(layers, name)(**{"units": H, **arguments})


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("kind", ["int64", "int32", "uint8", "bool"])
def test_takes_sequences_of_any_type(name, kind):
    theirs, ours = pair(name)
    x = (np.arange(N * T * D).reshape(N, T, D) % 2).astype(kind)
    np.testing.assert_allclose(ours(x), theirs(x), rtol=0, atol=1e-6)
    inputs = keras.Input((T, D), dtype=kind)
    assert keras.Model(inputs, ours(inputs))(x).shape == (N, H)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("graph", [False, True])
def test_shapes_of_masks(name, graph):
    theirs, ours = pair(name, return_sequences=True, dtype="float64")
    x, row = draw(N, T, D), tf.constant(MASK[:1])

    def call(mask):
        run = tf.function(ours, autograph=False) if graph else ours
        return run(x, mask=mask)

    np.testing.assert_allclose(call(row), theirs(x, mask=row), rtol=0, atol=1e-12)
    for length in (T - 1, T + 1):
        message = rf"`mask`, expected .* \(3, 5\), got .* \(3, {length}\)"
        with pytest.raises(ValueError, match=message):
            call(tf.ones((N, length), tf.bool))


@pytest.mark.parametrize("name", LAYERS)
def test_refuses_another_number_of_states(name):
    layer = getattr(layers, name)(H)
    states = len(layer.state_size)
    wrong = [tf.zeros((N, H))] * (3 - states)
    message = rf"`initial_state`, expected {states} tensors? \(N, 6\), got {3 - states}"
    with pytest.raises(ValueError, match=message):
        layer(draw(N, T, D, dtype="float32"), initial_state=wrong)


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
@pytest.mark.parametrize("use_cudnn", ["auto", True, False])
def test_inherits_from_keras(name, use_cudnn):
    layer = getattr(layers, name)(H, use_cudnn=use_cudnn, recompute="sqrt")
    assert isinstance(layer, getattr(keras.layers, name))
    again = type(layer).from_config(layer.get_config())
    assert (again.use_cudnn, again.recompute) == (use_cudnn, "sqrt")
    assert layer.supports_jit
    loop = keras.layers.Bidirectional(layer)
    assert type(loop.forward_layer) is type(loop.backward_layer) is type(layer)


def test_lstm_refuses():
    with pytest.raises(ValueError, match=r"`recurrent_activation`, .* got .*softmax"):
        layers.LSTM(H, recurrent_activation="softmax")
    with pytest.raises(ValueError, match=r"use_cudnn=True was specified, but cuDNN"):
        layers.LSTM(H, use_cudnn=True)(draw(N, T, D, dtype="float32"))


@pytest.mark.parametrize("name", LAYERS)
def test_refuses_to_unroll_an_unknown_length_as_keras_does(name):
    layer = getattr(layers, name)(H, unroll=True)
    layer.build((None, None, D))
    run = tf.function(layer, input_signature=[tf.TensorSpec((None, None, D))])
    with pytest.raises(ValueError, match=r"Cannot unroll a RNN if the time dimension"):
        run(draw(N, T, D, dtype="float32"))
