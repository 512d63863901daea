"""Exports of a style network: the same pictures from every form."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import kerasdl
from kerasdl.configs.style import default, feed_forward
from kerasdl.errors import InputError
from kerasdl.export import saved_model as export_saved_model
from kerasdl.export import tflite as export_tflite
from kerasdl.export.litert import DeviceModel
from kerasdl.export.served import ServedModel
from kerasdl.export.style import LARGEST_SERVED, _at_most
from kerasdl.models.style_network import StylePainter, apply_to_any_size
from kerasdl.style.examples import drawn_town
from kerasdl.style.pictures import encode_picture
from kerasdl.training.workdir import Workdir

SIZE = 64


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    root = tmp_path_factory.mktemp("style")
    pictures = root / "pictures"
    pictures.mkdir()
    for seed in range(20):
        picture = drawn_town(40 + seed, seed)
        (pictures / f"{seed}.png").write_bytes(encode_picture(picture, "png"))
    config = feed_forward.get_config()
    config.data.root = str(pictures)
    Workdir(root / "w", "style", config.to_dict()).create().close()
    tf.keras.utils.set_random_seed(0)
    StylePainter(filters=4, residual_blocks=1).save(root / "w" / "model.keras")
    return root / "w"


@pytest.fixture(scope="module")
def picture(workdir):
    return workdir.parent / "pictures" / "7.png"


def difference(pixels, expected):
    assert pixels.dtype == np.uint8 and pixels.shape == expected.shape
    return np.abs(pixels.astype(int) - expected).mean()


def test_a_saved_model(workdir, picture, tmp_path):
    folder, description = export_saved_model(workdir, tmp_path / "served")
    assert description["comparison"]["serving_default"]["examples"] == 2
    served = ServedModel(folder)
    expected = kerasdl.load(workdir).predict(picture)["image"]
    answer = served.predict(picture)
    assert difference(answer["image"], expected) < 0.1
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    assert signature.structured_outputs["image_bytes"].dtype == tf.string


@pytest.mark.parametrize("quantize", ["none", "float16"])
def test_a_device_model(workdir, picture, tmp_path, quantize):
    path = tmp_path / "style.tflite"
    description = export_tflite(workdir, path, quantize=quantize, size=SIZE)
    assert not [name for name in description["operations"] if "CUSTOM" in name]
    # These take most of the time of a painter that is converted as it stands.
    assert not {"MIRROR_PAD", "TILE"} & description["operations"].keys()
    assert description["operations"]["RESIZE_NEAREST_NEIGHBOR"] == 2
    device = DeviceModel(path)
    shape = {"dtype": "float32", "shape": [1, SIZE, SIZE, 3]}
    assert device.signature() == {"inputs": {"image": shape}, "outputs": {"image": shape}}
    with Image.open(picture) as image:
        square = image.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    square.save(tmp_path / "square.png")
    expected = kerasdl.load(workdir).predict(tmp_path / "square.png")["image"]
    answer = device.predict(picture)
    assert difference(answer["image"], expected) < 1.0


def test_a_painter_of_several_styles_takes_their_weights(workdir, picture, tmp_path):
    root = tmp_path / "several"
    config = feed_forward.get_config()
    config.data.root = str(picture.parent)
    config.network.conditional = True
    Workdir(root, "style", config.to_dict()).create().close()
    tf.keras.utils.set_random_seed(0)
    model = StylePainter(filters=4, residual_blocks=1, styles=2)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(weight + rng.normal(0, 0.2, weight.shape))
    model.save(root / "model.keras")
    folder, _ = export_saved_model(root, tmp_path / "served", examples=3)
    path = tmp_path / "several.tflite"
    export_tflite(root, path, size=SIZE, examples=3)
    served, device = ServedModel(folder), DeviceModel(path)
    assert set(device.signature()["inputs"]) == {"image", "style_weights"}
    with Image.open(picture) as image:
        square = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    square.save(tmp_path / "square.png")
    answers = []
    for weights in ([1, 0], [0.25, 0.75], None):
        shares = np.float32([weights or [0.5, 0.5]])
        expected = apply_to_any_size(model, np.float32([square]), shares).numpy()[0]
        for exported, given in ((served, tmp_path / "square.png"), (device, picture)):
            exported.style_weights = weights
            answer = exported.predict(given)["image"]
            assert difference(answer, expected.astype(np.uint8)) < 1.0
        answers.append(expected)
    assert np.abs(answers[0] - answers[1]).mean() > 2
    served.style_weights = [1, 0, 0]
    with pytest.raises(
        InputError, match="`style_weights` must be 2 numbers, got 1, 0, 0"
    ):
        served.predict(picture)


def test_predict_writes_pictures(workdir, picture, tmp_path):
    export_tflite(workdir, tmp_path / "style.tflite", size=SIZE)
    command = [
        *(sys.executable, "-m", "kerasdl.export.predict", "--json"),
        f"--model={tmp_path / 'style.tflite'}",
        f"--input={picture}",
    ]
    done = subprocess.run(
        [*command, f"--output={tmp_path / 'out'}"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    written = tmp_path / "out" / "7.png"
    assert json.loads(done.stdout) == {"file": str(picture), "picture": str(written)}
    with Image.open(written) as image:
        assert image.size == (SIZE, SIZE)
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "--output must name a folder" in done.stderr


@pytest.mark.parametrize("size", [30, 8, -4])
def test_a_size_that_does_not_fit(workdir, tmp_path, size):
    with pytest.raises(InputError, match=f"--size must be a multiple of 4.*got {size}"):
        export_tflite(workdir, tmp_path / "style.tflite", size=size)


def test_a_run_that_optimised_a_picture_has_no_network(tmp_path):
    Workdir(tmp_path, "style", default.get_config().to_dict()).create().close()
    with pytest.raises(InputError, match="the run optimised one picture and trained no"):
        export_saved_model(tmp_path, tmp_path / "served")


def test_large_pictures_are_served_smaller():
    image = tf.zeros((30, LARGEST_SERVED + 100, 3))
    assert _at_most(image, LARGEST_SERVED).shape == (28, 2004, 3)
    assert _at_most(image[:, :40], LARGEST_SERVED).shape == (30, 40, 3)
