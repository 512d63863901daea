"""The arguments of a `CaptionDecoder`: its kinds of layers, and what is checked."""

from __future__ import annotations

from kerasdl import layers
from kerasdl.data.captions.vocabulary import SPECIAL_TOKENS
from kerasdl.decoding.options import check_positive_integer
from kerasdl.models.caption_attention import fan_in_normal

# The recurrent layer of each kind, its own arguments, and how many states it has.
RNN_LAYERS = {
    "lstm": (layers.LSTM, {"unit_forget_bias": False}, 2),
    "gru": (layers.GRU, {}, 1),
    "rnn": (layers.SimpleRNN, {}, 1),
}
FEATURES_IN = ("h_0", "every_step", "both")
ACTIVATIONS = ("linear", "relu", "tanh")


def recurrent_layers(rnn: str, units: int, count: int) -> list:
    """`count` recurrent layers of a kind of `RNN_LAYERS`, kernels from N(0, 1/fan-in)."""
    kind, options, _ = RNN_LAYERS[rnn]
    return [
        kind(
            units,
            kernel_initializer=fan_in_normal(),
            recurrent_initializer=fan_in_normal(),
            return_sequences=True,
            name="recurrent" if number == 1 else f"recurrent_layer{number}",
            **options,
        )
        for number in range(1, count + 1)
    ]


def check_arguments(**arguments) -> None:
    """Checks the arguments of `CaptionDecoder`, given all of them by name.

    Raises:
        ValueError: One is outside its range; names it and the value.
    """
    for name in ("vocabulary_size", "feature_dim", "embedding_dim", "units", "layers"):
        check_positive_integer(name, arguments[name])
    feature_dim = arguments["feature_dim"]
    cells, whole = arguments["cells"], arguments["whole"]
    fits = _is_count(whole) and (whole == 0 or (bool(cells) and whole < feature_dim))
    of_places = feature_dim - (whole if fits else 0)
    rest = f"feature_dim={feature_dim}" + (f" less whole={whole}" if whole else "")
    fraction = "a fraction in [0, 1)"
    choices = {
        "rnn": sorted(RNN_LAYERS),
        "features_in": list(FEATURES_IN),
        "h_0_activation": list(ACTIVATIONS),
        "input_activation": list(ACTIVATIONS),
    }
    for name, valid, expected in (
        *(
            (name, arguments[name] in known, f"one of {known}")
            for name, known in choices.items()
        ),
        ("dropout", 0 <= arguments["dropout"] < 1, fraction),
        ("feature_dropout", 0 <= arguments["feature_dropout"] < 1, fraction),
        ("feature_scale", arguments["feature_scale"] > 0, "a positive number"),
        ("input_units", _is_count(arguments["input_units"]), "an integer ≥ 0"),
        (
            "vocabulary_size",
            arguments["vocabulary_size"] > len(SPECIAL_TOKENS),
            f"more words than the {len(SPECIAL_TOKENS)} special tokens",
        ),
        (
            "cells",
            _is_count(cells) and (cells == 0 or of_places % cells == 0),
            f"0 or a divisor of {rest}",
        ),
        ("whole", fits, f"0, or with cells less than feature_dim={feature_dim}"),
    ):
        if not valid:
            raise ValueError(
                f"Received an invalid value for argument `{name}`, "
                f"expected {expected}, got {arguments[name]!r}."
            )


def _is_count(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
