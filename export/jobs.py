"""Exports of trained runs, and the table of the modules of each job.

A new job is one module with a subclass of `Job`, or of `PictureJob` (picture_jobs.py) if
pictures go in, and a line in `JOBS`; the commands, the files they write and the manifests
are shared.
"""

import abc
import importlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from kerasdl.errors import InputError
from kerasdl.export.proof import file_entry
from kerasdl.export.subject import Accuracy, Request, Subject
from kerasdl.runs import read_run

JOBS = {
    "captioning": "kerasdl.export.captioning:CaptioningJob",
    "style": "kerasdl.export.style:StyleJob",
    "text": "kerasdl.export.text:TextJob",
    "transfer": "kerasdl.export.transfer:TransferJob",
}
# Training inputs from which int8 measures the ranges of the activations.
CALIBRATION = 500
# Of a difference of two shares, which may be that very loss.
ROUNDING = 1e-9

_Item = TypeVar("_Item")


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


def module_of(model: Any) -> Any:
    """A `tf.Module` with the variables of a model.

    The variables alone: saving the Keras objects would tie the SavedModel to their
    classes.
    """
    import tensorflow as tf

    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    return module


def add_labels(module: Any, labels: Sequence[str]) -> None:
    """Puts labels.txt into a SavedModel's assets, in the order of the outputs."""
    add_asset(module, "labels.txt", "".join(f"{label}\n" for label in labels))


def add_asset(module: Any, name: str, text: str) -> None:
    """Puts a text file into a SavedModel's assets."""
    import tensorflow as tf

    # Kept by the module until the SavedModel, which copies the file, is written.
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / name
    path.write_text(text, encoding="utf-8")
    key = name.partition(".")[0]
    setattr(module, f"{key}_folder", folder)
    setattr(module, f"{key}_asset", tf.saved_model.Asset(str(path)))


class Job(Subject):
    """A trained run as the exports see it.

    Args:
        workdir: The folder that the trainer wrote.
        config: The run's resolved config.

    Attributes:
        name: The job's name in config.json.
        input_kind: What one input is: `"picture"`, a file, or `"text"`, a line of one.
        signatures: What `Request.signatures` may hold.
        model: The Keras model.
    """

    name: ClassVar[str]
    input_kind: ClassVar[str] = "picture"
    signatures: ClassVar[Sequence[str]] = ("infer",)
    model: Any

    def __init__(self, workdir: Path, config: Mapping[str, Any]) -> None:
        self.workdir = workdir
        self.config = config

    def source(self) -> dict[str, Any]:
        """Size and digest of the run's model."""
        return file_entry(self.workdir / "model.keras")

    @abc.abstractmethod
    def examples(self, split: str, count: int) -> list[Example]:
        """Inputs of a split, or of `train` if that split is empty.

        They are taken evenly from the whole of it, so that all classes come even if the
        split is sorted by class.

        Args:
            split: `train` or `val`.
            count: How many at most.

        Raises:
            InputError: The data set cannot be read any more.
        """

    @abc.abstractmethod
    def readable(self, example: Example) -> Example:
        """`example`, if it can be read.

        Raises:
            InputError: It cannot; names it.
        """

    def given(self, split: str, count: int, files: Sequence[str] = ()) -> list[Example]:
        """Readable inputs of a split, or from the files that a request names."""
        from kerasdl.export import inputs

        return inputs.export_examples(self, split, count, files)

    def check(self, request: Request) -> None:
        """Raises InputError if this job cannot give what is asked for."""
        unknown = [name for name in request.signatures if name not in self.signatures]
        if unknown:
            raise InputError(
                f"`signatures`: the {self.name} job exports "
                f"{', '.join(self.signatures)}, got {unknown[0]!r}."
            )
        if request.stretch and self.input_kind != "picture":
            raise InputError(f"`stretch` is of pictures, the {self.name} job has none.")
        for name in ("representative", "labels", "vocabulary"):
            if getattr(request, name) is not None:
                raise InputError(f"`{name}` is what the run itself gives; got one.")

    def accuracy(
        self, answer: Callable[[Example], Mapping[str, np.ndarray]], allowed: float
    ) -> Accuracy | None:
        """How often an export is right on the validation split, if anyone can tell.

        Args:
            answer: The outputs of `SERVING` for one input, a batch of 1.
            allowed: The share that the export may lose.

        Raises:
            InputError: The export loses more.
        """
        triples = [
            (label, expected, self.decide(np.asarray(outputs["probabilities"]))[0])
            for label, expected, example in self.labelled()
            for outputs in [answer(example)]
        ]
        if not triples:
            return None
        # Of several labels each, every decision on one counts.
        truth, model, export = (np.array(of) for of in zip(*triples, strict=True))
        accuracy = Accuracy(
            len(truth),
            float((export == truth).mean()),
            float((model == truth).mean()),
            allowed,
        )
        if accuracy.export < accuracy.model - allowed - ROUNDING:
            raise InputError(
                f"the export is right on {accuracy.export:.4f} of {accuracy.examples} "
                f"validation {self.input_kind}s, the model on {accuracy.model:.4f}; at "
                f"most {allowed:.4g} less is allowed; nothing was written."
            )
        return accuracy

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """The classes chosen, (N,), from probabilities (N, K)."""
        return probabilities.argmax(axis=1)

    def labelled(self) -> Iterator[tuple[int, int, Example]]:
        """Label, class by the Keras model and input of the validation split."""
        return iter(())


def strings(values: Sequence[bytes]) -> np.ndarray:
    """An array of byte strings, (N,), of any length each."""
    array = np.empty(len(values), object)
    array[:] = values
    return array


def load_job(workdir: str | Path) -> Job:
    """The run in `workdir`, ready to export.

    Raises:
        InputError: There is no finished run, its job has no exports, or a file of it is
            damaged.
    """
    run = read_run(workdir)
    if run["job"] not in JOBS:
        raise InputError(
            f"{Path(workdir) / 'config.json'}: exports exist for the jobs "
            f"{', '.join(JOBS)}, got {run['job']!r}."
        )
    module, _, name = JOBS[run["job"]].partition(":")
    return getattr(importlib.import_module(module), name)(Path(workdir), run["config"])
