"""The `predict` that everything returned by `kerasdl.load` has.

`predict` takes one input or a list, and gives one answer or a list. An answer is a
dictionary:

| job | answer |
|---|---|
| captioning | `caption` (str), `score` (float, a log-probability) |
| transfer, text | `label` (str), `probabilities` (float by label) |
| style | `image` (uint8 (H, W, 3), RGB) |

Several labels of one text stand in `label` with `|` between them.

A picture is given as a path, as the bytes of a file, as a Pillow image, or as an array
uint8 (H, W, 3); a sentence as a string or as UTF-8 bytes. Nothing here needs TensorFlow.
"""

import abc
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kerasdl.data.decisions import Decision
from kerasdl.data.pictures.decoding import decode_picture
from kerasdl.data.pictures.files import read_picture_bytes
from kerasdl.data.texts.lines import check_text
from kerasdl.errors import InputError

Answer = dict[str, Any]
_MOST_PROBABLE = Decision()


@dataclass(frozen=True)
class Picture:
    """A picture to answer for.

    Attributes:
        name: What an error calls it: its path, or its place among the inputs.
        data: The bytes of its file, if it came as a file or as bytes.
        array: uint8 (H, W, 3), if it came as pixels.
    """

    name: str
    data: bytes | None = None
    array: np.ndarray | None = None

    def pixels(self) -> np.ndarray:
        """The decoded picture, uint8 (H, W, 3).

        Raises:
            InputError: It cannot be decoded.
        """
        if self.array is not None:
            return self.array
        return decode_picture(self.data, self.name)

    def as_png(self) -> bytes:
        """The decoded picture as a PNG file, for what takes encoded pictures alone."""
        file = io.BytesIO()
        Image.fromarray(self.pixels()).save(file, "PNG")
        return file.getvalue()


class Predictor(abc.ABC):
    """Answers for pictures or sentences; see the module for the forms."""

    input_kind: str = "picture"

    def predict(self, inputs: Any, **options: Any) -> Answer | list[Answer]:
        """The answer for one input, or a list of answers for a list of inputs.

        Args:
            inputs: One input, or a list or tuple of them (an array (N, H, W, 3) counts
                as a list of N pictures).
            options: What the kind of model offers besides; see its `answer`.

        Raises:
            InputError: An input cannot be read; it is named.
        """
        batch = isinstance(inputs, np.ndarray) and inputs.ndim == 4
        single = not batch and not isinstance(inputs, (list, tuple))
        given = [inputs] if single else list(inputs)
        read = read_sentence if self.input_kind == "text" else read_picture_input
        answers = self.answer(
            [
                read(one, "the input" if single else f"input {place}")
                for place, one in enumerate(given)
            ],
            **options,
        )
        return answers[0] if single else answers

    @abc.abstractmethod
    def answer(self, inputs: Sequence[Any], **options: Any) -> list[Answer]:
        """An answer for each of `inputs`: `Picture`s, or sentences as strings."""


def read_picture_input(given: Any, name: str) -> Picture:
    """One picture in any of the forms that `Predictor.predict` takes.

    Args:
        given: A path, bytes, a Pillow image, or an array uint8 (H, W, 3).
        name: What an error calls an input without a path.

    Raises:
        InputError: It is none of these, or its file cannot be read.
    """
    if isinstance(given, Picture):
        return given
    if isinstance(given, (str, os.PathLike)):
        return Picture(str(given), data=read_picture_bytes(Path(given)))
    if isinstance(given, (bytes, bytearray)):
        return Picture(name, data=bytes(given))
    if isinstance(given, Image.Image):
        return Picture(name, array=np.asarray(given.convert("RGB")))
    shape = getattr(given, "shape", None)
    if shape is not None and len(shape) == 3 and shape[-1] == 3 and 0 not in shape:
        array = np.asarray(given)
        if array.dtype == np.uint8:
            return Picture(name, array=array)
        raise InputError(
            f"{name}: expected pixels of type uint8 in 0..255, got {array.dtype}."
        )
    raise InputError(
        f"{name}: expected a path, bytes, a Pillow image or an array uint8 (H, W, 3), "
        f"got {type(given).__name__}{'' if shape is None else f' of shape {shape}'}."
    )


def read_sentence(given: Any, name: str) -> str:
    """One sentence, given as a string or as UTF-8 bytes.

    Raises:
        InputError: It is neither, or breaks a rule of text lines.
    """
    if isinstance(given, (bytes, bytearray)):
        try:
            given = given.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{name}: expected UTF-8, got byte 0x{given[error.start]:02x}."
            ) from error
    if not isinstance(given, str):
        raise InputError(f"{name}: expected a sentence, got {type(given).__name__}.")
    rule = check_text(given)
    if rule is not None:
        raise InputError(f"{name}: {rule}")
    return given


def class_answers(
    labels: Sequence[str],
    probabilities: np.ndarray,
    decision: Decision = _MOST_PROBABLE,
) -> list[Answer]:
    """Answers from the probabilities float (N, K) of the classes `labels`."""
    return [
        {
            "label": name,
            "probabilities": dict(zip(labels, map(float, row), strict=True)),
        }
        for name, row in zip(
            decision.names(labels, probabilities), probabilities, strict=True
        )
    ]
