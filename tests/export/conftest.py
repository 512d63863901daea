"""A small trained run and its exports, made once for all the tests of this folder."""

import json

import keras
import numpy as np
import pytest

from kerasdl.data.captions.tokens import caption_tokens
from kerasdl.data.captions.vocabulary import CaptionVocabulary
from kerasdl.data.drawn.scenes import drawn_scenes
from kerasdl.data.pictures.decoding import decode_picture, prepare_picture
from kerasdl.export import saved_model as export_saved_model
from kerasdl.export import tflite as export_tflite
from kerasdl.models.caption_decoder import CaptionDecoder
from kerasdl.models.captioner import ImageCaptioner

SIZE = 24
SCENES = 12


def tiny_backbone():
    images = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(images)
    x = keras.layers.Conv2D(6, 3, 4, padding="same", use_bias=False)(x)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    return keras.Model(images, x)


def write_run(root, *, rnn="lstm", attention=False, beam_size=1):
    """A workdir as the trainer leaves it: a captioner that knows 12 scenes by heart."""
    keras.utils.set_random_seed(0)
    data = {"root": "", "test": "", "skip_bad_lines": False, "train_pictures": 0}
    data |= {"drawn_train": SCENES, "drawn_val": SCENES, "drawn_test": 0}
    decode = {"max_length": 12, "beam_size": beam_size, "length_penalty": 0.0}
    config = {"seed": 5, "data": data, "decode": decode}
    pictures = drawn_scenes(5, train=SCENES, val=0, test=0).train
    captions = [picture.captions[0] for picture in pictures]
    vocabulary = CaptionVocabulary.build(w for c in captions for w in caption_tokens(c))
    images = np.stack(
        [
            prepare_picture(decode_picture(p.bytes(), p.name), SIZE).astype("float32")
            for p in pictures
        ]
    )
    decoder = CaptionDecoder(
        len(vocabulary),
        6 * 9,
        rnn=rnn,
        embedding_dim=16,
        units=32,
        feature_scale=1.0,
        cells=9 if attention else 0,
    )
    model = ImageCaptioner(tiny_backbone(), decoder, grid=3)
    # Noise, so that the model does not hang on the last bits of its features, which
    # rounded weights change.
    rng = np.random.default_rng(0)
    features = np.tile(model.features(images).numpy(), (8, 1))
    features += rng.normal(0.0, 0.05, features.shape).astype("float32")
    decoder.adapt(features)
    inputs, targets = vocabulary.encode_captions(captions * 8, max_words=12)
    decoder.compile(optimizer=keras.optimizers.Adam(1e-2), jit_compile=False)
    for _ in range(100):
        decoder.train_on_batch((features, inputs), targets)
    root.mkdir(exist_ok=True)
    model.save(root / "model.keras")
    vocabulary.save(root / "vocab.txt")
    run = {"job": "captioning", "config": config, "seed": 5}
    (root / "config.json").write_text(json.dumps(run))
    return root


@pytest.fixture(scope="session")
def workdir(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run") / "w")


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory):
    """The run's pictures as PNG files, and one as a TIFF file."""
    import io

    from PIL import Image

    root = tmp_path_factory.mktemp("pictures")
    for index, picture in enumerate(drawn_scenes(5, train=6, val=0, test=0).train):
        (root / f"{index}.png").write_bytes(picture.bytes())
        if index == 0:
            Image.open(io.BytesIO(picture.bytes())).save(root / "same_as_0.tif")
    return root


@pytest.fixture(scope="session")
def saved_model(workdir, tmp_path_factory):
    """The exported version's folder, and its manifest as it was returned."""
    return export_saved_model(workdir, tmp_path_factory.mktemp("served") / "captioner")


@pytest.fixture(scope="session")
def tflite(workdir, tmp_path_factory):
    """The exported file, and its manifest entry as it was returned."""
    path = tmp_path_factory.mktemp("device") / "captioner.tflite"
    return path, export_tflite(workdir, path)
