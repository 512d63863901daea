import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.models.caption_decoder import CaptionDecoder
from kerasdl.models.caption_ensemble import CaptionEnsemble
from tests.decoding.problems import FEATURES, features, sharp_decoder


def ensemble():
    return CaptionEnsemble([
        sharp_decoder(seed=0),
        sharp_decoder("rnn", seed=1),
        CaptionDecoder(9, FEATURES, cells=3, units=8, features_in="both", layers=2),
    ])  # fmt: skip


WORDS = np.random.default_rng(0).integers(1, 9, (4, 6)).astype("int32")


def test_probabilities_are_the_members_mean():
    model, pictures = ensemble(), features(4)
    expected = np.mean(
        [tf.nn.softmax(member((pictures, WORDS))) for member in model.members], axis=0
    )
    np.testing.assert_allclose(np.exp(model((pictures, WORDS))), expected, rtol=1e-4)


def test_steps_are_the_whole_sequence():
    model, pictures = ensemble(), features(4)
    whole, state = model((pictures, WORDS)), model.initial_state(pictures)
    for t in range(6):
        logits, state = model.step(WORDS[:, t], state)
        np.testing.assert_allclose(logits, whole[:, t], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("beam_size", [1, 4])
def test_score_is_the_log_probability_of_what_it_says(beam_size):
    model, pictures = ensemble(), features(6)
    ids, score = model.generate(pictures, 8, beam_size=beam_size)
    np.testing.assert_allclose(
        model.log_probability(pictures, ids), score, rtol=1e-4, atol=1e-4
    )


def test_an_ensemble_of_one_is_its_member():
    member, pictures = sharp_decoder(), features(5)
    ids, score = CaptionEnsemble([member]).generate(pictures, 8, beam_size=3)
    np.testing.assert_array_equal(ids, member.generate(pictures, 8, beam_size=3)[0])
    assert np.isfinite(score).all()


def test_attention_is_the_members_mean():
    members = [CaptionDecoder(9, FEATURES, cells=3, units=8) for _ in range(2)]
    weights = CaptionEnsemble(members).attention_over(features(2), WORDS[:2])
    expected = [member.attention_over(features(2), WORDS[:2]) for member in members]
    np.testing.assert_allclose(weights, np.mean(expected, axis=0), rtol=1e-5)
    assert ensemble().cells == 0


def test_config_round_trip():
    keras.utils.set_random_seed(0)
    model = ensemble()
    model.adapt(features(20))
    again = CaptionEnsemble.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(
        again((features(4), WORDS)), model((features(4), WORDS))
    )


def test_members_that_do_not_fit():
    with pytest.raises(ValueError, match=r"`members`.*at least one decoder, got none"):
        CaptionEnsemble([])
    with pytest.raises(ValueError, match=r"`members`.*vocabulary_size, got \[9, 10\]"):
        CaptionEnsemble([sharp_decoder(), CaptionDecoder(10, FEATURES, units=4)])
