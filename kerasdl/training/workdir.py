"""The folder that a run writes: its config, metrics, checkpoints and pictures."""

import contextlib
import fcntl
import json
import os
import platform
import shlex
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from kerasdl.errors import InputError
from kerasdl.files import append_line, atomic_path, write_json, write_text
from kerasdl.training.config import differing_fields

__all__ = ["MetricsLog", "Workdir", "atomic_path", "read_run", "write_json", "write_text"]

VERSIONED_PACKAGES = ("kerasdl", "tensorflow", "keras", "numpy", "pillow")


class Workdir:
    """One run's folder.

    Args:
        root: The folder; made where it does not exist.
        job: The job's name, `"captioning"`, `"transfer"`, `"style"` or `"text"`.
        config: The resolved config: nested dicts of numbers, strings and booleans.

    Raises:
        InputError: Where the folder holds another job or config (the differing fields
            are named), cannot be written, or is in use by another run.
    """

    def __init__(self, root: str | Path, job: str, config: dict[str, Any]) -> None:
        self.root = Path(root)
        self.job = job
        self.config = config
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise InputError(f"--workdir cannot be written: {error}.") from error
        self._take_lock()
        self._check_config()
        self._write_config()

    @property
    def checkpoints(self) -> Path:
        """The folder of the latest and the best checkpoint."""
        return self.root / "checkpoints"

    def __truediv__(self, name: str) -> Path:
        return self.root / name

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"--workdir is in use by another run, got {str(self.root)!r}."
            ) from error

    def close(self) -> None:
        """Lets another run use the folder."""
        os.close(self._lock)

    def _check_config(self) -> None:
        if not (self.root / "config.json").exists():
            return
        before = read_run(self.root)
        if before["job"] != self.job:
            raise InputError(
                f"--workdir holds a {before['job']} run, not a {self.job} run, "
                f"got {str(self.root)!r}."
            )
        differing = differing_fields(before["config"], self.config)
        if differing:
            raise InputError(
                f"--workdir {str(self.root)!r} was started with another config; "
                f"differing: {', '.join(differing)}. Name a new folder or restore them."
            )

    def _write_config(self) -> None:
        versions = {"python": platform.python_version()}
        for package in VERSIONED_PACKAGES:
            with contextlib.suppress(metadata.PackageNotFoundError):
                versions[package] = metadata.version(package)
        write_json(
            self.root / "config.json",
            {
                "job": self.job,
                "config": self.config,
                "seed": self.config["seed"],
                "command": shlex.join(["python", *sys.orig_argv[1:]]),
                "versions": versions,
            },
        )


def read_run(root: str | Path) -> dict[str, Any]:
    """What a workdir's config.json holds: `job`, `config`, `seed`, `command`, `versions`.

    Raises:
        InputError: Where there is no config.json or it is damaged.
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
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a run's config: {error}.") from error
    return run


class MetricsLog:
    """`metrics.jsonl`, one object a row, and the same figures for TensorBoard.

    Args:
        workdir: The run's folder.
        key: The field that numbers the rows: `"epoch"`, or `"iteration"` for styles.
    """

    def __init__(self, workdir: Workdir, key: str = "epoch") -> None:
        self._path = workdir / "metrics.jsonl"
        self._board = workdir / "tensorboard"
        self._key = key
        self._writer = None
        self.rows: list[dict[str, float]] = self._read()

    def _read(self) -> list[dict[str, float]]:
        """The rows so far; a last row cut short by a kill is left out."""
        rows = []
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(json.JSONDecodeError):
                    rows.append(json.loads(line))
        return rows

    def resume(self, after: int) -> None:
        """Drops the rows numbered above `after`, which the run is to write again.

        A row that a kill cut short goes too, so that the next one starts its own line.
        """
        self.rows = [row for row in self.rows if row[self._key] <= after]
        write_text(self._path, "".join(json.dumps(row) + "\n" for row in self.rows))

    def append(self, row: dict[str, float]) -> None:
        """Adds one row."""
        self.rows.append(row)
        append_line(self._path, json.dumps(row))
        self._summarise(row)

    def _summarise(self, row: dict[str, float]) -> None:
        import tensorflow as tf

        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self._board))
        with self._writer.as_default():
            for name, value in row.items():
                if name != self._key:
                    tf.summary.scalar(name, value, step=row[self._key])
        self._writer.flush()

    def column(self, name: str) -> tuple[list[float], list[float]]:
        """The row numbers that have `name`, and its values there."""
        pairs = [(row[self._key], row[name]) for row in self.rows if name in row]
        return [number for number, _ in pairs], [value for _, value in pairs]
