"""Prediction from a TFLite file on a device: ai-edge-litert, NumPy and Pillow alone.

The file carries what the model's numbers mean as a zip appended to the flatbuffer:
`metadata.json` (the job, the input's size and preparation, how the answer was decoded)
and, for captions, `vocab.txt`, for classes, `labels.txt`, for sentences also
`tokenizer.json`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasdl.data.captions.vocabulary import CaptionVocabulary
from kerasdl.data.decisions import FILE as DECISION
from kerasdl.data.decisions import Decision
from kerasdl.data.pictures.decoding import prepare_picture
from kerasdl.data.vocabulary import class_names_from_bytes
from kerasdl.errors import InputError
from kerasdl.export.artefact import (
    LABELS,
    METADATA,
    SIGNATURE,
    VOCABULARY,
    Artefact,
    as_tensors,
)
from kerasdl.export.litert_text import SentenceEncoder
from kerasdl.export.tflite_file import check_attached, runners
from kerasdl.files import open_regular
from kerasdl.prediction.predictor import Answer, class_answers
from kerasdl.weights.archives import open_archive
from kerasdl.weights.damage import Damaged
from kerasdl.weights.tflite import IDENTIFIER, check_tflite


class DeviceModel(Artefact):
    """A TFLite file that an export wrote, ready to answer, from any number of threads.

    Args:
        path: The `.tflite` file.
        threads: For the interpreter; 0 leaves the choice to it.

    Attributes:
        metadata: What the file's `metadata.json` holds.
        input_kind: What one input is, `"picture"`, `"text"` or `"tensors"`.
        signatures: The signatures by name: arrays by name in, arrays by name out.
        run: The one that answers, `serving_default`.

    Raises:
        InputError: The file cannot be read, is no TFLite model, is one that
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
            self.input_kind = given.get("kind", "picture")
            if self.input_kind != "tensors":
                length, _ = given["shape"][1], given["name"]
            _ = given["preparation"] if self.input_kind == "picture" else None
        except (AttributeError, LookupError, TypeError) as error:
            raise InputError(f"{path}: {METADATA}: input: {error!r}.") from error
        if self.input_kind == "text":
            self._encode = SentenceEncoder(files, path, length)
        check_tflite(path)
        self.signatures = runners(path, threads)
        if SIGNATURE not in self.signatures:
            raise InputError(f"{path}: expected the signature {SIGNATURE}.")
        self.run = self.signatures[SIGNATURE]

    def signature(self) -> dict[str, Any]:
        """Type and shape of each input and output of `run`."""

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

    def answer(self, inputs: Sequence[Any]) -> list[Answer]:
        """See `Artefact`; one input after another."""
        return [self._answer(self._run_one(self._prepared(one))) for one in inputs]

    def _prepared(self, one: Any) -> dict[str, np.ndarray]:
        given = self.metadata["input"]
        if self._encode is not None:
            return {given["name"]: self._encode(one)}
        if self.input_kind == "tensors":
            shapes = {
                name: (detail["shape_signature"].tolist(), detail["dtype"])
                for name, detail in self.run.get_input_details().items()
            }
            return as_tensors(one, shapes)
        image = prepare_picture(one.pixels(), given["shape"][1], given["preparation"])
        prepared = {given["name"]: image[np.newaxis].astype(np.float32)}
        weights = self.run.get_input_details().get("style_weights")
        if weights is not None:
            count = int(weights["shape_signature"][1])
            prepared["style_weights"] = self.shares_of_styles(count)
        return prepared

    def _run_one(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs for a batch of 1; a model of a larger one gets it repeated."""
        details = self.run.get_input_details()
        whole = {
            name: np.repeat(value, max(details[name]["shape_signature"][0], 1), axis=0)
            for name, value in inputs.items()
        }
        return self.run(**whole)


def read_appended(path: str | Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The metadata and the text files that a TFLite file carries.

    Raises:
        InputError: The file cannot be read, is no TFLite model, carries none, or the
            files of another model.
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
                start = min(entry.header_offset for entry in archive.infolist())
                others = {name: files[name] for name in files if name != METADATA}
                check_attached(file, start, metadata, others)
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
    decision = Decision()
    if DECISION in files:
        where = f"{path}: {DECISION}"
        decision = Decision.from_json(files[DECISION], len(labels), where)

    def answer(outputs: Mapping[str, np.ndarray]) -> Answer:
        return class_answers(labels, outputs["probabilities"][:1], decision)[0]

    return answer


def _plain_answer(files: Mapping[str, str], path: str | Path):
    """A function from the outputs of a user's model to those of one sample."""

    def answer(outputs: Mapping[str, np.ndarray]) -> Answer:
        return {name: value[0] for name, value in sorted(outputs.items())}

    if LABELS not in files:
        return answer
    labels = class_names_from_bytes(files[LABELS].encode(), f"{path}: {LABELS}")
    return lambda outputs: class_answers(labels, next(iter(outputs.values()))[:1])[0]


def _picture_answer(files: Mapping[str, str], path: str | Path):
    """A function from a style network's output to pixels, uint8 (S, S, 3)."""
    del files, path
    return lambda outputs: {
        "image": np.clip(np.rint(outputs["image"][0]), 0, 255).astype(np.uint8)
    }


_ANSWERS = {
    "captioning": _caption_answer,
    "keras": _plain_answer,
    "style": _picture_answer,
    "text": _class_answer,
    "transfer": _class_answer,
}
