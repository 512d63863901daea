"""Text-classification sets of TensorFlow Datasets, by name."""

from __future__ import annotations

import collections

from kerasdl.data.texts.dataset import Record, TextCollector
from kerasdl.data.texts.lines import decode_text
from kerasdl.data.tfds_sets import find_feature, open_tfds, read_splits


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
        text_column: The feature with the text; if there is none of that name, the only
            text that the set has.
        label_column: Likewise, with the label.
        folder: Where prepared sets are kept; "" for TFDS's usual place.

    Raises:
        InputError: As `open_tfds` and `find_feature`.
    """
    import tensorflow_datasets as tfds

    builder = open_tfds(name, folder)
    text = find_feature(builder, tfds.features.Text, "a text feature", text_column)
    label = find_feature(builder, tfds.features.ClassLabel, "a label", label_column)
    label_names = tuple(builder.info.features[label].names)
    collector.expect_labels(label_names)
    decoders = tfds.decode.PartialDecoding({text: True, label: True})
    seen, unlabelled = collections.Counter(), collections.Counter()
    for split, tfds_split, number, example in read_splits(builder, decoders=decoders):
        seen[tfds_split] += 1
        if example[label] < 0:
            unlabelled[tfds_split] += 1
            continue
        where = f"tfds:{name}: {tfds_split} example {number + 1}"
        decoded, rule = decode_text(example[text])
        if rule is not None:
            collector.errors.report(f"{where}: {rule}")
        else:
            record = Record(where, label_names[int(example[label])], decoded)
            collector.add(split, record)
    for tfds_split, count in unlabelled.items():
        collector.notes.append(
            f"tfds:{name}: {count} of {seen[tfds_split]} {tfds_split} examples have no "
            "label and were left out."
        )
