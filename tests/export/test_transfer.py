"""Exports of a small trained classifier, reloaded and run as users run them."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasdl
from kerasdl.configs.transfer import default
from kerasdl.data.drawn.shapes import drawn_shapes
from kerasdl.errors import InputError
from kerasdl.export import jobs
from kerasdl.export import saved_model as export_saved_model
from kerasdl.export import tflite as export_tflite
from kerasdl.export.transfer import TransferJob
from kerasdl.training import transfer
from kerasdl.training.workdir import Workdir

PICTURES = {"data.drawn_train": 36, "data.drawn_val": 24, "data.drawn_test": 0}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    root = tmp_path_factory.mktemp("run") / "w"
    config = default.get_config()
    config.model.image_size = 64
    config.data.cache = str(root.parent / "cache")
    config.update_from_flattened_dict(PICTURES)
    run = Workdir(root, "transfer", config.to_dict()).create()
    keras.utils.set_random_seed(0)
    dataset = transfer.load_dataset(config)
    classifier = transfer.build_model(config, 6)
    reader = transfer.SplitReader(classifier, config)
    split = reader.read(dataset.train, "train", True)
    transfer.fit_head(classifier, split, np.ones(6, np.float32), 60)
    classifier.save(root / "model.keras")
    (root / "labels.txt").write_text("\n".join((*dataset.class_names, "")))
    run.close()
    return root


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "one.png"
    path.write_bytes(drawn_shapes(9, 0, 1, 0).val[0].data)
    return path


def test_saved_model(workdir, picture, tmp_path):
    version, description = export_saved_model(workdir, tmp_path / "served", examples=6)
    accuracy = description["accuracy"]
    assert accuracy["examples"] == 24 and accuracy["split"] == "val"
    assert accuracy["export"] == accuracy["model"] > 0.5
    assert description["comparison"]["serving_default"]["agreeing"] == 6
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    data = picture.read_bytes()
    answer = served(image_bytes=tf.constant([data, data, data]))
    trained = kerasdl.load(workdir)
    assert [label.decode() for label in answer["label"].numpy()] == [
        trained.predict(picture)["label"]
    ] * 3
    np.testing.assert_allclose(
        answer["probabilities"].numpy()[1],
        list(trained.predict(picture)["probabilities"].values()),
        atol=0.02,
    )
    assert kerasdl.load(version).predict(picture)["label"]
    labels = version / "assets" / "labels.txt"
    labels.write_text("".join(sorted(labels.open(), reverse=True)))
    with pytest.raises(InputError, match=r"labels\.txt: not the file that the manifest"):
        kerasdl.load(version)


@pytest.mark.parametrize(
    "quantize",
    [
        *("none", "float16", "dynamic", "int8"),
        pytest.param("weights", marks=pytest.mark.slow),
    ],
)
def test_tflite(workdir, picture, tmp_path, quantize):
    path = tmp_path / "m.tflite"
    description = export_tflite(workdir, path, quantize=quantize, examples=6)
    accuracy = description["accuracy"]
    one_picture = 1 / accuracy["examples"]
    assert accuracy["export"] >= accuracy["model"] - max(0.01, one_picture) - 1e-9
    assert json.loads((tmp_path / "manifest.json").read_text())["m.tflite"] == description
    full = 13_000_000
    bounds = {"none": (1, 1.2), "float16": (0.5, 0.6), "dynamic": (0.2, 0.4)}
    low, high = bounds.get(quantize, (0.2, 0.4))
    assert low * full < description["bytes"] < high * full
    # On a device there is no TensorFlow.
    program = (
        "import sys; sys.modules['tensorflow'] = sys.modules['keras'] = None\n"
        "from kerasdl.export.litert import DeviceModel\n"
        f"print(DeviceModel({str(path)!r}).predict("
        f"{str(picture)!r})['label'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == kerasdl.load(workdir).predict(picture)["label"], (
        done.stderr
    )


def test_an_export_that_loses_accuracy_is_refused(workdir):
    job = jobs.load_job(workdir)
    assert isinstance(job, TransferJob)
    with pytest.raises(InputError, match=r"right on 0\.\d+ of 24 validation pictures"):
        job.accuracy(lambda example: {"probabilities": np.eye(6)[[3]]}, 0.01)


def test_labels_that_do_not_fit_are_refused(workdir, tmp_path):
    for name in ("config.json", "model.keras"):
        (tmp_path / name).write_bytes((workdir / name).read_bytes())
    (tmp_path / "labels.txt").write_text("one\ntwo\n")
    with pytest.raises(InputError, match=r"labels.txt: expected the model's 6 .* got 2"):
        jobs.load_job(tmp_path)
