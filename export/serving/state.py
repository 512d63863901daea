"""The state of the model that the worker's process publishes to the HTTP side."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerasdl.export.serving.tensors import Refused, Signature

# Of a version, by TensorFlow Serving's names.
AVAILABLE, LOADING, END = "AVAILABLE", "LOADING", "END"


class Version:
    """One loaded version.

    Attributes:
        signatures: By name.
        definitions: The same, in protobuf's JSON.
        job: The kerasdl job that exported it, "" for anybody's SavedModel.
    """

    def __init__(self, described: Mapping[str, Any]) -> None:
        self.definitions: Mapping[str, Any] = described["signatures"]
        self.job: str = described["job"]
        self.signatures = {
            name: Signature.from_json(definition)
            for name, definition in self.definitions.items()
            if not name.startswith("__")
        }

    def signature(self, name: str) -> Signature:
        """The signature of that name.

        Raises:
            Refused: Status 400, if there is none.
        """
        try:
            return self.signatures[name]
        except KeyError:
            raise Refused(
                400,
                f"Serving signature name: {name[:100]!r} not found; there is "
                f"{', '.join(sorted(self.signatures))}.",
            ) from None


class State:
    """The versions of the model called `name`, read again whenever `path` changes.

    Args:
        path: The file that the worker writes.
        name: What requests call the model.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._worker = 0
        self._states: Mapping[str, tuple[str, str]] = {}
        self._versions: Mapping[int, Version] = {}

    def states(self, version: int | None = None) -> Mapping[str, tuple[str, str]]:
        """Each version's state and error, newest first; of one version alone, if named.

        Raises:
            Refused: Status 404, if there is no such version.
        """
        self._read()
        if version is not None and str(version) not in self._states:
            raise self._missing(version)
        chosen = [str(version)] if version is not None else [*self._states][::-1]
        return {number: self._states[number] for number in chosen}

    def version(self, version: int | None = None) -> tuple[int, Version]:
        """A loaded version, the newest if none is named.

        Raises:
            Refused: Status 404, if it is not loaded.
        """
        self._read()
        if version is None and self._versions:
            version = max(self._versions)
        if version not in self._versions:
            raise self._missing(version)
        return version, self._versions[version]

    def worker(self) -> int:
        """The worker's process, another one if it was started again."""
        self._read()
        return self._worker

    def ready(self) -> bool:
        """Whether a version is loaded."""
        self._read()
        return bool(self._versions)

    def _missing(self, version: int | None) -> Refused:
        which = (
            f"Latest({self.name})"
            if version is None
            else f"Specific({self.name}, {version})"
        )
        return Refused(404, f"Servable not found for request: {which}")

    def _read(self) -> None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return  # nothing is loaded yet
        stamp = (status.st_ino, status.st_mtime_ns)
        if stamp == self._stamp:
            return
        state = json.loads(self._path.read_text(encoding="utf-8"))
        numbers = sorted(state["states"], key=int)
        self._states = {number: tuple(state["states"][number]) for number in numbers}
        self._versions = {int(v): Version(m) for v, m in state["models"].items()}
        self._worker = state.get("worker", 0)
        self._stamp = stamp
