"""A user's Keras models as `.tflite` files, run where there is no TensorFlow."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

import kerasdl
from kerasdl.errors import InputError
from kerasdl.export.proof import load_cases, save_cases
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
            L.LSTM(6, activation="gelu", return_sequences=True),
            L.RNN(L.StackedRNNCells([L.LSTMCell(3), L.GRUCell(5)])),
            L.Dense(2, name="y"),
        ]
    )


def test_masks_wrappers_any_batch_and_length(tmp_path):
    model, path = sequence_model(), tmp_path / "m.tflite"
    entry = kerasdl.export.tflite(model, path)
    assert entry["strategy"] == "loop" and entry["reference"] == "float64"
    assert entry["signatures"]["serving_default"] == {
        "inputs": {"words": {"dtype": "int32", "shape": [-1, -1]}},
        "outputs": {"scores": {"dtype": "float32", "shape": [-1, 3]}},
    }
    one = np.array([[1, 2, 3, 4, 0, 0, 0]], "int32")
    many = np.array([[5, 6, 0, 0], [1, 0, 2, 8], [0, 0, 0, 0]], "int32")
    calls = [("serving_default", {"words": ids}) for ids in (one, one, many, one)]
    answers = [a["scores"] for a in run(path, calls, tmp_path)]
    for answer, (_, inputs) in zip(answers, calls, strict=True):
        np.testing.assert_allclose(answer, model(inputs["words"]), atol=1e-6)
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(answers[0], answers[3])


def test_initial_states_several_inputs_and_outputs(tmp_path):
    model, path = states_model(), tmp_path / "m.tflite"
    entry = kerasdl.export.tflite(model, path)
    assert entry["signatures"]["serving_default"]["inputs"].keys() == {"x", "h0", "c0"}
    x = draw(2, 5, 4)
    x[1, 3:] = 0  # masked
    inputs = {"x": x, "h0": draw(2, 3, seed=1), "c0": draw(2, 3, seed=2)}
    (answer,) = run(path, [("serving_default", inputs)], tmp_path)
    expected = model([inputs["x"], inputs["h0"], inputs["c0"]])
    assert answer.keys() == {"y", "h", "c"}
    for name, value in answer.items():
        np.testing.assert_allclose(value, expected[name], atol=1e-6)


def test_one_step_at_a_time_is_the_whole_sequence(tmp_path):
    model, path = cells_model(), tmp_path / "m.tflite"
    entry = kerasdl.export.tflite(model, path, signatures=("infer", "step"))
    step = entry["signatures"]["step"]
    states = entry["states"]
    assert set(step["inputs"]) == {"x", *states} and set(step["outputs"]) == {
        "y",
        *states,
    }
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(path)).get_signature_runner("step")
    x = draw(2, 8, 4)
    carried = {
        name: np.zeros((2, step["inputs"][name]["shape"][1]), "f") for name in states
    }
    for t in range(8):
        answer = runner(x=x[:, t], **carried)
        carried = {name: answer[name].copy() for name in states}
        np.testing.assert_allclose(answer["y"], model(x[:, : t + 1]), atol=1e-5)
    assert "WHILE" not in operations_of_signature(path, "step")
    assert "WHILE" in operations_of_signature(path, "serving_default")


def operations_of_signature(path, name):
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(path.read_bytes())
    kinds = {v: k for k, v in vars(schema.BuiltinOperator).items()}
    for index in range(model.SignatureDefsLength()):
        signature = model.SignatureDefs(index)
        if signature.SignatureKey().decode() == name:
            graph = model.Subgraphs(signature.SubgraphIndex())
            codes = [
                model.OperatorCodes(graph.Operators(k).OpcodeIndex())
                for k in range(graph.OperatorsLength())
            ]
            return {kinds[max(c.BuiltinCode(), c.DeprecatedBuiltinCode())] for c in codes}
    raise AssertionError(name)


def lstm_float64(x, kernel, recurrent, bias):
    """h_T and the largest |c| by the equations, in float64."""
    h = c = np.zeros((len(x), recurrent.shape[0]))
    largest = 0.0
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ kernel + h @ recurrent + bias, 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        largest = max(largest, np.abs(c).max())
    return h, c, largest


@pytest.mark.parametrize("strategy", ["loop", "unrolled"])
def test_a_cell_state_beyond_ten_and_back(strategy, tmp_path):
    """What the converter's own fused LSTM clips at 10."""
    keras.utils.set_random_seed(3)
    x = keras.Input((30, 2), name="x")
    h, _, c = L.LSTM(3, return_state=True)(x)
    model = keras.Model(x, {"h": h, "c": c})
    kernel, recurrent, bias = model.layers[1].get_weights()
    bias[:3], bias[3:6] = 4.0, 6.0  # input and forget gates open
    model.layers[1].set_weights([kernel, recurrent, bias])
    path = tmp_path / "m.tflite"
    kerasdl.export.tflite(model, path, strategy=strategy)
    large, small = np.full((1, 30, 2), 3, "f"), draw(3, 30, 2) / 9
    calls = [("serving_default", {"x": given}) for given in (large, small, large)]
    answers = run(path, calls, tmp_path)
    for (_, inputs), answer in zip(calls, answers, strict=True):
        h, c, largest = lstm_float64(inputs["x"].astype(float), kernel, recurrent, bias)
        np.testing.assert_allclose(answer["c"], c, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(answer["h"], h, atol=1e-6)
        assert (largest > 10) == (inputs["x"] is large)
    assert ("WHILE" in operations_of_signature(path, "serving_default")) == (
        strategy == "loop"
    )


@pytest.mark.parametrize("quantize", ["dynamic", "weights", "int8"])
def test_quantised(quantize, tmp_path):
    keras.utils.set_random_seed(4)
    model = keras.Sequential(
        [
            keras.Input((None, 8), name="x"),
            L.LSTM(64, return_sequences=True),
            L.LSTM(32),
            L.Dense(4, activation="softmax", name="p"),
        ]
    )
    path = tmp_path / "m.tflite"
    given = draw(60, 10, 8)
    entry = kerasdl.export.tflite(
        model, path, steps=10, quantize=quantize, representative=given
    )
    assert entry["strategy"] == ("loop" if quantize == "weights" else "unrolled")
    assert path.stat().st_size < 0.5 * 4 * model.count_params() + 120_000
    details = entry["signatures"]["serving_default"]
    assert (
        details["inputs"]["x"]["dtype"] == details["outputs"]["p"]["dtype"] == "float32"
    )
    answer = kerasdl.load(path).predict(given[0])["p"]
    np.testing.assert_allclose(answer, model(given[:1])[0], atol=0.03)


OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.3),
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(0.02),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_it_learns_on_the_device_as_keras_does(optimizer, tmp_path):
    keras.utils.set_random_seed(5)
    x = keras.Input((None, 3), name="x")
    y = L.Bidirectional(L.LSTM(8, return_sequences=True))(L.Masking()(x))
    y = L.Dropout(0.5)(y)
    y = L.LSTM(6)(y) + L.LayerNormalization()(L.Dense(6, "relu")(L.SimpleRNN(4)(y)))
    model = keras.Model(x, L.Dense(3, "softmax", name="p")(y))
    before = [w.copy() for w in model.get_weights()]
    path = tmp_path / "m.tflite"
    entry = kerasdl.export.tflite(
        model,
        path,
        signatures=("infer", "train"),
        loss="sparse_categorical_crossentropy",
        optimizer=OPTIMIZERS[optimizer](),
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
    twin.compile(OPTIMIZERS[optimizer](), "sparse_categorical_crossentropy")
    losses = [twin.train_on_batch(inputs, labels) for _ in range(30)]
    got = [float(answer["loss"]) for answer in answers[:30]]
    assert losses[-1] < losses[0] - 0.1
    np.testing.assert_allclose(got, losses, rtol=2e-4 if optimizer == "adam" else 1e-5)
    np.testing.assert_allclose(answers[30]["p"], twin(inputs), atol=1e-3)
    assert float(answers[-1]["loss"]) == got[0]  # loaded again, with a fresh optimiser


def test_saved_model_keeps_the_names(tmp_path):
    model = states_model()
    folder, entry = kerasdl.export.saved_model(model, tmp_path / "served")
    assert folder.name == "1" and entry["largest_difference"] < 1e-5
    inputs = {"x": draw(5, 4), "h0": draw(3, seed=1), "c0": draw(3, seed=2)}
    answer = kerasdl.load(folder).predict(inputs)
    expected = model([inputs[name][np.newaxis] for name in ("x", "h0", "c0")])
    for name, value in expected.items():
        np.testing.assert_allclose(answer[name], value[0], atol=1e-6)
    kerasdl.export.verify(folder)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A `.keras` file, and what the command makes of it."""
    root = tmp_path_factory.mktemp("command")
    cells_model().save(root / "m.keras")
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-W",
                "error::RuntimeWarning",
                "-m",
                "kerasdl.export.tflite",
            ),
            *(
                f"--model={root / 'm.keras'}",
                f"--output={root / 'm.tflite'}",
                "--batch=1",
            ),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "6 of 6 answers as the model's" in done.stdout and not done.stderr
    return root / "m.tflite"


def test_predict_and_verify_commands(exported, tmp_path):
    np.save(tmp_path / "x.npy", draw(6, 4))
    out = run_without(
        {"tensorflow", "keras"},
        "import sys, runpy; sys.argv[0] = 'predict'\n"
        "runpy.run_module('kerasdl.export.predict', run_name='__main__')",
        f"--model={exported}",
        f"--input={tmp_path / 'x.npy'}",
        "--json",
    )
    (row,) = map(json.loads, out.splitlines())
    np.testing.assert_allclose(row["y"], cells_model()(draw(1, 6, 4))[0], atol=1e-6)
    out = run_without(
        {"tensorflow", "keras"},
        "import sys, runpy; sys.argv[0] = 'verify'\n"
        "runpy.run_module('kerasdl.export.verify', run_name='__main__')",
        f"--model={exported}",
    )
    assert "as its manifest says" in out and "threads: 2" in out


def copied(exported, folder):
    for name in ("m.tflite", "m.tflite.proof.npz", "manifest.json"):
        (folder / name).write_bytes((exported.parent / name).read_bytes())
    return folder / "m.tflite"


def test_verify_sees_another_file(exported, tmp_path):
    path = copied(exported, tmp_path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"m\.tflite: not the file that the manifest"):
        kerasdl.export.verify(path)
    path.unlink()
    with pytest.raises(InputError, match="not the file"):
        kerasdl.export.verify(path)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"expected the manifest of m\.tflite"):
        kerasdl.export.verify(path)


def test_verify_sees_another_answer(exported, tmp_path):
    path = copied(exported, tmp_path)
    proof = tmp_path / "m.tflite.proof.npz"
    cases = load_cases(proof)
    cases[2].expected["y"][0] += 0.01
    save_cases(proof, cases)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    from kerasdl.export.proof import file_entry

    manifest["m.tflite"]["files"][proof.name] = file_entry(proof)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"serving_default differs from the model"):
        kerasdl.export.verify(path)


def test_a_truncated_file_is_one_line(exported, tmp_path):
    path = copied(exported, tmp_path)
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(InputError):
        kerasdl.load(path)


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
