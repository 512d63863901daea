"""The forms of inputs and answers that everything loaded has in common."""

import io

import numpy as np
import pytest
from PIL import Image

from kerasdl.errors import InputError
from kerasdl.prediction.predictor import Predictor, class_answers

PIXELS = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)


class MeanOfPixels(Predictor):
    def answer(self, inputs, plus=0):
        return [{"mean": float(p.pixels().mean()) + plus} for p in inputs]


class Length(Predictor):
    input_kind = "text"

    def answer(self, inputs):
        return [{"length": len(text)} for text in inputs]


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def test_a_picture_in_every_form_gives_one_answer(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png(PIXELS))
    forms = [path, str(path), png(PIXELS), PIXELS, Image.fromarray(PIXELS)]
    expected = {"mean": PIXELS.mean()}
    assert [MeanOfPixels().predict(form) for form in forms] == [expected] * 5
    assert MeanOfPixels().predict(forms) == [expected] * 5
    assert MeanOfPixels().predict(np.stack([PIXELS, PIXELS])) == [expected] * 2


def test_options_reach_the_model_and_no_input_has_no_answer():
    assert MeanOfPixels().predict(PIXELS, plus=1) == {"mean": PIXELS.mean() + 1}
    assert MeanOfPixels().predict([]) == []


def test_sentences():
    assert Length().predict("good food") == {"length": 9}
    assert Length().predict(["a", "gut für".encode()]) == [{"length": 1}, {"length": 7}]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, r"the input: expected a path, bytes, .* got int"),
        (PIXELS[..., 0], r"the input: .* got ndarray of shape \(5, 4\)"),
        (
            PIXELS / 255,
            r"the input: expected pixels of type uint8 .*, got float64",
        ),
        ([PIXELS, b"GIF89a"], r"input 1: "),
        ("nowhere.png", r"nowhere\.png: cannot be read"),
    ],
)
def test_what_is_no_picture_is_named(given, message):
    with pytest.raises(InputError, match=message):
        MeanOfPixels().predict(given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (b"a\xff", r"the input: expected UTF-8, got byte 0xff"),
        (["a", None], r"input 1: expected a sentence, got NoneType"),
        ("a\x00b", r"the input: .*NUL"),
    ],
)
def test_what_is_no_sentence_is_named(given, message):
    with pytest.raises(InputError, match=message):
        Length().predict(given)


def test_class_answers():
    assert class_answers(["b", "a"], np.array([[0.25, 0.75]])) == [
        {"label": "a", "probabilities": {"b": 0.25, "a": 0.75}}
    ]
