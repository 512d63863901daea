"""Private names of TensorFlow and Keras do what they are used for; no other is used."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl import tensorflow_private

ROOT = Path(__file__).parents[1]
PRIVATE = re.compile(r"^\s*(from|import) (tensorflow\.(python|core)|keras\.src)\b")


def test_no_other_module_imports_private_names():
    for folder in ("kerasdl", "export", "trainers"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name != "tensorflow_private.py":
                for line in path.read_text("utf-8").splitlines():
                    assert not PRIVATE.match(line), f"{path}: {line}"


def test_a_tape_is_seen():
    assert not tensorflow_private.gradient_may_be_taken()
    with tf.GradientTape():
        assert tensorflow_private.gradient_may_be_taken()


def test_a_tangent_is_seen():
    x = tf.constant(1.0)
    assert not tensorflow_private.has_tangent([x])
    with tf.autodiff.ForwardAccumulator(x, tf.constant(1.0)):
        assert tensorflow_private.has_tangent([tf.constant(2.0), 3.0 * x])
        assert not tensorflow_private.has_tangent([tf.constant(2.0)])


@pytest.mark.parametrize("jit_compile", [True, False])
def test_compilation_is_seen(jit_compile):
    seen = []

    @tf.function(jit_compile=jit_compile)
    def traced(x):
        seen.append(tensorflow_private.in_xla())
        return tf.map_fn(lambda y: 2 * y, x)

    traced(tf.ones(3))
    assert seen[-1] is jit_compile
    assert not tensorflow_private.in_xla()


def test_the_writing_of_a_saved_model_is_seen(tmp_path):
    seen = []

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((), tf.float32)])
        def double(self, x):
            seen.append(tensorflow_private.in_saved_model())
            return 2 * x

    assert not tensorflow_private.in_saved_model()
    tf.saved_model.save(Module(), str(tmp_path))
    assert seen and seen[-1]


def test_a_forgotten_gradient_is_gone():
    @tf.custom_gradient
    def double(x):
        return 2 * x, lambda upstream: 2 * upstream

    run = tf.function(double, input_signature=[tf.TensorSpec((), tf.float32)])
    graph = run.get_concrete_function().graph.as_graph_def()
    names = {
        node.attr["_gradient_op_type"].s.decode()
        for node in tensorflow_private.nodes_of(graph)
    } - {""}
    registry = tensorflow_private.ops.gradient_registry._registry
    assert names and names <= registry.keys()
    tensorflow_private.forget_gradients(run)
    assert not names & registry.keys()
    assert run(tf.constant(3.0)) == 6.0


def test_messages_and_fingerprint_of_a_saved_model(tmp_path):
    module = tf.Module()
    module.double = tf.function(
        lambda x: 2 * x, input_signature=[tf.TensorSpec((), tf.float32)]
    )
    tf.saved_model.save(module, str(tmp_path))
    file, print_file = tmp_path / "saved_model.pb", tmp_path / "fingerprint.pb"
    model = tensorflow_private.SavedModel.FromString(file.read_bytes())
    assert model.meta_graphs[0].graph_def.library.function
    before = print_file.read_bytes()
    model.meta_graphs[0].meta_info_def.tags.append("changed")
    file.write_bytes(model.SerializeToString())
    tensorflow_private.write_fingerprint(str(tmp_path))
    assert print_file.read_bytes() != before
    tensor = tensorflow_private.TensorProto(float_val=[1.0], dtype=1)
    assert tf.make_ndarray(tensor).size == 1


def test_what_an_optimizer_holds():
    weights = [keras.Variable(np.ones(2, np.float32), name=name) for name in "ab"]
    optimizer = keras.optimizers.AdamW(0.5, use_ema=True, ema_momentum=0.75)
    optimizer.exclude_from_weight_decay(var_names=["b"])
    optimizer.build(weights)
    held = tensorflow_private.trained_variables(optimizer)
    assert all(variable is weight for variable, weight in zip(held, weights, strict=True))
    assert [tensorflow_private.variable_index(optimizer, w) for w in weights] == [0, 1]
    assert [tensorflow_private.is_decayed(optimizer, w) for w in weights] == [True, False]
    iterates = []
    for _ in range(2):
        optimizer.apply([tf.ones(2), tf.ones(2)])
        iterates.append([weight.numpy() for weight in weights])
    averages = tensorflow_private.moving_averages(optimizer)
    for average, first, second in zip(averages, *iterates, strict=True):
        np.testing.assert_allclose(average, 0.75 * first + 0.25 * second, rtol=1e-6)
