import urllib.error
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from kerasdl.errors import InputError
from kerasdl.models.applications import APPLICATIONS
from kerasdl.models.backbone_specs import NetworkSpec, Preprocessing
from kerasdl.models.backbones import (
    BACKBONES,
    build_backbone,
    find_backbone,
    weights_digest,
)
from tests.models import numpy_networks
from tests.weights.safetensors_files import safetensors_file
from tests.weights.torch_files import state_dict, zip_file

SHARED = Path(__file__).parents[3] / "shared"
VGG16 = SHARED / "weights" / "vgg16" / "vgg16_imagenet_conv_hwio_f16.npz"
SQUEEZENET = (
    SHARED / "weights" / "squeezenet" / "squeezenet_weights_tf_dim_ordering_tf_kernels.h5"
)


def pictures(size, count=2):
    rng = np.random.default_rng(size)
    return rng.integers(0, 256, (count, size, size, 3)).astype(np.float32)


def assert_close(actual, expected, tolerance=1e-4):
    scale = np.abs(expected).max()
    assert scale > 1e-3  # or there would be nothing to compare
    np.testing.assert_allclose(actual / scale, expected / scale, rtol=0, atol=tolerance)


def randomise(model, seed=3):
    """Kernels that keep the scale of what goes through; Keras's own would lose it."""
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        shape = weight.shape
        if len(shape) == 4:
            fan_in = np.prod(shape[:2]) * (1 if shape[3] == 1 else shape[2])
            weight.assign(rng.normal(0, np.sqrt(2 / fan_in), shape))


def preprocessed(preprocessing, images):
    inputs = keras.Input(images.shape[1:])
    return keras.Model(inputs, preprocessing(inputs))(images).numpy()


def write_squeezenet(path, layers):
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in layers]
        for name, arrays in layers.items():
            names = [f"{name}_{part}:0" for part in "Wb"]
            file.create_group(name).attrs["weight_names"] = [n.encode() for n in names]
            for weight, array in zip(names, arrays, strict=True):
                file[name][weight] = array


def test_table_has_everything_in_keras_applications():
    constructors = {name for name in dir(keras.applications) if name[0].isupper()}
    assert {spec.constructor for spec in APPLICATIONS.values()} == constructors
    assert set(BACKBONES) == {
        *("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"),
        "resnet18",
        "squeezenet",
        *(name.lower() for name in constructors),
    }


@pytest.mark.parametrize("name", APPLICATIONS)
def test_preprocessing_is_what_keras_applications_says(name):
    spec = APPLICATIONS[name]
    constructor = getattr(keras.applications, spec.constructor)
    family = constructor.__module__.rpartition(".")[2]
    if spec.constructor.startswith("ResNet") and spec.constructor.endswith("V2"):
        family = "resnet_v2"
    images = pictures(8)
    expected = getattr(keras.applications, family).preprocess_input(images.copy())
    if spec.preprocessing is None:
        np.testing.assert_array_equal(expected, images)
    else:
        actual = preprocessed(spec.preprocessing, images)
        np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-5)


def test_preprocessing_by_hand():
    red = np.zeros((1, 1, 1, 3), np.float32)
    red[..., 0] = 255
    lite = preprocessed(BACKBONES["efficientnet_lite0"].preprocessing, red)
    np.testing.assert_array_equal(lite.ravel(), [1, -127 / 128, -127 / 128])
    caffe = preprocessed(BACKBONES["squeezenet"].preprocessing, red)
    np.testing.assert_allclose(caffe.ravel(), [-103.939, -116.779, 255 - 123.68])
    torch = preprocessed(BACKBONES["resnet18"].preprocessing, red)
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225]
    np.testing.assert_allclose(torch.ravel(), expected, rtol=1e-5)


def test_preprocessing_bgr_is_reversed_after_the_mean():
    images = np.float32([[[[1, 2, 3]]]])
    bgr = Preprocessing(mean=(1.0, 0.0, 0.0), std=(1.0, 2.0, 3.0), bgr=True)
    np.testing.assert_allclose(preprocessed(bgr, images).ravel(), [1, 1, 0])


