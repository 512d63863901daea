"""Names of the figures in metrics.json, and which of them come first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The figures that a reader wants first, by job; those that a run lacks are left out.
HEADLINES = {
    "captioning": ("cider", "bleu4", "rouge_l", "bleu1_single"),
    "transfer": ("accuracy", "accuracy_before", "f1_macro", "ece"),
    "text": ("accuracy", "f1_macro", "ece"),
    "style": ("loss",),
    "sequence": ("loss", "accuracy"),
}
_COSTS = ("seconds", "parameters")
_SPLITS = {"train": "training", "val": "validation", "test": "test"}
_NAMES = {
    "accuracy": "accuracy",
    "accuracy_before": "accuracy before training",
    "accuracy_last": "accuracy after the last epoch",
    "best_epoch": "epoch that was kept",
    "best_model": "best model",
    "bleu1": "BLEU-1",
    "bleu1_single": "BLEU-1, one reference",
    "bleu2": "BLEU-2",
    "bleu3": "BLEU-3",
    "bleu4": "BLEU-4",
    "bytes": "size of model.keras",
    "cider": "CIDEr",
    "ece": "expected calibration error",
    "ece_uncalibrated": "expected calibration error before calibration",
    "f1_macro": "macro F1",
    "kappa": "quadratically weighted kappa",
    "loss_uncalibrated": "loss before calibration",
    "mae": "mean distance in classes",
    "parameters_trained": "parameters trained",
    "rouge_l": "ROUGE-L",
    "seconds": "training time",
    "sentences_per_second": "sentences per second",
    "tv": "total variation",
}


def figure_name(key: str) -> str:
    """What a key of metrics.json is called.

    >>> figure_name("val/accuracy_before"), figure_name("seconds")
    ('validation accuracy before training', 'training time')
    >>> figure_name("glove_rnn/test/bleu4"), figure_name("loss/style/fire3")
    ('glove_rnn: test BLEU-4', 'style loss, fire3')
    """
    parts = key.split("/")
    if parts[0] == "loss":
        term = _NAMES.get(parts[1], parts[1])
        return ", ".join([f"{term} loss", *parts[2:]])
    metric = _NAMES.get(parts[-1], parts[-1].replace("_", " "))
    if len(parts) == 1:
        return metric
    name = f"{_SPLITS.get(parts[-2], parts[-2])} {metric}"
    return f"{parts[0]}: {name}" if len(parts) > 2 else name


def format_figure(value: Any, key: str = "") -> str:
    """A metric as people read it; its key tells the unit.

    >>> format_figure(0.123456), format_figure(1234567), format_figure("lstm")
    ('0.1235', '1,234,567', 'lstm')
    >>> format_figure(12711.9), format_figure(95.2, "seconds")
    ('12,712', '1 min 35 s')
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if key.endswith("seconds"):
        minutes, seconds = divmod(round(value), 60)
        return f"{minutes:,} min {seconds} s" if minutes else f"{value:.3g} s"
    if key.endswith("bytes"):
        return f"{value / 1e6:.3g} MB"
    if isinstance(value, int):
        return f"{value:,}"
    if abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def headline(job: str, metrics: Mapping[str, Any]) -> list[str]:
    """The keys of the figures that come first on a page: of the split that counts most.

    >>> headline("text", {"val/accuracy": 0.9, "test/accuracy": 0.8, "seconds": 3})
    ['test/accuracy', 'seconds']
    """
    wanted = HEADLINES.get(job, ())
    for split in ("test", "val", "train"):
        found = [f"{split}/{name}" for name in wanted if f"{split}/{name}" in metrics]
        if found:
            break
    # What is known of the validation split alone, such as the score before training.
    found += [
        f"val/{name}"
        for name in wanted
        if f"val/{name}" in metrics and not any(k.endswith(f"/{name}") for k in found)
    ]
    if "best_model" in metrics:
        found.append("best_model")
    return [*found, *(name for name in _COSTS if name in metrics)]
