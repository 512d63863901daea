"""Features of pictures on disk, so that a frozen network sees each picture once."""

import hashlib
import io
import os
import tempfile
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np

from kerasdl.errors import InputError

CHECKSUM_BYTES = hashlib.sha256().digest_size
# Packages whose next version may give another last bit for the same picture.
_COMPUTED_BY = ("tensorflow", "keras", "pillow")


def default_cache_folder() -> Path:
    """`$KERASDL_CACHE`, or `~/.cache/kerasdl` if that is unset or empty."""
    chosen = os.environ.get("KERASDL_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "kerasdl"


class FeatureCache:
    """One `.npy` file per picture, under `folder`/digest of `key`/digest of the bytes.

    A picture is found by its content, so renamed and repeated pictures are computed
    once, and an edited one again. Features are computed one picture at a time: a
    convolution over a batch rounds otherwise than over one picture, and then the result
    would depend on which pictures had been cached before. Files appear whole or not at
    all and end in the SHA-256 of what is before it: one that was damaged since, or holds
    another shape or values that are not finite, is computed again.

    Args:
        folder: The cache's root, made if it does not exist; None for
            `default_cache_folder()`.
        key: What the features depend on beside the picture: backbone, input size,
            output, preparation, and digest of the weights. The versions of the packages
            that compute them are added.
        shape: Of the features of a picture, if it is known.

    Attributes:
        folder: Where the files of this key are, and `key.txt`, which says what it is.

    Raises:
        InputError: Where the folder cannot be made.
    """

    def __init__(
        self, folder: str | Path | None, key: str, shape: tuple[int, ...] | None = None
    ) -> None:
        self._shape = shape
        versions = [f"{package} {metadata.version(package)}" for package in _COMPUTED_BY]
        full_key = "\n".join([key, *versions])
        root = default_cache_folder() if folder is None else Path(folder)
        self.folder = root / hashlib.sha256(full_key.encode()).hexdigest()[:16]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "key.txt").write_text(full_key + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(f"the feature cache cannot be written: {error}.") from error

    def get(
        self, data: bytes, name: str, extract: Callable[[bytes, str], np.ndarray]
    ) -> np.ndarray:
        """The features of one picture.

        Args:
            data: The picture's encoded bytes.
            name: What errors call it.
            extract: Computes the features from `data` and `name` if they are not
                there yet.

        Returns:
            What `extract` returned, now or at an earlier time, bit for bit.

        Raises:
            InputError: As `extract` does for a broken picture, or its features are not
                finite; nothing is stored then.

        Warns:
            UserWarning: Where the features cannot be stored, as on a full disk.
        """
        path = self.folder / f"{hashlib.sha256(data).hexdigest()}.npy"
        features = load_array(path)
        if features is None or not self._is_good(features):
            features = np.asarray(extract(data, name))
            if not self._is_good(features):
                raise InputError(
                    f"{name}: its features must be finite numbers, of shape "
                    f"{self._shape or 'any'}; got {features.dtype} {features.shape}."
                )
            try:
                save_array(path, features)
            except OSError as error:
                warnings.warn(
                    f"features cannot be cached and will be computed again: {error}.",
                    stacklevel=2,
                )
        return features

    def _is_good(self, features: np.ndarray) -> bool:
        return (
            features.dtype.kind == "f"
            and self._shape in (None, features.shape)
            and bool(np.isfinite(features).all())
        )


def load_array(path: Path) -> np.ndarray | None:
    """The array; None if there is none, or the file is damaged."""
    try:
        data = path.read_bytes()
        content, checksum = data[:-CHECKSUM_BYTES], data[-CHECKSUM_BYTES:]
        if hashlib.sha256(content).digest() != checksum:
            return None
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None


def save_array(path: Path, features: np.ndarray) -> None:
    """Writes the file whole or not at all, also if two runs write the same one.

    It is not flushed to the disk: what a power cut damages fails its checksum.
    """
    content = io.BytesIO()
    np.save(content, features, allow_pickle=False)
    data = content.getvalue()
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data + hashlib.sha256(data).digest())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
