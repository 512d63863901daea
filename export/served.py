"""Prediction from a SavedModel: TensorFlow, no layer or model of kerasdl."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasdl.data.decisions import FILE as DECISION
from kerasdl.data.decisions import Decision
from kerasdl.data.pictures.decoding import as_jpeg_or_png, decode_picture
from kerasdl.data.vocabulary import read_class_names
from kerasdl.errors import InputError
from kerasdl.export.artefact import LABELS, SIGNATURE, Artefact, as_tensors
from kerasdl.export.proof import MANIFEST, check_files
from kerasdl.prediction.predictor import Answer, class_answers
from kerasdl.training.command import import_tensorflow

# How many inputs one call takes, if its signature takes any number.
BATCH = 32
# What an input is, by the arguments of the signature.
_INPUT_KINDS = {
    ("image_bytes",): "picture",
    ("image_bytes", "style_weights"): "picture",
    ("text",): "text",
}


class ServedModel(Artefact):
    """A SavedModel that an export wrote, ready to answer.

    Args:
        path: The version's folder.

    Raises:
        InputError: The folder holds no SavedModel with the signature `serving_default`
            on encoded pictures, on texts or on tensors of numbers; or a file of it is
            not the one that its manifest describes, if it has one.
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        if not (path / "saved_model.pb").is_file():
            versions = [
                folder.name
                for folder in path.iterdir()
                if folder.name.isdecimal() and folder.is_dir()
            ]
            hint = ""
            if versions:
                hint = f"; its newest version is {path / max(versions, key=int)}"
            raise InputError(f"{path}: no saved_model.pb in this folder{hint}.")

        check_files(path, _files_of(path / MANIFEST))
        import_tensorflow()
        import tensorflow as tf

        self._constant, self._concat = tf.constant, tf.concat
        try:
            self._model = tf.saved_model.load(str(path))
            self._run = self._model.signatures[SIGNATURE]
            self._inputs = self._run.structured_input_signature[1]
        except Exception as error:  # a damaged file raises any of a dozen kinds
            raise InputError(
                f"{path}: expected a SavedModel with the signature {SIGNATURE}: {error}"
            ) from error
        names = tuple(sorted(self._inputs))
        tensors = all(spec.dtype != tf.string for spec in self._inputs.values())
        self.input_kind = _INPUT_KINDS.get(names, "tensors" if tensors else "")
        if not self.input_kind:
            raise InputError(
                f"{path}: expected {SIGNATURE}(image_bytes), (text) or tensors of "
                f"numbers, got {SIGNATURE}({', '.join(names)})."
            )
        any_batch = all(s.shape.rank and not s.shape[0] for s in self._inputs.values())
        self._batch = BATCH if any_batch else 1
        labels = path / "assets" / LABELS
        self._labels = read_class_names(labels) if labels.is_file() else ()
        self._decision, decision = Decision(), path / "assets" / DECISION
        if decision.is_file():
            given = decision.read_bytes()
            self._decision = Decision.from_json(given, len(self._labels), str(decision))

    def answer(self, inputs: Sequence[Any]) -> list[Answer]:
        """See `Artefact`; several inputs at once if the signature takes them."""
        answers = []
        for start in range(0, len(inputs), self._batch):
            part = [self._prepared(one) for one in inputs[start : start + self._batch]]
            # Sentences of one length, say; the others go one by one.
            alike = len({tuple(v.shape for v in one.values()) for one in part}) == 1
            for group in [part] if alike else [[one] for one in part]:
                given = {n: self._concat([one[n] for one in group], 0) for n in group[0]}
                outputs = {n: v.numpy() for n, v in sorted(self._run(**given).items())}
                rows = {np.shape(value)[:1] for value in outputs.values()}
                if len(group) > 1 and rows != {(len(group),)}:
                    # It mixes its rows, whatever its signature says: one at a time.
                    self._batch = 1
                    return self.answer(inputs)
                answers += [
                    self._named({n: v[k] for n, v in outputs.items()})
                    for k in range(len(group))
                ]
        return answers

    def _prepared(self, one: Any) -> dict[str, Any]:
        if self.input_kind == "text":
            return {"text": self._constant([one.encode()])}
        if self.input_kind == "tensors":
            shapes = {
                name: (spec.shape.as_list(), spec.dtype.as_numpy_dtype)
                for name, spec in self._inputs.items()
            }
            given = as_tensors(one, shapes)
            return {name: self._constant(value) for name, value in given.items()}
        is_file = one.data is not None
        data = as_jpeg_or_png(one.data, one.name) if is_file else one.as_png()
        prepared = {"image_bytes": self._constant([data])}
        if "style_weights" in self._inputs:
            shares = self.shares_of_styles(self._inputs["style_weights"].shape[1])
            prepared["style_weights"] = self._constant(shares)
        return prepared

    def _named(self, first: dict[str, Any]) -> Answer:
        if "probabilities" in first and self._labels:
            probabilities = first["probabilities"][np.newaxis]
            return class_answers(self._labels, probabilities, self._decision)[0]
        if self.input_kind == "tensors":
            return first
        if "image_bytes" in first:
            png = first["image_bytes"]
            return {"image": decode_picture(png, "the SavedModel's PNG")}
        return {
            name: value.decode() if isinstance(value, bytes) else value.tolist()
            for name, value in first.items()
        }


def _files_of(manifest: Path) -> dict[str, Any]:
    """The files that a manifest describes; none of a SavedModel of anyone else."""
    try:
        return dict(json.loads(manifest.read_text(encoding="utf-8"))["files"])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{manifest}: not the manifest of an export: {error!r}."
        ) from error
