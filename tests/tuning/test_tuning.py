"""Rates by layer, unfreezing, one cycle and the rate finder, each in plain Keras."""

import itertools
import math

import keras
import numpy as np
import pytest

import kerasdl
from kerasdl.tuning.rate_finder import RateCurve, longest_fall, smooth, sweep

X = np.random.default_rng(0).normal(size=(24, 4)).astype("float32")
Y = (X.sum(axis=1) > 0).astype("int32")


def network(seed=0):
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(3, activation="tanh", name=name) for name in "abc"]
    model = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(2)])
    return model


def compiled(optimizer, eager=True):
    """A network of one seed; eager, since tracing a graph takes longer than its steps."""
    model = network()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer(model), loss, run_eagerly=eager)
    return model


def discriminative(make, decay):
    def optimizer(model):
        rates = kerasdl.tuning.layer_rates(model, decay)
        return kerasdl.tuning.DiscriminativeOptimizer(make(), rates)

    return optimizer


OPTIMIZERS = {
    "sgd": lambda rate: keras.optimizers.SGD(rate, 0.9, weight_decay=0.1),
    "adamw": lambda rate: keras.optimizers.AdamW(rate, weight_decay=0.1),
    "rmsprop": keras.optimizers.RMSprop,
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_layer_moves_as_with_its_own_rate(name):
    """Two steps: layer g is where an optimizer of rate r * decay^(3 - g) takes it.

    The gradients of the second step depend on all layers, so they are given.
    """
    rng = np.random.default_rng(1)
    model = compiled(discriminative(lambda: OPTIMIZERS[name](0.1), 0.5))
    gradients = [
        [rng.normal(size=v.shape).astype("float32") for v in model.trainable_variables]
        for _ in range(2)
    ]
    for some in gradients:
        model.optimizer.apply(some, model.trainable_variables)
    for index in range(4):
        other = network()
        plain = OPTIMIZERS[name](0.1 * 0.5 ** (3 - index))
        for some in gradients:
            plain.apply(some, other.trainable_variables)
        for got, expected in zip(
            model.layers[index].get_weights(),
            other.layers[index].get_weights(),
            strict=True,
        ):
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_a_factor_of_one_changes_no_bit_and_fit_takes_all():
    plain = compiled(lambda model: keras.optimizers.Adam(0.01), eager=False)
    same = compiled(discriminative(lambda: keras.optimizers.Adam(0.01), 1.0), eager=False)
    for model in (plain, same):
        model.fit(X, Y, epochs=2, batch_size=8, verbose=0, shuffle=False)
    for one, other in zip(plain.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert int(same.optimizer.iterations.numpy()) == 6


def test_it_is_saved_and_loaded_with_its_state(tmp_path):
    model = compiled(discriminative(lambda: keras.optimizers.Adam(0.01), 0.5))
    model.fit(X, Y, epochs=1, batch_size=8, verbose=0, shuffle=False)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for one in (model, loaded):
        one.fit(X, Y, epochs=1, batch_size=8, verbose=0, shuffle=False)
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_the_rate_can_be_set_and_the_average_of_weights_is_taken():
    def make():
        return keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5)

    model = compiled(discriminative(make, 0.5))
    model.optimizer.learning_rate = 0.25
    assert float(model.optimizer.inner_optimizer.learning_rate) == 0.25
    model.fit(X, Y, epochs=1, batch_size=8, verbose=0)
    averages = model.optimizer.inner_optimizer._model_variables_moving_average
    for weight, average in zip(model.trainable_variables, averages, strict=True):
        np.testing.assert_array_equal(weight.numpy(), average.numpy())


def test_groups_of_a_convolutional_network_end_where_its_grid_is_halved():
    body = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Conv2D(2, 3, padding="same", name="one"),
            keras.layers.BatchNormalization(name="two"),
            keras.layers.Conv2D(2, 3, strides=2, name="three"),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    images = keras.Input((16, 16, 3))
    head = keras.layers.Dense(4, activation="relu", name="four")(body(images))
    model = keras.Model(images, keras.layers.Dense(2, name="five")(head))
    names = [[one.name for one in g] for g in kerasdl.tuning.layer_groups(model)]
    assert names == [["one", "two"], ["three"], ["four", "five"]]


def test_unfreezing_trains_one_group_more_each_time():
    model = compiled(lambda model: keras.optimizers.SGD(0.5), eager=False)
    weights = [model.get_weights()]

    class Keep(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            weights.append(self.model.get_weights())

    unfreezing = kerasdl.tuning.GradualUnfreezing(epochs_per_group=2)
    model.fit(X, Y, epochs=8, batch_size=24, verbose=0, callbacks=[unfreezing, Keep()])
    for epoch, (before, after) in enumerate(itertools.pairwise(weights)):
        moved = [
            any(
                (a != b).any()
                for a, b in zip(before[k : k + 2], after[k : k + 2], strict=True)
            )
            for k in range(0, 8, 2)
        ]
        assert moved == [group >= 3 - epoch // 2 for group in range(4)]
    assert all(layer.trainable for layer in model.layers)


def test_one_cycle():
    cycle = kerasdl.tuning.OneCycle(0.1, 100, rise=0.3, start_divisor=10, end_divisor=100)
    rates = [float(cycle(step)) for step in range(0, 121)]
    np.testing.assert_allclose(
        [rates[0], rates[30], rates[100], rates[120]],
        [0.01, 0.1, 0.001, 0.001],
        rtol=1e-5,
    )
    np.testing.assert_allclose(rates[15], (0.01 + 0.1) / 2, rtol=1e-5)
    np.testing.assert_allclose(rates[65], (0.001 + 0.1) / 2, rtol=1e-5)
    assert np.argmax(rates) == 30
    again = keras.optimizers.schedules.deserialize(
        keras.optimizers.schedules.serialize(cycle)
    )
    assert again.get_config() == cycle.get_config()


def test_the_longest_fall_and_the_average():
    assert longest_fall([3, 9, 8, 1, 7, 6, 9, 5]) == (1, 7)  # 9 8 7 6 5
    values = np.array([2.0, 4.0, 1.0])
    weights = 0.9 ** np.arange(3)[::-1]
    np.testing.assert_allclose(
        smooth(values)[-1], (values * weights).sum() / weights.sum()
    )


def test_the_suggestion_lies_on_the_slope_of_a_known_curve():
    """The loss of w² / 2 at w = 1 after a step of rate r: flat, a valley, and a wall."""

    def loss(rate):
        return 0.5 * (1 - rate / (rate + 1e-2)) + max(0.0, math.log(rate / 0.3)) * 20

    curve = sweep(loss, 1e-6, 10, 200)
    assert curve.rates[-1] < 10  # it stopped at the wall
    assert 1e-4 < curve.suggestion < 0.3 and 1e-3 < curve.steepest < 0.3


def test_lr_find_leaves_everything_as_it_was(tmp_path):
    def optimizer(model):
        schedule = keras.optimizers.schedules.CosineDecay(0.1, 100)
        return discriminative(lambda: keras.optimizers.Adam(schedule), 0.5)(model)

    models = [compiled(optimizer) for _ in range(2)]
    curve = kerasdl.tuning.lr_find(models[0], X, Y, batch_size=12, steps=12)
    assert 1e-7 < curve.suggestion < 10 and len(curve.losses) > 5
    for model in models:
        model.fit(X, Y, batch_size=12, verbose=0, shuffle=False)
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, other)
    for name in ("rates.png", "rates.svg"):
        curve.save(tmp_path / name)
    assert (tmp_path / "rates.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "rates.svg").read_text()
    with pytest.raises(ValueError, match=r"png or .svg, got 'a.pdf'"):
        curve.save("a.pdf")


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: kerasdl.tuning.layer_rates(network(), 0.0), "`decay`, .*got 0.0"),
        (lambda: kerasdl.tuning.OneCycle(1e-3, 10, rise=1.0), "`rise`, .*got 1.0"),
        (lambda: kerasdl.tuning.GradualUnfreezing(epochs_per_group=0), "integer, got 0"),
        (lambda: sweep(lambda rate: 1.0, 1.0, 0.1), "`lowest`, .*got 1.0 and 0.1"),
        (lambda: sweep(lambda rate: math.nan), "not finite at the second step"),
        (lambda: RateCurve.of([1.0], [1.0]), "not finite"),
        (
            lambda: compiled(
                lambda model: kerasdl.tuning.DiscriminativeOptimizer(
                    keras.optimizers.SGD(0.1), [0.5]
                )
            ).fit(X, Y, verbose=0),
            "`rates`, .*the 8 trainable variables, got 1",
        ),
        (
            lambda: kerasdl.tuning.DiscriminativeOptimizer(
                keras.optimizers.SGD(0.1), [-1.0]
            ),
            "at least 0, got -1.0",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_layer_that_the_optimizer_does_not_know_is_refused():
    model = network()
    model.layers[0].trainable = False
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.optimizer.build(model.trainable_variables)
    with pytest.raises(ValueError, match="layer 'a': it was frozen when the optimizer"):
        model.fit(X, X[:, :2], verbose=0, callbacks=[kerasdl.tuning.GradualUnfreezing()])
