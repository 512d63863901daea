import numpy as np
import tensorflow as tf

from kerasdl.models.text.pooling import AttentionPooling, masked_max, masked_mean

VECTORS = np.random.default_rng(0).uniform(-1, 1, (3, 5, 4)).astype(np.float32)
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]], bool)


def test_mean_and_maximum_of_the_true_steps():
    mean, maximum = masked_mean(VECTORS, MASK), masked_max(VECTORS, MASK)
    for row, count in enumerate((5, 2)):
        true = VECTORS[row, :count]
        np.testing.assert_allclose(mean[row], true.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(maximum[row], true.max(axis=0))
    assert not mean[2].numpy().any() and not maximum[2].numpy().any()


def test_attention_weights():
    layer = AttentionPooling(3)
    pooled = layer(tf.constant(VECTORS), mask=tf.constant(MASK))
    weights = layer.weights_of(tf.constant(VECTORS), tf.constant(MASK)).numpy()
    np.testing.assert_allclose(weights.sum(axis=1), [1, 1, 0], rtol=1e-5)
    assert np.all(weights[~MASK] == 0)
    hidden = np.tanh(VECTORS @ layer.hidden.kernel.numpy() + layer.hidden.bias.numpy())
    scores = np.exp((hidden @ layer.query.kernel.numpy())[..., 0])
    expected = scores[1, :2] / scores[1, :2].sum()
    np.testing.assert_allclose(weights[1, :2], expected, rtol=1e-4)
    np.testing.assert_allclose(pooled[1], expected @ VECTORS[1, :2], rtol=1e-4)
    assert not pooled[2].numpy().any()
