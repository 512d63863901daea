"""Texts with labels, and the code that all readers share."""

from __future__ import annotations

import dataclasses
import decimal
import hashlib
import re
from collections.abc import Iterable, Sequence

import numpy as np

from kerasdl.data.decisions import SEPARATOR
from kerasdl.data.splits import SPLITS, VALIDATION_SHARE
from kerasdl.data.texts.lines import LineErrors
from kerasdl.data.vocabulary import check_class_names
from kerasdl.errors import InputError, listed, shown

MAX_LABEL_CHARACTERS = 100
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)", re.ASCII)


@dataclasses.dataclass(frozen=True)
class LabelledTexts:
    """One split.

    Attributes:
        texts: N texts in file order.
        labels: int32 (N,), the class of each; of several labels each 0 or 1, (N, K).
    """

    texts: Sequence[str]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)


@dataclasses.dataclass(frozen=True)
class TextDataset:
    """The splits of a text-classification data set.

    Attributes:
        train: What to learn from.
        val: What to choose a model by; may be empty.
        test: What to report on; may be empty.
        label_names: The name of each class, in the order of their numbers.
        skipped_lines: How many bad lines were left out.
        notes: A line for each thing that was passed over and that a user should know.
    """

    train: LabelledTexts
    val: LabelledTexts
    test: LabelledTexts
    label_names: tuple[str, ...]
    skipped_lines: int = 0
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Record:
    """A text with its label as it was spelt, and where: file and line.

    Several labels stand in one, with `|` between them.
    """

    where: str
    label: str
    text: str


class TextCollector:
    """Collects records by split and turns their labels into classes.

    Args:
        source: The data set's name or folder, for messages.
        labels: The labels that there may be, in the order of their classes; none: those
            of the training split, in numerical order if all are numbers, else by code
            points.
        errors: What becomes of a bad line.
        multi_label: Whether a text has several labels, or none.

    Attributes:
        errors, multi_label: As above.
        notes: The lines of `TextDataset.notes` so far.
    """

    def __init__(
        self,
        source: str,
        labels: Sequence[str] = (),
        errors: LineErrors | None = None,
        multi_label: bool = False,
    ) -> None:
        self.source = source
        self.multi_label = multi_label
        self.errors = errors or LineErrors()
        self.notes: list[str] = []
        self._labels = tuple(labels)
        self._records: dict[str, list[Record]] = {name: [] for name in SPLITS}

    def add(self, split: str, record: Record) -> None:
        """Adds a record to a split; one with a label that may not be is a bad line."""
        if self._labels and not set(self.labels_of(record)) <= set(self._labels):
            self._report_label(record, self._labels)
            return
        self._records[split].append(record)

    def labels_of(self, record: Record) -> list[str]:
        """The labels of a record: one, or of several those between the separators."""
        if not self.multi_label:
            return [record.label]
        parts = (part.strip() for part in record.label.split(SEPARATOR))
        return [part for part in parts if part]

    def expect_labels(self, labels: Sequence[str]) -> None:
        """Sets the labels that there may be, if none were given."""
        self._labels = self._labels or tuple(labels)

    def drop(self, split: str) -> None:
        """Empties a split."""
        self._records[split] = []

    def hold_out_validation(self) -> None:
        """Moves a tenth of the training split to validation, if that is empty.

        Which tenth is decided by the texts alone, so that it is the same in whatever
        order they come, and copies of a text stay on one side.
        """
        train = self._records["train"]
        if self._records["val"] or len(train) < 2:
            return
        digests = [hashlib.sha256(record.text.encode()).digest() for record in train]
        threshold = sorted(digests)[max(1, round(VALIDATION_SHARE * len(train))) - 1]
        # No label is left without a training text.
        kept = {
            label
            for record, digest in zip(train, digests, strict=True)
            for label in self.labels_of(record)
            if digest > threshold
        }
        held = [
            digest <= threshold and kept.issuperset(self.labels_of(record))
            for record, digest in zip(train, digests, strict=True)
        ]
        if not any(held):
            return
        pairs = list(zip(train, held, strict=True))
        self._records["val"] = [record for record, is_held in pairs if is_held]
        self._records["train"] = [record for record, is_held in pairs if not is_held]
        self.notes.append(
            f"{self.source}: no validation split, so {sum(held)} of {len(train)} "
            "training texts were held out as one."
        )

    def dataset(self) -> TextDataset:
        """What was collected.

        Raises:
            InputError: There is nothing to train on, or only one class, or a label
                outside training stands in another split.
        """
        names = self._label_names()
        classes = {name: number for number, name in enumerate(names)}
        splits = {
            split: self._numbered(records, classes)
            for split, records in self._records.items()
        }
        return TextDataset(
            **splits,
            label_names=names,
            skipped_lines=self.errors.count,
            notes=(*self.notes, *self.errors.notes(self.source)),
        )

    def _label_names(self) -> tuple[str, ...]:
        train = self._records["train"]
        if not train:
            hint = f"; the first bad line is {self.errors.first}" * bool(
                self.errors.first
            )
            raise InputError(
                f"{self.source}: expected labelled texts to train on, got none{hint}"
            )
        names = self._labels or sort_labels(
            {label for record in train for label in self.labels_of(record)}
        )
        if not names:
            raise InputError(f"{self.source}: expected a label of some text, got none")
        if len(names) < 2:
            raise InputError(
                f"{self.source}: expected two labels or more, got {shown(names[0])} alone"
            )
        check_class_names(names, self.source)
        if all(map(is_number, names)) and len(set(map(decimal.Decimal, names))) < len(
            names
        ):
            raise InputError(
                f"{self.source}: expected each number to be spelt in one way, got the "
                f"labels {listed(list(names), 10)}"
            )
        return names

    def _numbered(
        self, records: Sequence[Record], classes: dict[str, int]
    ) -> LabelledTexts:
        known = []
        for record in records:
            if classes.keys() >= set(self.labels_of(record)):
                known.append(record)
            else:
                self._report_label(record, tuple(classes))
        if self.multi_label:
            labels = np.zeros((len(known), len(classes)), np.int32)
            for row, record in zip(labels, known, strict=True):
                row[[classes[label] for label in self.labels_of(record)]] = 1
        else:
            labels = np.array([classes[record.label] for record in known], np.int32)
        return LabelledTexts([record.text for record in known], labels)

    def _report_label(self, record: Record, names: Sequence[str]) -> None:
        self.errors.report(
            f"{record.where}: expected a label of {listed(list(names), 10)}, got "
            f"{shown(record.label)}"
        )


def is_number(label: str) -> bool:
    """Whether a label is a decimal number: 3, -1, 0.5."""
    return len(label) <= MAX_LABEL_CHARACTERS and bool(_NUMBER.fullmatch(label))


def sort_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Labels in numerical order if all are numbers, else by code points.

    >>> sort_labels(["10", "9", "-1"]), sort_labels(["spam", "ham"])
    (('-1', '9', '10'), ('ham', 'spam'))
    """
    labels = list(labels)
    if all(map(is_number, labels)):
        return tuple(sorted(labels, key=lambda label: (decimal.Decimal(label), label)))
    return tuple(sorted(labels))
