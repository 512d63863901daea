# %% [markdown]
# # Read the gradients
#
# Why does a vanilla recurrent network forget, and why does an LSTM not? Our layers tell how
# much gradient reaches each step: `gradient_norms` gives the norm of δ, the whole gradient
# of the hidden state, and of γ, that of the cell.

# %%
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import matplotlib.pyplot as plt
import numpy as np

import kerasdl

keras.utils.set_random_seed(0)
random = np.random.default_rng(0)
SAMPLES, STEPS, WIDTH, UNITS = 16, 100, 16, 32
x = random.normal(size=(SAMPLES, STEPS, WIDTH)).astype("float32")

# %% [markdown]
# A gradient enters at the last step alone. What is left of it k steps earlier?

# %%
upstream = np.zeros((SAMPLES, STEPS, UNITS), "float32")
upstream[:, -1] = random.normal(size=(SAMPLES, UNITS))


def left(layer):
    """The median share of the gradient that is left, from the last step backwards."""
    norms = layer.gradient_norms(x, upstream)
    shares = np.asarray(norms.get("gamma", norms["delta"]))[:, ::-1]
    return np.median(shares / shares[:, :1], axis=0)


rnn = kerasdl.layers.SimpleRNN(UNITS, return_sequences=True)
lstm = kerasdl.layers.LSTM(UNITS, return_sequences=True)
open_lstm = kerasdl.layers.LSTM(UNITS, return_sequences=True)
for layer in (rnn, lstm, open_lstm):
    layer.build(x.shape)
kernel, recurrent_kernel, bias = open_lstm.get_weights()
bias[UNITS : 2 * UNITS] = 5  # of the forget gates: σ(5) = 0.993
open_lstm.set_weights([kernel, recurrent_kernel, bias])

curves = {
    "vanilla, δ": left(rnn),
    "LSTM, forget bias 1, γ": left(lstm),
    "LSTM, forget bias 5, γ": left(open_lstm),
}
for name, shares in curves.items():
    print(f"{name:24} {shares[-1]:.0e} of the gradient is left after {STEPS - 1} steps")
assert curves["vanilla, δ"][-1] < 1e-6 < curves["LSTM, forget bias 5, γ"][-1]

# %%
figure, axis = plt.subplots(figsize=(6, 3.5))
for name, shares in curves.items():
    axis.semilogy(shares, label=name)
axis.set_xlabel("steps back from the loss")
axis.set_ylabel("share of the gradient")
axis.legend()
axis.grid(alpha=0.3)

# %% [markdown]
# Are these gradients right? `kerasdl.certify` compares a layer, of anyone, with the float64
# equations: outputs, first and second derivatives.

# %%
certificate = kerasdl.certify(kerasdl.layers.SimpleRNN(4))
assert certificate.passed

# %% [markdown]
# The equations are [derived](../derivations.md) line by line; [Memory
# horizon](../memory_horizon.md) measures the same during training.
