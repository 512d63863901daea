import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.errors import InputError
from kerasdl.models.backbones import build_backbone
from kerasdl.models.classifier import (
    BACKBONE,
    HEAD,
    ImageClassifier,
    class_maps,
    forward,
    freeze,
    image_size,
    last_fine_grid,
    stages,
)
from kerasdl.training.steps import make_train_step
from kerasdl.training.transfer_losses import picture_loss

SIZE = 64


@pytest.fixture(scope="module")
def classifier():
    keras.utils.set_random_seed(0)
    backbone = build_backbone("efficientnet_lite0", size=SIZE, weights="none")
    return ImageClassifier(backbone, 3, dropout=0.5)


def pictures(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)


def test_it_is_the_backbone_and_a_linear_head(classifier):
    images = pictures(2).astype(np.float32)
    features = classifier.get_layer(BACKBONE)(images).numpy()
    kernel, bias = classifier.get_layer(HEAD).get_weights()[:2]
    np.testing.assert_allclose(
        classifier(images).numpy(), features @ kernel + bias, rtol=1e-4, atol=1e-5
    )
    assert image_size(classifier) == SIZE
    limit = 1280**-0.5
    assert 0.9 * limit < np.abs(kernel).max() <= limit and abs(kernel.mean()) < limit / 20


def test_it_is_saved_and_loaded_without_this_package(classifier, tmp_path):
    images = pictures(2).astype(np.float32)
    classifier.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_array_equal(loaded(images), classifier(images))
    assert not any("kerasdl" in type(layer).__module__ for layer in loaded.layers)


def test_stages_end_where_the_grid_is_halved(classifier):
    groups = stages(classifier.get_layer(BACKBONE))
    assert [group[0].name for group in groups] == [
        *("stem", "block1_depthwise", "block3_depthwise", "block5_depthwise"),
        "block11_depthwise",
    ]
    resnet = build_backbone("resnet18", size=SIZE, weights="none")
    assert [len(group) > 1 for group in stages(resnet)] == [True] * 5


def test_freeze(classifier):
    backbone = classifier.get_layer(BACKBONE)
    layers = [layer.name for layer in backbone.layers if layer.weights]
    assert freeze(backbone, "none") == []
    assert freeze(backbone, "all") == layers
    assert backbone.trainable_variables == []
    assert freeze(backbone, "regex:^(stem|block0_)") == [
        name for name in layers if name.startswith(("stem", "block0_"))
    ]
    frozen = freeze(backbone, "stages:2")
    assert frozen[0] == "stem" and "block3_expand" in frozen
    assert "block3_depthwise" not in frozen
    assert freeze(backbone, "stages:5") == layers
    assert freeze(backbone, "none") == [] and backbone.trainable_variables


@pytest.mark.parametrize(
    "spec, message",
    [
        ("half", "must be none, all, stages:N or regex:PATTERN, got 'half'"),
        ("stages:6", "has 5 stages, got 'stages:6'"),
        ("stages:x", "got 'stages:x'"),
        ("regex:(", r"got 'regex:\('"),
        ("regex:^nothing$", r"no layer is named so, got 'regex:\^nothing\$'"),
    ],
)
def test_wrong_freezes_are_refused(classifier, spec, message):
    with pytest.raises(InputError, match=message):
        freeze(classifier.get_layer(BACKBONE), spec)


@pytest.mark.parametrize("spec", ["all", "stages:3", "regex:block(1|7)_"])
def test_frozen_layers_do_not_change_by_one_bit(classifier, spec):
    backbone = classifier.get_layer(BACKBONE)
    frozen = freeze(backbone, spec)
    before = {v.path: v.numpy().copy() for v in backbone.variables}
    optimizer = keras.optimizers.SGD(0.01)
    optimizer.build(classifier.trainable_variables)
    loss = picture_loss(classifier, np.ones(3, np.float32), 0.0, update_batch_norm=True)
    step = make_train_step(classifier, optimizer, loss)
    for number in range(2):
        step((tf.constant(pictures(4, number)), tf.constant([0, 1, 2, 1])))
    moved = set()
    for layer in backbone.layers:
        for variable in layer.weights:
            if not np.array_equal(before[variable.path], variable.numpy()):
                moved.add(layer.name)
    assert not moved & set(frozen)
    trained = {layer.name for layer in backbone.layers if layer.weights} - set(frozen)
    assert moved == trained  # statistics of BatchNorm among them
    freeze(backbone, "none")


def test_statistics_can_be_kept_while_weights_are_trained(classifier):
    backbone = classifier.get_layer(BACKBONE)
    statistics = [v for v in backbone.variables if "moving_" in v.path]
    before = [v.numpy().copy() for v in statistics]
    forward(classifier, tf.cast(pictures(4), tf.float32), update_batch_norm=False)
    for variable, value in zip(statistics, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    forward(classifier, tf.cast(pictures(4), tf.float32), update_batch_norm=True)
    assert any(
        not np.array_equal(v.numpy(), b) for v, b in zip(statistics, before, strict=True)
    )


def test_class_maps_weigh_activations_by_their_slopes(classifier):
    images, cell = tf.cast(pictures(3), tf.float32), (1, 2)
    maps, logits = class_maps(classifier, images, tf.constant([0, 1, 2]))
    assert maps.shape == (3, 4, 4) and np.all(np.max(maps, axis=(1, 2)) == 1)
    np.testing.assert_allclose(logits, classifier(images), rtol=1e-4, atol=1e-5)

    backbone = classifier.get_layer(BACKBONE)
    fine = last_fine_grid(backbone)
    grid = keras.Model(backbone.input, fine)(images[1:2]).numpy()
    features = keras.Model(fine, backbone.output)
    kernel, bias = classifier.get_layer(HEAD).get_weights()[:2]

    def above(grids):
        return tf.linalg.matvec(features(grids), kernel[:, 1]) + bias[1]

    # One copy of the grid for each channel, in which that channel of the cell grows.
    channels = np.arange(grid.shape[-1])
    growth = np.zeros((len(channels), *grid.shape[1:]), np.float32)
    growth[channels, *cell, channels] = 1
    grids = tf.constant(np.repeat(grid, len(channels), axis=0))
    with tf.autodiff.ForwardAccumulator(grids, tf.constant(growth)) as accumulator:
        logits = above(grids)
    slopes = accumulator.jvp(logits).numpy()
    unscaled = np.maximum(slopes, 0) @ grid[0][cell]

    with tf.GradientTape() as tape:
        tape.watch(tensor := tf.constant(grid))
        logit = above(tensor)
    cells = (np.maximum(tape.gradient(logit, tensor)[0], 0) * grid[0]).sum(axis=-1)
    np.testing.assert_allclose(maps[1][cell], unscaled / cells.max(), rtol=1e-3)


@pytest.mark.parametrize("name, value", [("classes", 1), ("dropout", 1.0)])
def test_arguments_out_of_range_are_refused(name, value):
    backbone = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    with pytest.raises(ValueError, match=f"argument `{name}`.*got {value}"):
        ImageClassifier(backbone, **{"classes": 2, name: value})
