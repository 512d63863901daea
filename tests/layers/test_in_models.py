"""The layers where users put them: saved, exported, distributed, masked, in chunks."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kerasdl import layers, ops

N, T, D, H = 3, 10, 4, 5
LAYERS = ("SimpleRNN", "LSTM", "GRU")
OPS = {"SimpleRNN": ops.simple_rnn, "LSTM": ops.lstm, "GRU": ops.gru}


def draw(*shape, seed=1, dtype="float32"):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@pytest.fixture(params=LAYERS)
def name(request):
    return request.param


def test_keras_export_serves_the_same(name, tmp_path):
    model = keras.Sequential(
        [keras.Input((T, D)), getattr(layers, name)(H, return_sequences=True)]
    )
    x = draw(N, T, D)
    expected = model.predict(x, verbose=0)
    model.export(tmp_path, verbose=False)
    loaded = tf.saved_model.load(tmp_path)
    np.testing.assert_allclose(loaded.serve(x), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(loaded.serve(x[:1]), expected[:1], rtol=0, atol=1e-6)


def test_loaded_saved_model_has_the_same_gradients(name, tmp_path):
    layer = getattr(layers, name)(H, return_sequences=True, dtype="float64")
    layer.build((None, T, D))
    module = tf.Module()
    module.weights = [tf.Variable(weight.value) for weight in layer.trainable_weights]
    states = len(layer.state_size)

    def outputs(x):
        zeros = [tf.zeros((tf.shape(x)[0], H), x.dtype)] * states
        return OPS[name](x, *zeros, *module.weights)[0]

    module.run = tf.function(
        outputs, input_signature=[tf.TensorSpec((None, T, D), tf.float64)]
    )
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=True)
    tf.saved_model.save(module, tmp_path, options=options)
    loaded = tf.saved_model.load(tmp_path)
    x = tf.constant(draw(N, T, D, dtype="float64"))
    gradients = []
    for function, weights in (
        (loaded.run, loaded.weights),
        (layer, [w.value for w in layer.trainable_weights]),
    ):
        with tf.GradientTape() as tape:
            tape.watch([x, *weights])
            loss = tf.reduce_sum(tf.sin(function(x)))
        gradients.append(tape.gradient(loss, [x, *weights]))
    for actual, wanted in zip(*gradients, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-12)


def test_converts_to_litert_built_ins(name):
    from ai_edge_litert.interpreter import Interpreter

    layer = getattr(layers, name)(H)
    layer.build((None, None, D))
    # Keras's variables would convert to zeros here; those of a tf.Module do not.
    module = tf.Module()
    module.weights = [tf.Variable(weight.value) for weight in layer.trainable_weights]

    @tf.function(input_signature=[tf.TensorSpec((None, None, D))])
    def last_state(x):
        zeros = [tf.zeros((tf.shape(x)[0], H))] * len(layer.state_size)
        return OPS[name](x, *zeros, *module.weights, return_sequences=False)[1]

    with layers.emissions_in_buffers():
        concrete = last_state.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    interpreter = Interpreter(model_content=converter.convert())
    (detail,) = interpreter.get_input_details()
    for batch, length in ((2, 7), (1, 3)):
        x = draw(batch, length, D, seed=length)
        interpreter.resize_tensor_input(detail["index"], x.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(detail["index"], x)
        interpreter.invoke()
        (output,) = interpreter.get_output_details()
        actual = interpreter.get_tensor(output["index"])
        np.testing.assert_allclose(actual, layer(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("length", [6, None], ids=["length_known", "any_length"])
def test_an_exported_model_converts_to_litert_built_ins(name, length, tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    layer = getattr(layers, name)
    model = keras.Sequential(
        [
            keras.Input((length,), dtype="int32"),
            keras.layers.Embedding(9, D, mask_zero=True),
            keras.layers.Bidirectional(layer(H, return_sequences=True)),
            layer(H),
            keras.layers.Dense(2),
        ]
    )
    with layers.emissions_in_buffers():
        model.export(tmp_path, verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path))
    interpreter = Interpreter(model_content=converter.convert())
    (detail,) = interpreter.get_input_details()
    ids = np.array([[1, 2, 3, 4, 5, 6], [7, 8, 0, 0, 0, 0]], "int32")
    interpreter.resize_tensor_input(detail["index"], ids.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(detail["index"], ids.astype(detail["dtype"]))
    interpreter.invoke()
    (output,) = interpreter.get_output_details()
    actual = interpreter.get_tensor(output["index"])
    np.testing.assert_allclose(actual, model(ids), rtol=0, atol=1e-6)


@pytest.mark.slow  # two processes with two devices; tests/training has the steps alone
def test_two_replicas_train_as_one(tmp_path):
    """A step of two replicas under MirroredStrategy is a step on their joined batch."""
    script = tmp_path / "replicas.py"
    script.write_text(TWO_REPLICAS, encoding="utf-8")
    environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3")
    run = subprocess.run(
        [sys.executable, script],
        cwd=Path(__file__).parents[2],
        env=environment | {"PYTHONPATH": "."},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.split() == ["2"]


# Devices can be added in a process that has not used any yet.
TWO_REPLICAS = f"""
import keras
import numpy as np
import tensorflow as tf

