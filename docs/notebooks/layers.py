# %% [markdown]
# # Layers in your model
#
# `kerasdl.layers.LSTM`, `GRU` and `SimpleRNN` take the places of Keras's layers of those
# names: the same arguments, the same weights, the same answers. Here a small classifier of
# sequences is built with Keras's LSTM, converted, and trained.

# %%
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np

import kerasdl

keras.utils.set_random_seed(0)

# %% [markdown]
# Each sequence is ten numbers from 1 to 9, padded with 0. The label says whether the first
# number is greater than the last, so the network has to remember.

# %%
random = np.random.default_rng(0)
x = random.integers(1, 10, (2000, 10))
lengths = random.integers(4, 11, 2000)
x[np.arange(10) >= lengths[:, None]] = 0
y = (x[:, 0] > x[np.arange(2000), lengths - 1]).astype("float32")

# %%
model = keras.Sequential(
    [
        keras.Input((None,), dtype="int32"),
        keras.layers.Embedding(10, 8, mask_zero=True),
        keras.layers.LSTM(16),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
)
ours = kerasdl.layers.from_keras(model)
print([type(layer).__module__ for layer in ours.layers])

# %% [markdown]
# The copy has the same weights, so its answers are the same up to rounding, masks included.

# %%
difference = np.abs(model.predict(x, verbose=0) - ours.predict(x, verbose=0)).max()
print(f"largest difference: {difference:.1e}")
assert difference < 1e-6

# %% [markdown]
# Everything of Keras works on it: `compile`, `fit`, saving, loading.

# %%
ours.compile(keras.optimizers.Adam(1e-2), "binary_crossentropy", metrics=["accuracy"])
history = ours.fit(x, y, epochs=6, validation_split=0.2, verbose=0)
print(f"validation accuracy: {history.history['val_accuracy'][-1]:.3f}")
assert history.history["val_accuracy"][-1] > 0.8

# %%
ours.save("first_or_last.keras")
again = keras.models.load_model("first_or_last.keras")
assert np.array_equal(again.predict(x[:5], verbose=0), ours.predict(x[:5], verbose=0))

# %% [markdown]
# What the layers give besides, and how fast they are, is on the page of
# [recurrent layers](../recurrent.md); their equations are [derived](../derivations.md).
