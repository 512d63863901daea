"""Models: captioners, classifiers, the style painter, and pretrained networks by name."""

from kerasdl._lazy import lazy_names

__all__ = [
    "ImageCaptioner",
    "ImageClassifier",
    "StylePainter",
    "TextClassifier",
    "backbone",
    "list_backbones",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "ImageCaptioner": "kerasdl.models.captioner:ImageCaptioner",
        "ImageClassifier": "kerasdl.models.classifier:ImageClassifier",
        "StylePainter": "kerasdl.models.style_network:StylePainter",
        "TextClassifier": "kerasdl.models.text.classifier:TextClassifier",
        "backbone": "kerasdl.models.backbones:build_backbone",
        "list_backbones": "kerasdl.models.backbones:list_backbones",
    },
)
