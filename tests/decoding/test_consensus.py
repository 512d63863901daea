import collections

import numpy as np
import pytest

from kerasdl.data.captions.vocabulary import END, NULL, CaptionVocabulary
from kerasdl.decoding import DecodeOptions, consensus_caption, options_for
from kerasdl.decoding.consensus import similarities
from kerasdl.errors import InputError
from tests.decoding.problems import features, sharp_decoder


def padded(captions, length=9):
    ids = np.full((1, len(captions), length), NULL, "int32")
    for row, caption in enumerate(captions):
        ids[0, row, : len(caption)] = caption
    return ids


def dice(a, b):
    """The definition, over Python lists."""
    a, b = ([word for word in caption if word != END] for caption in (a, b))
    total = 0.0
    for n in range(1, 5):
        first, second = (
            [tuple(c[i : i + n]) for i in range(len(c) - n + 1)] for c in (a, b)
        )
        shared = sum(g in second for g in first) + sum(g in first for g in second)
        if first or second:
            total += shared / (len(first) + len(second))
    return total / 4


def test_similarities_are_their_definition():
    draw = np.random.default_rng(0)
    captions = [
        [*draw.integers(4, 8, draw.integers(0, 9)).tolist(), END] for _ in range(9)
    ]
    captions[0] = [4, 5, 6, 4, 5, 6, 4, 5, 6]  # full length, without an end
    found = similarities(padded(captions, 10)).numpy()[0]
    expected = [[dice(a, b) for b in captions] for a in captions]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_caption_that_most_agree_with_is_chosen():
    captions = [[4, 5, 6, END], [7, 8, END], [4, 5, 9, END], [4, 5, 6, 9, END]]
    score = np.log([[0.4, 0.3, 0.2, 0.1]]).astype("float32")
    ids, chosen = consensus_caption(padded(captions), score)
    assert ids.numpy()[0, :5].tolist() == [4, 5, 6, 9, END]
    assert chosen.numpy()[0] == score[0, 3]
    # If only the most probable one votes, it chooses itself.
    ids, _ = consensus_caption(padded(captions), score, weight=50.0)
    assert ids.numpy()[0, :4].tolist() == captions[0]


def test_what_is_no_candidate_is_never_chosen():
    score = np.array([[-5.0, -np.inf]], "float32")
    ids, chosen = consensus_caption(padded([[4, END], []]), score)
    assert ids.numpy()[0, 0] == 4 and chosen.numpy()[0] == -5.0


def test_generate_takes_the_consensus_of_its_candidates():
    decoder, pictures = sharp_decoder(sharpness=2.0), features(20)
    for options in ({"beam_size": 5}, {"samples": 8, "seed": 1}):
        ids, score = decoder.generate(pictures, 8, consensus=True, **options)
        every, scores = decoder.candidates(pictures, 8, **options)
        for n, row in enumerate(every.numpy()):
            kinds = collections.Counter(map(tuple, row.tolist()))
            captions = [[w for w in caption if w != NULL] for caption in row.tolist()]
            gains = [np.mean([dice(a, b) for b in captions]) for a in captions]
            best = np.flatnonzero(np.isclose(gains, max(gains)))
            assert tuple(ids.numpy()[n].tolist()) in {
                tuple(row[k].tolist()) for k in best
            }
            assert kinds and score.numpy()[n] in scores.numpy()[n]


def test_words_of_a_config_become_ids():
    vocabulary = CaptionVocabulary(["a", "dog", "of", "the"])
    decode = {"max_length": 9, "dangling": "a the an of", "required": "", "beam_size": 3}
    options = options_for(vocabulary, decode)
    assert options == {
        "max_length": 9, "dangling": (4, 7, 6), "required": (), "beam_size": 3
    }  # fmt: skip
    assert DecodeOptions(**options).dangling == (4, 7, 6)
    assert options_for(vocabulary, options) == options


def test_a_word_that_the_model_cannot_say_is_refused():
    with pytest.raises(InputError, match=r"decode\.required has 'cat'"):
        options_for(CaptionVocabulary(["dog"]), {"max_length": 9, "required": "dog cat"})
    with pytest.raises(InputError, match=r"decode has no field 'beams'"):
        options_for(CaptionVocabulary(["dog"]), {"max_length": 9, "beams": 3})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"no_repeat_ngram": -1}, r"`no_repeat_ngram`.*got -1"),
        ({"samples": 2.5}, r"`samples`.*got 2\.5"),
        ({"samples": 2, "required": (4,)}, r"`samples`.*need a search, got 2"),
    ],
)
def test_invalid_options(options, message):
    with pytest.raises(ValueError, match=message):
        DecodeOptions(8, **options)


def test_ids_of_no_word_are_refused():
    for name in ("forbidden", "dangling", "required"):
        with pytest.raises(ValueError, match=rf"`{name}`.*words, 4 to 8, got 9"):
            sharp_decoder().generate(features(1), 8, beam_size=2, **{name: (9,)})
