"""Mixed precision: 16 bits in the training step, and nowhere else."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasdl
from kerasdl.errors import InputError
from kerasdl.training.config import override, read_config
from kerasdl.training.jobs import JOBS
from kerasdl.training.loop import TrainingLoop
from kerasdl.training.precision import computing_in, scaling_losses
from kerasdl.training.steps import TrainingSteps
from kerasdl.training.workdir import Workdir
from tests.training.replicas import TINY
from tests.training.tiny import built

HALF = ("mixed_bfloat16", "mixed_float16")


VARIANTS = {
    "captioning": [
        {
            "model.image_size": 64,
            "model.attention": True,
            "model.grid": 2,
            "model.features_in": "every_step",
            "model.tied": True,
            "label_smoothing": 0.1,
        },
        {"model.rnn": "rnn", "model.image_size": 64, "model.grid": 2},
    ],
    "text": [{}, {"model.name": "average", "adversarial": 0.5}],
    "transfer": [{"model.image_size": 64}],
}


CASES = [
    pytest.param(name, fields, marks=[pytest.mark.slow] * (name == "transfer"))
    for name, several in VARIANTS.items()
    for fields in several
]


@pytest.mark.parametrize(("name", "fields"), CASES)
def test_every_job_learns_in_16_bits_as_in_32(name, fields):
    objective, *_ = built(name, **fields)
    weights = objective.model.get_weights()
    batches = list(objective.batches(0))[:3]

    def losses(precision):
        objective.model.set_weights(weights)
        optimizer = scaling_losses(precision, keras.optimizers.SGD(1e-3))
        optimizer.build(objective.model.trainable_variables)
        steps = TrainingSteps(
            objective.model,
            optimizer,
            objective.loss,
            objective.signature,
            weight=objective.weight,
            precision=precision,
        )
        return [step["loss"] for step in steps(batches)]

    expected = losses("float32")
    for precision in HALF:
        found = losses(precision)
        assert found != expected  # or nothing was computed in 16 bits
        np.testing.assert_allclose(found, expected, rtol=0.03, atol=0.01)
        layers = objective.model._flatten_layers()
        assert {layer.dtype_policy.name for layer in layers} == {"float32"}


def dense():
    keras.utils.set_random_seed(0)
    layers = [keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)]
    return keras.Sequential(layers)


def test_only_what_is_traced_in_the_scope_is_in_16_bits():
    model, seen = dense(), []

    @tf.function
    def run(x):
        with computing_in("mixed_float16", model):
            seen.append(model(x).dtype)
        return model(x)

    x = tf.ones((2, 3))
    np.testing.assert_array_equal(run(x), model(x))
    assert seen == [tf.float16] and model(x).dtype == tf.float32
    assert {layer.dtype_policy.name for layer in model._flatten_layers()} == {"float32"}


def loop_of(root, epochs, scale=None):
    model = dense()
    optimizer = scaling_losses("mixed_float16", keras.optimizers.Adam(1e-2))
    optimizer.build(model.trainable_variables)
    if scale:
        optimizer.dynamic_scale.assign(scale)

    def loss(x, y):
        return tf.reduce_mean((tf.cast(model(x), tf.float32)[:, 0] - y) ** 2)

    random = np.random.default_rng(2)
    batches = [
        (random.normal(size=(4, 3)).astype("f4"), np.ones(4, "f4")) for _ in range(3)
    ]
    signature = [tf.TensorSpec((None, 3)), tf.TensorSpec((None,))]
    return TrainingLoop(
        workdir=Workdir(root, "text", {"seed": 3}).create(),
        model=model,
        optimizer=optimizer,
        take_steps=TrainingSteps(
            model, optimizer, loss, signature, 2, precision="mixed_float16"
        ),
        batches=lambda epoch: batches,
        steps_per_epoch=3,
        epochs=epochs,
        evaluate=dict,
        monitor="train/loss",
    )


def test_a_step_that_overflows_is_left_out_and_the_run_goes_on_to_the_same_bits(tmp_path):
    # Two steps overflow: 2^35 · gradients of about 1 have no float16.
    whole = loop_of(tmp_path / "whole", 3, scale=2.0**19)
    whole.run()
    rows = whole.progress.rows
    assert rows[0]["train/overflow"] > 0 and rows[-1]["train/overflow"] == 0
    assert all(np.isfinite(row["train/gradient_norm"]) for row in rows)
    left_out = round(3 * sum(row["train/overflow"] for row in rows))
    assert int(whole.optimizer.iterations) == 9 - left_out
    assert float(whole.optimizer.dynamic_scale) == 2.0 ** (19 - left_out)
    cut = loop_of(tmp_path / "cut", 1, scale=2.0**19)
    cut.run()
    cut.workdir.close()
    again = loop_of(tmp_path / "cut", 3)
    again.run()
    for a, b in zip(whole._variables, again._variables, strict=True):
        np.testing.assert_array_equal(np.array(a), np.array(b))


@pytest.mark.slow
def test_a_run_saves_a_model_of_32_bits(tmp_path):
    fields = {**TINY["text"], "precision": "mixed_bfloat16"}
    run = kerasdl.train("configs/text/default.py", tmp_path / "w", **fields)
    model = kerasdl.load(run).model
    assert {layer.dtype_policy.name for layer in model._flatten_layers()} == {"float32"}
    assert np.isfinite(run.metrics["train/loss"])


def test_scaled_losses_on_several_replicas_are_refused():
    fields = {"precision": "mixed_float16", "distribute": "mirrored"}
    config = override(read_config("configs/transfer/default.py"), fields)
    with pytest.raises(InputError, match=r"got .mixed_float16. with .*=mirrored"):
        JOBS["transfer"].check(config)


def test_other_precisions_are_refused():
    config = override(read_config("configs/text/default.py"), {"precision": "float16"})
    with pytest.raises(InputError, match=r"precision must be .*, got 'float16'"):
        JOBS["text"].check(config)
