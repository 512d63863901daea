"""A recurrent layer that answers with one number after the last step."""

from __future__ import annotations

import keras
import numpy as np

from kerasdl import layers


def build_adding_model(
    kind: str, steps: int, units: int, chrono: bool = False, seed: int = 0
) -> keras.Model:
    """An RNN or LSTM over two channels, then a linear layer.

    Args:
        kind: `"rnn"` or `"lstm"`.
        steps: T; the length of the sequences.
        units: H.
        chrono: Whether an LSTM's gates begin with memories of up to T steps.
        seed: Of the draws of `chrono`.

    Returns:
        A model from float (N, T, 2) to float (N, 1).

    Reference: Tallec and Ollivier, Can Recurrent Neural Networks Warp Time?, 2018,
    equation 16: b_f = log U(1, T - 1), b_i = -b_f.
    """
    recurrent = {"rnn": layers.SimpleRNN, "lstm": layers.LSTM}[kind](units)
    model = keras.Sequential(
        [keras.Input((steps, 2)), recurrent, keras.layers.Dense(1)], name=kind
    )
    if kind == "lstm" and chrono:
        random = np.random.default_rng(seed)
        forget = np.log(random.uniform(1.0, steps - 1.0, units))
        bias = np.zeros(4 * units, np.float32)  # gates i, f, c̃, o
        bias[:units], bias[units : 2 * units] = -forget, forget
        recurrent.cell.bias.assign(bias)
    return model
