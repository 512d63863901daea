"""When cuDNN's kernels are chosen, by a faked list of devices, and what is made of them.

No GPU is needed: the kernels are emulated on the CPU. `test_gpu.py` runs the real ones.
"""

import functools

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.saved_model import save_context

from kerasdl import layers, ops
from kerasdl.ops import execution
from kerasdl.ops.cudnn import right_padded
from tests.ops.cudnn_emulator import Emulator
from tests.ops.gradient_checks import relative_error, tape_gradients
from tests.ops.networks import NETWORKS
from tests.ops.problems import MASKS, D, H, N, upstream_like


@pytest.fixture
def emulator(monkeypatch):
    emulator = Emulator()
    gpu = tf.config.LogicalDevice("/device:GPU:0", "GPU")
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [gpu])
    monkeypatch.setattr(tf.raw_ops, "CudnnRNNV3", emulator.forward)
    monkeypatch.setattr(tf.raw_ops, "CudnnRNNBackpropV3", emulator.backward)
    return emulator


@pytest.mark.parametrize("name", ["lstm", "gru"])
@pytest.mark.parametrize("mask", ["none", "all true", "right padded"])
@pytest.mark.parametrize("return_sequences", [True, False])
@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
def test_equals_our_equations(name, mask, return_sequences, graph, emulator):
    network, mask = NETWORKS[name], MASKS[mask]
    inputs = network.problem()
    upstream = upstream_like(network.reference(*inputs))[not return_sequences :]
    run = functools.partial(network.op, mask=mask, return_sequences=return_sequences)
    ours = functools.partial(run, use_cudnn=False)
    wanted = tape_gradients(ours, inputs, upstream)
    assert emulator.forward_runs == 0
    run = tf.function(run, autograph=False) if graph else run
    outputs, gradients = tape_gradients(run, inputs, upstream)
    assert emulator.forward_runs > 0
    assert emulator.backward_runs > 0
    assert relative_error(outputs, wanted[0]) < 1e-12
    assert relative_error(gradients, wanted[1]) < 1e-12


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("name", ["left padded", "holes", "a row fully masked"])
def test_masks_that_it_cannot_run_are_ours(name, graph, emulator):
    mask = tf.constant(MASKS[name])
    assert not right_padded(mask)
    network = NETWORKS["lstm"]
    inputs = network.problem()
    run = functools.partial(network.op, mask=mask)
    run = tf.function(run, autograph=False) if graph else run
    for actual, expected in zip(
        run(*inputs), network.reference(*inputs, mask=mask.numpy()), strict=True
    ):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12)
    assert (emulator.forward_runs > 0) == graph  # there both are traced, one runs


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_second_derivatives_are_ours(name, emulator):
    network = NETWORKS[name]
    inputs = [tf.constant(value) for value in network.problem()]
    mask = tf.constant(MASKS["right padded"])

    def derivatives(**options):
        with tf.GradientTape() as outer:
            outer.watch(inputs)
            with tf.GradientTape() as inner:
                inner.watch(inputs)
                outputs = network.op(*inputs, mask=mask, **options)
            gradients = inner.gradient(outputs[0], inputs)
            curved = tf.add_n([tf.reduce_sum(tf.sin(g)) for g in gradients])
        return [g.numpy() for g in outer.gradient(curved, inputs)]

    actual = derivatives()
    assert emulator.backward_runs == 1
    assert relative_error(actual, derivatives(use_cudnn=False)) < 1e-12


def chosen(network="lstm", weights=3, steps=4, **options):
    """Returns whether the emulated kernel ran."""
    x, *rest = NETWORKS[network].problem(t=steps)
    inputs = [x, *rest] if weights == 3 else [x, *rest[:-1]]
    before = tf.raw_ops.CudnnRNNV3.__self__.forward_runs
    NETWORKS[network].op(*inputs, **options)
    return tf.raw_ops.CudnnRNNV3.__self__.forward_runs > before


def test_is_chosen_by_rule(emulator, monkeypatch):
    ones = tf.ones
    assert chosen("lstm")
    assert chosen("gru")
    assert chosen("lstm", recompute="all")
    assert chosen("lstm", dropout_mask=ones((N, D), tf.float64))
    assert not chosen("gru_reset_before")
    assert not chosen("simple_rnn")
    assert not chosen("lstm", weights=2)
    assert not chosen("lstm", steps=1)
    assert not chosen("lstm", activation="relu")
    assert not chosen("gru", recurrent_activation="hard_sigmoid")
    assert not chosen("lstm", unroll=True)
    assert not chosen("lstm", recompute="sqrt")
    assert not chosen("lstm", use_cudnn=False)
    assert not chosen("lstm", dropout_mask=ones((4, N, D), tf.float64))
    assert not chosen("lstm", recurrent_dropout_mask=ones((N, H), tf.float64))
    for context in (execution.emissions_in_buffers, execution.steps_written_out):
        with context():
            assert not chosen("lstm")
    compiled = tf.function(lambda: chosen("lstm"), jit_compile=True, autograph=False)
    assert not compiled()
    with save_context.save_context(tf.saved_model.SaveOptions()):
        assert not chosen("lstm")
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [])
    assert not chosen("lstm")


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_a_layer_takes_it_with_dropout(name, emulator):
    x = tf.constant(np.random.default_rng(0).normal(size=(N, 6, D)), tf.float32)
    layer = getattr(layers, name)(H, dropout=0.5, return_sequences=True, use_cudnn=True)
    with tf.GradientTape() as tape:
        outputs = layer(x, training=True)
    gradients = tape.gradient(outputs, layer.trainable_weights)
    assert emulator.forward_runs == emulator.backward_runs == 1
    assert all(gradient is not None for gradient in gradients)


def test_insisting_on_it_where_it_cannot_run():
    inputs = NETWORKS["lstm"].problem()
    with pytest.raises(ValueError, match="use_cudnn=True was specified, but cuDNN"):
        ops.lstm(*inputs, use_cudnn=True)
