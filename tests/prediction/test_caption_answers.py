"""What a trained captioner answers besides a caption."""

import keras
import numpy as np
import pytest

from kerasdl.data.captions.vocabulary import CaptionVocabulary
from kerasdl.errors import InputError
from kerasdl.models.caption_decoder import CaptionDecoder
from kerasdl.models.captioner import ImageCaptioner
from kerasdl.prediction.runs import TrainedCaptioner

WORDS = ["a", "dog", "red", "ball", "runs"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    keras.utils.set_random_seed(0)
    images = keras.Input((16, 16, 3))
    cells = keras.layers.Conv2D(4, 4, 4)(keras.layers.Rescaling(1 / 255)(images))
    decoder = CaptionDecoder(9, 64, cells=16, units=8, embedding_dim=8)
    kernel, bias = decoder.vocabulary.get_weights()
    decoder.vocabulary.set_weights([8 * kernel, bias])
    root = tmp_path_factory.mktemp("run")
    ImageCaptioner(keras.Model(images, cells), decoder, grid=4).save(root / "model.keras")
    CaptionVocabulary(WORDS).save(root / "vocab.txt")
    decode = {"max_length": 6, "beam_size": 3, "dangling": "a red"}
    return TrainedCaptioner(root, {"decode": decode})


PICTURES = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), "uint8")


def test_every_word_has_a_map_of_where_it_looked(trained):
    plain = trained.predict(PICTURES)
    for answer, expected in zip(
        trained.predict(PICTURES, attention=True), plain, strict=True
    ):
        assert (answer["caption"], answer["score"]) == (
            expected["caption"], pytest.approx(expected["score"])
        )  # fmt: skip
        said = [word for word in answer["words"] if word != "<END>"]
        assert " ".join(said) == answer["caption"]
        assert answer["attention"].shape == (len(answer["words"]), 4, 4)
        np.testing.assert_allclose(answer["attention"].sum((1, 2)), 1.0, rtol=1e-5)


def test_options_of_one_call(trained):
    answer = trained.predict(PICTURES[0], required="ball runs", max_length=6)
    assert {"ball", "runs"} <= set(answer["caption"].split())
    several = trained.predict(PICTURES[0], n_best=3)
    assert several["captions"][0] == several["caption"]
    assert several["scores"] == sorted(several["scores"], reverse=True)
    assert len(set(several["captions"])) == 3
    first, again, other = (
        trained.predict(PICTURES[0], n_best=4, samples=4, seed=seed)["captions"]
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_refused_options(trained):
    with pytest.raises(InputError, match="decode has no field 'beams'"):
        trained.predict(PICTURES[0], beams=3)
    with pytest.raises(InputError, match="has 'cat', expected words"):
        trained.predict(PICTURES[0], required="cat")
