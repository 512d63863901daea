"""Reading what a run wrote into its folder."""

import json
from pathlib import Path
from typing import Any

from kerasdl.errors import InputError


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
