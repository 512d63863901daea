import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from matplotlib.image import imread

import kerasdl
from kerasdl import layers
from kerasdl.errors import InputError
from kerasdl.models.caption_decoder import CaptionDecoder
from kerasdl.training.memory_horizon import MemoryHorizon
from kerasdl.training.reach import THRESHOLD, horizon, measure, recurrent_layers

N, T, D, H = 4, 20, 2, 3
modules = pytest.mark.parametrize("module", [keras.layers, layers], ids=["keras", "ours"])


def inputs(n=N, t=T):
    return np.random.default_rng(0).normal(size=(n, t, D)).astype("float32")


class Around(keras.Model):
    """Calls a layer with arguments that are always the same."""

    def __init__(self, layer, **arguments):
        super().__init__(name="around")
        self.layer, self.arguments = layer, arguments

    def call(self, x):
        return self.layer(x, **self.arguments)


class Idle(Around):
    """Has a layer that it never calls."""

    def call(self, x):
        return x


def halving(module, **options):
    """A linear RNN whose state halves at every step: δ_{T−k} = δ_T / 2^k exactly."""
    layer = module.SimpleRNN(H, activation="linear", name="rnn", **options)
    layer.build((None, None, D))
    layer.set_weights([np.ones((D, H)), 0.5 * np.eye(H), np.zeros(H)])
    return layer


@modules
def test_a_linear_rnn_has_the_horizon_of_its_kernel(module):
    reach = measure(halving(module), inputs())["rnn"]
    np.testing.assert_allclose(reach.delta, 0.5 ** np.arange(T), rtol=1e-6)
    assert reach.gamma is None and reach.half_lives is None
    assert reach.figures() == {"delta_horizon": 7}  # 2⁻⁶ = 0.0156, 2⁻⁷ = 0.0078
    assert reach.figures(0.1) == {"delta_horizon": 4}


@modules
@pytest.mark.parametrize("go_backwards", [False, True])
def test_masked_steps_are_no_lag(module, go_backwards):
    mask = np.ones((N, T), bool)
    mask[0, -5:] = mask[1, 3:9] = mask[2, :10] = False
    mask[3] = False
    x = keras.Input((T, D))
    m = keras.Input((T,), dtype="bool")
    layer = halving(module, go_backwards=go_backwards)
    model = keras.Model([x, m], layer(x, mask=m))
    reach = measure(model, [inputs(), mask])["rnn"]
    np.testing.assert_allclose(reach.delta, 0.5 ** np.arange(15), rtol=1e-6)


@modules
def test_the_forget_gate_alone_keeps_the_cell_state(module):
    """With no recurrent kernel γ_{T−k} = γ_T f^k, and f = σ(b_f) for each unit."""
    layer = module.LSTM(H, name="lstm", return_sequences=True)
    layer.build((None, None, D))
    kernel = np.zeros((D, 4 * H))
    kernel[:, 2 * H : 3 * H] = 0.1
    bias = np.zeros(4 * H)
    bias[H : 2 * H] = 1.5
    layer.set_weights([kernel, np.zeros((H, 4 * H)), bias])
    reach = measure(layer, inputs())["lstm"]
    f = 1 / (1 + np.exp(-1.5))
    np.testing.assert_allclose(reach.half_lives, np.log(0.5) / np.log(f), rtol=1e-5)
    np.testing.assert_allclose(reach.gamma, f ** np.arange(T), rtol=1e-5)
    assert not reach.delta[1:].any()  # nothing goes from h to the steps before
    figures = reach.figures()
    assert figures["delta_horizon"] == 1
    assert figures["gamma_horizon"] == T  # f^19 = 0.02
    assert figures["half_life"] == pytest.approx(3.44, abs=0.01)
    assert figures["half_life_90"] == pytest.approx(3.44, abs=0.01)


