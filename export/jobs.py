"""What a job gives to the exports, and which module holds each job.

A new job is one module with a subclass of `Job` and a line in `JOBS`; the commands, the
files they write and the manifests are shared.
"""

import abc
import dataclasses
import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from kerasdl.errors import InputError
from kerasdl.training.workdir import read_run

JOBS = {
    "captioning": "kerasdl.export.captioning:CaptioningJob",
    "style": "kerasdl.export.style:StyleJob",
    "text": "kerasdl.export.text:TextJob",
    "transfer": "kerasdl.export.transfer:TransferJob",
}

_Item = TypeVar("_Item")

# The one signature that every export has.
SERVING = "serving_default"


@dataclass(frozen=True)
class Example:
    """A real input that an export is compared on.

    Attributes:
        name: Its file's path, or its name in the data set.
        data: Its bytes, as a client would send them.
    """

    name: str
    data: bytes


def evenly(items: Sequence[_Item], count: int) -> list[_Item]:
    """At most `count` of the items, evenly apart, first and last among them.

    >>> evenly("abcdefghi", 3), evenly("ab", 3), evenly("", 3)
    (['a', 'e', 'i'], ['a', 'b'], [])
    """
    places = np.linspace(0, len(items) - 1, min(len(items), count)).round().astype(int)
    return [items[place] for place in places]


@dataclass(frozen=True)
class Tolerance:
    """What an export may differ by from the model in Keras.

    Attributes:
        agreement: The least share of the examples with the same answer.
        difference: The largest difference of a score, where both score one answer.
    """

    agreement: float
    difference: float

    def least_agreeing(self, examples: int) -> int:
        """How many of the examples must have the same answer.

        From 10 examples on one may always differ: two answers can be as good as equally
        probable, and rounding then decides between them.
        """
        may_differ = math.floor((1 - self.agreement) * examples + 1e-9)
        return examples - max(may_differ, 1 if examples >= 10 else 0)


@dataclass(frozen=True)
class Comparison:
    """What an export did differ by.

    Attributes:
        examples: How many inputs were compared.
        agreeing: On how many the answers were the same.
        largest_difference: Of a score, where both score one answer.
        tolerance: What is allowed.
    """

    examples: int
    agreeing: int
    largest_difference: float
    tolerance: Tolerance

    def check(self, what: str) -> None:
        """Raises InputError where `what` differs by more than is allowed."""
        if not self.largest_difference <= self.tolerance.difference:  # NaN fails too
            raise InputError(
                f"{what} differs from the model: its scores by up to "
                f"{self.largest_difference:.3g}, allowed {self.tolerance.difference:g}; "
                "nothing was written."
            )
        least = self.tolerance.least_agreeing(self.examples)
        if self.agreeing < least:
            raise InputError(
                f"{what} differs from the model: {self.agreeing} of {self.examples} "
                f"answers are the same, at least {least} must be; nothing was written."
            )

    def as_json(self) -> dict[str, Any]:
        """The object that a manifest holds."""
        return {
            "examples": self.examples,
            "agreeing": self.agreeing,
            "largest_difference": self.largest_difference,
            "least_agreeing": self.tolerance.least_agreeing(self.examples),
            "difference_allowed": self.tolerance.difference,
        }


@dataclass(frozen=True)
class Accuracy:
    """How often an export, and the Keras model, are right on the validation split.

    Attributes:
        examples: How many inputs it is measured on.
        export: The share that the export has right.
        model: The share that the Keras model has right.
    """

    examples: int
    export: float
    model: float


