import keras
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

import kerasdl
from kerasdl import layers, ops
from kerasdl.certification import Layout, certify
from kerasdl.certification.reference import NETWORKS, first_derivatives
from tests.certification import faulty

LONG = 12
MASKED = {"right padded", "left padded", "holes", "a row fully masked"}
FEW = ("starts from zero", "a row fully masked", "long sequence")
OURS = ["SimpleRNN", "LSTM", "GRU"]


def failing(certificate):
    """{case: the quantities that fail}"""
    found = {}
    for row in certificate.failures:
        found.setdefault(row.case, []).append(row.quantity)
    return found


def certified(rnn, *args, **kwargs):
    return certify(rnn, *args, show=False, long=LONG, **kwargs)


def assert_all_hold(certificate, rows=30):
    assert certificate.passed, str(certificate)
    assert sum(row.measured for row in certificate.rows) == rows, str(certificate)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize(
    "options",
    [
        {"dtype": "float64"},
        {"go_backwards": True, "zero_output_for_mask": True, "recompute": "sqrt"},
        {"dtype": "mixed_bfloat16", "use_bias": False, "dropout": 0.5},
    ],
    ids=str,
)
def test_ours_hold(name, options):
    only = {} if options == {"dtype": "float64"} else {"cases": FEW}
    certificate = certified(getattr(layers, name)(6, **options), **only)
    assert_all_hold(certificate, rows=9 if only else 30)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SimpleRNN", {}),
        ("LSTM", {}),
        ("GRU", {}),
        ("GRU", {"reset_after": False, "go_backwards": True}),
        ("LSTM", {"dtype": "mixed_float16", "stateful": True}),
        ("GRU", {"use_bias": False, "zero_output_for_mask": True}),
    ],
    ids=str,
)
def test_those_of_keras_hold(name, options):
    layer = getattr(keras.layers, name)(6, **options)
    layer.build((2, None, 5))
    only = {"cases": FEW} if options else {}
    assert_all_hold(certified(layer, **only), rows=9 if only else 30)


def test_a_layer_of_cells_and_one_that_ran_before():
    cells = keras.layers.RNN(keras.layers.GRUCell(4))
    assert_all_hold(certified(cells, cases=FEW[:2]), rows=6)
    layer = layers.LSTM(4)
    layer(np.ones((2, 3, 2), "float32"))
    certificate = certified(layer, cases=FEW[:1])
    assert "D = 2, H = 4" in certificate.subject
    assert_all_hold(certificate, rows=3)


@pytest.mark.parametrize("execution", ["graph", "xla"])
def test_compiled(execution):
    options = {"execution": execution, "cases": ("holes",)}
    assert_all_hold(certified(layers.SimpleRNN(3), **options), rows=3)


def test_our_ops_hold_as_functions():
    def lstm(x, states, weights, mask):
        return ops.lstm(x, *states, *weights, mask)

    certificate = certified(lstm, "lstm")
    assert certificate.subject.startswith("lstm (lstm, D = 5, H = 8, float32)")
    assert_all_hold(certificate, rows=27)  # a function is always given its states


