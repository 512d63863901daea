import numpy as np
import pytest
import tensorflow as tf

from kerasdl.data.captions.vocabulary import END, NULL, START, UNK
from kerasdl.decoding.constraints import word_log_probabilities
from kerasdl.decoding.greedy import greedy_decode
from tests.decoding import numpy_reference
from tests.decoding.problems import FEATURES, features, sharp_decoder


def captions_of(ids):
    """Rows without their padding, after checking that padding is all at the end."""
    captions = []
    for row in np.asarray(ids):
        length = int((row != NULL).sum())
        assert (row[length:] == NULL).all()
        assert END not in row[: length - 1]
        captions.append(row[:length].tolist())
    return captions


@pytest.mark.parametrize("rnn", ["lstm", "rnn"])
def test_greedy_is_the_slow_reference(rnn):
    decoder, pictures = sharp_decoder(rnn), features(40)
    ids, score = greedy_decode(decoder, pictures, 10)
    assert ids.dtype == tf.int32 and ids.shape == (40, 10)
    reference = numpy_reference.NumpyDecoder(decoder)
    expected = [numpy_reference.greedy(reference, row, 10) for row in pictures]
    assert captions_of(ids) == [caption for caption, _ in expected]
    np.testing.assert_allclose(score, [total for _, total in expected], rtol=1e-5)
    lengths = {len(caption) for caption, _ in expected}
    assert {10} < lengths  # both ways to end occur


def test_score_is_what_teacher_forcing_gives():
    decoder, pictures = sharp_decoder(), features(20)
    ids, score = greedy_decode(decoder, pictures, 10)
    np.testing.assert_allclose(
        decoder.log_probability(pictures, ids), score, rtol=1e-5, atol=1e-5
    )


def test_what_is_no_word_is_never_said():
    decoder = sharp_decoder()
    kernel, bias = decoder.vocabulary.get_weights()
    bias[[NULL, START, UNK]] = 50.0
    decoder.vocabulary.set_weights([kernel, bias])
    ids, score = greedy_decode(decoder, features(20), 10)
    for caption in captions_of(ids):
        assert not {START, UNK} & set(map(int, caption)) and len(caption) >= 1
    # The model's own probability: nearly all of it is on what may not be said.
    assert (score.numpy() < -20).all()


def test_word_log_probabilities_keep_the_models_own():
    log_p = word_log_probabilities(tf.zeros((1, 5))).numpy()[0]
    assert np.isneginf(log_p[[NULL, START, UNK]]).all()
    np.testing.assert_allclose(log_p[[END, 4]], np.log(1 / 5), rtol=1e-6)


def test_equally_probable_words_give_the_lower_id():
    class Undecided:
        def initial_state(self, features):
            return (features,)

        def step(self, tokens, state):
            return tf.tile(
                [[9.0, 9.0, 0.0, 9.0, 1.0, 1.0]], [tf.shape(tokens)[0], 1]
            ), state

    ids, _ = greedy_decode(Undecided(), tf.zeros((2, 1)), 3)
    assert ids.numpy().tolist() == [[4, 4, 4]] * 2


def test_dynamic_batch_in_a_graph_equals_eager():
    decoder, pictures = sharp_decoder(), features(12)
    graph = tf.function(
        lambda f: greedy_decode(decoder, f, 8),
        input_signature=[tf.TensorSpec((None, FEATURES))],
    )
    ids, _ = graph.get_concrete_function().structured_outputs
    assert ids.shape.as_list() == [None, 8]
    for count in (0, 1, 12):
        eager = greedy_decode(decoder, pictures[:count], 8)
        ids, score = graph(tf.constant(pictures[:count]))
        np.testing.assert_array_equal(ids, eager[0])
        np.testing.assert_allclose(score, eager[1], rtol=1e-6)


@pytest.mark.parametrize("max_length", [0, -3, 2.5, True])
def test_invalid_max_length(max_length):
    with pytest.raises(ValueError, match=rf"`max_length`.* got {max_length}\."):
        greedy_decode(sharp_decoder(), features(1), max_length)
