"""Features of a large collection of pictures: computed in batches, kept in shards.

A collection is cut into runs of `SHARD` pictures, in its order. The features of a run are
one `.npy` file, named by the digest of what its pictures hold, which is memory-mapped:
COCO's 123,287 pictures need no more memory than 256 of them. A run of the program that
was interrupted goes on at the shard that it was working on. Shards appear whole or not at
all and end in the SHA-256 of what is before it; one that was damaged is computed again.

Batches lie within a shard, so that a picture is always computed beside the same others:
a convolution over a batch rounds otherwise than over one picture, and the features must
not depend on what had been computed before.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from kerasdl.data.pictures.feature_cache import CHECKSUM_BYTES, FeatureCache, save_array
from kerasdl.errors import InputError

SHARD = 256  # pictures
BATCH = 32  # views of pictures that the network sees at once
_BLOCK = 1 << 22  # bytes


class FeatureShards:
    """Rows of features of pictures, on disk under `folder`/digest of `key`.

    Args:
        folder: The cache's root; None for the usual one.
        key: What the features depend on besides the pictures; see `FeatureCache`.
        shape: Of a picture's features, (V, F).
        prepare: From a picture's bytes and name to what the network takes, (S, S, 3).
            It is called in threads, and raises InputError for a broken picture.
        network: From float32 (B, S, S, 3) to float32 (B, V, F).
    """

    def __init__(
        self,
        folder: str | Path | None,
        key: str,
        shape: tuple[int, ...],
        prepare: Callable[[bytes, str], np.ndarray],
        network: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        self.folder = FeatureCache(folder, f"shards of {SHARD}\n{key}").folder
        self._shape, self._prepare, self.network = shape, prepare, network
        self._batch = max(BATCH // shape[0], 1)

    def rows(self, pictures: Sequence) -> Iterator[tuple[np.ndarray, int] | InputError]:
        """For each picture, in order, its shard and its row there, or what is wrong.

        Args:
            pictures: Have `bytes()` and `where`, their name in messages.
        """
        with ThreadPoolExecutor() as pool:
            for start in range(0, len(pictures), SHARD):
                run = pictures[start : start + SHARD]
                encoded = list(pool.map(_read, run))
                digest = hashlib.sha256(b"".join(_digest(data) for data in encoded))
                path = self.folder / f"{digest.hexdigest()}.npy"
                shard = self._load(path, len(run))
                errors: dict[int, InputError] = {}
                if shard is None:
                    yield from self._computed(pool, run, encoded, path)
                    continue
                for row in np.flatnonzero(np.isnan(shard.reshape(len(run), -1)[:, 0])):
                    errors[row] = self._error(run[row], encoded[row])
                for row in range(len(run)):
                    yield errors.get(row) or (shard, row)

    def _computed(self, pool, run, encoded, path):
        shard = np.full((len(run), *self._shape), np.nan, np.float32)
        prepared = pool.map(self._prepared, run, encoded)
        for start in range(0, len(run), self._batch):
            part = [next(prepared) for _ in run[start : start + self._batch]]
            rows = [n for n, one in enumerate(part) if not isinstance(one, InputError)]
            if rows:
                images = np.stack([part[n] for n in rows]).astype(np.float32)
                shard[[start + n for n in rows]] = self.network(images)
                broken = ~np.isfinite(shard[start : start + len(part)]).all(axis=(1, 2))
                shard[start : start + len(part)][broken] = np.nan
            if start + len(part) == len(run):
                # Before the last rows are handed on: nobody asks for more after them.
                self._save(path, shard)
            for number, one in enumerate(part, start):
                if isinstance(one, InputError):
                    yield one
                elif np.isnan(shard[number]).any():
                    yield _not_finite(run[number])
                else:
                    yield shard, number

    def _save(self, path: Path, shard: np.ndarray) -> None:
        try:
            save_array(path, shard)
        except OSError as error:
            warnings.warn(
                f"features cannot be kept and will be computed again: {error}.",
                stacklevel=2,
            )

    def _prepared(self, picture, data):
        try:
            return data if isinstance(data, InputError) else self._prepare(
                data, picture.where
            )  # fmt: skip
        except InputError as error:
            return error

    def _error(self, picture, data) -> InputError:
        """Why a picture has no features."""
        prepared = self._prepared(picture, data)
        return prepared if isinstance(prepared, InputError) else _not_finite(picture)

    def _load(self, path: Path, count: int) -> np.ndarray | None:
        """A shard as a memory map; None if there is none, or it is damaged."""
        try:
            size, seen = path.stat().st_size - CHECKSUM_BYTES, hashlib.sha256()
            with path.open("rb") as file:
                while size > 0:
                    block = file.read(min(_BLOCK, size))
                    if not block:
                        return None
                    seen.update(block)
                    size -= len(block)
                if file.read() != seen.digest():
                    return None
            shard = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        good = shard.shape == (count, *self._shape) and shard.dtype == np.float32
        return shard if good else None


class FeatureRows:
    """Rows that lie in shards, read as they are asked for.

    Args:
        places: The shard and the row there of each.
        then: What is made of several rows (N, V, F).

    `rows[index]`, with a slice or an array of integers, is an array; `np.asarray(rows)`
    is all of them.
    """

    def __init__(
        self,
        places: Sequence[tuple[np.ndarray, int]],
        then: Callable[[np.ndarray], np.ndarray] = lambda rows: rows,
    ) -> None:
        self._places, self._then = places, then
        one = self[:1]
        self.shape = (len(places), *one.shape[1:])

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index) -> np.ndarray:
        chosen = np.arange(len(self._places))[index]
        if not len(chosen) and len(self):
            return self[:1][:0]  # no rows, of the shape that others have
        rows = [self._places[number] for number in chosen]
        return self._then(np.stack([shard[row] for shard, row in rows]))

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self[:], dtype)


def _read(picture) -> bytes | InputError:
    try:
        return picture.bytes()
    except InputError as error:
        return error


def _digest(data: bytes | InputError) -> bytes:
    return hashlib.sha256(data if isinstance(data, bytes) else b"").digest()


def _not_finite(picture) -> InputError:
    return InputError(
        f"{picture.where}: its features must be finite numbers, got others."
    )
