"""The losses against slow NumPy ones and finite differences."""

import numpy as np
import pytest
import tensorflow as tf

from kerasdl.style.losses import (
    content_loss,
    gram_matrix,
    style_loss,
    total_variation,
)


def slow_gram(features):
    n, h, w, c = features.shape
    gram = np.zeros((n, c, c))
    for i in range(c):
        for j in range(c):
            for y in range(h):
                for x in range(w):
                    gram[:, i, j] += features[:, y, x, i] * features[:, y, x, j]
    return gram / (c * h * w)


def slow_total_variation(images):
    n, h, w, c = images.shape
    total = 0.0
    for k in range(n):
        for ch in range(c):
            for y in range(h):
                for x in range(w):
                    if y + 1 < h:
                        total += (images[k, y + 1, x, ch] - images[k, y, x, ch]) ** 2
                    if x + 1 < w:
                        total += (images[k, y, x + 1, ch] - images[k, y, x, ch]) ** 2
    return total


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(2, 4, 5, 3))


def test_content_loss(features):
    target = features[::-1]
    expected = sum((a - b) ** 2 for a, b in zip(features.flat, target.flat, strict=True))
    np.testing.assert_allclose(content_loss(features, target), expected, rtol=1e-12)


def test_gram_matrix(features):
    np.testing.assert_allclose(gram_matrix(features), slow_gram(features), rtol=1e-12)


def test_gram_matrix_is_symmetric_and_positive_semi_definite(features):
    for gram in gram_matrix(features).numpy():
        np.testing.assert_array_equal(gram, gram.T)
        assert np.linalg.eigvalsh(gram).min() > -1e-12


def test_gram_matrix_forgets_places(features):
    shuffled = features[:, ::-1, ::-1]
    np.testing.assert_allclose(gram_matrix(shuffled), gram_matrix(features), rtol=1e-12)


def test_gram_matrix_of_sizes_known_at_run_time_only(features):
    traced = tf.function(
        gram_matrix, input_signature=[tf.TensorSpec((None, None, None, 3), tf.float64)]
    )
    np.testing.assert_allclose(traced(features), slow_gram(features), rtol=1e-12)


def test_gram_matrices_of_parts_and_of_weighted_places(features):
    size = 4 * 5 * 3
    parts = [gram_matrix(part, size) for part in (features[:, :1], features[:, 1:])]
    np.testing.assert_allclose(sum(parts), slow_gram(features), rtol=1e-12)
    m = np.random.default_rng(1).uniform(size=(4, 5))
    expected = np.einsum("yx,nyxi,nyxj->nij", m, features, features) / (3 * m.sum())
    weighted = gram_matrix(features * np.sqrt(m)[..., np.newaxis], 3 * m.sum())
    np.testing.assert_allclose(weighted, expected, rtol=1e-12)


def test_style_loss_of_regions_with_weights(features):
    grams = np.stack([slow_gram(features), slow_gram(features[:, :2])], 1)  # (2, 2, 3, 3)
    targets, weights = grams[:1, ::-1] + 0.1, np.array([[2.0, 5.0]])
    expected = sum(
        weights[0, r] * ((grams[n, r] - targets[0, r]) ** 2).sum()
        for n in range(2)
        for r in range(2)
    )
    loss = style_loss([tf.constant(grams)], [targets], [weights])
    np.testing.assert_allclose(loss, expected, rtol=1e-12)


def test_style_loss(features):
    grams = [slow_gram(features), slow_gram(features[:, :2])]
    targets = [slow_gram(features + 1), slow_gram(features[:, :2] * 2)]
    expected = sum(
        w * ((g - a) ** 2).sum() for w, g, a in zip((2, 30), grams, targets, strict=True)
    )
    loss = style_loss(
        [gram_matrix(features), gram_matrix(features[:, :2])], targets, (2.0, 30.0)
    )
    np.testing.assert_allclose(loss, expected, rtol=1e-12)


def test_total_variation(features):
    np.testing.assert_allclose(
        total_variation(features), slow_total_variation(features), rtol=1e-12
    )
    assert float(total_variation(np.full((1, 4, 4, 3), 7.0))) == 0


@pytest.mark.parametrize("name", ["content", "gram", "style", "tv"])
def test_gradients_equal_finite_differences(name, features):
    rng = np.random.default_rng(1)
    target = rng.normal(size=features.shape)
    mixed = tf.constant(rng.normal(size=(2, 3, 3)))
    function = {
        "content": lambda x: content_loss(x, target),
        "gram": lambda x: tf.reduce_sum(mixed * gram_matrix(x)),
        "style": lambda x: style_loss([gram_matrix(x)], [mixed], [3.0]),
        "tv": total_variation,
    }[name]
    x = tf.constant(features)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = function(x)
    gradient = tape.gradient(loss, x).numpy()
    step = 1e-5
    for index in np.ndindex(features.shape):
        moved = np.zeros_like(features)
        moved[index] = step
        difference = (function(features + moved) - function(features - moved)).numpy()
        np.testing.assert_allclose(
            gradient[index], difference / (2 * step), rtol=1e-6, atol=1e-9
        )
