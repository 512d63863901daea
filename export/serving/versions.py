"""Loads the newest versions of a model from a folder that is watched.

A new version is loaded and answers its warm-up requests while the older ones go on
serving; only then are those that are one too many let go. A version that does not load
leaves the others as they were, and is tried again once its files change.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format

from kerasdl.export.serving.source import MODEL_FILE, Source
from kerasdl.export.serving.state import AVAILABLE, END, LOADING
from kerasdl.export.serving.warmup import read_warmup
from kerasdl.tensorflow_private import SavedModel


class LoadedVersion:
    """A SavedModel that is ready to answer.

    Args:
        path: Its folder.

    Attributes:
        signatures: A function of tensors by name to tensors by name, for each.
        metadata: What the HTTP side has to know, as JSON.
    """

    def __init__(self, path: Path) -> None:
        model = SavedModel.FromString((path / MODEL_FILE).read_bytes())
        definitions = model.meta_graphs[0].signature_def
        self._model = tf.saved_model.load(str(path))  # its variables live as long as it
        self.signatures = {
            name: self._model.signatures[name]
            for name in definitions
            if name in self._model.signatures
        }
        self.metadata = {
            "signatures": {
                name: json_format.MessageToDict(
                    definition,
                    preserving_proto_field_name=True,
                    always_print_fields_with_no_presence=True,
                )
                for name, definition in sorted(definitions.items())
            },
            "job": _job(path),
        }
        for name, inputs in read_warmup(path):
            self.run(name, inputs)

    def run(
        self, signature: str, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """The outputs of a signature for NumPy inputs, as NumPy arrays."""
        outputs = self.signatures[signature](
            **{name: tf.constant(value) for name, value in inputs.items()}
        )
        return {name: _as_numpy(value) for name, value in outputs.items()}


class Versions:
    """The loaded versions of a source.

    Args:
        source: Where they are.
        keep: How many of the newest are served; 0 for all.
        publish: Called with the state, a dict for JSON, whenever it changes.

    Attributes:
        loaded: By number. Replaced, never changed, so that another thread may read it.
    """

    def __init__(
        self, source: Source, keep: int, publish: Callable[[dict[str, Any]], None]
    ) -> None:
        self.loaded: dict[int, LoadedVersion] = {}
        self._source = source
        self._keep = keep
        self._publish = publish
        self._failed: dict[int, tuple[Any, str]] = {}
        self._ended: set[int] = set()

    def refresh(self) -> None:
        """Loads what is new and lets go of what is gone or one too many."""
        found = self._source.versions()
        self._failed = {v: fault for v, fault in self._failed.items() if v in found}
        for version in sorted(found, reverse=True):
            good = [v for v in found if v in self.loaded and v > version]
            if self._keep and len(good) >= self._keep:
                break
            if version not in self.loaded and self._changed(version, found[version]):
                self._load(version, found[version])

        kept = [v for v in sorted(self.loaded, reverse=True) if v in found]
        kept = kept[: self._keep or None]
        # A folder emptied by mistake does not end the service.
        if kept and len(kept) < len(self.loaded):
            self._ended |= set(self.loaded) - set(kept)
            self.loaded = {v: self.loaded[v] for v in kept}
            self._publish(self.state())

    def state(self, loading: int | None = None) -> dict[str, Any]:
        """For the HTTP side: the state of each version, and what the loaded ones are."""
        states = dict.fromkeys(self._ended, (END, ""))
        states |= {version: (END, error) for version, (_, error) in self._failed.items()}
        if loading is not None:
            states[loading] = (LOADING, "")
        states |= dict.fromkeys(self.loaded, (AVAILABLE, ""))
        return {
            "states": {str(version): states[version] for version in sorted(states)},
            "models": {str(v): loaded.metadata for v, loaded in self.loaded.items()},
        }

    def errors(self) -> str:
        """Why the versions that did not load did not."""
        return "; ".join(
            f"version {v}: {error}" for v, (_, error) in self._failed.items()
        )

    def _changed(self, version: int, path: Path) -> bool:
        return version not in self._failed or self._failed[version][0] != _stamp(path)

    def _load(self, version: int, path: Path) -> None:
        stamp = _stamp(path)
        self._publish(self.state(loading=version))
        try:
            loaded = LoadedVersion(path)
        except Exception as error:  # a damaged SavedModel raises any of a dozen kinds
            message = " ".join(str(error).split())[:500]
            self._failed[version] = (stamp, message or type(error).__name__)
        else:
            self._failed.pop(version, None)
            self._ended.discard(version)
            self.loaded = {**self.loaded, version: loaded}
        self._publish(self.state())


def _stamp(path: Path) -> list[tuple[str, int, int]]:
    """Changes when a file of the folder does."""
    found = []
    for file in sorted(path.rglob("*")):
        try:
            status = file.stat()
        except OSError:
            continue  # gone meanwhile
        found.append((str(file), status.st_size, status.st_mtime_ns))
    return found


def _job(path: Path) -> str:
    """The job that exported the model, by its manifest; "" for anybody's SavedModel."""
    try:
        job = json.loads((path / "manifest.json").read_text(encoding="utf-8"))["job"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return job if isinstance(job, str) else ""


def _as_numpy(value: tf.Tensor) -> np.ndarray:
    if value.dtype == tf.bfloat16:
        value = tf.cast(value, tf.float32)  # the HTTP side's NumPy has no such type
    return np.asarray(value.numpy(), object if value.dtype == tf.string else None)
