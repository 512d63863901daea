import numpy as np
import pytest
import tensorflow as tf

from kerasdl.ops import word_embedding

TABLE = np.arange(12.0).reshape(4, 3)


@pytest.mark.parametrize("ids", [[1, 3], [[0, 2, 2], [3, 0, 1]]])
def test_looks_rows_up(ids):
    np.testing.assert_array_equal(word_embedding(ids, TABLE), TABLE[np.array(ids)])


def test_gradient_of_a_row_sums_over_its_occurrences():
    ids = np.array([[0, 2, 2], [3, 0, 2]])
    upstream = np.random.default_rng(0).normal(size=(2, 3, 3))
    expected = np.zeros_like(TABLE)
    for n in range(2):
        for t in range(3):
            expected[ids[n, t]] += upstream[n, t]
    table = tf.constant(TABLE)
    with tf.GradientTape() as tape:
        tape.watch(table)
        embedded = word_embedding(ids, table)
    gradient = tape.gradient(embedded, table, output_gradients=tf.constant(upstream))
    np.testing.assert_allclose(tf.convert_to_tensor(gradient), expected, atol=1e-15)
    assert np.all(expected[1] == 0)


def test_refuses():
    with pytest.raises(ValueError, match="`ids`, expected integers, got float32"):
        word_embedding([1.0], TABLE)
    with pytest.raises(ValueError, match=r"`table`, expected .* \(V, W\), got .* \(4,\)"):
        word_embedding([1], TABLE[:, 0])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"= 4 is not in \[0, 4\)"):
        word_embedding([4], TABLE)