@pytest.fixture(scope="module")
def resnet18_tensors():
    return numpy_networks.random_tensors(numpy_networks.resnet18_shapes())


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_resnet18_equals_the_numpy_reference(tmp_path, resnet18_tensors, kind):
    path = tmp_path / f"resnet18.{kind}"
    if kind == "pth":
        path.write_bytes(zip_file(*state_dict(resnet18_tensors, legacy=False)))
    else:
        path.write_bytes(safetensors_file(resnet18_tensors))
    images = pictures(65)
    grid, logits = numpy_networks.resnet18(resnet18_tensors, images.astype(np.float64))
    for output, expected in (("grid", grid), ("logits", logits)):
        model = build_backbone("resnet18", size=65, output=output, weights=path)
        assert_close(model(images, training=False).numpy(), expected)


def test_resnet18_has_the_published_number_of_parameters():
    model = build_backbone("resnet18", output="logits", weights="none")
    trainable = sum(np.prod(weight.shape) for weight in model.trainable_weights)
    assert trainable == 11_689_512


@pytest.mark.parametrize("size", [67, 96])
def test_squeezenet_equals_the_numpy_reference(tmp_path, size):
    layers = numpy_networks.squeezenet_layers()
    write_squeezenet(tmp_path / "squeezenet.h5", layers)
    images = pictures(size)
    grid, scores = numpy_networks.squeezenet(layers, images.astype(np.float64))
    for output, expected in (("grid", grid), ("logits", scores)):
        model = build_backbone(
            "squeezenet", size=size, output=output, weights=tmp_path / "squeezenet.h5"
        )
        assert_close(model(images, training=False).numpy(), expected)


@pytest.mark.skipif(not SQUEEZENET.is_file(), reason=f"{SQUEEZENET} is absent")
def test_squeezenet_of_the_published_file():
    model = build_backbone("squeezenet", output="logits", weights=SQUEEZENET)
    assert model.count_params() == 1_235_496
    assert model.input_shape == (None, 227, 227, 3)
    assert build_backbone("squeezenet", weights="none", output="grid").output_shape == (
        None,
        13,
        13,
        512,
    )


@pytest.mark.skipif(not VGG16.is_file(), reason=f"{VGG16} is absent")
def test_vgg16_of_an_archive_equals_the_numpy_reference():
    images = pictures(32)
    with np.load(VGG16) as archive:
        expected = numpy_networks.vgg16(dict(archive), images.astype(np.float64))
    model = build_backbone("VGG16", size=32, output="grid", weights=VGG16)
    assert_close(model(images).numpy(), expected)
    with pytest.raises(InputError, match=r"f16\.npz: has no weights for layer fc1"):
        build_backbone("vgg16", output="logits", weights=VGG16)


def test_bgr_backbone_survives_a_keras_file(tmp_path):
    model = build_backbone("squeezenet", size=67, weights="none")
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    images = pictures(67)
    np.testing.assert_array_equal(again(images).numpy(), model(images).numpy())


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5"])
def test_application_from_a_file(tmp_path, suffix):
    saved = keras.applications.MobileNet(weights=None, include_top=False)
    randomise(saved)
    path = tmp_path / f"mobilenet{suffix}"
    saved.save_weights(path) if "weights" in suffix else saved.save(path)
    images = pictures(64)
    expected = saved(keras.applications.mobilenet.preprocess_input(images.copy()))
    model = build_backbone("mobilenet", size=64, output="grid", weights=path)
    assert_close(model(images).numpy(), expected.numpy(), 1e-5)


@pytest.mark.slow
def test_efficientnet_is_the_same_downloaded_and_from_a_file(tmp_path, monkeypatch):
    # Weights as Keras's: the normalisation holds mean and standard deviation.
    saved = keras.applications.EfficientNetB0(weights=None, include_top=False)
    randomise(saved)
    saved.get_layer("normalization").set_weights(
        [
            np.float32([0.485, 0.456, 0.406]),
            np.float32([0.229, 0.224, 0.225]),
            np.array(0),
        ]
    )
    path = tmp_path / "b0.weights.h5"
    saved.save_weights(path)
    monkeypatch.setattr(
        "keras.src.applications.efficientnet.file_utils.get_file",
        lambda *args, **kwargs: str(path),
    )
    images = pictures(64)
    downloaded = build_backbone("EfficientNetB0", size=64, output="grid")
    from_file = build_backbone("EfficientNetB0", size=64, output="grid", weights=path)
    assert_close(from_file(images).numpy(), downloaded(images).numpy(), 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES)
