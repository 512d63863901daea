"""Decoding of captions: greedy, beam and constrained search, and sampling."""

from kerasdl._lazy import lazy_names

_MODULES = {
    "Constraints": "constraints",
    "DecodeOptions": "options",
    "beam_search": "beam",
    "candidates": "generation",
    "consensus_caption": "consensus",
    "generate": "generation",
    "greedy_decode": "greedy",
    "n_best_captions": "beam",
    "default_options": "options",
    "options_for": "options",
    "sample_captions": "greedy",
}
__all__ = sorted(_MODULES)

__getattr__, __dir__ = lazy_names(
    __name__,
    {name: f"{__name__}.{module}:{name}" for name, module in _MODULES.items()},
)
