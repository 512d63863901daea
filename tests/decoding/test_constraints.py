import numpy as np
import pytest
import tensorflow as tf

from kerasdl.data.captions.vocabulary import END, NULL, START, UNK
from kerasdl.decoding import (
    Constraints,
    beam_search,
    greedy_decode,
    n_best_captions,
    sample_captions,
)
from tests.decoding import numpy_reference
from tests.decoding.problems import FEATURES, features, sharp_decoder
from tests.decoding.test_greedy import captions_of

RULES = [
    Constraints(no_repeat_ngram=1),
    Constraints(no_repeat_ngram=2),
    Constraints(no_repeat_ngram=3),
    Constraints(forbidden=(5, 7)),
    Constraints(dangling=(4, 6)),
    Constraints(no_repeat_ngram=2, forbidden=(8,), dangling=(4, 5)),
]


def breaks(caption, rules, max_length):
    """Whether a caption says what the rules forbid."""
    words = [word for word in caption if word != END]
    n = rules.no_repeat_ngram
    ngrams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)] if n else []
    return (
        len(set(ngrams)) < len(ngrams)
        or bool(set(words) & set(rules.forbidden))
        or bool(rules.dangling and (not words or words[-1] in rules.dangling))
    )


@pytest.mark.parametrize("rules", RULES)
def test_greedy_and_beam_are_the_slow_references(rules):
    decoder, pictures = sharp_decoder(sharpness=4.0), features(12)
    reference = numpy_reference.NumpyDecoder(decoder)
    ids, score = greedy_decode(decoder, pictures, 8, rules)
    expected = [numpy_reference.greedy(reference, row, 8, rules) for row in pictures]
    assert captions_of(ids) == [caption for caption, _ in expected]
    np.testing.assert_allclose(score, [total for _, total in expected], rtol=1e-5)
    ids, score = beam_search(decoder, pictures, 8, 3, 0.7, constraints=rules)
    expected = [
        numpy_reference.beam(reference, row, 8, 3, 0.7, constraints=rules)
        for row in pictures
    ]
    assert captions_of(ids) == [caption for caption, _ in expected]
    np.testing.assert_allclose(score, [total for _, total in expected], rtol=1e-5)
    one, _ = beam_search(decoder, pictures, 8, 1, constraints=rules)
    np.testing.assert_array_equal(one, greedy_decode(decoder, pictures, 8, rules)[0])


def test_every_way_of_decoding_keeps_the_rules_that_it_would_break():
    decoder, pictures = sharp_decoder(vocabulary_size=14, sharpness=2.0), features(60)
    ways = (
        lambda c: greedy_decode(decoder, pictures, 8, c)[0],
        lambda c: beam_search(decoder, pictures, 8, 3, constraints=c)[0],
        lambda c: sample_captions(decoder, pictures, 8, 0, constraints=c)[0],
    )
    free = [caption for way in ways for caption in captions_of(way(Constraints()))]
    for rules in RULES:
        kept = [caption for way in ways for caption in captions_of(way(rules))]
        assert any(breaks(caption, rules, 8) for caption in free)
        assert not any(breaks(caption, rules, 8) for caption in kept)


def test_where_no_word_is_left_the_caption_ends():
    decoder = sharp_decoder(vocabulary_size=6)
    rules = Constraints(no_repeat_ngram=1, dangling=(4, 5))
    for caption in captions_of(greedy_decode(decoder, features(8), 6, rules)[0]):
        assert sorted(caption[:-1]) == [4, 5] and caption[-1] == END


@pytest.mark.parametrize("required", [(5,), (8, 4), (4, 6, 7)])
def test_required_words_are_the_slow_references(required):
    decoder, pictures = sharp_decoder(sharpness=3.0), features(10)
    reference = numpy_reference.NumpyDecoder(decoder)
    ids, score = n_best_captions(decoder, pictures, 7, 3, 0.5, n=2, required=required)
    missing = 0
    for row, captions, totals in zip(pictures, ids.numpy(), score.numpy(), strict=True):
        expected = numpy_reference.n_best(reference, row, 7, 3, 0.5, required=required)
        assert captions_of(captions) == [caption for caption, _ in expected[:2]]
        np.testing.assert_allclose(totals, [t for _, t in expected[:2]], rtol=1e-5)
        assert all(set(required) <= set(caption) for caption in captions)
        free, _ = numpy_reference.beam(reference, row, 7, 3, 0.5)
        missing += not set(required) <= set(free)
    assert missing > 2  # the words are not said anyway


def test_n_best_are_the_slow_references():
    decoder, pictures = sharp_decoder(sharpness=3.0), features(10)
    reference = numpy_reference.NumpyDecoder(decoder)
    ids, score = n_best_captions(decoder, pictures, 6, 4, 1.0, n=5)
    assert ids.shape == (10, 5, 6) and score.shape == (10, 5)
    for row, captions, totals in zip(pictures, ids.numpy(), score.numpy(), strict=True):
        expected = numpy_reference.n_best(reference, row, 6, 4, 1.0)[:5]
        assert captions_of(captions) == [caption for caption, _ in expected]
        np.testing.assert_allclose(totals, [total for _, total in expected], rtol=1e-5)
        np.testing.assert_allclose(
            decoder.log_probability(np.stack([row] * 5), captions), totals, rtol=1e-4
        )


