import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.data.captions.vocabulary import END, NULL, START
from kerasdl.models.caption_decoder import CaptionDecoder
from tests.decoding import numpy_reference
from tests.decoding.problems import FEATURES, features, sharp_decoder

DESIGNS = [("lstm", 0), ("rnn", 0), ("gru", 0), ("lstm", 3), ("gru", 3)]
ACTIVATED = {"h_0_activation": "tanh", "input_activation": "relu", "input_units": 3}
# Options of a decoder, each of which has to hold to the same rules.
OPTIONS = [
    {"features_in": "every_step"},
    {"features_in": "both", "layers": 2, "rnn": "rnn"},
    {"cells": 2, "attention": "additive", "whole": 2, "features_in": "both", **ACTIVATED},
    {"cells": 3, "attention": "additive", "features_in": "both", "layers": 2},
    {"tied": True, "layers": 2, "feature_dropout": 0.5, "dropout": 0.5},
]


def small_decoder(rnn="lstm", cells=0, **options):
    keras.utils.set_random_seed(0)
    arguments = {"rnn": rnn, "cells": cells, "embedding_dim": 5, "units": 8, **options}
    return CaptionDecoder(12, FEATURES, **arguments)


def tokens(shape, vocabulary_size=12, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(START, vocabulary_size, shape).astype("int32")


@pytest.mark.parametrize("rnn", ["lstm", "rnn"])
def test_logits_are_the_slow_references(rnn):
    decoder, pictures = sharp_decoder(rnn), features(4)
    words = tokens((4, 6), vocabulary_size=9)
    log_p = tf.nn.log_softmax(decoder((pictures, words))).numpy()
    reference = numpy_reference.NumpyDecoder(decoder)
    for n in range(4):
        state = reference.start(pictures[n])
        for t in range(6):
            expected, state = reference.step(words[n, t], state)
            np.testing.assert_allclose(log_p[n, t], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("rnn", "cells"), DESIGNS)
def test_steps_are_the_whole_sequence(rnn, cells):
    decoder, pictures, words = small_decoder(rnn, cells), features(3), tokens((3, 7))
    whole = decoder((pictures, words))
    state = decoder.initial_state(pictures)
    assert len(state) == (2 if rnn == "lstm" else 1) + bool(cells)
    for t in range(7):
        logits, state = decoder.step(words[:, t], state)
        np.testing.assert_allclose(logits, whole[:, t], rtol=1e-5, atol=1e-6)


def test_attention_is_its_equations():
    decoder, pictures, words = small_decoder(cells=3), features(2), tokens((2, 4))
    z = 0.1 * pictures.reshape(2, 3, FEATURES // 3).astype("float64")
    w, b = decoder.attention.cell_projection.get_weights()
    places = z @ w + b + np.array(decoder.attention.position)  # (N, L, units)
    w, b = decoder.projection.get_weights()
    start = [z.mean(1) @ w + b, np.zeros((2, 8))]
    h = decoder.recurrent(
        decoder.embedding(words), initial_state=[tf.cast(s, "float32") for s in start]
    ).numpy()  # (N, T, units)
    (w_query,) = decoder.attention.query_projection.get_weights()
    scores = np.einsum("ntu,nlu->ntl", h @ w_query, places) / np.sqrt(8)
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    context = np.einsum("ntl,nlu->ntu", weights, places)
    w, b = decoder.attention.attention_output.get_weights()
    attended = np.tanh(np.concatenate([h, context], -1) @ w + b)
    w, b = decoder.vocabulary.get_weights()
    np.testing.assert_allclose(
        decoder((pictures, words)), attended @ w + b, rtol=1e-4, atol=1e-5
    )


def test_initial_weights_are_the_baselines():
    keras.utils.set_random_seed(3)
    decoder = CaptionDecoder(1000, 640)
    assert (decoder.embedding_dim, decoder.units, decoder.feature_scale) == (
        256,
        512,
        0.1,
    )
    recurrent, inward, bias = None, None, None
    for variable in decoder.recurrent.weights:
        kind = variable.path.split("/")[-1]
        if kind == "kernel":
            inward = np.array(variable)
        elif kind == "recurrent_kernel":
            recurrent = np.array(variable)
        elif kind == "bias":
            bias = np.array(variable)
    # A sample of n normal numbers has a standard deviation within 1 / sqrt(2n).
    for kernel, deviation in [
        (decoder.embedding.get_weights()[0], 0.01),
        (decoder.projection.get_weights()[0], 640**-0.5),
        (inward, 256**-0.5),
        (recurrent, 512**-0.5),
        (decoder.vocabulary.get_weights()[0], 512**-0.5),
    ]:
        assert kernel.std() == pytest.approx(deviation, rel=0.01)
        assert np.abs(kernel).max() > 3.5 * deviation  # not truncated
    for zeros in (bias, decoder.projection.bias, decoder.vocabulary.bias):
        assert not np.array(zeros).any()


def test_loss_before_training_is_log_vocabulary():
    decoder = small_decoder()
    words = tokens((20, 6))
    decoder.compile(optimizer="sgd", jit_compile=False)
    loss = decoder.evaluate((features(20), words), words, verbose=0)
    assert loss == pytest.approx(6 * np.log(12), rel=0.05)


def test_loss_ignores_padding_and_sums_over_time():
    decoder, pictures = small_decoder(), features(2)
    inputs = np.array([[START, 5, 6, 7], [START, 8, NULL, NULL]], "int32")
    targets = np.array([[5, 6, 7, END], [8, END, NULL, NULL]], "int32")
    loss = decoder.compute_loss(y=targets, y_pred=decoder((pictures, inputs)))
    # Teacher forcing reads the same words: the mean of the captions' log-probabilities.
    expected = -np.mean(decoder.log_probability(pictures, targets))
    assert float(loss) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("options", OPTIONS)
def test_steps_are_the_whole_sequence_with_every_option(options):
    decoder, pictures, words = small_decoder(**options), features(3), tokens((3, 7))
    decoder.adapt(features(30))
    whole = decoder((pictures, words))
    state = decoder.initial_state(pictures)
    assert len(state) == decoder.moving_states + decoder.constant_states
    assert len(set(decoder.state_names)) == len(decoder.state_names) == len(state)
    for t in range(7):
        logits, moved = decoder.step(words[:, t], state)
        np.testing.assert_allclose(logits, whole[:, t], rtol=1e-5, atol=1e-6)
        for old, new in zip(
            state[decoder.moving_states :], moved[decoder.moving_states :], strict=True
        ):
            assert old is new
        state = moved


@pytest.mark.parametrize("options", OPTIONS)
def test_every_weight_of_an_option_learns(options):
    decoder, pictures, words = small_decoder(**options), features(3), tokens((3, 7))
    decoder.adapt(features(30))
    decoder.embedding.set_weights([np.random.default_rng(0).normal(size=(12, 5))])
    with tf.GradientTape() as tape:
        loss = -tf.reduce_sum(decoder.log_probability(pictures, words))
    for variable, gradient in zip(
        decoder.trainable_variables,
        tape.gradient(loss, decoder.trainable_variables),
        strict=True,
    ):
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, variable.path


def test_tied_words_share_one_table():
    free, tied = small_decoder(), small_decoder(tied=True)
    w, b = tied.word_projection.get_weights()
    pictures, words = features(2), tokens((2, 4))
    state = [tf.cast(s, "float32") for s in tied.initial_state(pictures)]
    h = tied.recurrent(tied.embedding(words), initial_state=state).numpy()
    expected = (h @ w + b) @ tied.embedding.get_weights()[0].T + np.array(tied.word_bias)
    np.testing.assert_allclose(tied((pictures, words)), expected, rtol=1e-4, atol=1e-6)
    assert tied.count_params() == free.count_params() - 8 * 12 + 8 * 5 + 5


def test_additive_attention_is_its_equations():
    decoder = small_decoder(cells=3, attention="additive")
    attention = decoder.attention
    h = np.random.default_rng(0).normal(size=(2, 4, 8)).astype("float32")
    m, keys = attention.encode(np.random.default_rng(1).normal(size=(2, 3, 2)))
    (w_query,), (w_key, b_key) = (
        attention.query_projection.get_weights(),
        attention.key_projection.get_weights(),
    )
    (v,) = attention.energy.get_weights()
    np.testing.assert_allclose(keys, m.numpy() @ w_key + b_key, rtol=1e-4, atol=1e-5)
    for n, t in np.ndindex(2, 4):
        energies = [
            (np.tanh(h[n, t] @ w_query + m.numpy()[n, place] @ w_key + b_key) @ v)[0]
            for place in range(3)
        ]
        weights = np.exp(energies) / np.exp(energies).sum()
        np.testing.assert_allclose(
            attention.weights_of(h, (m, keys))[n, t], weights, rtol=1e-4
        )


def test_the_whole_picture_beside_its_places():
    decoder = small_decoder(cells=2, whole=2, features_in="both", **ACTIVATED)
    rows = features(20)
    decoder.adapt(rows)
    z = (rows[:, :2] - rows[:, :2].mean(0)) / rows[:, :2].std(0) * 0.1
    h, _, picture, places = (part.numpy() for part in decoder.initial_state(rows))
    w, b = decoder.projection.get_weights()
    np.testing.assert_allclose(h, np.tanh(z @ w + b), rtol=1e-4, atol=1e-5)
    w, b = decoder.feature_input.get_weights()
    assert w.shape == (2, 3)
    np.testing.assert_allclose(picture, np.maximum(z @ w + b, 0), rtol=1e-4, atol=1e-5)
    w, b = decoder.attention.cell_projection.get_weights()
    given = 0.1 * rows[:, 2:].reshape(20, 2, -1)  # not standardised
    expected = given @ w + b + np.array(decoder.attention.position)
    np.testing.assert_allclose(places, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(decoder.pooled(rows), z / 0.1, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["dot", "additive"])
def test_attention_maps_of_a_caption(kind):
    decoder, pictures = small_decoder(cells=3, attention=kind), features(4)
    ids, score, weights = decoder.generate(pictures, 6, attention=True)
    again = decoder.generate(pictures, 6)
    np.testing.assert_array_equal(ids, again[0])
    np.testing.assert_allclose(score, again[1])
    assert weights.shape == (4, 6, 3)
    np.testing.assert_allclose(
        tf.reduce_sum(weights, -1), (ids.numpy() != NULL).astype("float32"), rtol=1e-5
    )
    state, previous = decoder.initial_state(pictures), [START] * 4
    for t in range(3):
        _, moved = decoder.step(tf.constant(previous), state)
        expected = decoder.attention.weights_of(
            moved[0][:, None], state[decoder.moving_states :]
        )[:, 0]
        said = ids.numpy()[:, t] != NULL
        np.testing.assert_allclose(weights[:, t][said], expected[said], rtol=1e-4)
        state, previous = moved, ids[:, t]


def test_attention_of_a_decoder_without_it_is_refused():
    with pytest.raises(ValueError, match=r"`attention`.*cells=0\), got True"):
        small_decoder().generate(features(1), 4, attention=True)


@pytest.mark.parametrize("options", OPTIONS)
def test_config_round_trip_of_every_option(options):
    decoder = small_decoder(**options)
    again = CaptionDecoder.from_config(decoder.get_config())
    again.set_weights(decoder.get_weights())
    pictures, words = features(2), tokens((2, 4))
    np.testing.assert_array_equal(decoder((pictures, words)), again((pictures, words)))


@pytest.mark.parametrize(("rnn", "cells"), DESIGNS)
def test_one_batch_can_be_overfitted(rnn, cells):
    decoder, pictures = (
        small_decoder(rnn, cells, units=32, feature_scale=1.0),
        features(4),
    )
    decoder.adapt(pictures)
    inputs = np.array([[1, 5, 6, 7], [1, 8, 9, 0], [1, 5, 9, 4], [1, 11, 0, 0]], "int32")
    targets = np.array([[5, 6, 7, 2], [8, 9, 2, 0], [5, 9, 4, 2], [11, 2, 0, 0]], "int32")
    # Compiling by XLA takes longer than the training.
    decoder.compile(optimizer=keras.optimizers.Adam(5e-2), jit_compile=False)
    batch = tf.data.Dataset.from_tensors(((pictures, inputs), targets))
    decoder.fit(batch.repeat(40), verbose=0)
    assert decoder.evaluate(batch, verbose=0) < 0.1
    ids, _ = decoder.generate(pictures, max_length=4)
    np.testing.assert_array_equal(ids, targets)


def test_adapt_standardises_each_dimension():
    decoder = small_decoder()
    rows = np.random.default_rng(0).normal(5.0, 2.0, (50, FEATURES)).astype("float32")
    rows[:, 2] = 0.1  # constant: not exactly representable, so its variance rounds
    decoder.adapt(rows)
    z = (rows - decoder.mean.numpy()) / np.sqrt(decoder.variance.numpy())
    np.testing.assert_allclose(z.mean(0), 0.0, atol=1e-5)
    np.testing.assert_allclose(np.delete(z.std(0), 2), 1.0, rtol=1e-5)
    assert decoder.variance.numpy()[2] == 1.0
    w, b = decoder.projection.get_weights()
    np.testing.assert_allclose(
        decoder.initial_state(rows)[0], 0.1 * z @ w + b, rtol=1e-4, atol=1e-5
    )
    assert not {decoder.mean.path, decoder.variance.path} & {
        variable.path for variable in decoder.trainable_variables
    }


def test_adapt_refuses_other_shapes_and_values():
    decoder = small_decoder()
    for shape in [(3, 5), (0, FEATURES), (FEATURES,), (2, FEATURES, 1)]:
        with pytest.raises(ValueError, match=rf"`features`.*got \({shape[0]},"):
            decoder.adapt(np.ones(shape))
    rows = np.ones((3, FEATURES))
    rows[2, 4] = np.nan
    with pytest.raises(ValueError, match=r"finite numbers, got nan at \[2, 4\]"):
        decoder.adapt(rows)


def test_dropout_acts_in_training_only():
    decoder, pictures, words = small_decoder(dropout=0.5), features(2), tokens((2, 5))
    still = [decoder((pictures, words), training=False) for _ in range(2)]
    np.testing.assert_array_equal(*still)
    noisy = [decoder((pictures, words), training=True) for _ in range(2)]
    assert np.abs(noisy[0] - noisy[1]).max() > 1e-3


@pytest.mark.parametrize(("rnn", "cells"), DESIGNS)
def test_config_round_trip(rnn, cells):
    decoder = small_decoder(rnn, cells, dropout=0.25, feature_scale=0.3)
    again = CaptionDecoder.from_config(decoder.get_config())
    assert again.get_config() == decoder.get_config()
    again.set_weights(decoder.get_weights())
    pictures, words = features(2), tokens((2, 4))
    np.testing.assert_array_equal(decoder((pictures, words)), again((pictures, words)))


def test_sample_weight_is_refused():
    decoder = small_decoder()
    decoder.compile(optimizer="sgd", jit_compile=False)
    words = tokens((2, 3))
    with pytest.raises(ValueError, match="`sample_weight`"):
        decoder.compute_loss(
            y=words, y_pred=decoder((features(2), words)), sample_weight=np.ones(2)
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rnn": "qrnn"}, r"`rnn`.*got 'qrnn'\."),
        ({"layers": 0}, r"`layers`.*got 0\."),
        ({"features_in": "x"}, r"`features_in`.*'both'\], got 'x'\."),
        ({"feature_dropout": -0.1}, r"`feature_dropout`.*got -0\.1\."),
        ({"whole": 1}, r"`whole`, expected 0, or with cells .*got 1\."),
        ({"cells": 3, "whole": 6}, r"`whole`.*less than feature_dim=6, got 6\."),
        ({"cells": 3, "whole": 2}, r"`cells`.*feature_dim=6 less whole=2, got 3\."),
        ({"input_units": -1}, r"`input_units`.*got -1\."),
        ({"h_0_activation": "selu"}, r"`h_0_activation`.*'tanh'\], got 'selu'\."),
        ({"input_activation": ""}, r"`input_activation`.*got ''\."),
        ({"cells": 3, "attention": "soft"}, r"`attention`.*got 'soft'\."),
        ({"units": 0}, r"`units`.*positive integer, got 0\."),
        ({"embedding_dim": -4}, r"`embedding_dim`.*got -4\."),
        ({"feature_dim": 2.0}, r"`feature_dim`.*got 2\.0\."),
        ({"vocabulary_size": 4}, r"`vocabulary_size`.*4 special tokens, got 4\."),
        ({"dropout": 1.0}, r"`dropout`.*got 1\.0\."),
        ({"feature_scale": 0.0}, r"`feature_scale`.*got 0\.0\."),
        ({"cells": -1}, r"`cells`.*got -1\."),
        ({"cells": 4}, r"`cells`.*divisor of feature_dim=6, got 4\."),
    ],
)
def test_invalid_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        CaptionDecoder(**{"vocabulary_size": 9, "feature_dim": 6, **arguments})
