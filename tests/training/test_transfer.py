import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.configs.transfer import default
from kerasdl.data.drawn.shapes import drawn_shapes
from kerasdl.data.pictures.augmentation import Augmentation
from kerasdl.data.pictures.batches import FeatureBatches, PictureBatches
from kerasdl.data.pictures.mixing import MixedBatches
from kerasdl.errors import InputError
from kerasdl.models.classifier import HEAD, ImageClassifier
from kerasdl.training import transfer, transfer_few, transfer_losses, transfer_splits
from kerasdl.training.jobs import JOBS
from kerasdl.training.optimization import (
    averaged_weights,
    make_optimizer,
    make_schedule,
)
from kerasdl.training.steps import make_train_step
from kerasdl.training.transfer_folds import fold_of


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


def test_the_loss_of_mixed_labels_is_that_of_their_parts():
    logits = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    weights = np.array([0.5, 1.0, 2.0], np.float32)
    one, other = np.array([0, 2, 1, 1]), np.array([1, 2, 0, 2])
    shares = 0.3 * np.eye(3)[one] + 0.7 * np.eye(3)[other]
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    weight = shares @ weights
    expected = -(weight * (shares * log_p).sum(axis=1)).mean()
    got = transfer_losses.classification_loss(
        tf.constant(logits), tf.constant(shares, tf.float32), weights
    )
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_mixed_pictures_and_their_shares(kind):
    """Pictures of one colour each: what is left of a colour is the share of its class."""
    dataset = drawn_shapes(0, 6, 0, 0, side=32)
    split = transfer_splits.PictureSplit(dataset.train)
    split.image = lambda index: np.full((16, 16, 3), 40 * index, np.uint8)
    split.labels = np.arange(6, dtype=np.int32)
    batches = PictureBatches(split, Augmentation(16, min_area=1.0, flip=False), 4, 7)
    amounts = {"mixup": 0.0, "cutmix": 0.0, kind: 1.0}
    mixed = MixedBatches(batches, 6, **amounts)
    seen = list(mixed(3))
    for images, shares in seen:
        expected = (40.0 * shares) @ np.arange(6)
        np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
        tolerance = 1 if kind == "mixup" else 25  # a rectangle ends on whole pixels
        np.testing.assert_allclose(images.mean(axis=(1, 2, 3)), expected, atol=tolerance)
    assert any((shares > 0.05).sum() > len(shares) for _, shares in seen)
    again = next(iter(mixed(3, first=1)))  # a run resumed at the second step
    np.testing.assert_array_equal(again[0], seen[1][0])
    np.testing.assert_array_equal(again[1], seen[1][1])


def test_rand_augment_is_a_function_of_seed_epoch_and_picture():
    image = drawn_shapes(0, 1, 0, 0, side=32).train[0]
    image = transfer_splits.decode_picture(image.bytes(), image.where)
    plain = Augmentation(32, min_area=1.0, flip=False)
    augment = Augmentation(32, min_area=1.0, flip=False, operations=2)
    views = [augment(image, 1, epoch, 5) for epoch in range(12)]
    np.testing.assert_array_equal(views[3], augment(image, 1, 3, 5))
    assert len({view.tobytes() for view in views}) > 6
    off = Augmentation(32, min_area=1.0, flip=False, operations=2, strength=0.0)
    assert augment.is_random and not plain.is_random
    same = [np.array_equal(off(image, 1, e, 5), plain(image, 1, e, 5)) for e in range(12)]
    assert sum(same) >= 6  # all but those that know no strength: contrast, equalisation


def test_the_mirror_image_counts_in_every_answer(tmp_path):
    config = make_config(tmp_path)
    images = keras.Input((32, 32, 3))
    grid = keras.layers.Conv2D(5, 3, activation="relu")(images / 255)
    features = keras.layers.GlobalAveragePooling2D(name="pool")(grid)
    backbone = keras.Model(images, features)
    classifier = ImageClassifier(backbone, 6, mirrored=True)
    dataset = drawn_shapes(0, 4, 0, 0, side=48)
    reader = transfer_splits.SplitReader(classifier, config)
    scorer = transfer_splits.Scorer(classifier, config.data.preparation)
    split = reader.read(dataset.train, "train", with_features=True)
    assert split.features.shape == (4, 2, 5)
    images = scorer.prepared(split, range(4)).astype(np.float32)
    one, other = (
        tf.nn.softmax(classifier(view)) for view in (images, images[:, :, ::-1])
    )
    for answers in (
        scorer.probabilities(split),
        scorer.probabilities(transfer_splits.Split(split.pictures)),
        classifier.probabilities(images),
    ):
        np.testing.assert_allclose(answers, (one + other) / 2, atol=1e-5)
    ordered = transfer_splits.Scorer(classifier, config.data.preparation, "ordinal")
    scores = ordered.scores(split, "val")
    distance = np.abs(scorer.probabilities(split).argmax(axis=1) - split.pictures.labels)
    assert scores["val/mae"] == distance.mean() and "val/kappa" in scores
    logits = scorer.logits(split)
    classifier.scale_logits(0.5)
    np.testing.assert_allclose(scorer.logits(split), logits / 2, rtol=1e-5, atol=1e-6)


