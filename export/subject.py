"""The interface between models and exports."""

import abc
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kerasdl.export.comparison import Tolerance
from kerasdl.export.proof import Case

# The one signature that every export has.
SERVING = "serving_default"


@dataclass(frozen=True)
class Request:
    """What the caller of an export asks for; see `kerasdl.export.tflite`."""

    batch: int | None = None
    steps: int | None = None
    quantize: str = "none"
    representative: Any = None
    strategy: str = "auto"
    signatures: Sequence[str] = ("infer",)
    loss: Any = None
    optimizer: Any = None
    labels: Sequence[str] | None = None
    vocabulary: Any = None
    size: int = 0
    inputs: Sequence[str] = ()
    examples: int = 50
    stock: bool = True
    stretch: bool = False


@dataclass(frozen=True)
class Accuracy:
    """How often an export, and the Keras model, are right on the validation split.

    Attributes:
        examples: How many inputs it is measured on.
        export: The share that the export has right.
        model: The share that the Keras model has right.
        allowed: How much less the export's may be.
    """

    examples: int
    export: float
    model: float
    allowed: float


@dataclass
class Export:
    """A model as it is to be written.

    Attributes:
        module: The `tf.Module` with the weights.
        signatures: Concrete or polymorphic functions by name, `SERVING` first.
        cases: Calls with the answers of the Keras model, in an order that is kept.
        tolerances: What each signature may differ by.
        strategy: How loops over time are written: "loop", "unrolled" or "none".
        files: Text files for a `.tflite` file's zip, by name.
        metadata: What a predictor must know, for the zip's `metadata.json`.
        calibration: Arguments of `SERVING`, for the ranges of int8.
        variables: Whether a signature assigns to the weights.
        dynamic_products_only: Whether "dynamic" is to quantise activations before matrix
            products alone, and convolutions by their weights.
        accuracy: From the answer of the export to one encoded input to its accuracy.
        notes: What the manifest tells besides.
    """

    module: Any
    signatures: dict[str, Any]
    cases: list[Case]
    tolerances: dict[str, Tolerance]
    strategy: str = "none"
    files: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    calibration: Iterable[Mapping[str, np.ndarray]] = ()
    variables: bool = False
    dynamic_products_only: bool = False
    accuracy: Callable[[Callable], Accuracy | None] | None = None
    notes: dict[str, Any] = field(default_factory=dict)


class Subject(abc.ABC):
    """A model that exports are made of."""

    name: str

    @abc.abstractmethod
    def device(self, request: Request) -> Export:
        """The model for a `.tflite` file.

        Raises:
            InputError: The model cannot be written as requested; says what can.
        """

    @abc.abstractmethod
    def served(self, request: Request) -> Export:
        """The model for a SavedModel; raises as `device`."""

    def stock(self, export: Export, folder: Path) -> tuple[Path | None, dict[str, Any]]:
        """The model as Keras alone converts it, or why there is none; see stock.py."""
        del export, folder
        return None, {}

    def source(self) -> dict[str, Any]:
        """Where the model comes from, for the manifest."""
        return {}


def accuracy_entry(accuracy: Accuracy | None) -> dict[str, Any]:
    """The object that a manifest holds of an accuracy on the validation split."""
    if accuracy is None:
        return {}
    return {"split": "val", **dataclasses.asdict(accuracy)}
