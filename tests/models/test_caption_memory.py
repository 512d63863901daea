"""Consensus captions of a memory against CIDEr-D itself."""

import keras
import numpy as np
import pytest

from kerasdl.data.captions.vocabulary import END, NULL
from kerasdl.metrics import CiderD
from kerasdl.models.caption_decoder import CaptionDecoder
from kerasdl.models.caption_ensemble import CaptionEnsemble
from kerasdl.models.caption_memory import SIZE, CaptionMemory, hashed_ngrams
from tests.decoding.problems import FEATURES, features, sharp_decoder

PICTURES, OF_EACH = 12, 3


def padded(captions, length=9):
    ids = np.full((len(captions), length), NULL, "int32")
    for row, caption in zip(ids, captions, strict=True):
        row[: len(caption) + 1] = [*caption, END]
    return ids


def problem(seed=0):
    draw = np.random.default_rng(seed)
    captions = [
        draw.permutation(np.arange(4, 30))[:6].tolist() for _ in range(PICTURES * OF_EACH)
    ]
    picture = np.repeat(np.arange(PICTURES), OF_EACH)
    pooled = draw.normal(size=(PICTURES, 5)).astype("float32")
    return pooled, picture, captions


def test_the_gain_is_the_mean_cider_of_the_nearest_pictures_captions():
    # No word is twice in a caption and all are equally long, so that neither clipping nor
    # the mean length makes a difference.
    pooled, picture, captions = problem()
    memory = CaptionMemory.from_captions(pooled, picture, padded(captions))
    draw = np.random.default_rng(1)
    asked = draw.normal(size=(4, 5)).astype("float32")
    candidates = [
        [captions[draw.integers(len(captions))][: draw.integers(3, 7)] for _ in range(6)]
        for _ in asked
    ]
    ids = np.stack([padded(some) for some in candidates])
    gain = memory.gain(asked, ids, nearest=4).numpy()
    groups = [captions[3 * m : 3 * m + 3] for m in range(PICTURES)]
    cider = CiderD(groups)
    unit = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    for n, row in enumerate(asked):
        cosine = unit @ (row / np.linalg.norm(row))
        nearest = np.argsort(-cosine)[:4]
        weight = np.exp((cosine[nearest] - cosine.max()) / 0.1)
        weight /= weight.sum()
        for k, candidate in enumerate(candidates[n]):
            expected = sum(
                w * cider.score(candidate, m)
                for w, m in zip(weight, nearest, strict=True)
            )
            assert gain[n, k] == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert gain.max() > 0.5


def test_hashes_of_ngrams_are_those_of_their_words_alone():
    ids = padded([[4, 5, 6, 7], [9, 4, 5, 6], [4, 6]])
    hashes, there = (array.numpy() for array in hashed_ngrams(ids))
    assert (hashes[0, :3, 0] == hashes[1, :3, 1]).all()
    assert there.sum(axis=2).tolist() == [[4, 3, 2, 1], [4, 3, 2, 1], [2, 1, 0, 0]]
    assert len({hashes[0, n, 0] for n in range(4)}) == 4
    draw = np.random.default_rng(0).integers(4, 5000, (4000, 4)).astype("int32")
    different = len(np.unique(hashed_ngrams(draw)[0].numpy()[:, 3, 0]))
    # As many as random numbers would be.
    assert different > 4000 - 2 * 4000**2 / (2 * SIZE)


@pytest.mark.parametrize("ensemble", [False, True])
def test_a_model_with_a_memory_decodes_by_it_and_is_saved_with_it(ensemble, tmp_path):
    decoder = sharp_decoder(sharpness=2.0)
    if ensemble:
        decoder = CaptionEnsemble([decoder, CaptionDecoder(9, FEATURES, units=4)])
    pictures, said = features(10), [[5, 6], [7, 8]] * 5
    with pytest.raises(ValueError, match=r"`neighbours`.*memory.*got 2\."):
        decoder.generate(pictures, 8, beam_size=4, neighbours=2)
    decoder.remember(pictures, np.arange(10), padded(said))
    ids, score = decoder.generate(
        pictures, 8, beam_size=4, neighbours=1, likelihood_weight=0.0
    )
    every, scores = decoder.candidates(pictures, 8, beam_size=4)
    gain = decoder.memory.gain(decoder.pooled(pictures), every, 1).numpy()
    for n, best in enumerate(gain.argmax(axis=1)):
        np.testing.assert_array_equal(ids[n], every[n, best])
        assert score[n] == scores[n, best]
    likely, _ = decoder.generate(
        pictures, 8, beam_size=4, neighbours=1, likelihood_weight=1e6
    )
    np.testing.assert_array_equal(likely, decoder.generate(pictures, 8, beam_size=4)[0])
    decoder.save(tmp_path / "decoder.keras")
    again = keras.saving.load_model(tmp_path / "decoder.keras", compile=False)
    np.testing.assert_array_equal(
        again.generate(pictures, 8, beam_size=4, neighbours=1, likelihood_weight=0.0)[0],
        ids,
    )
    assert not decoder.memory.trainable_variables
