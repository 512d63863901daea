"""The source of a server's versions: a folder of them, or one SavedModel."""

import dataclasses
from pathlib import Path

from kerasdl.errors import InputError

MODEL_FILE = "saved_model.pb"


@dataclasses.dataclass(frozen=True)
class Source:
    """A model's folder; `single` is the version that it is, if it holds no versions."""

    folder: Path
    single: int | None = None

    @classmethod
    def find(cls, path: str | Path) -> "Source":
        """The source that `path` is.

        Raises:
            InputError: If it is no folder, or holds neither a SavedModel nor a version.
        """
        folder = Path(path).absolute()
        if (folder / MODEL_FILE).is_file():
            number = int(folder.name) if folder.name.isdecimal() else 1
            return cls(folder, number)
        source = cls(folder)
        if not folder.is_dir() or not source.versions():
            raise InputError(
                f"--model must be a SavedModel's folder or a folder of its versions "
                f"(NUMBER/{MODEL_FILE}), got {str(path)!r}."
            )
        return source

    @property
    def name(self) -> str:
        """The model's name, if none is given: its folder's."""
        numbered = self.single is not None and self.folder.name.isdecimal()
        return (self.folder.parent if numbered else self.folder).name

    def versions(self) -> dict[int, Path]:
        """The folder of each version that is there, oldest first."""
        if self.single is not None:
            return {self.single: self.folder}
        found = {
            int(path.name): path
            for path in self.folder.glob("*")
            if path.name.isdecimal() and (path / MODEL_FILE).is_file()
        }
        return dict(sorted(found.items()))
