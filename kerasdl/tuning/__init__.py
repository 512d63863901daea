"""Fine-tuning tools for any Keras model: rates by layer, unfreezing, a rate finder."""

from kerasdl._lazy import lazy_names

_DISCRIMINATIVE = "kerasdl.tuning.discriminative"

__all__ = [
    "DiscriminativeOptimizer",
    "GradualUnfreezing",
    "OneCycle",
    "layer_groups",
    "layer_rates",
    "lr_find",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "DiscriminativeOptimizer": f"{_DISCRIMINATIVE}:DiscriminativeOptimizer",
        "GradualUnfreezing": "kerasdl.tuning.unfreezing:GradualUnfreezing",
        "OneCycle": "kerasdl.tuning.one_cycle:OneCycle",
        "layer_groups": "kerasdl.models.layer_groups:layer_groups",
        "layer_rates": f"{_DISCRIMINATIVE}:layer_rates",
        "lr_find": "kerasdl.tuning.rate_finder:lr_find",
    },
)
