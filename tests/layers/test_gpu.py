"""The layers on a GPU, against Keras's on the same; run with `pytest -m gpu`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl import layers

N, T, D, H = 8, 24, 16, 32

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not tf.config.list_physical_devices("GPU"), reason="no GPU on this machine"
    ),
]


def pair(name, **arguments):
    theirs, ours = (
        getattr(module, name)(H, return_sequences=True, return_state=True, **arguments)
        for module in (keras.layers, layers)
    )
    for layer in (theirs, ours):
        layer.build((N, T, D))
    ours.set_weights(theirs.get_weights())
    return theirs, ours


def results(layer, x, mask, jit_compile=None):
    @tf.function(autograph=False, jit_compile=jit_compile)
    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, mask=mask)
            loss = tf.add_n([tf.reduce_sum(tf.sin(output)) for output in outputs])
        variables = [x, *(weight.value for weight in layer.trainable_weights)]
        return [*outputs, *tape.gradient(loss, variables)]

    return run(x)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "SimpleRNN"])
@pytest.mark.parametrize("kind", ["no_mask", "right_padded", "holes"])
@pytest.mark.parametrize("jit_compile", [None, True])
def test_equals_keras(name, kind, jit_compile):
    draw = np.random.default_rng(0)
    x = tf.constant(draw.normal(size=(N, T, D)), tf.float32)
    mask = {
        "no_mask": None,
        "right_padded": tf.sequence_mask(draw.integers(1, T, N), T),
        "holes": tf.constant(draw.random((N, T)) < 0.7),
    }[kind]
    theirs, ours = pair(name)
    if kind == "holes" and name != "SimpleRNN":
        theirs.use_cudnn = False  # cuDNN refuses such masks
    for actual, expected in zip(
        results(ours, x, mask, jit_compile), results(theirs, x, mask), strict=True
    ):
        np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_takes_cudnn(name):
    _, ours = pair(name, use_cudnn=True)
    run = tf.function(ours, autograph=False)
    graph = run.get_concrete_function(tf.TensorSpec((N, T, D))).graph
    assert "CudnnRNNV3" in {node.op for node in graph.as_graph_def().node}


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_second_derivatives(name):
    layer = getattr(layers, name)(H)
    x = tf.random.normal((N, T, D), seed=0)
    results = []
    for use_cudnn in ("auto", False):
        layer.use_cudnn = use_cudnn
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = tf.reduce_sum(tf.sin(layer(x)))
            curved = tf.reduce_sum(tf.sin(inner.gradient(loss, x)))
        results.append(outer.gradient(curved, x))
    np.testing.assert_allclose(*results, rtol=1e-2, atol=1e-4)
