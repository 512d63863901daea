import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.data.captions.vocabulary import END, NULL, START, UNK, CaptionVocabulary
from kerasdl.metrics import CiderD
from kerasdl.models.caption_ensemble import CaptionEnsemble
from kerasdl.training.caption_losses import cross_entropy, make_caption_loss, own_words
from kerasdl.training.self_critical import SelfCritic, ThenConstant
from tests.decoding.problems import features, sharp_decoder

INPUTS = np.array([[START, 5, 6, 7], [START, 8, NULL, NULL]], "int32")
TARGETS = np.array([[5, 6, 7, END], [8, END, NULL, NULL]], "int32")
WORDS = ["a", "dog", "cat", "runs", "sleeps"]  # ids 4 to 8
REFERENCES = [["a dog runs", "dog runs"], ["a cat sleeps", "the cat sleeps"]]


def batch(picture=-1, rate=0.0, seed=0):
    same = np.ones(2)
    return (
        features(2), INPUTS, TARGETS, (same * picture).astype("int32"),
        (same * rate).astype("float32"), (same * seed).astype("int32"),
    )  # fmt: skip


def test_label_smoothing_is_its_definition():
    decoder = sharp_decoder()
    log_p = tf.nn.log_softmax(decoder((features(2), INPUTS))).numpy()
    expected = 0.0
    for n, t in zip(*np.nonzero(TARGETS), strict=True):
        target = np.full(9, 0.1 / 9)
        target[TARGETS[n, t]] += 0.9
        expected -= (target * log_p[n, t]).sum() / 2
    loss = cross_entropy(decoder, features(2), INPUTS, TARGETS, 0.1)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    plain = cross_entropy(decoder, features(2), INPUTS, TARGETS)
    expected = -np.mean(decoder.log_probability(features(2), TARGETS))
    assert float(plain) == pytest.approx(expected, rel=1e-5)


def test_own_words_are_what_the_model_says_and_as_many_as_asked_for():
    decoder, count = sharp_decoder(sharpness=100.0), 400
    inputs = np.tile(INPUTS, (count // 2, 1))
    pictures, seed = features(count), tf.constant([3, 0])
    none = own_words(decoder, pictures, inputs, 0.0, seed)
    np.testing.assert_array_equal(none, inputs)
    every = own_words(decoder, pictures, inputs, 1.0, seed).numpy()
    np.testing.assert_array_equal(every[inputs <= UNK], inputs[inputs <= UNK])
    logits = decoder((pictures, inputs)).numpy()
    logits[..., : UNK + 1] = -np.inf  # no word
    best = np.concatenate([inputs[:, :1], logits.argmax(-1)[:, :-1]], axis=1)
    replaced = inputs > UNK
    # So sharp a model hardly says anything but its most probable word.
    assert (every == best)[replaced].mean() > 0.9
    half = own_words(decoder, pictures, inputs, 0.5, seed).numpy()
    differs = (half != inputs)[replaced & (every != inputs)].mean()
    assert differs == pytest.approx(0.5, abs=0.12)


def test_an_ensembles_loss_is_the_sum_of_its_members():
    members = [sharp_decoder(seed=0), sharp_decoder("rnn", seed=1)]
    whole = make_caption_loss(CaptionEnsemble(members))(*batch())
    parts = [make_caption_loss(member)(*batch()) for member in members]
    assert float(whole) == pytest.approx(float(sum(parts)), rel=1e-6)


def rewarded(pictures=(0, 1), seed=4, rows=None):
    """A batch that is rewarded; its captions are not looked at."""
    count = len(pictures)
    return (
        features(2)[list(pictures)] if rows is None else rows,
        np.zeros((count, 3), "int32"), np.zeros((count, 3), "int32"),
        np.array(pictures, "int32"), np.zeros(count, "float32"),
        np.full(count, seed, "int32"),
    )  # fmt: skip


def test_the_self_critical_loss_is_its_definition():
    decoder, pictures = sharp_decoder(sharpness=2.0), features(2)
    vocabulary = CaptionVocabulary(WORDS)
    critic = SelfCritic(vocabulary, REFERENCES, 5)
    loss = make_caption_loss(decoder, critic=critic, label_smoothing=0.1)(*rewarded())
    drawn, _ = decoder.generate(pictures, 5, samples=1, seed=4)
    said, _ = decoder.generate(pictures, 5)
    cider = CiderD([
        [[*vocabulary.encode(caption.split()), END] for caption in captions]
        for captions in REFERENCES
    ])  # fmt: skip
    start = np.full((2, 1), START)
    logits = decoder((pictures, np.concatenate([start, drawn[:, :-1]], 1))).numpy()
    logits[..., [NULL, START, UNK]] = -np.inf
    log_p = tf.nn.log_softmax(logits).numpy()
    expected = []
    for n in range(2):
        rewards = [
            cider.score([w for w in ids.numpy()[n].tolist() if w], n)
            for ids in (drawn, said)
        ]
        total = sum(log_p[n, t, w] for t, w in enumerate(drawn.numpy()[n]) if w)
        expected.append(-(rewards[0] - rewards[1]) * total)
    assert any(expected)
    assert float(loss) == pytest.approx(np.mean(expected), rel=1e-4)


def test_only_batches_that_name_pictures_are_rewarded():
    decoder = sharp_decoder()
    critic = SelfCritic(CaptionVocabulary(WORDS), REFERENCES, 5)
    for smoothing in (0.0, 0.1):
        loss = tf.function(
            make_caption_loss(decoder, critic=critic, label_smoothing=smoothing)
        )
        plain = make_caption_loss(decoder, label_smoothing=smoothing)
        assert float(loss(*batch())) == pytest.approx(float(plain(*batch())), rel=1e-5)


def test_self_critical_training_raises_the_expected_reward():
    decoder, pictures = sharp_decoder(sharpness=1.0), features(2)
    critic = SelfCritic(CaptionVocabulary(WORDS), REFERENCES, 5)
    loss_of = make_caption_loss(decoder, critic=critic)
    *fixed, _ = rewarded([0, 1] * 16, rows=np.tile(pictures, (16, 1)))
    optimizer = keras.optimizers.Adam(0.02)

    @tf.function
    def step(seed):
        with tf.GradientTape() as tape:
            loss = loss_of(*fixed, tf.fill([32], seed))
        variables = decoder.trainable_variables
        optimizer.apply_gradients(
            zip(tape.gradient(loss, variables), variables, strict=True)
        )

    def reward():
        many, which = np.repeat(pictures, 100, axis=0), np.repeat([0, 1], 100)
        ids, _ = decoder.generate(many, 5, samples=1, seed=99)
        return critic.reward(ids.numpy(), which).mean()

    encode = CaptionVocabulary(WORDS).encode
    captions = [[[*encode(one.split()), END] for one in both] for both in REFERENCES]
    best = np.mean([
        max(critic.reward(np.array([ids]), [n])[0] for ids in both)
        for n, both in enumerate(captions)
    ])  # fmt: skip
    before = reward()
    for seed in range(100):
        step(tf.constant(seed))
    after = reward()
    assert before < 0.3 * best and after > 0.7 * best


def test_a_rate_that_stays():
    rate = ThenConstant(keras.optimizers.schedules.CosineDecay(1.0, 10), 10, 0.25)
    values = [float(rate(tf.constant(step))) for step in (0, 5, 9, 10, 99)]
    assert values[0] == 1.0 and values[1] == pytest.approx(0.5)
    assert values[2] < 0.05 and values[3:] == [0.25, 0.25]
