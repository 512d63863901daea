"""A recurrent layer under a linear one, for the bench of long-memory tasks."""

from __future__ import annotations

import keras

from kerasdl import layers

_LAYERS = {"rnn": layers.SimpleRNN, "lstm": layers.LSTM, "gru": layers.GRU}


def build_sequence_model(
    name: str,
    input_shape: tuple[int, int],
    outputs: int,
    answered: int = 1,
    *,
    units: int,
    forget_bias: float = 1.0,
    seed: int | None = None,
) -> keras.Model:
    """An RNN, LSTM or GRU, then a linear layer on its last steps.

    Args:
        name: `rnn`, `lstm` or `gru`, whose biases all start at 0; with `_forget` behind
            it, see `layers.ForgetBias`; with `_chrono`, see `layers.ChronoBias` for
            memories of up to the whole sequence.
        input_shape: T, the length of the sequences, and their number of channels D.
        outputs: K, the length of an answer.
        answered: A, how many of the last steps are answered.
        units: H.
        forget_bias: The bias of `_forget`.
        seed: Of the draws of `_chrono`.

    Returns:
        A model from float (N, T, D) to float (N, K), or (N, A, K) if A is above 1.
    """
    cell, _, initialisation = name.partition("_")
    options = {}
    if initialisation == "forget":
        options["bias_initializer"] = layers.ForgetBias(units, forget_bias)
    elif initialisation == "chrono":
        options["bias_initializer"] = layers.ChronoBias(units, input_shape[0], seed)
    if cell == "lstm":
        options["unit_forget_bias"] = False
    several = answered > 1
    recurrent = _LAYERS[cell](units, return_sequences=several, name=cell, **options)
    cut = [keras.layers.Cropping1D((input_shape[0] - answered, 0))] if several else []
    head = keras.layers.Dense(outputs)
    return keras.Sequential([keras.Input(input_shape), recurrent, *cut, head], name=name)
