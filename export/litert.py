"""Prediction from a TFLite file on a device: ai-edge-litert, NumPy and Pillow alone.

The file carries what the model's numbers mean as a zip appended to the flatbuffer:
`metadata.json` (the job, the input's size and preparation, how the answer was decoded)
and, for captions, `vocab.txt`, for classes, `labels.txt`, for sentences also
`tokenizer.json`.
"""

import io
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from kerasdl.export.litert_text import SentenceEncoder
from PIL import Image

from kerasdl.data.captions.vocabulary import CaptionVocabulary
from kerasdl.data.pictures.decoding import decode_picture, prepare_picture
from kerasdl.data.vocabulary import class_names_from_bytes
from kerasdl.errors import InputError
from kerasdl.files import open_regular
from kerasdl.weights.archives import open_archive
from kerasdl.weights.damage import Damaged
from kerasdl.weights.tflite import IDENTIFIER, check_tflite

METADATA = "metadata.json"
VOCABULARY = "vocab.txt"
LABELS = "labels.txt"
SIGNATURE = "serving_default"


class DeviceModel:
    """A TFLite file that an export wrote, ready to answer, from any number of threads.

    Args:
        path: The `.tflite` file.
        threads: For the interpreter; 0 leaves the choice to it.

    Attributes:
        metadata: What the file's `metadata.json` holds.
        input_kind: What one input is, `"picture"` or `"text"`.
        run: The model itself, a `Runner`.

    Raises:
        InputError: If the file cannot be read, is no TFLite model, is one that
            `kerasdl.weights.tflite.check_tflite` refuses, or carries no metadata of a job
            known here.
    """

    def __init__(self, path: str | Path, threads: int = 0) -> None:
        self.metadata, files = read_appended(path)
        job = self.metadata.get("job")
        if job not in _ANSWERS:
            raise InputError(
                f"{path}: {METADATA}: job must be one of {', '.join(_ANSWERS)}, "
                f"got {job!r}."
            )
        self._answer = _ANSWERS[job](files, path)
        self._encode = None
        try:
            given = self.metadata["input"]
            self.input_kind: str = given.get("kind", "picture")
            length, _ = given["shape"][1], given["name"]
            _ = given["preparation"] if self.input_kind == "picture" else None
        except (AttributeError, LookupError, TypeError) as error:
            raise InputError(f"{path}: {METADATA}: input: {error!r}.") from error
        if self.input_kind == "text":
            self._encode = SentenceEncoder(files, path, length)
        check_tflite(path)
        self.run = Runner(path, threads)

    def signature(self) -> dict[str, Any]:
        """Type and shape of each input and output."""

        def specs(details):
            return {
                name: {
                    "dtype": np.dtype(detail["dtype"]).name,
                    "shape": detail["shape_signature"].tolist(),
                }
                for name, detail in sorted(details.items())
            }

        return {
            "inputs": specs(self.run.get_input_details()),
            "outputs": specs(self.run.get_output_details()),
        }

    def predict(self, data: bytes, name: str) -> dict[str, Any]:
        """The answer for one input.

        Args:
            data: The bytes of an encoded picture, or of a sentence in UTF-8.
            name: What an error calls it.

        Returns:
            For captions `caption` (str) and `score` (float, a log-probability); for
            classes `label` (str) and `probabilities` (class to float); for styles
            `image_bytes` (a PNG file).

        Raises:
            InputError: Where the input cannot be read.
        """
        given = self.metadata["input"]
        if self._encode is not None:
            return self._answer(self.run(**{given["name"]: self._encode(data, name)}))
        image = prepare_picture(
            decode_picture(data, name), given["shape"][1], given["preparation"]
        )
        return self._answer(self.run(**{given["name"]: image[None].astype(np.float32)}))


class Runner:
    """The serving signature of a TFLite file: arrays by name in, arrays by name out.

    An interpreter has one set of buffers, so threads that shared one would write into
    each other's inputs, or free them: a lock lets one call in at a time.

    Args:
        path: The `.tflite` file.
        threads: For the interpreter; 0 leaves the choice to it.

    Raises:
        InputError: If LiteRT cannot run the file.
    """

    def __init__(self, path: str | Path, threads: int = 0) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._lock = threading.Lock()
        try:
            interpreter = Interpreter(str(path), num_threads=threads or None)
            self._run = interpreter.get_signature_runner(SIGNATURE)
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"{path}: not a model that LiteRT can run: {error}"
            ) from error
        self.get_input_details = self._run.get_input_details
        self.get_output_details = self._run.get_output_details

    def __call__(self, **tensors: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs, copied out of the interpreter's buffers."""
        with self._lock:
            return self._run(**tensors)


def read_appended(path: str | Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The metadata and the text files that a TFLite file carries.

    Raises:
        InputError: If the file cannot be read, is no TFLite model, or carries none.
    """
    with open_regular(path) as file:
        header = file.read(8)
        if header[4:] != IDENTIFIER:
            raise InputError(
                f"{path}: expected a TFLite model, got a file that begins with "
                f"{header!r}."
            )
        try:
            with open_archive(file) as archive:
                files = {name: archive.read(name).decode() for name in archive.namelist()}
                metadata = json.loads(files[METADATA])
                if not isinstance(metadata, dict):
                    raise Damaged(f"{METADATA} is no object")
        except Damaged as error:
            raise InputError(
                f"{path}: expected a model written by export.tflite, whose appended zip "
                f"holds {METADATA}: {error}."
            ) from error
    return metadata, files


def _caption_answer(files: Mapping[str, str], path: str | Path):
    """A function from a captioner's outputs to words."""
    vocabulary = CaptionVocabulary.from_bytes(
        files.get(VOCABULARY, "").encode(), f"{path}: {VOCABULARY}"
    )

    def answer(outputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
        return {
            "caption": vocabulary.decode(outputs["tokens"][0]),
            "score": float(outputs["score"][0]),
        }

    return answer


def _class_answer(files: Mapping[str, str], path: str | Path):
    """A function from a classifier's outputs to the name of a class."""
    labels = class_names_from_bytes(files.get(LABELS, "").encode(), f"{path}: {LABELS}")

    def answer(outputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
        probabilities = outputs["probabilities"][0]
        return {
            "label": labels[int(probabilities.argmax())],
            "probabilities": dict(zip(labels, probabilities.tolist(), strict=True)),
        }

    return answer


def _picture_answer(files: Mapping[str, str], path: str | Path):
    """A function from a style network's output to the bytes of a PNG file."""
    del files, path

    def answer(outputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
        pixels = np.clip(np.rint(outputs["image"][0]), 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        return {"image_bytes": buffer.getvalue()}

    return answer


_ANSWERS = {
    "captioning": _caption_answer,
    "style": _picture_answer,
    "text": _class_answer,
    "transfer": _class_answer,
}
