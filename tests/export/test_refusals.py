"""What `kerasdl.export.tflite` refuses, in one line, and what it leaves behind."""

import subprocess
import sys

import keras
import pytest

import kerasdl
from kerasdl.errors import InputError
from kerasdl.export.keras_model import choose_strategy
from kerasdl.export.subject import Request
from tests.export.keras_models import L, cells_model, draw, sequence_model, states_model


@pytest.mark.parametrize("order", ["function", "module"])
def test_the_names_are_functions_whatever_was_imported(order):
    first = (
        "import kerasdl.export.tflite, kerasdl.export.verify, kerasdl.export.saved_model"
    )
    second = "import kerasdl.export as e; list(map(callable, (e.tflite, e.verify)))"
    lines = [first, second] if order == "module" else [second, first]
    check = (
        "import kerasdl, types; from kerasdl.export import tflite, saved_model, verify; "
        "all_ = (tflite, saved_model, verify, kerasdl.export.tflite); "
        "assert all(type(f) is types.FunctionType for f in all_); "
        "assert kerasdl.export.tflite is tflite"
    )
    subprocess.run([sys.executable, "-c", "\n".join([*lines, check])], check=True)


@pytest.mark.parametrize(
    ("steps", "units", "options", "strategy"),
    [
        (50, 64, {}, "unrolled"),
        (50, 64, {"quantize": "float16"}, "unrolled"),
        (50, 65, {}, "loop"),
        (257, 8, {}, "loop"),
        (None, 8, {}, "loop"),
        (50, 8, {"quantize": "weights"}, "loop"),
        (50, 8, {"signatures": ("infer", "train")}, "loop"),
        (50, 300, {"quantize": "dynamic"}, "unrolled"),
        (50, 300, {"quantize": "int8"}, "unrolled"),
        (50, 8, {"strategy": "loop"}, "loop"),
    ],
)
def test_auto_takes_what_is_needed_or_faster(steps, units, options, strategy):
    request = Request(steps=steps, **options)
    assert choose_strategy(request, True, steps, "it", units) == strategy
    assert choose_strategy(request, False, steps, "it", 0) == "none"


def convolution():
    x = keras.Input((6, 3))
    return keras.Model(x, L.LSTM(2)(L.Conv1D(2, 3, name="conv")(x)))


def convolution_lstm():
    x = keras.Input((4, 6, 3))
    return keras.Model(x, L.ConvLSTM1D(2, 3, name="conv")(x))


def twice():
    a, b, shared = keras.Input((4, 3)), keras.Input((4, 3)), L.GRU(2, name="shared")
    return keras.Model([a, b], L.Dot(1)([shared(a), shared(b)]))


def dense():
    return keras.Sequential([keras.Input((3,)), L.Dense(2)])


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (cells_model, {"quantize": "int8"}, "needs `representative`.*weights"),
        (cells_model, {"quantize": "int4"}, "`quantize` must be one of none.*'int4'"),
        (
            cells_model,
            {"quantize": "int8", "representative": draw(4, 7, 4)},
            "known length for the layer 'lstm.*steps",
        ),
        (cells_model, {"strategy": "unrolled"}, "'unrolled' needs a known length"),
        (cells_model, {"strategy": "fast"}, "`strategy` must be one of.*'fast'"),
        (cells_model, {"signatures": ("step",)}, "must hold 'infer'"),
        (cells_model, {"signatures": ("infer", "learn")}, "may hold 'step' and 'train'"),
        (cells_model, {"batch": 0}, "`batch` must be a positive integer, got 0"),
        (sequence_model, {"signatures": ("infer", "step")}, "'bidirectional.*sees other"),
        (states_model, {"signatures": ("infer", "step")}, "initial_state must not be an"),
        (twice, {"signatures": ("infer", "step")}, "'shared' is used 2 times"),
        (dense, {"signatures": ("infer", "step")}, "needs a recurrent layer"),
        (dense, {"signatures": ("infer", "train")}, "needs `loss`"),
        (
            dense,
            {"signatures": ("infer", "train"), "loss": "mse", "optimizer": "ftrl"},
            "`optimizer` must be sgd, momentum, adam.*'ftrl'",
        ),
        (
            dense,
            {"signatures": ("infer", "train"), "loss": "mse", "quantize": "weights"},
            "needs float32 weights.*got 'weights'",
        ),
        (convolution_lstm, {}, r"'conv' \(ConvLSTM1D\) has no form.*TimeDistributed"),
        (
            convolution,
            {"signatures": ("infer", "train"), "loss": "mse"},
            "no gradient .* the convolution 'conv'; set its `trainable` to False",
        ),
        (dense, {"representative": draw(4, 2)}, r"must have the shape \(None, 3\), got"),
        (dense, {"representative": 3.0}, "an array, a file, or an iterable"),
    ],
)
def test_refusals_are_one_line_and_write_nothing(model, options, message, tmp_path):
    with pytest.raises(InputError, match=message) as refusal:
        kerasdl.export.tflite(model(), tmp_path / "out" / "m.tflite", **options)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "m.keras").write_bytes(b"no zip")
    for model, message in [
        (tmp_path / "m.keras", r"m\.keras: not a Keras model that loads"),
        (tmp_path / "m.h5", r"a workdir or a \.keras file, got '.*m\.h5'"),
        (3, "`model` must be a built keras.Model, got int"),
        (keras.Sequential([L.Dense(2)]), "must be a built keras.Model"),
    ]:
        with pytest.raises(InputError, match=message):
            kerasdl.export.tflite(model, tmp_path / "m.tflite")
    assert [path.name for path in tmp_path.iterdir()] == ["m.keras"]
