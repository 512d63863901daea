"""Checks the contents of an HDF5 file of weights in a child process.

HDF5 can do more than hold numbers: a dataset may be stored in another local file, be
composed of other files' datasets, hold references, strings and records, or name a filter
to load. A file of weights needs none of it.
"""

from collections.abc import Iterator
from pathlib import Path

from kerasdl.files import open_regular
from kerasdl.weights.archives import FREE_BYTES, MAX_ENTRIES, MAX_SWELLING
from kerasdl.weights.damage import DAMAGE, Damaged, element_count, reason, shown
from kerasdl.weights.trial import answer, try_in_child

_FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}


def check_hdf5(path: str | Path, what: str = "Keras weights in HDF5") -> None:
    """Refuses a file that is not plain weights, without harm to this process.

    Args:
        path: The file.
        what: What is expected, for messages.

    Raises:
        InputError: If the file cannot be read; if it holds anything but groups and
            contiguous or chunked datasets of numbers, stored in the file itself and
            reached by hard links; if its datasets are larger than the file's size allows
            (`MAX_SWELLING` times for chunked ones); or if reading it crashes, hangs or
            takes more memory than `kerasdl.weights.trial` allows.
    """
    open_regular(path).close()
    try_in_child("kerasdl.weights.hdf5", path, what)


def inspect(path: Path) -> None:
    """The child's part of `check_hdf5`: reads every number once, as the parent will.

    Raises:
        Damaged: The file is refused.
    """
    import h5py

    size = path.stat().st_size
    try:
        with open(path, "rb") as stream, h5py.File(stream, "r") as file:
            stored = swelling = 0
            for name, dataset in _datasets(file):
                nbytes = _check_dataset(name, dataset)
                if dataset.chunks is None:
                    stored += nbytes
                else:
                    swelling += nbytes
                if stored > size or swelling > max(FREE_BYTES, MAX_SWELLING * size):
                    raise Damaged(
                        f"its datasets are larger than the file's {size:,} bytes allow, "
                        f"at {name}"
                    )
                dataset[()]
    except (Damaged, MemoryError):
        raise
    except DAMAGE as error:
        raise Damaged(f"damaged: {reason(error)}") from error


def _datasets(file) -> Iterator[tuple]:
    """(name, dataset) of every dataset; each object is visited once."""
    import h5py

    waiting, seen = [("", file)], set()
    while waiting:
        prefix, group = waiting.pop()
        for attribute in group.attrs:
            group.attrs[attribute]
        for key in group:
            name = f"{prefix}/{key}"
            link = group.get(key, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise Damaged(f"{shown(name)} is a link to another place, not a dataset")
            entry = group[key]
            address = h5py.h5o.get_info(entry.id).addr
            if address in seen:
                continue
            seen.add(address)
            if len(seen) > MAX_ENTRIES:
                raise Damaged(f"more than {MAX_ENTRIES:,} groups and datasets")
            if isinstance(entry, h5py.Group):
                waiting.append((name, entry))
            elif isinstance(entry, h5py.Dataset):
                yield name, entry
            else:
                raise Damaged(f"{shown(name)} is no group and no dataset")


def _check_dataset(name: str, dataset) -> int:
    """The dataset's size in bytes."""
    import h5py

    creation = dataset.id.get_create_plist()
    if creation.get_external_count():
        raise Damaged(f"{shown(name)} is stored in another file")
    if creation.get_layout() not in (h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED):
        raise Damaged(f"{shown(name)} is neither contiguous nor chunked")
    for index in range(creation.get_nfilters()):
        code = creation.get_filter(index)[0]
        if code not in _FILTERS:
            raise Damaged(f"{shown(name)} needs filter {code}; expected {_FILTERS}")
    # Keras writes bfloat16 as two bytes without a type, and says so in an attribute.
    half = dataset.dtype == "V2" and dataset.attrs.get("dtype") == "bfloat16"
    plain = dataset.dtype.kind in "fiu" and dataset.dtype.subdtype is None
    if not (plain or half):
        raise Damaged(f"{shown(name)} is of type {dataset.dtype}, expected numbers")
    if dataset.shape is None:
        raise Damaged(f"{shown(name)} has no shape")
    return element_count(dataset.shape) * dataset.dtype.itemsize


if __name__ == "__main__":
    answer(inspect)
