"""Text-classification sets of TensorFlow Datasets, by name."""

from __future__ import annotations

import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from typing import TYPE_CHECKING

from kerasdl.data.captions.tables import SPLIT_NAMES
from kerasdl.data.texts.dataset import Record, TextCollector
from kerasdl.data.texts.lines import check_text
from kerasdl.errors import InputError

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

REACH_SECONDS = 5.0
_READ_BATCH = 1024


def read_tfds(
    name: str,
    collector: TextCollector,
    text_column: str,
    label_column: str,
    folder: str = "",
) -> None:
    """Reads a set that is prepared on this machine, or prepares it first.

    Args:
        name: As `tfds.builder` takes it: `imdb_reviews`, `glue/sst2`.
        collector: Takes the examples. Examples without a label (-1) are left out.
        text_column: The feature with the text; where there is none of that name, the
            only text that the set has.
        label_column: Likewise, with the label.
        folder: Where prepared sets are kept; "" for TFDS's usual place.

    Raises:
        InputError: There is no such set, it has no text or label (or several and none of
            the given name), or it is not prepared and its hosts cannot be reached.
    """
    import tensorflow_datasets as tfds

    # A prepared set needs no search of the community's sets, which is a download.
    try:
        builder = tfds.builder(name, data_dir=folder or None)
    except Exception as error:  # TFDS raises what its registry, files and network do
        first = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise InputError(
            f"tfds:{name}: no such set of TensorFlow Datasets: {first[:200]}"
        ) from error
    if not os.path.isdir(builder.data_dir):
        _prepare(builder, name)
    text, label = (
        _feature(builder, name, text_column, tfds.features.Text, "text"),
        _feature(builder, name, label_column, tfds.features.ClassLabel, "label"),
    )
    label_names = tuple(builder.info.features[label].names)
    collector.expect_labels(label_names)
    for tfds_split in builder.info.splits:
        split = SPLIT_NAMES.get(tfds_split)
        if split is not None:
            _read_split(builder, name, tfds_split, split, (text, label), collector)


def _prepare(builder: tfds.core.DatasetBuilder, name: str) -> None:
    urls = getattr(builder, "url_infos", None) or {}
    check_reachable(f"tfds:{name}: not prepared in {builder.data_dir}", urls)
    try:
        builder.download_and_prepare()
    except Exception as error:
        raise InputError(f"tfds:{name}: cannot be prepared: {error}") from error


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


def _feature(
    builder: tfds.core.DatasetBuilder, name: str, wanted: str, kind: type, what: str
) -> str:
    features = builder.info.features
    if wanted in features and isinstance(features[wanted], kind):
        return wanted
    found = sorted(key for key, feature in features.items() if isinstance(feature, kind))
    if len(found) != 1:
        raise InputError(
            f"tfds:{name}: expected --config.data.{what}_column to name a {what} feature "
            f"({', '.join(found) or 'the set has none'}), got {wanted!r}"
        )
    return found[0]


def _read_split(
    builder: tfds.core.DatasetBuilder,
    name: str,
    tfds_split: str,
    split: str,
    columns: tuple[str, str],
    collector: TextCollector,
) -> None:
    import tensorflow_datasets as tfds

    text_column, label_column = columns
    names = builder.info.features[label_column].names
    examples = builder.as_dataset(
        split=tfds_split,
        batch_size=_READ_BATCH,
        decoders=tfds.decode.PartialDecoding({text_column: True, label_column: True}),
    )
    number = unlabelled = 0
    for batch in tfds.as_numpy(examples):
        pairs = zip(batch[text_column], batch[label_column].tolist(), strict=True)
        for raw, label in pairs:
            number += 1
            where = f"tfds:{name}: {tfds_split} example {number}"
            if label < 0:
                unlabelled += 1
                continue
            text, rule = _decode(raw)
            if rule is not None:
                collector.errors.report(f"{where}: {rule}")
            else:
                collector.add(split, Record(where, names[label], text))
    if unlabelled:
        collector.notes.append(
            f"tfds:{name}: {unlabelled} of {number} {tfds_split} examples have no label "
            "and were left out."
        )


def _decode(raw: bytes) -> tuple[str, str | None]:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = raw[error.start]
        return "", f"expected UTF-8, got byte 0x{byte:02x} at byte {error.start + 1}"
    return text, check_text(text)
