# %% [markdown]
# # Export to a phone
#
# A `.tflite` file runs on Android, on iOS and on anything with Python, without TensorFlow.
# `kerasdl.export.tflite` writes one of a Keras model with recurrent layers, and compares it
# with the model before the file appears.

# %%
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import json
from pathlib import Path

import keras
import numpy as np

import kerasdl

keras.utils.set_random_seed(0)
gestures = keras.Sequential(
    [
        keras.Input((None, 6), name="acceleration"),
        keras.layers.GRU(24),
        keras.layers.Dense(4, activation="softmax", name="gesture"),
    ]
)

# %%
kerasdl.export.tflite(gestures, "gestures.tflite", signatures=("infer", "step"))
manifest = json.loads(Path("manifest.json").read_text())["gestures.tflite"]
print(
    f"{manifest['bytes']:,} bytes; largest difference {manifest['largest_difference']:.0e}"
)
print(sorted(manifest["operations"]))

# %% [markdown]
# The file answers without TensorFlow, at any number of samples and of steps:

# %%
from ai_edge_litert.interpreter import Interpreter

x = np.random.default_rng(0).normal(size=(3, 50, 6)).astype("float32")
expected = gestures.predict(x, verbose=0)
infer = Interpreter("gestures.tflite").get_signature_runner("serving_default")
answers = infer(acceleration=x)["gesture"]
print(np.abs(answers - expected).max())
assert np.allclose(answers, expected, atol=1e-5)

# %% [markdown]
# `step` takes one sample of the sensor at a time and hands its state on, as an app would.

# %%
step = Interpreter("gestures.tflite").get_signature_runner("step")
(taken,) = set(step.get_input_details()) - set(manifest["states"])
states = {name: np.zeros((1, 24), "float32") for name in manifest["states"]}
for sample in x[0]:
    answer = step(**{taken: sample[np.newaxis]}, **states)
    states = {name: answer[name] for name in states}
assert np.allclose(answer["gesture"], expected[:1], atol=1e-5)
print(answer["gesture"].round(3))

# %% [markdown]
# [On a device](../export.md) has quantisation, training on the device, and what is
# refused; [In the browser](../browser.md) runs the same file on a page.
