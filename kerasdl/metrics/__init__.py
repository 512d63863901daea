"""Metrics, from well-kept libraries where there are any.

Importing it, and scoring captions, needs no TensorFlow.
"""

from kerasdl._lazy import lazy_names

_MODULES = {
    "bleu1_single": "captions",
    "coco_scores": "captions",
    "picture_scores": "captions",
    "scored_tokens": "captions",
    "CiderD": "cider",
    "caption_diversity": "diversity",
    "length_histogram": "diversity",
    "word_coverage": "diversity",
    "calibration": "classification",
    "class_scores": "classification",
    "classification_scores": "classification",
    "confusion_matrix": "classification",
    "multi_label_scores": "classification",
}
__all__ = sorted(_MODULES)

__getattr__, __dir__ = lazy_names(
    __name__,
    {name: f"{__name__}.{module}:{name}" for name, module in _MODULES.items()},
)
