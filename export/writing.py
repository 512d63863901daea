"""A model as one checked file beside its manifest, in whatever format."""

import abc
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from kerasdl.errors import InputError
from kerasdl.export import manifest
from kerasdl.export.converter import save_module
from kerasdl.export.proof import MANIFEST, compare_cases, run_cases, store_cases
from kerasdl.export.staging import publish, staged
from kerasdl.export.subject import Export, Request, Subject


class Format(abc.ABC):
    """What differs between kinds of files.

    Attributes:
        name: What a file is called in messages.
        what: How it was asked for, for messages.
        way_out: What to try if the answers differ, a sentence.
    """

    name: ClassVar[str]
    what: str = ""
    way_out: str = ""

    @abc.abstractmethod
    def convert(
        self, saved_model: Path, written: Path, subject: Subject, export: Export
    ) -> tuple[Counter, int]:
        """Makes the file of a SavedModel.

        Returns:
            How often each operation occurs in it, and the memory that the conversion
            took, in bytes.

        Raises:
            InputError: The model cannot be converted.
        """

    @abc.abstractmethod
    def describe(
        self,
        written: Path,
        export: Export,
        operations: Mapping[str, int],
        report: Mapping[str, Any],
    ) -> dict[str, Any]:
        """What the manifest says of this kind of file besides."""


def checked_output(path: str | Path, ending: str) -> Path:
    """`path`, if a file of that kind can be written there; raises InputError."""
    path = Path(path)
    if path.suffix != ending:
        raise InputError(f"--output must end in {ending}, got {str(path)!r}.")
    if path.is_dir():
        raise InputError(f"--output must be a file, got the folder {str(path)!r}.")
    return path


def write_file(
    subject: Subject, path: Path, request: Request, kind: Format
) -> dict[str, Any]:
    """Writes a model, its manifest and the inputs that it was compared on, or nothing.

    Returns:
        What the manifest says of the file.

    Raises:
        InputError: The model cannot be converted, or the file answers otherwise.
    """
    manifest.read_entries(path.parent / MANIFEST)  # so that another's is refused at once
    export = subject.device(request)
    with staged(path.parent) as folder:
        written = folder / path.name
        save_module(export.module, folder / "saved_model", export.signatures)
        operations, peak = kind.convert(folder / "saved_model", written, subject, export)
        beside, refusal = subject.stock(export, folder) if request.stock else (None, {})
        outputs, report = run_cases(written, export.cases, beside=beside)
        if refusal:
            report["latency"]["stock"] = refusal
        comparisons = compare_cases(export.cases, outputs, export.tolerances)
        for name, comparison in comparisons.items():
            comparison.check(f"the {kind.name}'s {name}{kind.what}", kind.way_out)
        stored = folder / f"{path.name}.proof.npz"
        store_cases(stored, export.cases)
        entry = manifest.describe(
            subject,
            export,
            operations=operations,
            files=[(path.name, written), (stored.name, stored)],
            comparisons=comparisons,
            report=report,
        )
        entry["conversion"] = {"peak_bytes": peak}
        entry["proof"] = stored.name
        entry |= kind.describe(written, export, operations, report)
        publish(folder, path, entry)
    return entry
