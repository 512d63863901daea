"""The fused layer against the stock one of Keras: outputs, gradients, statistics."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.models.fused_batch_norm import FusedBatchNormalization, with_fused_batch_norm


def network(shape=(5, 6, 4), **arguments):
    """A BatchNorm layer, its weights and statistics drawn, in a model of its own."""
    inputs = keras.Input(shape)
    layer = keras.layers.BatchNormalization(momentum=0.9, name="bn", **arguments)
    model = keras.Model(inputs, layer(inputs))
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 2.0, w.shape) for w in model.get_weights()])
    return model


def trained(model, images, upstream):
    """Outputs, gradients at inputs, scale and offset, and statistics of one call."""

    @tf.function
    def call(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = model(images, training=True)
        sources = [images, *(weight.value for weight in model.trainable_weights)]
        return outputs, *tape.gradient(outputs, sources, output_gradients=upstream)

    return [*(x.numpy() for x in call(images)), *model.get_weights()]


@pytest.mark.parametrize("shape", [(3, 5, 6, 4), (1, 5, 6, 4), (2, 1, 1, 4)])
def test_a_minibatch_equals_the_stock_layer(shape):
    rng = np.random.default_rng(1)
    images = tf.constant(rng.normal(3.0, 2.0, shape), tf.float32)
    upstream = tf.constant(rng.normal(size=shape), tf.float32)
    stock = network(shape[1:])
    fused = with_fused_batch_norm(stock)
    assert type(fused.get_layer("bn")) is FusedBatchNormalization
    expected, got = (trained(model, images, upstream) for model in (stock, fused))
    assert len(expected) == len(got) == 1 + 3 + 4
    for value, other in zip(expected, got, strict=True):
        np.testing.assert_allclose(other, value, rtol=2e-4, atol=2e-5)


def test_it_is_one_operation():
    def kinds(model):
        function = tf.function(lambda x: model(x, training=True))
        graph = function.get_concrete_function(tf.TensorSpec((2, 5, 6, 4))).graph
        return {operation.type for operation in graph.get_operations()}

    stock = network()
    fused = with_fused_batch_norm(stock)
    assert "FusedBatchNormV3" in kinds(fused) - kinds(stock)


@pytest.mark.parametrize("training, trainable", [(False, True), (True, False)])
def test_inference_and_frozen_layers_are_the_stock_layers_to_the_bit(training, trainable):
    images = np.random.default_rng(2).normal(size=(3, 5, 6, 4)).astype(np.float32)
    stock = network()
    fused = with_fused_batch_norm(stock)
    before = fused.get_weights()
    answers = []
    for model in (stock, fused):
        model.get_layer("bn").trainable = trainable
        answers.append(model(images, training=training).numpy())
    np.testing.assert_array_equal(*answers)
    for value, other in zip(before, fused.get_weights(), strict=True):
        np.testing.assert_array_equal(value, other)


def test_mixed_precision_computes_in_float32():
    images = np.random.default_rng(3).normal(50.0, 1.0, (3, 5, 6, 4)).astype(np.float32)
    stock = network(dtype="mixed_bfloat16")
    fused = with_fused_batch_norm(stock)
    expected, got = (model(images, training=True) for model in (stock, fused))
    assert got.dtype == tf.bfloat16
    np.testing.assert_allclose(
        tf.cast(got, tf.float32), tf.cast(expected, tf.float32), atol=0.02
    )


@pytest.mark.parametrize(
    "shape, arguments",
    [
        ((7,), {}),
        ((5, 6, 4), {"axis": 1}),
        ((5, 6, 4), {"scale": False}),
        ((5, 6, 4), {"center": False}),
        ((5, 6, 4), {"renorm": True}),
    ],
)
def test_other_layers_stay_as_they_are(shape, arguments):
    model = network(shape, **arguments)
    assert with_fused_batch_norm(model) is model


def test_models_inside_are_reached_and_files_name_the_layer(tmp_path):
    inputs = keras.Input((5, 6, 4))
    stock = keras.Model(inputs, network()(inputs))
    outer = with_fused_batch_norm(stock)
    outer.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images = np.random.default_rng(4).normal(size=(2, 5, 6, 4)).astype(np.float32)
    for model, kind in (
        (stock, keras.layers.BatchNormalization),
        (outer, FusedBatchNormalization),
        (loaded, FusedBatchNormalization),
    ):
        (inner,) = (layer for layer in model.layers if isinstance(layer, keras.Model))
        assert type(inner.get_layer("bn")) is kind
        np.testing.assert_array_equal(model(images), stock(images))
    assert with_fused_batch_norm(loaded) is loaded
