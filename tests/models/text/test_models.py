import gc
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.models.text.attribution import word_effects
from kerasdl.models.text.models import MODELS

SMALL = {
    "bag_of_words": {},
    "average": {"width": 6},
    "ngram_bag": {"width": 6, "order": 3, "buckets": 50},
    "rnn": {"width": 6, "units": 7},
    "lstm": {"width": 6, "units": 7},
    "bilstm": {"width": 6, "units": 7, "attention_units": 3},
}
IDS = np.array([[5, 3, 5, 2, 0, 0], [4, 0, 0, 0, 0, 0], [9, 8, 7, 6, 5, 1]], np.int32)


def build(name, classes=2, seed=0, **more):
    keras.utils.set_random_seed(seed)
    model = MODELS[name](10, classes, **(SMALL[name] | more))
    model.create_weights()
    random = np.random.default_rng(seed)
    for variable in model.trainable_variables:  # zeros would hide what is not connected
        variable.assign(variable + 0.5 * random.standard_normal(variable.shape))
    return model


def graphs():
    gc.collect()
    return sum(type(thing).__name__ == "FuncGraph" for thing in gc.get_objects())


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("name", SMALL)
class TestEachModel:
    def test_padding_has_no_influence(self, name, classes):
        model = build(name, classes)
        logits = model(IDS).numpy()
        assert logits.shape == (3, 1 if classes == 2 else classes)
        longer = np.pad(IDS, ((0, 0), (0, 9)))
        np.testing.assert_allclose(model(longer).numpy(), logits, rtol=1e-5, atol=1e-6)
        for row, ids in enumerate(IDS):
            alone = ids[ids != 0][np.newaxis]
            np.testing.assert_allclose(
                model(alone).numpy()[0], logits[row], rtol=1e-5, atol=1e-6
            )

    def test_gradient_at_padding_is_zero(self, name, classes):
        model = build(name, classes)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(IDS, training=True) ** 2)
        table = model.word_tables()[0]
        gradient = tf.convert_to_tensor(tape.gradient(loss, table.value)).numpy()
        assert np.all(gradient[0] == 0)
        assert np.all(np.abs(gradient[1:]).sum(axis=1) > 0)

    def test_it_is_saved_and_loaded(self, name, classes, tmp_path):
        model = build(name, classes)
        model.save(tmp_path / "m.keras")
        loaded = keras.saving.load_model(tmp_path / "m.keras", compile=False)
        np.testing.assert_array_equal(loaded(IDS).numpy(), model(IDS).numpy())
        assert loaded.get_config() == model.get_config()
        assert loaded.count_params() == model.count_params()
        # TensorFlow never frees a graph that was traced: loading traces none.
        before = graphs()
        keras.saving.load_model(tmp_path / "m.keras", compile=False)
        assert graphs() == before

    def test_probabilities_and_loss(self, name, classes):
        model = build(name, classes)
        labels = np.array([0, 1, classes - 1])
        logits = model(IDS)
        probabilities = model.probabilities(logits).numpy()
        assert probabilities.shape == (3, classes)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
        expected = -np.log(probabilities[np.arange(3), labels]).mean()
        loss = model.classification_loss(logits, labels).numpy()
        np.testing.assert_allclose(loss, expected, rtol=1e-4)
        smooth = model.classification_loss(logits, labels, 0.2).numpy()
        even = -np.log(probabilities).mean()
        np.testing.assert_allclose(smooth, 0.8 * expected + 0.2 * even, rtol=1e-4)

    def test_one_batch_can_be_learnt(self, name, classes):
        model = build(name, classes)
        labels = np.array([0, 1, classes - 1])
        optimizer = keras.optimizers.Adam(0.1)
        for _ in range(25):
            with tf.GradientTape() as tape:
                loss = model.classification_loss(model(IDS, training=True), labels)
            variables = model.trainable_variables
            optimizer.apply_gradients(
                zip(tape.gradient(loss, variables), variables, strict=True)
            )
        assert model.classification_loss(model(IDS), labels).numpy() < 0.05

    def test_effects_point_the_way(self, name, classes):
        """Moving each word's vector along itself changes the score as predicted."""
        model = build(name, classes)
        chosen = np.array([1, 0, 1])
        effects = word_effects(model, IDS, chosen)
        assert effects.shape == IDS.shape
        assert np.all(effects[IDS == 0] == 0)
        table, step = model.word_tables()[0], 1e-3

        def score(row):
            logits = model(IDS[row : row + 1]).numpy()[0].astype(float)
            if classes == 2:
                return logits[0] if chosen[row] else -logits[0]
            return logits[chosen[row]] - logits.mean()

        values = table.numpy()
        for row, ids in enumerate(IDS):
            for word in set(ids.tolist()) - {0}:
                changed = []
                for sign in (1, -1):
                    moved = values.copy()
                    moved[word] *= 1 + sign * step
                    table.assign(moved)
                    changed.append(score(row))
                table.assign(values)
                slope = (changed[0] - changed[1]) / (2 * step)
                total = effects[row][ids == word].sum()
                np.testing.assert_allclose(total, slope, rtol=0.02, atol=2e-3)


def test_bag_of_words_is_the_linear_model_on_the_binary_vector():
    model = build("bag_of_words", classes=3)
    bags = np.zeros((3, 10), np.float32)
    for row, ids in enumerate(IDS):
        bags[row, ids[ids != 0]] = 1
    expected = bags @ model.table.numpy() + model.bias.numpy()
    np.testing.assert_allclose(model(IDS).numpy(), expected, rtol=1e-5)


def test_average_is_over_the_true_length():
    model = build("average")
    table = model.word_vectors.table.numpy()
    means = np.stack([table[ids[ids != 0]].mean(axis=0) for ids in IDS])
    expected = means @ model.head.kernel.numpy() + model.head.bias.numpy()
    np.testing.assert_allclose(model(IDS).numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "layer"), [("rnn", keras.layers.SimpleRNN), ("lstm", keras.layers.LSTM)]
)
def test_the_last_true_step_is_scored(name, layer):
    model = build(name)
    reference = layer(7, return_sequences=True)
    table = model.word_vectors.table.numpy()
    reference.build((None, None, 6))
    reference.set_weights(model.recurrent.get_weights())
    for row, ids in enumerate(IDS):
        true = ids[ids != 0]
        last = reference(table[true][np.newaxis]).numpy()[0, -1]
        expected = last @ model.head.kernel.numpy() + model.head.bias.numpy()
        np.testing.assert_allclose(
            model(IDS).numpy()[row], expected, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("name", SMALL)
def test_a_sentence_without_tokens_has_a_finite_score(name):
    assert np.isfinite(build(name)(np.zeros((2, 3), np.int32)).numpy()).all()


def test_dropout_of_words_and_components_in_training_alone():
    model = build("lstm", word_dropout=0.5, dropout=0.5, head_dropout=0.5)
    np.testing.assert_array_equal(model(IDS).numpy(), model(IDS).numpy())
    assert np.abs(model(IDS, training=True) - model(IDS, training=True)).max() > 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"vocabulary_size": 1},
            "`vocabulary_size`, expected an integer of 2 or more",
        ),
        ({"classes": 1}, "`classes`, expected an integer of 2 or more, got 1."),
        ({"classes": 2.0}, "`classes`, expected an integer of 2 or more, got 2.0."),
    ],
)
def test_sizes_refused(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        MODELS["bag_of_words"](**({"vocabulary_size": 5} | arguments))


def test_ngrams_of_one_word_are_refused():
    with pytest.raises(ValueError, match="`order`, expected an integer of 2 or more"):
        MODELS["ngram_bag"](5, order=1)