def test_fewer_captions_than_asked_for_leave_rows_of_padding():
    class EndsAtOnce:
        def initial_state(self, features):
            return (features,)

        def step(self, tokens, state):
            logits = tf.constant([[-40.0, -40, 0, -40, -40, -40]])
            return tf.tile(logits, [tf.shape(tokens)[0], 1]), state

    ids, score = n_best_captions(EndsAtOnce(), tf.zeros((1, 1)), 1, 3)
    assert ids.numpy()[0, 0].tolist() == [END]
    assert np.isfinite(score.numpy()[0, 0])
    vocabulary = {END, 4, 5}
    assert {int(one) for one in ids.numpy()[0, :, 0]} <= vocabulary


def test_samples_follow_the_models_distribution():
    decoder, count = sharp_decoder(sharpness=1.0), 4000
    picture = np.repeat(features(1), count, axis=0)
    ids, score = sample_captions(decoder, picture, 1, seed=3)
    logits, _ = decoder.step(tf.fill([1], START), decoder.initial_state(picture[:1]))
    p = tf.nn.softmax(logits)[0].numpy()
    p[[NULL, START, UNK]] = 0.0
    drawn = np.bincount(ids.numpy()[:, 0], minlength=9) / count
    np.testing.assert_allclose(drawn, p / p.sum(), atol=4 * 0.5 / count**0.5)
    np.testing.assert_allclose(
        score, decoder.log_probability(picture, ids), rtol=1e-4, atol=1e-5
    )


def test_a_seed_draws_the_same_and_another_seed_others():
    decoder, pictures = sharp_decoder(sharpness=1.0), features(30)
    first, again = (sample_captions(decoder, pictures, 8, 7)[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (first.numpy() != sample_captions(decoder, pictures, 8, 8)[0].numpy()).any()
    few = sample_captions(decoder, pictures[:4], 8, 7)[0]
    np.testing.assert_array_equal(few, first[:4])


def test_truncated_sampling_draws_from_the_head_of_the_distribution():
    decoder, count = sharp_decoder(sharpness=1.0), 500
    picture = np.repeat(features(1), count, axis=0)
    logits, _ = decoder.step(tf.fill([1], START), decoder.initial_state(picture[:1]))
    p = tf.nn.softmax(logits)[0].numpy()
    p[[NULL, START, UNK]] = 0.0
    order, p = np.argsort(-p), p / p.sum()

    def words(**options):
        ids, _ = sample_captions(decoder, picture, 1, 0, **options)
        return set(ids.numpy()[:, 0].tolist())

    assert words(top_k=3) == set(order[:3].tolist())
    enough = int(np.searchsorted(np.cumsum(p[order]), 0.7)) + 1
    assert words(top_p=0.7) == set(order[:enough].tolist())
    assert words(top_p=1e-6) == words(top_k=1) == {order[0]}
    assert words(temperature=0.01) == {order[0]}
    assert len(words(temperature=100.0)) == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, r"`temperature`.*positive number, got 0\.0"),
        ({"top_k": -1}, r"`top_k`.*got -1"),
        ({"top_p": 0.0}, r"`top_p`.*got 0\.0"),
        ({"top_p": 1.5}, r"`top_p`.*got 1\.5"),
    ],
)
def test_invalid_sampling(options, message):
    with pytest.raises(ValueError, match=message):
        sample_captions(sharp_decoder(), features(1), 4, 0, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, r"`n`.*positive integer, got 0"),
        ({"required": (4, 4)}, r"`required`.*different words, got \(4, 4\)"),
        ({"required": (4, 5, 6, 7)}, r"`required`.*at most 3 different"),
    ],
)
def test_invalid_n_best(options, message):
    with pytest.raises(ValueError, match=message):
        n_best_captions(sharp_decoder(), features(1), 4, **options)


def test_every_option_runs_in_a_graph_of_a_dynamic_batch():
    decoder, pictures = sharp_decoder(sharpness=3.0), features(6)
    for options in (
        {"beam_size": 3, "no_repeat_ngram": 2, "dangling": (4, 5)},
        {"beam_size": 2, "required": (6, 7)},
        {"beam_size": 4, "consensus": True},
        {"samples": 5, "seed": 3, "top_p": 0.9, "consensus": True},
    ):
        graph = tf.function(
            lambda f, options=options: decoder.generate(f, 8, **options),
            input_signature=[tf.TensorSpec((None, FEATURES))],
        )
        for count in (0, 1, 6):
            eager = decoder.generate(pictures[:count], 8, **options)
            ids, score = graph(tf.constant(pictures[:count]))
            np.testing.assert_array_equal(ids, eager[0])
            np.testing.assert_allclose(score, eager[1], rtol=1e-5)
