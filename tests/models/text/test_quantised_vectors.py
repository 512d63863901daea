"""Word vectors in bytes: against the nearest entries, and as models and files."""

import keras
import numpy as np
import pytest

from kerasdl.data.texts.tokens import TextVocabulary
from kerasdl.errors import InputError
from kerasdl.models.text.models import MODELS
from kerasdl.models.text.quantised_vectors import product_quantise
from kerasdl.training.text_objective import fitting_parts

IDS = np.array([[2, 3, 300], [5, 0, 0]], np.int32)


def model_of(words=400, width=6):
    model = MODELS["average"](words, width=width)
    model.create_weights()
    return model


def test_each_part_is_the_nearest_entry_of_its_codebook():
    table = np.random.default_rng(0).normal(size=(500, 6)).astype(np.float32)
    codes, books = product_quantise(table, 3, seed=0)
    assert codes.dtype == np.uint8 and books.shape == (3, 256, 2)
    for m, part in enumerate(np.split(table, 3, axis=1)):
        gaps = ((part[:, np.newaxis] - books[m]) ** 2).sum(axis=2)
        chosen = gaps[np.arange(500), codes[:, m]]
        # The last round moved the centres once more.
        assert (chosen <= gaps.min(axis=1) + 0.05).all()
    assert ((table - decoded(codes, books)) ** 2).mean() < 0.05 * table.var()
    again = product_quantise(table, 3, seed=0)
    np.testing.assert_array_equal(codes, again[0])


def decoded(codes, books):
    return np.concatenate([books[m][codes[:, m]] for m in range(len(books))], axis=1)


def test_few_words_lose_nothing():
    table = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
    np.testing.assert_array_equal(decoded(*product_quantise(table, 2, 0)), table)


def test_a_quantised_model_answers_by_the_decoded_table_and_is_saved(tmp_path):
    model = model_of()
    small = model.quantised(3, seed=0)
    vectors, mask = small.word_vectors(IDS)
    assert mask.numpy().tolist() == (IDS != 0).tolist()
    table = small.word_vectors.table.numpy()
    np.testing.assert_array_equal(vectors[0], table[IDS[0]])
    assert not vectors[1, 1:].numpy().any()
    model.word_vectors.table.assign(table)
    table[0] = 0
    np.testing.assert_allclose(small(IDS), model(IDS), rtol=1e-5)
    small.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded(IDS), small(IDS))
    assert small.word_vectors.codes.value.dtype == "uint8"


def test_the_most_bytes_that_fit():
    vocabulary = TextVocabulary([f"w{n}" for n in range(398)])
    words, model = len(vocabulary.to_bytes()), model_of()
    fixed = words + 4 * 7 + 1024 * 6  # vocabulary, linear layer, codebooks
    assert fitting_parts(model, vocabulary, 0.0) == 0
    assert fitting_parts(model, vocabulary, 1.0) == 0  # fits as it is
    assert fitting_parts(model_of(width=6), vocabulary, (fixed + 400 * 3) / 1e6) == 3
    assert fitting_parts(model, vocabulary, (fixed + 400 * 3 - 1) / 1e6) == 2
    with pytest.raises(InputError, match=r"max_megabytes must be at least .* got 0.005"):
        fitting_parts(model, vocabulary, 0.005)
    bag = MODELS["bag_of_words"](400)
    bag.create_weights()
    with pytest.raises(InputError, match=r"for a model without word vectors, got 0\.001"):
        fitting_parts(bag, vocabulary, 0.001)


def test_parts_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="`parts`, expected a divisor of the width 6"):
        MODELS["average"](9, width=6, parts=4)
