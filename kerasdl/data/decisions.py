"""From probabilities to labels, with NumPy alone: predictors on devices use it too."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import numpy as np

from kerasdl.data.json_files import parse_json
from kerasdl.errors import InputError, shown

# Between the labels of an example that has several, in data sets and in answers.
SEPARATOR = "|"
FILE = "decision.json"


@dataclasses.dataclass(frozen=True)
class Decision:
    """How probabilities p_k of K classes become labels.

    Of one label each it is the class of the largest p_k / t_k, of several labels each all
    with p_k ≥ t_k.

    Attributes:
        multi_label: Whether an example has several labels, or none.
        thresholds: t, K numbers above 0 and below 1; none: the same for all, and ½ of
            several labels.
    """

    multi_label: bool = False
    thresholds: tuple[float, ...] = ()

    def chosen(self, probabilities: np.ndarray) -> np.ndarray:
        """The classes chosen: int (N,), or of several bool (N, K), from float (N, K)."""
        if self.multi_label:
            # In their precision, as an export's graph compares them.
            return probabilities >= np.array(self.thresholds or 0.5, probabilities.dtype)
        return (probabilities / np.array(self.thresholds or 1.0)).argmax(axis=-1)

    def names(self, labels: Sequence[str], probabilities: np.ndarray) -> list[str]:
        """The answer of each row of probabilities: a label, or several joined by `|`."""
        chosen = self.chosen(probabilities)
        return [self.name(labels, row) for row in chosen]

    def name(self, labels: Sequence[str], chosen: np.ndarray) -> str:
        """The answer of one row of `chosen`, or of a data set's labels of 0 and 1."""
        if not self.multi_label:
            return labels[int(chosen)]
        return SEPARATOR.join(labels[k] for k in np.flatnonzero(chosen))

    def files(self) -> dict[str, str]:
        """What an export carries of it, by name; nothing of the most probable class."""
        if self == Decision():
            return {}
        return {FILE: json.dumps(dataclasses.asdict(self)) + "\n"}

    @classmethod
    def from_json(cls, data: bytes | str, classes: int, name: str = FILE) -> Decision:
        """Reads what `files` holds.

        Args:
            data: The file's content.
            classes: K.
            name: What messages call the file.

        Raises:
            InputError: It is something else, or of another number of classes.
        """
        fields = parse_json(data, name)
        good = isinstance(fields, dict) and fields.keys() == {"multi_label", "thresholds"}
        if good:
            multi_label, thresholds = fields["multi_label"], fields["thresholds"]
            good = isinstance(multi_label, bool) and isinstance(thresholds, list)
            good = good and len(thresholds) in (0, classes)
            good = good and all(type(t) is float and 0 < t < 1 for t in thresholds)
        if not good:
            raise InputError(
                f"{name}: expected an object with multi_label (a boolean) and thresholds "
                f"(none or {classes} numbers between 0 and 1), got {shown(fields)}"
            )
        return cls(multi_label, tuple(thresholds))
