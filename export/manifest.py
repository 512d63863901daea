"""`manifest.json` describes an export and its comparison with the model."""

import json
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from kerasdl.errors import InputError
from kerasdl.export.comparison import Comparison
from kerasdl.export.proof import file_entry
from kerasdl.export.subject import Export, Subject

VERSIONED_PACKAGES = ("kerasdl", "tensorflow", "keras", "ai-edge-litert")


def describe(
    subject: Subject,
    export: Export,
    *,
    operations: Mapping[str, int],
    files: Iterable[tuple[str, Path]],
    comparisons: Mapping[str, Comparison],
    report: Mapping[str, Any],
) -> dict[str, Any]:
    """The object of a manifest that describes one export.

    Args:
        subject: What was exported.
        export: As what.
        operations: How often each operation occurs.
        files: Name in the manifest, and path, of each file written.
        comparisons: By signature.
        report: What `kerasdl.export.proof.run_cases` returned.
    """
    versions = {}
    for package in VERSIONED_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "unknown"
    sizes = {name: file_entry(path) for name, path in files}
    return {
        "job": subject.name,
        "versions": versions,
        "model": subject.source(),
        "signatures": report["signatures"],
        "strategy": export.strategy,
        "operations": dict(sorted(operations.items())),
        "files": sizes,
        "bytes": sum(
            entry["bytes"]
            for name, entry in sizes.items()
            if not name.endswith(".proof.npz")
        ),
        "comparison": {name: c.as_json() for name, c in comparisons.items()},
        "largest_difference": max(c.largest_difference for c in comparisons.values()),
        "latency": report["latency"],
        **export.notes,
    }


def read_entries(path: Path) -> dict[str, dict]:
    """What exports before this one wrote into a manifest of files, by file name.

    Raises:
        InputError: The file is something else, which must not be overwritten.
    """
    if not path.exists():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        if all("job" in entry for entry in entries.values()):
            return entries
    except (AttributeError, OSError, TypeError, ValueError):
        pass
    raise InputError(f"{path}: exists, and is no manifest of TFLite exports.")


def described(entries: Mapping[str, dict], path: Path) -> dict[str, Any] | None:
    """The entry that describes a `.tflite` file as it is, or None.

    An export that was killed may have left an entry of what it was about to write, with
    the entry of what is there as its `before`.
    """
    entry = entries.get(path.name)
    while entry is not None:
        files = entry.get("files", {})
        if path.is_file() and files.get(path.name) == file_entry(path):
            return {name: value for name, value in entry.items() if name != "before"}
        entry = entry.get("before")
    return None
