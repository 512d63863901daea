"""Draws how much gradient arrives at each step before the one that the loss looks at.

    python -m benchmarks.vanishing_gradients --output=docs/vanishing_gradients.png

Networks as they are drawn before training, random inputs, a random upstream gradient at
the last step alone, and the norms ‖δ_t‖ (both networks) and ‖γ_t‖ (the LSTM's cells) from
`layer.gradient_norms`, each divided by the first of the backward pass; medians over the
samples. With Keras's `unit_forget_bias` the forget gates start near σ(1) = 0.73; drawn
too is a bias of 5, σ(5) = 0.993.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from absl import app, flags

from kerasdl import layers

_OUTPUT = flags.DEFINE_string("output", "vanishing_gradients.png", "The picture.")

SAMPLES, STEPS, WIDTH, UNITS = 32, 100, 32, 64


def curves():
    """Returns {label: norms (T,), relative to those at the last step}."""
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(SAMPLES, STEPS, WIDTH)).astype("float32")
    upstream = np.zeros((SAMPLES, STEPS, UNITS), "float32")
    upstream[:, -1] = np.random.default_rng(1).normal(size=(SAMPLES, UNITS))
    rnn = layers.SimpleRNN(UNITS, return_sequences=True)
    lstm = layers.LSTM(UNITS, return_sequences=True)
    open_lstm = layers.LSTM(UNITS, return_sequences=True)
    for layer in (rnn, lstm, open_lstm):
        layer.build(x.shape)
    kernel, recurrent_kernel, bias = lstm.get_weights()
    bias[UNITS : 2 * UNITS] = 5
    open_lstm.set_weights([kernel, recurrent_kernel, bias])
    norms = {
        "RNN, δ": rnn.gradient_norms(x, upstream)["delta"],
        "LSTM, δ": lstm.gradient_norms(x, upstream)["delta"],
        "LSTM, γ": lstm.gradient_norms(x, upstream)["gamma"],
        "LSTM, forget bias 5, δ": open_lstm.gradient_norms(x, upstream)["delta"],
        "LSTM, forget bias 5, γ": open_lstm.gradient_norms(x, upstream)["gamma"],
    }
    return {
        label: np.median(norm.numpy() / norm.numpy()[:, -1:], axis=0)
        for label, norm in norms.items()
    }


def main(_):
    """Draws the picture and prints what is left after 10, 50 and 99 steps."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.6), dpi=100)
    for label, norm in curves().items():
        color = "C3" if label.startswith("RNN") else "C2" if "5" in label else "C0"
        style = "--" if label.endswith("γ") else "-"
        # Below the smallest float32 a norm is 0, which has no place on this axis.
        axes.semilogy(np.where(norm > 0, norm, np.nan)[::-1], style, c=color, label=label)
        left = ", ".join(f"{norm[-1 - k]:.1e} after {k}" for k in (10, 50, 99))
        print(f"{label}: {left}")
    axes.set_xlabel("steps back from the loss")
    axes.set_ylabel("norm of the gradient, relative")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(_OUTPUT.value, metadata={"Software": None})


if __name__ == "__main__":
    app.run(main)
