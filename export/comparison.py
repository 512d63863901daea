"""Compares the answers of an export with those of the model.

NumPy alone, so that an export can be checked again wherever it runs.
"""

import dataclasses
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from kerasdl.errors import InputError

Answers = Sequence[Mapping[str, np.ndarray]]

# Two pictures are the same answer if they differ by a grey level on average at most.
SAME_GREY = 1.0


@dataclass(frozen=True)
class Tolerance:
    """What an export may differ by from the model in Keras.

    Attributes:
        agreement: The least share of the examples with the same answer.
        difference: The largest difference of a score, if both score one answer.
        kind: What is compared, a key of `KINDS`.
    """

    agreement: float
    difference: float
    kind: str = "values"

    def least_agreeing(self, examples: int) -> int:
        """How many of the examples must have the same answer.

        From 10 examples on one may always differ if `agreement` is below 1: two answers
        can be as good as equally probable, and rounding then decides between them.
        """
        may_differ = math.floor((1 - self.agreement) * examples + 1e-9)
        one = self.agreement < 1 and examples >= 10
        return examples - max(may_differ, int(one))


@dataclass(frozen=True)
class Comparison:
    """What an export did differ by.

    Attributes:
        examples: How many answers were compared.
        agreeing: How many of them were the same.
        largest_difference: Of a score, if both score one answer; for values as a share
            of their range.
        tolerance: What is allowed.
    """

    examples: int
    agreeing: int
    largest_difference: float
    tolerance: Tolerance

    def check(self, what: str, way_out: str = "") -> None:
        """Raises InputError if `what` differs by more than is allowed.

        Args:
            what: What was compared, for the message.
            way_out: A sentence that ends the message.
        """
        if not self.largest_difference <= self.tolerance.difference:  # NaN fails too
            shares = " of their range" if self.tolerance.kind == "values" else ""
            raise InputError(
                f"{what} differs from the model: its scores by up to "
                f"{self.largest_difference:.3g}, allowed "
                f"{self.tolerance.difference:g}{shares}; nothing was written.{way_out}"
            )
        least = self.tolerance.least_agreeing(self.examples)
        if self.agreeing < least:
            raise InputError(
                f"{what} differs from the model: {self.agreeing} of {self.examples} "
                f"answers are the same, at least {least} must be; nothing was "
                f"written.{way_out}"
            )

    def as_json(self) -> dict[str, Any]:
        """The object that a manifest holds."""
        return {
            "examples": self.examples,
            "agreeing": self.agreeing,
            "largest_difference": self.largest_difference,
            "least_agreeing": self.tolerance.least_agreeing(self.examples),
            "difference_allowed": self.tolerance.difference,
            "tolerance": dataclasses.asdict(self.tolerance),
        }


def compare(tolerance: Tolerance, got: Answers, expected: Answers) -> Comparison:
    """Compares answers, one mapping per call, in the way that the tolerance names.

    Args:
        tolerance: What is allowed.
        got: The outputs of an export by name, each with the samples first.
        expected: Those of the model; outputs that it leaves out are not compared.
    """
    for answer, wanted in zip(got, expected, strict=True):
        for name, value in wanted.items():
            if name not in answer or answer[name].shape != value.shape:
                shape = answer[name].shape if name in answer else None
                raise InputError(
                    f"the export's output {name!r} has the shape {shape}, the model's "
                    f"{value.shape}; nothing was written."
                )
    return Comparison(*KINDS[tolerance.kind](tolerance, got, expected), tolerance)


def _values(tolerance: Tolerance, got: Answers, expected: Answers):
    """Numbers; differences are shares of an output's range, over all calls together."""
    names = {name for wanted in expected for name in wanted}
    scales = {}
    for name in names:
        values = [np.ravel(e[name]) for e in expected if name in e]
        joined = np.concatenate([v.astype(np.float64) for v in values])
        magnitude = np.abs(joined).max(initial=0.0)
        scales[name] = max(np.ptp(joined) if joined.size else 0.0, magnitude) or 1.0
    differences = [
        max(
            np.abs(answer[name].astype(np.float64) - value).max(initial=0.0)
            / scales[name]
            for name, value in wanted.items()
        )
        for answer, wanted in zip(got, expected, strict=True)
        if wanted
    ]
    largest = max(differences, default=0.0)
    same = sum(difference <= tolerance.difference for difference in differences)
    return len(differences), int(same), float(largest)


def _joined(answers: Answers, name: str) -> np.ndarray:
    return np.concatenate([answer[name] for answer in answers])


def _words_agree(got: Answers, expected: Answers) -> np.ndarray:
    """For each sample, whether all outputs of strings are equal."""
    agree = []
    for answer, wanted in zip(got, expected, strict=True):
        rows = np.ones(len(next(iter(wanted.values()))), bool)
        for name, value in wanted.items():
            if value.dtype == object:
                rows &= np.array(
                    [a == b for a, b in zip(answer[name], value, strict=True)], bool
                )
        agree.append(rows)
    return np.concatenate(agree)


def _classes(tolerance: Tolerance, got: Answers, expected: Answers):
    """Classes, by the output `probabilities`, (N, K), and whatever is told in words."""
    ours, theirs = _joined(got, "probabilities"), _joined(expected, "probabilities")
    same = ours.argmax(axis=1) == theirs.argmax(axis=1)
    same &= _words_agree(got, expected)
    return len(same), int(same.sum()), float(np.abs(ours - theirs).max(initial=0.0))


def _captions(tolerance: Tolerance, got: Answers, expected: Answers):
    """Captions, by the output `tokens` or `caption`; scores only of the same ones."""
    name = "tokens" if "tokens" in expected[0] else "caption"
    ours, theirs = _joined(got, name), _joined(expected, name)
    same = ours == theirs
    same = same.all(axis=tuple(range(1, same.ndim))) & _words_agree(got, expected)
    scores = np.abs(_joined(got, "score") - _joined(expected, "score"))[same]
    return len(same), int(same.sum()), float(scores.max(initial=0.0))


def _pictures(tolerance: Tolerance, got: Answers, expected: Answers):
    """Pictures, each of its own size: the mean difference in grey levels of the worst.

    Encoded ones are decoded; two that differ in size differ without bound.
    """
    differences = [
        _difference_of_pictures(ours, theirs)
        for answer, wanted in zip(got, expected, strict=True)
        for name, value in wanted.items()
        for ours, theirs in zip(answer[name], value, strict=True)
    ]
    same = sum(difference <= SAME_GREY for difference in differences)
    return len(differences), int(same), max(differences, default=0.0)


def _difference_of_pictures(ours: Any, theirs: Any) -> float:
    if isinstance(theirs, bytes):
        if ours == theirs:  # a status, or a picture that is the same to the bit
            return 0.0
        ours, theirs = _decoded(ours), _decoded(theirs)
        if ours is None or theirs is None or ours.shape != theirs.shape:
            return math.inf
    return float(np.abs(np.rint(ours).astype(np.float64) - theirs).mean())


def _decoded(data: bytes) -> np.ndarray | None:
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except OSError:
        return None


KINDS: dict[str, Callable] = {
    "values": _values,
    "classes": _classes,
    "captions": _captions,
    "pictures": _pictures,
}
