"""Sets of TensorFlow Datasets, opened by name."""

from __future__ import annotations

import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from kerasdl.data.splits import split_named
from kerasdl.errors import InputError

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

# How a data set's root names such a set.
PREFIX = "tfds:"
REACH_SECONDS = 5.0


def open_tfds(name: str, folder: str = "") -> tfds.core.DatasetBuilder:
    """A set that is prepared on this machine; one that is not is prepared first.

    Args:
        name: As `tfds.builder` takes it: `imdb_reviews`, `glue/sst2`, `hymenoptera`.
        folder: Where prepared sets are kept; "" for TFDS's usual place.

    Raises:
        InputError: There is no such set, or it is not prepared and cannot be: its hosts
            cannot be reached, for instance.
    """
    import tensorflow_datasets as tfds

    import kerasdl.data.pictures.hymenoptera_builder  # registers `hymenoptera`

    del kerasdl
    # Without code of the community's: to search it is a download.
    try:
        builder = tfds.builder(name, data_dir=folder or None)
    except Exception as error:  # TFDS raises what its registry, files and network do
        first = (str(error).strip().splitlines() or [""])[0]
        raise InputError(
            f"{PREFIX}{name}: no such set of TensorFlow Datasets: {first[:200]}"
        ) from error
    if not os.path.isdir(builder.data_dir):
        if not _has_manual_files(builder):
            urls = getattr(builder, "url_infos", None) or {}
            what = f"{PREFIX}{name}: not prepared in {builder.data_dir}"
            check_reachable(what, urls)
        try:
            builder.download_and_prepare()
        except Exception as error:
            raise InputError(f"{PREFIX}{name}: cannot be prepared: {error}") from error
    return builder


def check_reachable(what: str, urls: Iterable[str]) -> None:
    """Asks each host for an answer, of any kind, before a download is begun.

    TFDS itself retries a host that cannot be reached for minutes.

    Args:
        what: What the download is for, for the message.
        urls: What would be downloaded.

    Raises:
        InputError: A host does not answer within `REACH_SECONDS`.
    """
    hosts = {urllib.parse.urlsplit(url)[:2]: url for url in urls}
    for (scheme, host), url in sorted(hosts.items()):
        if scheme not in ("http", "https"):
            continue
        request = urllib.request.Request(url, method="HEAD")
        try:
            urllib.request.urlopen(request, timeout=REACH_SECONDS).close()
        except urllib.error.HTTPError:
            continue  # an answer, though not to HEAD
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise InputError(f"{what}, and {host} cannot be reached: {reason}") from error


def _has_manual_files(builder: tfds.core.DatasetBuilder) -> bool:
    """Whether something lies in TFDS's folder of manual downloads for a set."""
    folder = os.path.join(builder._data_dir_root, "downloads", "manual")
    return bool(
        builder.MANUAL_DOWNLOAD_INSTRUCTIONS
        and os.path.isdir(folder)
        and os.listdir(folder)
    )


def find_feature(
    builder: tfds.core.DatasetBuilder, kind: type, what: str, wanted: str = ""
) -> str:
    """The name of the feature of a kind: the one that is wanted, or the only one.

    Raises:
        InputError: There is none of that name, and not exactly one of that kind.
    """
    features = builder.info.features
    found = sorted(key for key, feature in features.items() if isinstance(feature, kind))
    if wanted in found:
        return wanted
    if len(found) != 1:
        but = f" of the name {wanted!r}" if wanted else ""
        raise InputError(
            f"{PREFIX}{builder.name}: expected {what} of each example{but}, got the "
            f"features {', '.join(found if found and wanted else features)}"
        )
    return found[0]


def read_splits(
    builder: tfds.core.DatasetBuilder, **options: Any
) -> Iterator[tuple[str, str, int, dict[str, Any]]]:
    """The examples of the splits that are one of ours.

    Args:
        builder: From `open_tfds`.
        **options: As `as_dataset` takes them.

    Yields:
        Our split, the set's name of it, the example's number from 0, and the example.
    """
    import tensorflow_datasets as tfds

    for name in builder.info.splits:
        split = "train" if name == "restval" else split_named(name)  # as Karpathy's COCO
        if split is not None:
            examples = builder.as_dataset(split=name, **options)
            for number, example in enumerate(tfds.as_numpy(examples)):
                yield split, name, number, example
