"""Tiny SavedModels to serve, and the server's parts around them in this process."""

import numpy as np
import pytest
import tensorflow as tf


class Scaled(tf.Module):
    """Signatures of several kinds; `scale` tells versions apart.

    - `serving_default(x: float[N, 3]) -> total: float[N], y: float[N, 3]`, y = scale * x
    - `ids(ids: int32[N]) -> row: float[N]`, scale * id, refusing ids of 5 and more
    - `two(a: int64[N], b: string[N]) -> a_bytes: string[N], b: string[N]`
    - `mean(v: float[M]) -> mean: float[]`, which has no batch axis to share
    - `slow(steps: int32[N]) -> steps: int32[N]`, counting to the largest
    """

    def __init__(self, scale):
        super().__init__()
        self.scale = tf.Variable(float(scale))

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x")])
    def scaled(self, x):
        return {"y": x * self.scale, "total": tf.reduce_sum(x, axis=1)}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.int32, name="ids")])
    def look_up(self, ids):
        with tf.control_dependencies([tf.debugging.assert_less(ids, 5, "ids of 0 to 4")]):
            return {"row": tf.gather(tf.range(5.0) * self.scale, ids)}

    @tf.function(
        input_signature=[
            tf.TensorSpec((None,), tf.int64, name="a"),
            tf.TensorSpec((None,), tf.string, name="b"),
        ]
    )
    def two(self, a, b):
        return {"a_bytes": tf.strings.as_string(a), "b": tf.strings.join([b, "!"])}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.float32, name="v")])
    def mean(self, v):
        return {"mean": tf.reduce_mean(v)}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.int32, name="steps")])
    def slow(self, steps):
        done = tf.while_loop(
            lambda n: n < tf.reduce_max(steps), lambda n: [n + 1], [tf.constant(0)]
        )
        with tf.control_dependencies(done):
            return {"steps": tf.identity(steps)}


def save(folder, scale):
    model = Scaled(scale)
    signatures = {"serving_default": model.scaled, "ids": model.look_up}
    signatures |= {"two": model.two, "mean": model.mean, "slow": model.slow}
    tf.saved_model.save(model, str(folder), signatures=signatures)
    return folder


@pytest.fixture(scope="session")
def scaled(tmp_path_factory):
    """A SavedModel that multiplies by two, in a folder of its own version 1."""
    return save(tmp_path_factory.mktemp("models") / "scaled" / "1", 2.0).parent


@pytest.fixture(scope="session")
def scaled_by_three(tmp_path_factory):
    """The same multiplying by three, to be copied into a folder of versions."""
    return save(tmp_path_factory.mktemp("others") / "three", 3.0)


@pytest.fixture
def floats():
    return lambda *rows: np.array(rows, np.float32)