from kerasdl import layers

(cpu,) = tf.config.list_physical_devices("CPU")
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
draw = np.random.default_rng(0).normal
x, y = draw(size=(8, {T}, {D})).astype("f"), draw(size=(8, 1)).astype("f")


def trained(strategy):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = keras.Sequential(
            [
                keras.Input(({T}, {D})),
                layers.SimpleRNN({H}, return_sequences=True),
                layers.LSTM({H}),
                keras.layers.Dense(1),
            ]
        )
        model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, shuffle=False)
    return model.get_weights()


strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
alone = trained(tf.distribute.get_strategy())
for actual, wanted in zip(trained(strategy), alone):
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-5)
print(strategy.num_replicas_in_sync)
"""


@pytest.mark.parametrize("recompute", ["sqrt", "all"])
def test_recomputing_gives_the_same_gradients_in_fit(name, recompute):
    def trained(recompute):
        keras.utils.set_random_seed(0)
        layer = getattr(layers, name)(
            H, dropout=0.2, recurrent_dropout=0.2, seed=1, recompute=recompute
        )
        model = keras.Sequential([keras.Input((T, D)), layer])
        model.compile(keras.optimizers.SGD(0.1), "mse")
        model.train_on_batch(draw(N, T, D), draw(N, H))
        return model.get_weights()

    for actual, wanted in zip(trained(recompute), trained(None), strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-6)


def test_gradient_norms(name):
    layer = getattr(layers, name)(H, return_sequences=True, dtype="float64")
    x = tf.constant(draw(N, T, D, dtype="float64"))
    upstream = draw(N, T, H, seed=2, dtype="float64")
    norms = layer.gradient_norms(x, upstream)
    assert list(norms) == (["delta", "gamma"] if name == "LSTM" else ["delta"])
    np.testing.assert_allclose(
        norms["delta"][:, -1], np.linalg.norm(upstream[:, -1], axis=-1), atol=1e-12
    )
    # What reaches the state before a cut, from all that comes after it.
    states = layer.run_sequence(x[:, :4], layer.get_initial_state(N), None)[1:]
    with tf.GradientTape() as tape:
        tape.watch(states)
        rest = layer(x[:, 4:], initial_state=list(states))
        loss = tf.reduce_sum(rest * upstream[:, 4:])
    wanted = tape.gradient(loss, states[0]) + upstream[:, 3]
    np.testing.assert_allclose(
        norms["delta"][:, 3], np.linalg.norm(wanted, axis=-1), rtol=0, atol=1e-12
    )
    backwards = getattr(layers, name)(
        H, return_sequences=True, go_backwards=True, dtype="float64"
    )
    backwards.build(x.shape)
    backwards.set_weights(layer.get_weights())
    for key, norm in backwards.gradient_norms(x[:, ::-1], upstream).items():
        np.testing.assert_allclose(norm, norms[key], rtol=0, atol=1e-14)


@settings(max_examples=12, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("layer_name", LAYERS)
def test_any_shape_and_mask_equals_keras(layer_name, data):
    n, t, d, h = (data.draw(st.integers(1, top)) for top in (4, 6, 3, 4))
    mask = data.draw(hnp.arrays(bool, (n, t)))
    arguments = {
        key: data.draw(st.booleans())
        for key in ("return_sequences", "go_backwards", "zero_output_for_mask")
    }
    theirs, ours = (
        getattr(module, layer_name)(h, dtype="float64", **arguments)
        for module in (keras.layers, layers)
    )
    for layer in (theirs, ours):
        layer.build((n, t, d))
    ours.set_weights([draw(*w.shape, dtype="float64") for w in ours.get_weights()])
    theirs.set_weights(ours.get_weights())
    x = tf.constant(draw(n, t, d, dtype="float64"))
    results = []
    for layer in (theirs, ours):
        variables = [x, *(weight.value for weight in layer.trainable_weights)]
        with tf.GradientTape() as tape:
            tape.watch(variables)
            outputs = layer(x, mask=tf.constant(mask))
            loss = tf.reduce_sum(tf.sin(outputs))
        results.append([outputs, *tape.gradient(loss, variables)])
    for wanted, actual in zip(*results, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-12)
    assert np.all(results[1][1].numpy()[~mask] == 0)


def test_right_padding_equals_truncation(name):
    layer = getattr(layers, name)(H, dtype="float64")
    x = tf.constant(draw(N, T, D, dtype="float64"))
    lengths = [T, 4, 1]
    masked = layer(x, mask=tf.sequence_mask(lengths, T))
    for n, length in enumerate(lengths):
        alone = layer(x[n : n + 1, :length])
        np.testing.assert_allclose(masked[n : n + 1], alone, rtol=0, atol=1e-14)


def test_chunks_of_a_stateful_layer_equal_one_run(name):
    whole = getattr(layers, name)(H, return_sequences=True, dtype="float64")
    chunked = getattr(layers, name)(
        H, return_sequences=True, stateful=True, dtype="float64"
    )
    x = tf.constant(draw(N, T, D, dtype="float64"))
    expected = whole(x)
    chunked.build((N, None, D))
    chunked.set_weights([*whole.get_weights()])
    parts = [chunked(x[:, start : start + 3]) for start in range(0, T, 3)]
    np.testing.assert_allclose(tf.concat(parts, axis=1), expected, rtol=0, atol=1e-14)


def test_second_derivatives_under_xla(name):
    layer = getattr(layers, name)(H, dtype="float64")
    layer.build((N, 4, D))
    x = tf.constant(draw(N, 4, D, dtype="float64"))

    def curvature(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                outputs = layer(x, training=True)
            loss = tf.reduce_sum(tf.sin(inner.gradient(outputs, x)))
        return outer.gradient(loss, x)

    compiled = tf.function(curvature, jit_compile=True, autograph=False)
    np.testing.assert_allclose(compiled(x), curvature(x), rtol=0, atol=1e-12)


def test_a_subclass_may_start_from_a_state_of_its_own(name):
    class FromOnes(getattr(layers, name)):
        def get_initial_state(self, batch_size):
            return [keras.ops.ones_like(s) for s in super().get_initial_state(batch_size)]

    x = draw(2, 3, 4)
    layer = FromOnes(5)
    states = [tf.ones((2, 5))] * (2 if name == "LSTM" else 1)
    actual = layer(x)
    np.testing.assert_array_equal(actual, layer(x, initial_state=states))
    plain = getattr(layers, name)(5)
    plain.build(x.shape)
    plain.set_weights(layer.get_weights())
    assert np.abs(plain(x) - actual).max() > 1e-3


def test_an_initial_state_of_zeros_has_a_gradient(name):
    layer, keras_layer = (getattr(m, name)(5) for m in (layers, keras.layers))
    x = draw(2, 3, 4)
    layer.build(x.shape)
    keras_layer.build(x.shape)
    keras_layer.set_weights(layer.get_weights())
    gradients = []
    for each in (layer, keras_layer):
        states = [tf.zeros((2, 5)) for _ in range(2 if name == "LSTM" else 1)]
        with tf.GradientTape() as tape:
            tape.watch(states)
            loss = tf.reduce_sum(each(x, initial_state=states) ** 2)
        gradients.append(tape.gradient(loss, states))
    for actual, wanted in zip(*gradients, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-6)
