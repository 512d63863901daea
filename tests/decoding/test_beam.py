import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasdl.data.captions.vocabulary import END
from kerasdl.decoding.beam import beam_search
from kerasdl.decoding.greedy import greedy_decode
from tests.decoding import numpy_reference
from tests.decoding.problems import FEATURES, features, sharp_decoder
from tests.decoding.test_greedy import captions_of


@pytest.mark.parametrize("rnn", ["lstm", "rnn"])
@pytest.mark.parametrize(("beam_size", "length_penalty"), [(2, 0.0), (3, 0.7), (5, 1.0)])
def test_beam_is_the_slow_reference(rnn, beam_size, length_penalty):
    decoder, pictures = sharp_decoder(rnn, sharpness=4.0), features(12)
    ids, score = beam_search(decoder, pictures, 8, beam_size, length_penalty)
    assert ids.dtype == tf.int32 and ids.shape == (12, 8)
    reference = numpy_reference.NumpyDecoder(decoder)
    expected = [
        numpy_reference.beam(reference, row, 8, beam_size, length_penalty)
        for row in pictures
    ]
    assert captions_of(ids) == [caption for caption, _ in expected]
    np.testing.assert_allclose(score, [total for _, total in expected], rtol=1e-5)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), rnn=st.sampled_from(["lstm", "rnn"]))
def test_beam_of_one_is_greedy(seed, rnn):
    decoder, pictures = sharp_decoder(rnn, seed=seed), features(8, seed)
    ids, score = beam_search(decoder, pictures, 7, beam_size=1)
    expected_ids, expected_score = greedy_decode(decoder, pictures, 7)
    np.testing.assert_array_equal(ids, expected_ids)
    np.testing.assert_allclose(score, expected_score, rtol=1e-6)


def test_larger_beams_never_lower_the_mean_log_probability():
    decoder, pictures = sharp_decoder(sharpness=3.0), features(200)
    means = [
        float(tf.reduce_mean(beam_search(decoder, pictures, 8, size)[1]))
        for size in (1, 2, 4, 8, 16)
    ]
    assert means == sorted(means)
    assert means[-1] > means[0] + 0.1  # and the search is worth having


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_a_beam_that_holds_everything_is_exact(length_penalty):
    vocabulary_size, length = 6, 4
    decoder, pictures = sharp_decoder(vocabulary_size=6, sharpness=3.0), features(10)
    reference = numpy_reference.NumpyDecoder(decoder)
    ids, score = beam_search(decoder, pictures, length, 3**length, length_penalty)
    for row, caption, total in zip(pictures, captions_of(ids), score, strict=True):
        best = max(
            numpy_reference.every_caption(vocabulary_size, length),
            key=lambda c: (
                numpy_reference.log_probability(reference, row, c)
                / len(c) ** length_penalty
            ),
        )
        assert caption == best
        np.testing.assert_allclose(
            total, numpy_reference.log_probability(reference, row, best), rtol=1e-5
        )


def test_length_penalty_lengthens():
    decoder, pictures = sharp_decoder(sharpness=3.0), features(50)
    lengths = [
        np.mean([len(c) for c in captions_of(beam_search(decoder, pictures, 8, 4, p)[0])])
        for p in (0.0, 1.0, 3.0)
    ]
    assert lengths == sorted(lengths) and lengths[0] < lengths[-1]


def test_a_picture_does_not_depend_on_its_batch():
    decoder, pictures = sharp_decoder(sharpness=4.0), features(9)
    ids, score = beam_search(decoder, pictures, 8, 4, 0.5)
    for n in range(9):
        alone_ids, alone_score = beam_search(decoder, pictures[n : n + 1], 8, 4, 0.5)
        np.testing.assert_array_equal(alone_ids[0], ids[n])
        np.testing.assert_allclose(alone_score[0], score[n], rtol=1e-5)


def test_search_ends_early_once_nothing_can_win():
    steps = []

    class EndsAtOnce:
        def initial_state(self, features):
            return (features,)

        def step(self, tokens, state):
            steps.append(len(tokens))
            logits = tf.one_hot(END, 6)[None] * 20.0
            return tf.tile(logits, [len(tokens), 1]), state

    ids, score = beam_search(EndsAtOnce(), tf.zeros((2, 1)), 30, 3)
    assert ids.numpy()[:, 0].tolist() == [END, END]
    np.testing.assert_allclose(score, 0.0, atol=1e-6)
    assert steps == [6]


def test_dynamic_batch_in_a_graph_equals_eager():
    decoder, pictures = sharp_decoder(sharpness=4.0), features(6)
    graph = tf.function(
        lambda f: beam_search(decoder, f, 8, 3),
        input_signature=[tf.TensorSpec((None, FEATURES))],
    )
    for count in (0, 1, 6):
        eager = beam_search(decoder, pictures[:count], 8, 3)
        ids, score = graph(tf.constant(pictures[:count]))
        np.testing.assert_array_equal(ids, eager[0])
        np.testing.assert_allclose(score, eager[1], rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beam_size": 0}, r"`beam_size`.* got 0\."),
        ({"beam_size": 1.5}, r"`beam_size`.* got 1\.5\."),
        ({"max_length": -1}, r"`max_length`.* got -1\."),
        ({"length_penalty": -0.5}, r"`length_penalty`.* got -0\.5\."),
        ({"length_penalty": float("nan")}, r"`length_penalty`.* got nan\."),
    ],
)
def test_invalid_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        beam_search(sharp_decoder(), features(1), **{"max_length": 4, **arguments})