@modules
@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_half_lives_are_those_of_the_gate_itself(module, name):
    """Against the gate computed step by step, with a mask and an initial state."""
    layer = getattr(module, name)(H, name="rnn")
    layer.build((None, None, D))
    random = np.random.default_rng(1)
    layer.set_weights([random.normal(size=w.shape) for w in layer.get_weights()])
    x, mask = inputs(2, 4), np.array([[0, 1, 1, 1], [1, 0, 1, 0]], bool)
    states = [random.normal(size=(2, H)).astype("float32") for _ in layer.state_size]
    model = Around(layer, initial_state=states, mask=mask)
    found = measure(model, x)["rnn"].half_lives
    cell = getattr(keras.layers, f"{name}Cell")(H)
    cell.build((None, D))
    cell.set_weights(layer.get_weights())
    gate = {"LSTM": 1, "GRU": 0}[name]
    kernel, recurrent, bias = layer.get_weights()
    bias = bias.reshape(-1, bias.shape[-1]).sum(axis=0)
    block = slice(gate * H, (gate + 1) * H)
    logs = []
    for n in range(2):
        carried = [s[n : n + 1] for s in states]
        for t in range(4):
            if not mask[n, t]:
                continue
            a = x[n, t] @ kernel[:, block] + carried[0][0] @ recurrent[:, block]
            logs.append(-np.log1p(np.exp(-(a + bias[block]))))
            _, carried = cell(x[n : n + 1, t], carried)
            carried = [np.array(s) for s in carried]
    expected = np.log(0.5) / np.mean(logs, axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_horizon():
    assert horizon(np.array([1, 0.5, 0.02, 0.009, 0.02])) == 3
    assert horizon(np.array([1, 0.5, 0.02])) == 3
    assert horizon(np.array([1, 0.5]), 0.6) == 1


def test_all_layers_are_found_at_any_depth_and_left_as_they_were():
    inner = keras.Sequential([layers.SimpleRNN(H, name="rnn", return_sequences=True)])
    model = keras.Sequential(
        [
            keras.layers.Embedding(9, D, mask_zero=True),
            inner,
            keras.layers.Bidirectional(
                keras.layers.LSTM(H, return_sequences=True, dropout=0.5), name="both"
            ),
            keras.layers.SimpleRNN(H, name="rnn"),
        ]
    )
    ids = np.array([[1, 2, 3, 4], [5, 6, 0, 0]])
    before = model(ids)
    reaches = measure(model, ids)
    assert list(reaches) == list(recurrent_layers(model))
    assert sorted(reaches) == ["backward_lstm", "forward_lstm", "rnn", "rnn_2"]
    assert all(len(reach.delta) == 4 for reach in reaches.values())
    assert all("call" not in layer.__dict__ for layer in recurrent_layers(model).values())
    np.testing.assert_array_equal(model(ids), before)


def model_of(module):
    model = keras.Sequential([halving(module), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    return model


@modules
def test_in_fit(module, tmp_path):
    model, x = model_of(module), inputs(8)
    callback = MemoryHorizon(
        x[:2], every=3, log_dir=tmp_path / "board", png=tmp_path / "horizon.png"
    )
    history = model.fit(x, x[:, 0, :1], batch_size=2, epochs=2, callbacks=[callback])
    assert history.history["memory_horizon/rnn/delta_horizon"] == [7, 7]
    assert callback.steps == [0, 3, 4, 6, 8]
    picture = imread(tmp_path / "horizon.png")
    assert picture.shape[0] > 300 and picture.shape[1] > 500 and picture.std() > 0.1
    events = {
        (value.tag, event.step)
        for file in sorted((tmp_path / "board").iterdir())
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    }
    for step in (0, 3, 4, 6, 8):
        assert ("memory_horizon/rnn/delta_horizon", step) in events
    assert {step for tag, step in events if tag == "memory_horizon"} == {4, 8}


def test_training_is_the_same_with_it():
    weights = []
    for callbacks in ([], [MemoryHorizon(inputs(2))]):
        keras.utils.set_random_seed(3)
        model = keras.Sequential([layers.LSTM(H, dropout=0.5), keras.layers.Dense(1)])
        model.compile("adam", "mse")
        model.fit(inputs(), np.ones((N, 1)), epochs=2, verbose=0, callbacks=callbacks)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_outside_of_fit():
    callback = MemoryHorizon(inputs())
    figures = callback.record(5, halving(layers))
    assert figures == {"memory_horizon/rnn/delta_horizon": 7}
    callback.draw()  # nowhere to draw to


def test_refusals():
    with pytest.raises(
        ValueError, match=r"`model`, expected one with an LSTM, .*'dense'"
    ):
        measure(keras.layers.Dense(2, name="dense"), inputs())
    with pytest.raises(
        ValueError, match=r"`inputs`, .* 'around' runs one of rnn eagerly"
    ):
        measure(Idle(halving(layers)), inputs())
    with pytest.raises(ValueError, match=r"`threshold`, .* between 0 and 1, got 1.5"):
        MemoryHorizon(inputs(), threshold=1.5)
    with pytest.raises(ValueError, match=r"`every`, .* steps or 0, got -1"):
        MemoryHorizon(inputs(), every=-1)
    assert THRESHOLD == 0.01


def text_run(root, **fields):
    # The rate of a cosine depends on the epochs, so a run that got more of them differs.
    fields["schedule"] = "exponential"
    data = {"generated_train": 96, "generated_val": 32, "generated_test": 8}
    model = {"units": 6, "width": 4}
    return kerasdl.train(
        *("configs/text/default.py", root),
        data=data,
        model=model,
        batch_size=32,
        **fields,
    )


def course_of(root):
    return json.loads((root / "memory_horizon.json").read_text())


def test_a_run_that_logs_its_horizons_and_goes_on(tmp_path):
    root = tmp_path / "w"
    text_run(root, epochs=1, memory_horizon=True)
    first = course_of(root)
    assert first["steps"] == [0, 3]
    text_run(root, epochs=2, memory_horizon=True)
    second = course_of(root)
    assert second["steps"] == [0, 3, 6]
    assert second["reaches"][:2] == first["reaches"]
    rows = [json.loads(line) for line in (root / "metrics.jsonl").open()]
    names = {n for n in rows[1] if n.startswith("memory_horizon/")}
    assert {n.rsplit("/", 1)[1] for n in names} == {
        *("delta_horizon", "gamma_horizon", "half_life", "half_life_90")
    }
    whole = tmp_path / "whole"
    text_run(whole, epochs=2, memory_horizon=True)
    assert course_of(whole) == second, "a run in two parts is one run"
    assert imread(root / "memory_horizon.png").std() > 0.1
    assert "Memory horizon" in (root / "report.html").read_text()
    (root / "memory_horizon.json").write_text('{"steps": 3}')
    with pytest.raises(InputError, match=r"memory_horizon.json is damaged: delete it"):
        text_run(root, epochs=3, memory_horizon=True)


def test_a_model_without_recurrent_layers_has_none_to_log(tmp_path):
    with pytest.raises(InputError, match=r"--config.memory_horizon must be false for a"):
        kerasdl.train(
            *("configs/text/bag_of_words.py", tmp_path / "w"),
            data={"generated_train": 20, "generated_val": 4},
            memory_horizon=True,
        )
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("rnn", ["rnn", "lstm"])
def test_a_caption_decoder_is_measured(rnn):
    decoder = CaptionDecoder(9, 4, rnn=rnn, embedding_dim=3, units=H)
    batch = np.ones((2, 4), "float32"), np.array([[1, 5, 6, 7], [1, 5, 0, 0]], "int32")
    (reach,) = measure(decoder, batch).values()
    assert len(reach.delta) == 4
    assert (reach.gamma is not None) == (rnn == "lstm")