class Job(abc.ABC):
    """A trained run as the exports see it.

    Args:
        workdir: The folder that the trainer wrote.
        config: The run's resolved config.

    Attributes:
        name: The job's name in config.json.
        input_kind: What one input is: `"picture"`, a file, or `"text"`, a line of one.
    """

    name: ClassVar[str]
    input_kind: ClassVar[str] = "picture"

    def __init__(self, workdir: Path, config: Mapping[str, Any]) -> None:
        self.workdir = workdir
        self.config = config

    @abc.abstractmethod
    def examples(self, split: str, count: int) -> list[Example]:
        """Inputs of a split, or of `train` where that split is empty.

        They are taken evenly from the whole of it, so that all classes come even where
        the split is sorted by class.

        Args:
            split: `train` or `val`.
            count: How many at most.

        Raises:
            InputError: Where the data set cannot be read any more.
        """

    @abc.abstractmethod
    def readable(self, example: Example) -> Example:
        """`example`, if it can be read.

        Raises:
            InputError: Where it cannot, naming it.
        """

    @abc.abstractmethod
    def serving_module(self) -> tuple[Any, dict[str, Any]]:
        """The `tf.Module` to save, and its signatures by name, `SERVING` among them."""

    @abc.abstractmethod
    def compare_serving(
        self, signatures: Mapping[str, Any], examples: Sequence[Example]
    ) -> dict[str, Comparison]:
        """Compares a reloaded SavedModel with the model in Keras, by signature."""

    @abc.abstractmethod
    def device_module(self) -> tuple[Any, dict[str, Any]]:
        """As `serving_module`: the one signature `SERVING`, on tensors, a batch of 1."""

    @abc.abstractmethod
    def device_files(self) -> dict[str, str]:
        """The text files that go into a TFLite file's zip, by name."""

    @abc.abstractmethod
    def device_metadata(self) -> dict[str, Any]:
        """What a predictor must know: `input`, and what the job adds."""

    @abc.abstractmethod
    def device_inputs(self, examples: Sequence[Example]) -> list[dict[str, np.ndarray]]:
        """The device signature's arguments for each example."""

    @abc.abstractmethod
    def compare_device(
        self,
        outputs: Sequence[Mapping[str, np.ndarray]],
        examples: Sequence[Example],
        quantize: str,
    ) -> Comparison:
        """Compares what a TFLite file returned for each example with Keras's model."""

    def prepare(self, quantize: str) -> None:
        """Settles, before a TFLite file is made, what depends on how it is quantised."""
        del quantize

    def resize(self, size: int) -> None:
        """Sets the side of a TFLite file's input, where the job leaves a choice."""
        raise InputError(
            f"--size: the input of the {self.name} job has the size that it was trained "
            f"with, got {size}."
        )

    def measure_accuracy(
        self, answer: Callable[[Example], Mapping[str, np.ndarray]]
    ) -> Accuracy | None:
        """How often an export is right; `None` where nobody can tell.

        Args:
            answer: The outputs of `SERVING` for one input, a batch of 1.
        """
        del answer
        return None

    def accuracy_loss(self, quantize: str, examples: int) -> float:
        """How much accuracy an export may lose, of those whose accuracy is measured.

        Args:
            quantize: How it was quantised.
            examples: How many inputs its accuracy is measured on.
        """
        del quantize, examples
        return 0.0

    def accuracy(
        self,
        answer: Callable[[Example], Mapping[str, np.ndarray]],
        quantize: str = "none",
    ) -> dict[str, Any]:
        """The object that a manifest holds of `measure_accuracy`; empty for `None`.

        Raises:
            InputError: The export loses more than `accuracy_loss`.
        """
        measured = self.measure_accuracy(answer)
        if measured is None:
            return {}
        loss = self.accuracy_loss(quantize, measured.examples)
        if measured.export < measured.model - loss:
            raise InputError(
                f"the export is right on {measured.export:.4f} of {measured.examples} "
                f"validation {self.input_kind}s, the model on {measured.model:.4f}; at "
                f"most {loss:.4g} less is allowed; nothing was written."
            )
        return {"split": "val", **dataclasses.asdict(measured)}


def load_job(workdir: str | Path) -> Job:
    """The run in `workdir`, ready to export.

    Raises:
        InputError: Where there is no finished run, its job has no exports, or a file of
            it is damaged.
    """
    run = read_run(workdir)
    if run["job"] not in JOBS:
        raise InputError(
            f"{Path(workdir) / 'config.json'}: exports exist for the jobs "
            f"{', '.join(JOBS)}, got {run['job']!r}."
        )
    module, _, name = JOBS[run["job"]].partition(":")
    return getattr(importlib.import_module(module), name)(Path(workdir), run["config"])
