"""A model of any kind that answers for rows, each by itself or with a reason why not."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from kerasdl.errors import InputError
from kerasdl.export.artefact import readable
from kerasdl.export.bulk_inputs import Outcome, Row
from kerasdl.export.loading import load
from kerasdl.export.representative import read_arrays
from kerasdl.prediction.predictor import Predictor, read_picture_input, read_sentence

# Inputs that the model gets at once, and threads that read them ahead.
CHUNK, THREADS = 32, 4
# What TensorFlow raises if an input is at fault; by name, since a .tflite file needs no
# TensorFlow.
FAULTS_OF_INPUTS = ("InvalidArgumentError", "OutOfRangeError")


class BulkModel:
    """A workdir, a SavedModel or a TFLite file.

    Args:
        path: Of the model.
        features: Whether it is to give features instead of answers.

    Attributes:
        input_kind: `picture`, `text` or `tensors`.

    Raises:
        InputError: There is no such model, or it has no features.
    """

    def __init__(self, path: str, features: bool = False) -> None:
        model = load(path)
        if not isinstance(model, Predictor):
            raise InputError(
                "--model must be a workdir, a SavedModel or a .tflite file, got "
                f"{path!r}; kerasdl.export.saved_model exports a .keras file."
            )
        self.input_kind = model.input_kind
        self._answer = model.answer
        if features:
            if not hasattr(model, "features"):
                raise InputError(
                    "--features needs the workdir of a captioning, transfer or text run, "
                    f"got {path!r}; export a model of the features instead."
                )
            self._answer = lambda inputs: [
                {"features": row} for row in model.features(inputs)
            ]

    def outcomes(self, rows: Sequence[Row]) -> list[Outcome]:
        """What becomes of each row, in order; a bad one harms no other."""
        parts = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
        found: list[Outcome] = []
        with ThreadPoolExecutor(THREADS) as threads:
            ahead: list[Future] = []
            for part, after in zip(parts, [*parts[1:], []], strict=True):
                reading = ahead or [threads.submit(self._read, row) for row in part]
                ahead = [threads.submit(self._read, row) for row in after]
                found += self._outcomes(part, [one.result() for one in reading])
        return found

    def _read(self, row: Row) -> Any:
        """What the model takes, or the reason why there is none, a `_Bad`."""
        if row.reason:
            return _Bad(row.reason)
        try:
            if self.input_kind == "picture":
                return read_picture_input(row.value, row.name)
            if self.input_kind == "text":
                return read_sentence(row.value, row.name)
            return read_arrays(Path(row.value))
        except InputError as error:
            return _Bad(str(error))

    def _outcomes(self, rows: Sequence[Row], given: Sequence[Any]) -> list[Outcome]:
        good = [one for one in given if not isinstance(one, _Bad)]
        answers = iter(self._answers(good))
        outcomes = []
        for row, one in zip(rows, given, strict=True):
            answer = one if isinstance(one, _Bad) else next(answers)
            if isinstance(answer, _Bad):
                outcomes.append(Outcome(row.name, reason=str(answer)))
            else:
                outcomes.append(Outcome(row.name, answer))
        return outcomes

    def _answers(self, inputs: Sequence[Any]) -> list[Any]:
        """An answer or a `_Bad` for each; those that fail together run one by one.

        A fault that is not an input's, such as memory that ran out, ends the shard, and
        Beam tries it again.
        """
        try:
            return self._answer(inputs) if inputs else []
        except Exception as error:
            by_input = isinstance(error, (ValueError, TypeError))
            if not by_input and type(error).__name__ not in FAULTS_OF_INPUTS:
                raise
            if len(inputs) == 1:
                return [_Bad(readable(error))]
        return [answer for one in inputs for answer in self._answers([one])]


class _Bad(str):
    """Why an input has no answer."""
