"""Files as others read them: MediaPipe Tasks and TFLite Micro."""

import re

import flatbuffers
import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import kerasdl
from kerasdl.errors import InputError
from kerasdl.export.metadata import embed
from kerasdl.export.tflite_file import runners
from tests.export.test_text import make_run

L = keras.layers


def test_mediapipe_classifies_sentences(tmp_path):
    pytest.importorskip("mediapipe")
    from mediapipe.tasks.python import text
    from mediapipe.tasks.python.core.base_options import BaseOptions

    run, path = make_run(tmp_path / "run", "lstm"), tmp_path / "m.tflite"
    kerasdl.export.tflite(run, path, strategy="unrolled", examples=10)
    base = BaseOptions(model_asset_path=str(path))
    options = text.TextClassifierOptions(base_options=base)
    ours = kerasdl.load(path)
    with text.TextClassifier.create_from_options(options) as classifier:
        for sentence in ("the food was not good .", "unheard words", "good\tstaff"):
            (head,) = classifier.classify(sentence).classifications
            theirs = {each.category_name: each.score for each in head.categories}
            expected = ours.predict(sentence)["probabilities"]
            assert theirs.keys() == expected.keys()
            for label, score in theirs.items():
                assert score == pytest.approx(expected[label], abs=1e-6)


def picture_classifier():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((24, 24, 3), name="input"),
            L.Rescaling(1 / 255),
            L.Conv2D(4, 3, 2),
            L.GlobalAveragePooling2D(),
            L.Dense(3, activation="softmax", name="probabilities"),
        ]
    )


def data_moved_behind(packed):
    """The file with its largest buffer's data behind the flatbuffer, as quantisers do."""
    model = schema.ModelT.InitFromPackedBuf(packed)
    buffer = max(model.buffers, key=lambda b: 0 if b.data is None else len(b.data))
    data, buffer.data = bytes(buffer.data), None
    # Any number is as long as the right one.
    buffer.offset = buffer.size = len(packed)
    for _ in range(2):
        builder = flatbuffers.Builder(len(packed))
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        written = bytes(builder.Output())
        buffer.offset, buffer.size = -len(written) % 16 + len(written), len(data)
    return written.ljust(buffer.offset, b"\0") + data


def test_data_behind_the_flatbuffer_are_kept(tmp_path):
    path, plain = tmp_path / "m.tflite", tmp_path / "plain.tflite"
    kerasdl.export.tflite(picture_classifier(), plain, batch=1)
    path.write_bytes(data_moved_behind(plain.read_bytes()))
    embed(path, "model", {})
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 24, 24, 3)).astype("f")
    got, expected = (runners(p)["serving_default"](input=pixels) for p in (path, plain))
    np.testing.assert_array_equal(got["probabilities"], expected["probabilities"])


def test_mediapipe_classifies_pictures(tmp_path):
    mediapipe = pytest.importorskip("mediapipe")
    from mediapipe.tasks.python import vision
    from mediapipe.tasks.python.core.base_options import BaseOptions

    model, path = picture_classifier(), tmp_path / "m.tflite"
    labels = ["ant", "bee", "größer"]
    kerasdl.export.tflite(model, path, batch=1, labels=labels)
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3)).astype("uint8")
    expected = dict(zip(labels, model(pixels[np.newaxis].astype("f"))[0], strict=True))
    answer = kerasdl.load(path).predict(pixels)
    assert answer["label"] == max(expected, key=expected.get)
    base = BaseOptions(model_asset_path=str(path))
    options = vision.ImageClassifierOptions(base_options=base)
    picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
    with vision.ImageClassifier.create_from_options(options) as classifier:
        (head,) = classifier.classify(picture).classifications
    for each in head.categories:
        assert each.score == pytest.approx(float(expected[each.category_name]), abs=1e-5)
    with pytest.raises(InputError, match=r"`labels` must name the 3 classes.*got 2"):
        kerasdl.export.tflite(model, path, labels=labels[:2])


def test_it_runs_in_tflite_micro(tmp_path):
    pytest.importorskip("tflite_micro")
    x = keras.Input((6, 4), name="x")
    model = keras.Model(x, L.Dense(2)(L.LSTM(5)(x)))
    path = tmp_path / "m.tflite"
    entry = kerasdl.export.tflite(model, path, batch=1, strategy="unrolled")
    micro = entry["runs_on"]["TFLite Micro"]
    assert micro["runs"] == "yes" and micro["difference"] < 1e-5
    assert 1 << 10 < micro["arena_bytes"] < 1 << 20
    assert micro["why"] == "ran here, by the wheel tflite-micro"
    for emits, why in (
        (False, r"does not run: .*STRIDED_SLICE"),
        (True, r"it lacks (\w+, )*SCATTER_ND"),
    ):
        model = keras.Model(x, L.Dense(2)(L.LSTM(5, return_sequences=emits)(x)))
        entry = kerasdl.export.tflite(model, path, batch=1, strategy="loop", stock=False)
        micro = entry["runs_on"]["TFLite Micro"]
        assert micro["runs"] == "no" and re.match(why, micro["why"])