def test_computed_heads_against_their_definitions():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [6, 5, 4])
    features = rng.normal(size=(15, 8)).astype(np.float32) + 3 * np.eye(3, 8)[labels]
    kernel, bias = transfer_few.prototype_head(features, labels)
    means = np.stack([features[labels == k].mean(axis=0) for k in range(3)])
    distances = ((features[:, None] - means) ** 2).sum(axis=-1)
    logits = features @ kernel + bias
    tau = 1 / np.linalg.norm(kernel, axis=0) * np.linalg.norm(means, axis=1)
    np.testing.assert_allclose(tau, tau[0], rtol=1e-4)
    gaps = logits - logits[:, :1]
    expected = -(distances - distances[:, :1]) / (2 * tau[0])
    np.testing.assert_allclose(gaps, expected, rtol=1e-3, atol=1e-3)
    for classes in (2, 3):
        few = labels < classes
        kernel, bias = transfer_few.logistic_head(features[None, few], labels[few], 0)
        assert kernel.shape == (8, classes) and bias.shape == (classes,)
        answers = (features[few] @ kernel + bias).argmax(axis=1)
        assert (answers == labels[few]).mean() > 0.9
    single = transfer_few.prototype_head(features[[0, 6, 11]], np.arange(3))
    assert np.isfinite(single[0]).all() and np.isfinite(single[1]).all()


def test_folds_spread_every_class():
    labels = np.array([0] * 7 + [1] * 4)
    fold = fold_of(labels, 3, seed=1)
    for label in (0, 1):
        counts = np.bincount(fold[labels == label], minlength=3)
        assert counts.max() - counts.min() <= 1
    assert not np.array_equal(fold, fold_of(labels, 3, seed=2))


def test_one_cycle_by_config(tmp_path):
    fields = {"schedule": "one_cycle", "epochs": 4, "learning_rate": 0.1}
    rises = {
        warmup: make_schedule(make_config(tmp_path, warmup=warmup, **fields), 10).rise
        for warmup in (0.0, 2.0)
    }
    assert rises == {0.0: 0.25, 2.0: 0.5}


def test_averaged_weights_are_there_and_gone_to_the_bit(tmp_path):
    config = make_config(tmp_path, ema=0.75, optimizer="sgd")
    optimizer = make_optimizer(config, 0.5)
    variable = keras.Variable([1.0])
    optimizer.build([variable])
    values = []
    for _ in range(3):
        optimizer.apply([tf.constant([1.0])], [variable])
        values.append(float(variable.numpy()[0]))
    average = values[0]
    for value in values[1:]:
        average = 0.75 * average + 0.25 * value
    with averaged_weights(optimizer):
        np.testing.assert_allclose(variable.numpy(), [average], rtol=1e-6)
    assert float(variable.numpy()[0]) == values[-1]


@pytest.mark.parametrize(
    "fields, message",
    [
        (
            {"unfreeze_every": 1},
            "unfreeze_every must be 0 unless mode is finetune, got 1",
        ),
        ({"layer_decay": 0.5}, "layer_decay must be 1 unless mode is finetune, got 0.5"),
        ({"mode": "linear", "lr_find": "use"}, "lr_find must be none if no steps"),
        ({"augment.mixup": 0.2}, "augment.mixup must be 0 where .*features, got 0.2"),
        ({"calibration_folds": 1}, "calibration_folds must be at least 2, got 1"),
        (
            {"calibration": "yes"},
            "calibration must be one of none, folds, val, got 'yes'",
        ),
    ],
)
def test_switches_that_do_not_go_together(tmp_path, fields, message):
    with pytest.raises(InputError, match=message):
        JOBS["transfer"].check(make_config(tmp_path, **fields))
