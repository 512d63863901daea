"""The signatures that learn on a device, against Keras's own training."""

import keras
import numpy as np
import pytest

import kerasdl
from tests.export.keras_models import L, draw, run


def masked_model():
    x = keras.Input((None, 3), name="x")
    y = L.Dropout(0.5)(L.GRU(8)(L.Masking()(x)))
    return keras.Model(x, L.Dense(3, "softmax", name="p")(y))


def many_layers():
    x = keras.Input((None, 3), name="x")
    y = L.Bidirectional(L.LSTM(8, return_sequences=True))(L.Masking()(x))
    y = L.Dropout(0.5)(y)
    y = L.LSTM(6)(y) + L.LayerNormalization()(L.Dense(6, "relu")(L.SimpleRNN(4)(y)))
    return keras.Model(x, L.Dense(3, "softmax", name="p")(y))


OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.3),
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(0.02),
}


@pytest.mark.parametrize(
    ("optimizer", "build"),
    [("sgd", masked_model), ("momentum", masked_model), ("adam", many_layers)],
)
def test_it_learns_on_the_device_as_keras_does(optimizer, build, tmp_path):
    keras.utils.set_random_seed(5)
    model = build()
    before = [w.copy() for w in model.get_weights()]
    path = tmp_path / "m.tflite"
    entry = kerasdl.export.tflite(
        model,
        path,
        signatures=("infer", "train"),
        loss="sparse_categorical_crossentropy",
        optimizer=OPTIMIZERS[optimizer](),
        stock=False,
    )
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
    specs = entry["signatures"]["train"]["inputs"]
    assert specs["x"]["shape"] == [-1, -1, 3]
    assert specs["y"] == {"dtype": "int32", "shape": [-1]}

    inputs, labels = draw(5, 9, 3), np.array([0, 1, 2, 1, 0], "int32")
    inputs[2, 5:] = 0  # masked
    saved = run(path, [("weights", {})], tmp_path)[0]
    train = ("train", {"x": inputs, "y": labels})
    calls = [train] * 30 + [("serving_default", {"x": inputs}), ("load", saved), train]
    answers = run(path, calls, tmp_path)

    # Keras's own training, by its own fit, with its dropout off.
    twin = keras.models.clone_model(
        model,
        clone_function=lambda layer: (
            L.Dropout(0.0)
            if isinstance(layer, L.Dropout)
            else type(layer).from_config(layer.get_config())
        ),
    )
    twin.set_weights(before)
    loss = "sparse_categorical_crossentropy"
    twin.compile(OPTIMIZERS[optimizer](), loss, jit_compile=False)
    losses = [twin.train_on_batch(inputs, labels) for _ in range(30)]
    got = [float(answer["loss"]) for answer in answers[:30]]
    assert losses[-1] < losses[0] - 0.1
    np.testing.assert_allclose(got, losses, rtol=2e-4 if optimizer == "adam" else 1e-5)
    np.testing.assert_allclose(answers[30]["p"], twin(inputs), atol=1e-3)
    assert float(answers[-1]["loss"]) == got[0]  # loaded again, with a fresh optimiser
