import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.configs.transfer import default
from kerasdl.data.drawn.shapes import drawn_shapes
from kerasdl.data.pictures.augmentation import Augmentation
from kerasdl.data.pictures.batches import FeatureBatches, PictureBatches
from kerasdl.errors import InputError
from kerasdl.models.classifier import HEAD
from kerasdl.training import transfer, transfer_losses, transfer_splits
from kerasdl.training.optimization import make_optimizer
from kerasdl.training.steps import make_train_step


def make_config(tmp_path, **fields):
    config = default.get_config()
    config.model.image_size = 32
    config.data.cache = str(tmp_path / "cache")
    config.update_from_flattened_dict(fields)
    return config


@pytest.mark.parametrize("view", [{}, {"augment.flip": True, "augment.min_area": 0.3}])
def test_cached_features_train_the_head_that_pictures_train(tmp_path, view):
    """Three epochs on features from the cache and on pictures: the same weights."""
    config = make_config(
        tmp_path, **{"augment.flip": False, "model.dropout": 0.3, **view}
    )
    dataset = drawn_shapes(0, 18, 6, 0, side=48)
    results = []
    for cached in (True, False):
        keras.utils.set_random_seed(7)
        classifier = transfer.build_model(config, 6)
        reader = transfer_splits.SplitReader(classifier, config)
        train = reader.read(dataset.train, "train", cached)
        val = reader.read(dataset.val, "val", cached)
        augmentation = transfer.make_augmentation(config, 32)
        assert augmentation.is_random == bool(view)
        weights = np.ones(6, np.float32)
        if cached:
            features = reader.variants(train, augmentation, 7, 2)
            assert features.shape == (2 if view else 1, 18, 1280)
            batches = FeatureBatches(features, train.pictures.labels, 4, 7)
            loss = transfer_losses.head_loss(classifier, weights, 0.1)
        else:
            batches = PictureBatches(train.pictures, augmentation, 4, 7, variants=2)
            loss = transfer_losses.picture_loss(classifier, weights, 0.1, True)
        optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
        optimizer.build(classifier.trainable_variables)
        model = classifier.get_layer(HEAD) if cached else classifier
        step = make_train_step(model, optimizer, loss)
        losses = [
            float(step(batch)["loss"]) for epoch in range(3) for batch in batches(epoch)
        ]
        scorer = transfer_splits.Scorer(classifier, config.data.preparation)
        results.append((losses, scorer.probabilities(val)))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=2e-4)
    np.testing.assert_allclose(results[0][1], results[1][1], atol=2e-4)


def test_features_do_not_depend_on_what_was_cached(tmp_path):
    config = make_config(tmp_path)
    dataset = drawn_shapes(0, 6, 0, 0, side=48)
    classifier = transfer.build_model(config, 6)
    reader = transfer_splits.SplitReader(classifier, config)
    augment = Augmentation(32)
    few = reader.read(dataset.train[2:4], "train", True)
    some = reader.variants(few, augment, 3, 2)
    every = reader.read(dataset.train, "train", True)
    np.testing.assert_array_equal(every.features[2:4], few.features)
    np.testing.assert_array_equal(reader.variants(every, augment, 3, 2)[:, 2:4], some)
    other = reader.variants(few, augment, 4, 2)
    assert not np.array_equal(other, some)


def test_class_weights():
    labels = np.array([0, 0, 0, 1])
    np.testing.assert_array_equal(
        transfer_losses.class_weights(labels, 2, "none"), [1, 1]
    )
    weights = transfer_losses.class_weights(labels, 2, "balanced")
    np.testing.assert_allclose(weights, [4 / 6, 2])
    np.testing.assert_allclose(weights[labels].mean(), 1)


def test_the_loss_against_numpy():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(5, 3)).astype(np.float32)
    labels, weights = np.array([0, 2, 1, 1, 0]), np.array([0.5, 1.0, 2.0], np.float32)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = 0.0
    for row, label in zip(probabilities, labels, strict=True):
        target = np.full(3, 0.2 / 3)
        target[label] += 0.8
        expected -= weights[label] * (target * np.log(row)).sum() / 5
    got = transfer_losses.classification_loss(tf.constant(logits), labels, weights, 0.2)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_an_untrained_head_is_at_chance(tmp_path):
    classifier = transfer.build_model(make_config(tmp_path), 6)
    images = tf.cast(
        np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)), tf.float32
    )
    loss = transfer_losses.classification_loss(
        classifier(images), np.arange(8) % 6, np.ones(6, np.float32)
    )
    assert abs(float(loss) - np.log(6)) < 0.5


def test_fitting_the_head_separates_the_training_features(tmp_path):
    config = make_config(tmp_path)
    classifier = transfer.build_model(config, 6)
    reader = transfer_splits.SplitReader(classifier, config)
    split = reader.read(drawn_shapes(0, 30, 0, 0, side=48).train, "train", True)
    scorer = transfer_splits.Scorer(classifier, config.data.preparation)
    before = scorer.scores(split, "train")
    transfer_losses.fit_head(classifier, split, np.ones(6, np.float32), 1000)
    after = scorer.scores(split, "train")
    assert after["train/loss"] < 0.1 * before["train/loss"]
    assert after["train/accuracy"] == 1.0


def test_weight_decay_spares_biases(tmp_path):
    config = make_config(tmp_path, weight_decay=0.5, optimizer="sgd", learning_rate=0.1)
    dense = keras.layers.Dense(2)
    dense.build((None, 3))
    dense.bias.assign([1.0, 1.0])
    kernel = dense.kernel.numpy()
    optimizer = make_optimizer(config, 0.1)
    optimizer.build(dense.trainable_variables)
    zeros = [tf.zeros_like(v.value) for v in dense.trainable_variables]
    optimizer.apply_gradients(zip(zeros, dense.trainable_variables, strict=True))
    np.testing.assert_allclose(dense.kernel.numpy(), kernel * 0.95, rtol=1e-5)
    np.testing.assert_array_equal(dense.bias.numpy(), [1, 1])


def test_wrong_augmentation_names_the_field(tmp_path):
    config = make_config(tmp_path, **{"augment.min_area": 0.0})
    with pytest.raises(InputError, match=r"--config.augment: .*min_area.*got 0.0"):
        transfer.make_augmentation(config, 32)