def test_sizes_and_widths(name):
    spec = BACKBONES[name]
    model = build_backbone(name, output="grid", weights="none")
    assert model.input_shape == (None, spec.default_size, spec.default_size, 3)
    assert model.output_shape[-1] == spec.feature_dim
    if not isinstance(spec, NetworkSpec):
        constructor = getattr(keras.applications, spec.constructor)
        assert constructor(weights=None).input_shape == model.input_shape
    keras.backend.clear_session()


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (urllib.error.URLError("no route"), "no route"),
        (urllib.error.HTTPError("u", 403, "Forbidden", {}, None), "403 -- Forbidden"),
        (TimeoutError("timed out"), "timed out"),
    ],
)
def test_download_that_fails_names_the_way_round(monkeypatch, tmp_path, failure, message):
    def fail(*_, **__):
        raise failure

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", fail)
    monkeypatch.setattr(
        "keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path)
    )
    with pytest.raises(InputError) as caught:
        build_backbone("MobileNet", size=32)
    received = str(caught.value)
    assert message in received
    assert received.startswith("the weights of mobilenet cannot be downloaded")
    assert "efficientnet_lite0 needs no download" in received
    assert "\n" not in received


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet18", r"no package has weights of resnet18.*\.pth or \.safetensors"),
        ("squeezenet", r"no package has weights of squeezenet.*\.h5"),
    ],
)
def test_networks_without_weights_of_their_own(name, message):
    with pytest.raises(InputError, match=message):
        build_backbone(name)


@pytest.mark.parametrize(
    "name", ["efficientnet_lite0", "resnet18", "squeezenet", "vgg16"]
)
def test_missing_file_of_weights(name):
    with pytest.raises(InputError, match=r"nowhere/w\.h5: cannot be read"):
        build_backbone(name, size=67, weights="nowhere/w.h5")


def test_file_of_other_weights(tmp_path):
    path = tmp_path / "text.weights.h5"
    path.write_text("not HDF5")
    with pytest.raises(InputError, match=r"text\.weights\.h5: not weights of MobileNet"):
        build_backbone("mobilenet", size=32, weights=path)
    npz = tmp_path / "w.npz"
    npz.write_text("not an archive")
    with pytest.raises(InputError, match=r"w\.npz: not a whole NumPy archive"):
        build_backbone("vgg16", size=32, weights=npz)
    np.savez(npz, **{"block1_conv1/kernel": np.zeros((3, 3, 3, 64))})
    with pytest.raises(InputError, match=r"w\.npz: expected arrays .*got 'bias'"):
        build_backbone("vgg16", size=32, weights=npz)
    np.savez(
        npz, **{f"block1_conv1/{part}": np.zeros((2, 2)) for part in ("kernel", "bias")}
    )
    with pytest.raises(InputError, match=r"w\.npz: layer block1_conv1 .*\(2, 2\)"):
        build_backbone("vgg16", size=32, weights=npz)


def test_unknown_name():
    with pytest.raises(InputError, match="no backbone 'resnet_18'; there is resnet18, "):
        build_backbone("resnet_18")
    with pytest.raises(
        InputError, match="no backbone '~'; there is efficientnet_lite0, "
    ):
        build_backbone("~")
    assert find_backbone("ResNet50") is BACKBONES["resnet50"]


@pytest.mark.parametrize("size", [0, -3])
def test_size_that_is_not_positive(size):
    with pytest.raises(ValueError, match=f"`size`, expected .*, got {size}"):
        build_backbone("efficientnet_lite0", size=size)


@pytest.mark.parametrize("name", ["squeezenet", "vgg16"])
def test_size_that_is_too_small(name):
    with pytest.raises(InputError, match=f"{name} does not take pictures of 5 pixels"):
        build_backbone(name, size=5, weights="none")


def test_unknown_output():
    with pytest.raises(ValueError, match="pooled, grid, logits, got maps"):
        build_backbone("efficientnet_lite0", output="maps")


def test_digest_of_weights():
    keras.utils.set_random_seed(1)
    model = build_backbone("squeezenet", size=67, weights="none")
    keras.utils.set_random_seed(1)
    twin = build_backbone("squeezenet", size=67, weights="none")
    assert weights_digest(model) == weights_digest(twin)
    assert len(weights_digest(model)) == 64
    weights = twin.get_weights()
    weights[3].ravel()[0] += 1
    twin.set_weights(weights)
    assert weights_digest(model) != weights_digest(twin)
