"""Keras models as a user has them, and running what they became without TensorFlow."""

import json

import keras
import numpy as np

from tests.export.isolation import run_without

L = keras.layers
WITHOUT = {"tensorflow", "keras", "kerasdl"}


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def run(path, calls, folder):
    """Runs (signature, inputs) calls in a process without TensorFlow and kerasdl."""
    for index, (_, inputs) in enumerate(calls):
        np.savez(folder / f"in{index}.npz", **inputs)
    program = """
import sys, json, numpy as np
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(sys.argv[1])
names = interpreter.get_signature_list()
runners = {name: interpreter.get_signature_runner(name) for name in names}
for index, name in enumerate(json.loads(sys.argv[3])):
    outputs = runners[name](**dict(np.load(f"{sys.argv[2]}/in{index}.npz")))
    np.savez(f"{sys.argv[2]}/out{index}.npz", **outputs)
"""
    run_without(WITHOUT, program, path, folder, json.dumps([name for name, _ in calls]))
    return [dict(np.load(folder / f"out{index}.npz")) for index in range(len(calls))]


def sequence_model():
    keras.utils.set_random_seed(0)
    words = keras.Input((None,), dtype="int32", name="words")
    x = L.Embedding(9, 5, mask_zero=True)(words)
    x = L.Bidirectional(L.GRU(4, return_sequences=True))(x)
    return keras.Model(words, L.SimpleRNN(3, name="scores")(x))


def states_model():
    keras.utils.set_random_seed(1)
    x = keras.Input((None, 4), name="x")
    h, c = keras.Input((3,), name="h0"), keras.Input((3,), name="c0")
    y, h1, c1 = L.LSTM(3, return_sequences=True, return_state=True)(
        L.Masking()(x), initial_state=[h, c]
    )
    outputs = {"y": L.TimeDistributed(L.Dense(2))(y), "h": h1, "c": c1}
    return keras.Model([x, h, c], outputs)


def cells_model():
    keras.utils.set_random_seed(2)
    return keras.Sequential(
        [
            keras.Input((None, 4), name="x"),
            L.LSTM(6, activation="gelu", return_sequences=True, recurrent_dropout=0.2),
            L.RNN(L.StackedRNNCells([L.LSTMCell(3), L.GRUCell(5)])),
            L.Dense(2, name="y"),
        ]
    )