def test_the_layer_is_afterwards_as_before():
    layer = layers.LSTM(4)
    layer.build((None, None, 3))
    weights = layer.get_weights()
    certified(layer, input_size=9, cases=FEW[:1])
    assert not (layer.return_sequences or layer.return_state or layer.stateful)
    for one, other in zip(layer.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert layer(np.ones((2, 3, 3))).shape == (2, 4)


def test_the_plain_lstm_holds():
    assert_all_hold(certified(faulty.lstm(), "lstm"), rows=27)


ALL = ["outputs", "first derivatives", "second derivatives"]
STATES_GIVEN = {
    *("initial state given", "one step", "one sample", "saturated gates"),
    *("long sequence", *MASKED),
}


@pytest.mark.parametrize(
    ("fault", "cases", "quantities"),
    [
        ("gate order", STATES_GIVEN, ALL),
        ("stopped", STATES_GIVEN, ALL[1:]),
        ("ignores the mask", MASKED, ALL),
        # The state is right; only outputs before the first true step are not 0.
        ("output from state", {"left padded", "holes", "a row fully masked"}, ALL),
        ("rounded derivative", STATES_GIVEN, ALL[1:]),
        ("once", STATES_GIVEN, ALL[2:]),
        ("naive sigmoid", {"saturated gates"}, ALL[1:]),
        ("truncated", {"long sequence"}, ALL[1:]),
        ("leaks its state", STATES_GIVEN, ALL),
    ],
)
def test_a_wrong_lstm_fails_in_the_rows_where_it_is_wrong(fault, cases, quantities):
    # Of those that fail everywhere a few cases tell; of the others all are run.
    run = FEW[1:] if cases == STATES_GIVEN else tuple(STATES_GIVEN)
    certificate = certified(faulty.lstm(fault), "lstm", cases=run)
    assert not certificate.passed
    found = failing(certificate)
    assert set(found) == cases & set(run), str(certificate)
    for case, failed in found.items():
        assert failed == quantities, str(certificate)
        for quantity in failed:
            assert f"FAILS  {case}, {quantity}: " in str(certificate)


class GateOrder(keras.layers.LSTM):
    """Trained elsewhere, with the gates in ONNX's order, loaded without a thought."""

    def call(self, *args, **kwargs):
        outputs = super().call(*args, **kwargs)
        return [outputs[0], *outputs[:0:-1]]  # (c, h) for (h, c)


def test_a_wrong_keras_layer_fails_with_the_array_named():
    certificate = certified(GateOrder(4), cases=("initial state given",))
    row = certificate.failures[0]
    assert (row.case, row.quantity) == ("initial state given", "outputs")
    assert row.array in ("h_T", "c_T")
    assert row.error > 0.1 > row.limit


def test_another_order_of_the_gates_is_a_layout():
    def onnx(x, states, weights, mask):
        blocks = [tf.split(w, 4, axis=-1) for w in weights]
        i, o, f, c = (list(gate) for gate in zip(*blocks, strict=True))
        keras_order = [tf.concat(part, -1) for part in zip(i, f, c, o, strict=True)]
        return ops.lstm(x, *states, *keras_order, mask)

    options = {"cases": ("holes",)}
    certificate = certified(onnx, "lstm", layout=Layout("iofc"), **options)
    assert_all_hold(certificate, rows=3)
    assert not certified(onnx, "lstm", **options).passed


def numpy_lstm(x, states, weights, mask):
    from kerasdl.certification.reference import forward

    W, U, b = weights
    mask = np.ones(x.shape[:2], bool) if mask is None else mask
    zero = np.zeros_like(b)
    return forward(NETWORKS["lstm"], x, states, [W, U, b, zero], mask)[0]


def numpy_backward(x, states, weights, mask, upstream, factor=1.0):
    from kerasdl.certification import reference

    W, U, b = weights
    mask = np.ones(x.shape[:2], bool) if mask is None else mask
    weights = [W, U, b, np.zeros_like(b)]
    _, tape = reference.forward(NETWORKS["lstm"], x, states, weights, mask)
    *gradients, d_b, _ = reference.backward(
        *(NETWORKS["lstm"], x, weights, mask, False, tape, upstream[0], upstream[1:])
    )
    return [*gradients, factor * d_b]


def test_a_numpy_function_with_its_own_backward_pass():
    options = {"framework": "numpy", "dtype": "float64"}
    certificate = certified(numpy_lstm, "lstm", backward=numpy_backward, **options)
    assert_all_hold(certificate, rows=18)

    def wrong(*args):
        return numpy_backward(*args, factor=0.5)

    certificate = certified(numpy_lstm, "lstm", backward=wrong, **options)
    assert {row.quantity for row in certificate.failures} == {"first derivatives"}
    assert {row.array for row in certificate.failures} == {"∂L/∂b"}
    assert_all_hold(certified(numpy_lstm, "lstm", **options), rows=9)


def test_a_layer_that_raises_fails_and_one_that_takes_no_mask_does_not():
    @keras.saving.register_keras_serializable("tests")
    class OneArgument(keras.layers.Layer):
        def build(self, shape):
            self.inner = layers.SimpleRNN(4, return_sequences=True, return_state=True)
            self.inner.build(shape)

        def call(self, x):
            if x.shape[1] == 1:
                raise RuntimeError("no sequence")
            return self.inner(x)

    certificate = certified(OneArgument(), "simple_rnn")
    by_case = {row.case: row for row in certificate.rows if row.quantity == "outputs"}
    assert by_case["starts from zero"].passed and by_case["starts from zero"].measured
    assert by_case["holes"].note == "call() takes no `mask`"
    given = by_case["initial state given"].note
    assert given == "call() takes no `initial_state`"
    assert not by_case["one step"].measured

    def raises(x, states, weights, mask):
        if x.shape[1] == 1:
            raise RuntimeError("no\nsequence")
        return ops.simple_rnn(x, *states, *weights, mask)

    certificate = certified(raises, "simple_rnn")
    assert failing(certificate) == {"one step": ALL}
    assert "one step, outputs: RuntimeError: no sequence" in str(certificate)


def test_what_has_another_shape_or_number_fails():
    def last_only(x, states, weights, mask):
        sequence, h = ops.simple_rnn(x, *states, *weights, mask)
        return sequence[:, -1], h

    certificate = certified(last_only, "simple_rnn")
    assert "y should be (4, 7, 8), got (4, 8)" in certificate.failures[0].note
    certificate = certified(lambda *_: [], "simple_rnn")
    assert "expected 2 arrays (y, h_T), got 0" in certificate.failures[0].note


def test_nothing_measured_is_no_pass():
    certificate = certified(faulty.lstm(), "lstm", cases=("starts from zero",))
    assert not certificate.failures and not certificate.passed
    assert "a function is always given its states" in str(certificate)


def test_the_table(capsys):
    certificate = kerasdl.certify(layers.SimpleRNN(3), long=LONG)
    printed = capsys.readouterr().out
    assert printed == f"{certificate}\n"
    first, _, head, *lines = printed.splitlines()
    name = "kerasdl.layers.SimpleRNN (simple_rnn, D = 5, H = 3, float32)"
    assert first == f"{name}: 30 of 30 hold"
    assert head.split("  ")[0] == "error / limit"
    assert len(lines) == 10


def test_the_limit_is_of_the_precision():
    case = {"cases": ("one step",)}
    rows = {
        dtype: certified(layers.SimpleRNN(3, dtype=policy), **case).rows[0]
        for dtype, policy in (
            ("float64", "float64"),
            ("float32", "float32"),
            ("bfloat16", "mixed_bfloat16"),
        )
    }
    for dtype, row in rows.items():
        eps = float(ml_dtypes.finfo(getattr(ml_dtypes, dtype, dtype)).eps)
        assert 16 * eps <= row.limit < 200 * eps
        assert row.error < row.limit
    loose = certified(layers.SimpleRNN(3), tolerance=0.5, **case)
    assert loose.rows[0].limit == 0.5


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((keras.layers.Dense(3),), {}, "`rnn`, expected an LSTM, .* got Dense"),
        ((len,), {}, "`kind`, expected one of simple_rnn, .* for a function, got None"),
        ((len, "tree"), {}, "`kind`, expected one of simple_rnn, .*, got 'tree'"),
        ((7, "lstm"), {}, "`rnn`, expected a Keras layer, .* got 7"),
        ((len, "lstm"), {"framework": "jax"}, "`framework`, .* got 'jax'"),
        ((len, "lstm"), {"execution": "slow"}, "`execution`, .* got 'slow'"),
        ((len, "lstm"), {"layout": Layout("abcd")}, "`layout`, .* got 'abcd'"),
        ((len, "lstm"), {"layout": Layout(biases="3")}, "`layout`, .* got '3'"),
        (
            (keras.layers.LSTM(3),),
            {"cases": ("hole",)},
            "`cases`, expected some of initial state given, .* got 'hole'",
        ),
        (("a.tflite",), {}, "`kind`, expected that of the layer in the file 'a.tflite'"),
        (("a.tflite", "lstm"), {}, "`weights`, expected that of the layer .* got None"),
        ((keras.layers.LSTM(3, activation="relu"),), {}, "activation tanh, .* got relu"),
        (
            (keras.layers.GRU(3, recurrent_activation="hard_sigmoid"),),
            {},
            "recurrent_activation sigmoid, .* got hard_sigmoid",
        ),
    ],
    ids=lambda value: "",
)
def test_refuses(args, kwargs, message):
    with pytest.raises(ValueError, match=message):
        certify(*args, **kwargs)


def test_refuses_weights_that_do_not_fit():
    network = NETWORKS["lstm"]
    with pytest.raises(ValueError, match=r"3 arrays \(W; U; b\), got 2"):
        Layout().read(network, [np.ones((2, 8)), np.ones((2, 8))])
    with pytest.raises(ValueError, match=r"\(D, 4H\) and \(H, 4H\), got .*\(2, 4\)"):
        Layout().read(network, [np.ones((3, 8)), np.ones((2, 4)), np.ones(8)])


def test_the_reference_imports_nothing_of_ours():
    import inspect

    from kerasdl.certification import reference

    source = inspect.getsource(reference)
    assert "import kerasdl" not in source and "from kerasdl" not in source
    assert first_derivatives.__module__ == "kerasdl.certification.reference"
