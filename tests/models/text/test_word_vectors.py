import numpy as np
import tensorflow as tf

from kerasdl.models.text.word_vectors import WordVectors, gather_rows


def test_gradient_adds_up_the_occurrences_of_a_word():
    random = np.random.default_rng(0)
    table = tf.Variable(random.standard_normal((5, 3)))
    ids = tf.constant([[1, 4, 1], [0, 1, 2]])
    upstream = tf.constant(random.standard_normal((2, 3, 3)))
    with tf.GradientTape(persistent=True) as tape:
        ours = tf.reduce_sum(gather_rows(tf.convert_to_tensor(table), ids) * upstream)
        theirs = tf.reduce_sum(tf.gather(table, ids) * upstream)
    expected = tf.convert_to_tensor(tape.gradient(theirs, table))
    np.testing.assert_allclose(tape.gradient(ours, table), expected, rtol=1e-12)


def test_given_vectors_and_the_unknown_word():
    layer = WordVectors(5, 2, frozen=True)
    layer(tf.constant([[1]]))
    rows = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 9.0]], np.float32)
    layer.set_vectors(rows)
    vectors, mask = layer(tf.constant([[4, 1, 0]]))
    np.testing.assert_array_equal(vectors[0], [[5, 9], [3, 5], [0, 0]])
    assert mask.numpy().tolist() == [[True, True, False]]
    assert layer.trainable_variables == []


def test_dropped_words_become_the_unknown_one():
    layer = WordVectors(4, 1, word_dropout=0.3)
    layer(tf.constant([[1]]))
    layer.table.assign([[9.0], [-1.0], [1.0], [1.0]])
    ids = np.full((200, 50), 2)
    ids[:, 40:] = 0
    vectors, _ = layer(tf.constant(ids), training=True)
    assert abs(np.mean(vectors[:, :40] == -1) - 0.3) < 0.02
    assert np.all(vectors[:, 40:] == 0)
    assert np.all(layer(tf.constant(ids))[0][:, :40] == 1)
