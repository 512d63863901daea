"""Opens zip archives that a stranger may have made, before any memory is taken for them.

An archive states the sizes of its entries itself. Two lies are known: a small archive
whose entries swell to gigabytes, and a directory of millions of entries.
"""

import contextlib
import zipfile
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO

from kerasdl.weights.damage import DAMAGE, Damaged, reason, shown

# A checkpoint of 25,000 tensors is larger than that of any network here.
MAX_ENTRIES = 100_000
# Trained weights hardly compress; the zeros of biases and of an optimizer's moments do.
MAX_SWELLING = 16
FREE_BYTES = 1 << 26

# LZMA may ask for a dictionary of 4 GB; nothing here writes it, or bzip2.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DIRECTORY_ENTRY = b"PK\x01\x02"
_BLOCK = 1 << 20


@contextlib.contextmanager
def open_archive(file: BinaryIO, stored: bool = False) -> Iterator[zipfile.ZipFile]:
    """Opens a zip archive whose entries cannot fill the memory.

    Args:
        file: A regular file, open for reading.
        stored: Whether compressed entries are refused; the entries must then fit into the
            file. Otherwise they may be `MAX_SWELLING` times as large, or `FREE_BYTES`.

    Raises:
        Damaged: If the archive is damaged, has more than `MAX_ENTRIES` entries, names one
            twice, or its entries are too large. Any of `DAMAGE` that is raised in the
            body of the `with` statement becomes `Damaged` too.
    """
    try:
        size = _check_entry_count(file)
        with zipfile.ZipFile(file) as archive:
            _check_entries(archive.infolist(), size, stored)
            yield archive
    except Damaged:
        raise
    except DAMAGE as error:
        raise Damaged(f"truncated or damaged archive: {reason(error)}") from error


def _check_entry_count(file: BinaryIO) -> int:
    """The file's size. zipfile would make an object for each entry before one can ask."""
    file.seek(0)
    size = count = 0
    tail = b""
    while block := file.read(_BLOCK):
        size += len(block)
        block = tail + block
        count += block.count(_DIRECTORY_ENTRY)
        tail = block[1 - len(_DIRECTORY_ENTRY) :]
        if count > MAX_ENTRIES:
            raise Damaged(f"the archive has more than {MAX_ENTRIES:,} entries")
    return size


def _check_entries(entries: list[zipfile.ZipInfo], size: int, stored: bool) -> None:
    compressed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if stored and compressed:
        raise Damaged("expected an archive of stored entries, got a compressed one")
    if any(entry.compress_type not in _METHODS for entry in entries):
        raise Damaged("an entry is compressed by another method than deflate")
    total = sum(entry.file_size for entry in entries)
    if total > (size if stored else max(FREE_BYTES, MAX_SWELLING * size)):
        raise Damaged(
            f"the archive's entries are larger than the file's {size:,} bytes allow: "
            f"{total:,} bytes"
        )
    for name, count in Counter(entry.filename for entry in entries).most_common(1):
        if count > 1:
            raise Damaged(f"the archive has {count} entries named {shown(name)}")
