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
from kerasdl.files import (
    append_line,
    atomic_path,
    explained,
    make_folder,
    sweep,
    write_json,
    write_text,
)
from kerasdl.runs import read_rows, read_run
from kerasdl.training.config import differing_fields
from kerasdl.training.progress import say

__all__ = ["MetricsLog", "Workdir", "atomic_path", "read_run", "write_json", "write_text"]

VERSIONED_PACKAGES = ("kerasdl", "tensorflow", "keras", "numpy", "pillow")


class Workdir:
    """One run's folder, which `create` makes: constructing it only checks.

    Args:
        root: The folder.
        job: The job's name, such as `"captioning"`.
        config: The resolved config: nested dicts of numbers, strings and booleans.

    Raises:
        InputError: The folder holds another job or config (the differing fields are
            named), or checkpoints without a config; it cannot be written, or another run
            uses it.
    """

    def __init__(self, root: str | Path, job: str, config: dict[str, Any]) -> None:
        if not os.fspath(root).strip():
            raise InputError("--workdir must name a folder, got ''.")
        self.root = Path(root).expanduser()
        self.job = job
        self.config = config
        self._lock: int | None = None
        with explained(self.root):
            if self.root.exists() and not self.root.is_dir():
                raise InputError(f"--workdir is a file, got {str(self.root)!r}.")
            existing = next(p for p in (self.root, *self.root.parents) if p.exists())
            if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
                raise InputError(
                    f"--workdir cannot be written: {str(existing)!r} allows no new files."
                )
        if (self.root / "config.json").exists():
            self._take_lock()
            self._check_config()
        elif self.checkpoints.is_dir() and any(self.checkpoints.glob("*.npz")):
            raise InputError(
                f"--workdir {str(self.root)!r} holds checkpoints but no config.json, so "
                "nobody can tell what they are of. Restore it or name a new folder."
            )

    def create(self) -> "Workdir":
        """Makes the folder, if it is not there, and writes config.json."""
        make_folder(self.checkpoints)
        self._take_lock()
        for folder in (self.root, self.checkpoints):
            sweep(folder)
        if self._is_continued():
            self._write_config()
        return self

    @property
    def checkpoints(self) -> Path:
        """The folder of the latest and the best checkpoint."""
        return self.root / "checkpoints"

    def __truediv__(self, name: str) -> Path:
        return self.root / name

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        with explained(self.root / ".lock"):
            self._lock = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise InputError(
                f"--workdir is in use by another run, got {str(self.root)!r}."
            ) from error

    def close(self) -> None:
        """Lets another run use the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> "Workdir":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_config(self) -> None:
        try:
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
                    f"differing: {', '.join(differing)}. Name a new folder or restore "
                    "them."
                )
        except InputError:
            self.close()
            raise

    def _is_continued(self) -> bool:
        """Whether this run adds to what is there: a new run, or one of more epochs.

        Fewer epochs than were trained change nothing, so the run keeps its config.
        """
        if not (self.root / "config.json").exists():
            return True
        before = read_run(self.root)["config"].get("epochs", 0)
        return self.config.get("epochs", 0) >= before

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


class MetricsLog:
    """`metrics.jsonl`, one object per row, and the same figures for TensorBoard.

    The rows are also part of each checkpoint, so the file can be written again.

    Args:
        workdir: The run's folder.
        key: The field that numbers the rows: `"epoch"`, or `"iteration"` for styles.

    Attributes:
        rows: The rows so far.
    """

    def __init__(self, workdir: Workdir, key: str = "epoch") -> None:
        self._path = workdir / "metrics.jsonl"
        self._board = workdir / "tensorboard"
        self._key = key
        self._writer = None
        self.rows: list[dict[str, float]] = []

    def restore(self, rows: list[dict[str, float]]) -> None:
        """Goes on after the rows of a checkpoint.

        Later rows of the file are dropped: the run is to write them again. So is one
        that a kill cut short. If the file lacks rows of the checkpoint, or has others in
        their place, it is written again and a line says so.
        """
        self.rows = list(rows)
        expected = [json.dumps(row) for row in rows]
        found = [json.dumps(row) for row in read_rows(self._path)]
        if found[: len(expected)] != expected:
            say(
                f"{self._path} was damaged or missing; its {len(rows)} rows are written "
                "again from the checkpoint"
            )
        text = "".join(f"{line}\n" for line in expected)
        if not self._path.exists() or self._path.read_bytes() != text.encode():
            write_text(self._path, text)

    def append(self, row: dict[str, float]) -> None:
        """Adds one row."""
        self.rows.append(row)
        append_line(self._path, json.dumps(row))
        self._summarise(row)

    def _summarise(self, row: dict[str, float]) -> None:
        import tensorflow as tf

        try:
            if self._writer is None:
                self._writer = tf.summary.create_file_writer(str(self._board))
            with self._writer.as_default():
                for name, value in row.items():
                    if name != self._key:
                        tf.summary.scalar(name, value, step=row[self._key])
            self._writer.flush()
        except tf.errors.OpError as error:
            with explained(self._board):
                raise OSError(error.message) from error
