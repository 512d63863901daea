"""The splits of a data set, and what data sets call them."""

from __future__ import annotations

SPLITS = ("train", "val", "test")
_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
# Of a data set without a validation split, the share that becomes one.
VALIDATION_SHARE = 0.1


def split_named(name: str) -> str | None:
    """The split that a folder, a file or a table calls `name`, in any case, or None.

    >>> split_named("Validation"), split_named("TRAIN"), split_named("cats")
    ('val', 'train', None)
    """
    name = name.strip().lower()
    return next((split for split, names in _NAMES.items() if name in names), None)
