"""Reads the files that a run wrote, and compares them with their digests."""

import hashlib
import json
from pathlib import Path
from typing import Any

from kerasdl.errors import InputError
from kerasdl.files import write_json

# What answers for a run: the model, and what its numbers mean.
ARTEFACTS = ("model.keras", "vocab.txt", "labels.txt", "tokenizer.json")
_DIGESTS = "digests.json"


def read_run(root: str | Path) -> dict[str, Any]:
    """What a workdir's config.json holds: `job`, `config`, `seed`, `command`, `versions`.

    Raises:
        InputError: There is no config.json, or it is damaged.
    """
    path = Path(root) / "config.json"
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
        if not (isinstance(run["job"], str) and isinstance(run["config"], dict)):
            raise ValueError("`job` and `config` must be a string and an object")
    except FileNotFoundError as error:
        raise InputError(
            f"no run was written to {str(root)!r}: no config.json."
        ) from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: not a run's config: {error}.") from error
    return run


def write_digests(root: Path) -> None:
    """Writes the SHA-256 of each of `ARTEFACTS` that a run has, as digests.json."""
    digests = {n: _digest(root / n) for n in ARTEFACTS if (root / n).is_file()}
    if digests:
        write_json(root / _DIGESTS, digests)


def check_digests(root: Path) -> None:
    """Compares a run's files with its digests.json, if it has one.

    Labels or words in another order give wrong answers without an error, so a file that
    was replaced or damaged since the run ended is refused.

    Raises:
        InputError: A file is missing or is not the run's own, or digests.json is damaged.
    """
    path = root / _DIGESTS
    if not path.exists():  # a run of an older version
        return
    try:
        digests = json.loads(path.read_text(encoding="utf-8"))
        if not set(ARTEFACTS) >= set(dict(digests)):
            raise ValueError("it names other files than a run's")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: not a run's digests: {error}.") from error
    for name, digest in digests.items():
        if not (root / name).is_file():
            raise InputError(f"{root / name}: is missing; the run had it.")
        if _digest(root / name) != digest:
            raise InputError(
                f"{root / name}: is not the file that the run wrote (its SHA-256 is not "
                f"that in {_DIGESTS}): restore it, or delete metrics.json and start the "
                "same command again."
            )


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_metrics(root: str | Path) -> dict[str, Any]:
    """The final figures of a finished run, from metrics.json.

    Raises:
        InputError: The run has not finished, or the file is damaged.
    """
    path = Path(root) / "metrics.json"
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(metrics, dict):
            raise ValueError("expected an object")
    except FileNotFoundError as error:
        raise InputError(
            f"{str(root)!r} holds no finished run: no metrics.json."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a run's metrics: {error}.") from error
    return metrics


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a metrics.jsonl; those that a kill cut short are left out."""
    rows = []
    if Path(path).exists():
        for line in Path(path).read_text("utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict):
                rows.append(row)
    return rows


def flatten(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields as one level with dotted names.

    >>> flatten({"seed": 0, "data": {"root": ""}})
    {'seed': 0, 'data.root': ''}
    """
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat
