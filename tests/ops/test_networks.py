"""Every recurrent network against its equations, finite differences and autodiff."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kerasdl.ops.activations import ACTIVATIONS
from tests.ops.gradient_checks import finite_differences, relative_error, tape_gradients
from tests.ops.networks import NETWORKS
from tests.ops.problems import MASKS, D, H, N, T, upstream_like

PAIRS = [
    ("tanh", "sigmoid"),
    ("tanh", "hard_sigmoid"),
    ("relu", "sigmoid"),
    ("linear", "linear"),
    ("sigmoid", "tanh"),
]
OPTIONS = {
    "simple_rnn": [{"activation": name} for name in ACTIVATIONS],
    **{
        name: [{"activation": psi, "recurrent_activation": phi} for psi, phi in PAIRS]
        for name in ("lstm", "gru", "gru_reset_before")
    },
}


@pytest.fixture(params=NETWORKS)
def name(request):
    return request.param


@pytest.fixture
def network(name):
    return NETWORKS[name]


@pytest.fixture(params=MASKS, ids=lambda name: name.replace(" ", "_"))
def mask(request):
    return MASKS[request.param]


def loss_of(reference, upstream):
    """Returns Σ outputs ∗ upstream as a function of the inputs, for differences."""

    def loss(*inputs):
        outputs = reference(*inputs)
        outputs = outputs if isinstance(outputs, (tuple, list)) else [outputs]
        return sum(np.sum(y * g) for y, g in zip(outputs, upstream, strict=True))

    return loss


def test_sequence_equals_the_equations(network, mask):
    inputs = network.problem()
    expected = network.reference(*inputs, mask=mask)
    for actual, wanted in zip(network.op(*inputs, mask=mask), expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize("used", [0, 1, 2, None], ids=["sequence", "h", "c", "all"])
def test_gradients_from_each_output_equal_finite_differences(network, mask, used):
    inputs = network.problem()
    outputs = network.reference(*inputs, mask=mask)
    if used is not None and used >= len(outputs):
        pytest.skip("one state only")
    upstream = [g * (used in (k, None)) for k, g in enumerate(upstream_like(outputs))]
    run, reference = (functools.partial(f, mask=mask) for f in network[:4:3])
    _, gradients = tape_gradients(run, inputs, upstream)
    expected = finite_differences(loss_of(reference, upstream), inputs)
    assert relative_error(gradients, expected) < 1e-6


@pytest.mark.parametrize("options", [{}, {"unroll": True}, {"recompute": "all"}], ids=str)
def test_gradients_equal_autodiff_of_the_same_forward_pass(network, mask, options):
    inputs = network.problem()
    upstream = upstream_like(network.reference(*inputs))
    outputs, gradients = tape_gradients(
        lambda *i: network.op(*i, mask=mask, **options), inputs, upstream
    )
    wanted_outputs, wanted = tape_gradients(
        lambda *i: network.plain(*i, mask=mask), inputs, upstream
    )
    assert relative_error(outputs, wanted_outputs) < 1e-12
    assert relative_error(gradients, wanted) < 1e-12


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, options) for name in NETWORKS for options in OPTIONS[name]],
    ids=str,
)
def test_gradients_of_every_activation_equal_finite_differences(name, options):
    network, mask = NETWORKS[name], MASKS["holes"]
    inputs = network.problem(seed=5)
    run, reference = (functools.partial(f, mask=mask, **options) for f in network[:4:3])
    wanted = reference(*inputs)
    upstream = upstream_like(wanted)
    outputs, gradients = tape_gradients(run, inputs, upstream)
    assert relative_error(outputs, wanted) < 1e-12
    expected = finite_differences(loss_of(reference, upstream), inputs)
    assert relative_error(gradients, expected) < 1e-6
    compiled = tf.function(run, jit_compile=True, autograph=False)
    outputs, again = tape_gradients(compiled, inputs, upstream)
    assert relative_error(outputs, wanted) < 1e-12
    assert relative_error(again, gradients) < 1e-12


@pytest.mark.parametrize("bias", [True, False])
def test_step_equals_the_equations_and_finite_differences(network, bias):
    x, *rest = network.problem()
    inputs = [x[:, 0], *rest][: None if bias else -1]
    expected = network.reference_step(*inputs)
    expected = expected if isinstance(expected, tuple) else [expected]
    upstream = upstream_like(expected)

    def step(*inputs):
        return tf.nest.flatten(network.step(*inputs))

    outputs, gradients = tape_gradients(step, inputs, upstream)
    assert relative_error(outputs, expected) < 1e-14
    wanted = finite_differences(loss_of(network.reference_step, upstream), inputs)
    assert relative_error(gradients, wanted) < 1e-6


def test_sequence_equals_its_steps(network):
    x, *rest = map(tf.constant, network.problem())
    states, weights = rest[: network.states], rest[network.states :]
    sequence, *last = network.op(x, *states, *weights)
    for t in range(T):
        states = tf.nest.flatten(network.step(x[:, t], *states, *weights))
        np.testing.assert_allclose(sequence[:, t], states[0], rtol=0, atol=1e-15)
    for actual, expected in zip(last, states, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-15)


def test_equals_keras_with_the_same_weights(network, mask):
    x, *rest = network.problem()
    states, weights = rest[: network.states], rest[network.states :]
    layer = getattr(keras.layers, network.layer)(
        H,
        return_sequences=True,
        return_state=True,
        dtype="float64",
        **network.layer_options,
    )
    layer.build((N, T, D))
    layer.set_weights(weights)
    given = [tf.constant(value) for value in (x, *states)]
    variables = [*given, *(weight.value for weight in layer.trainable_weights)]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        expected = layer(given[0], initial_state=given[1:], mask=mask)
    upstream = upstream_like(expected)
    wanted = tape.gradient(
        expected, variables, output_gradients=[tf.constant(g) for g in upstream]
    )
    outputs, gradients = tape_gradients(
        lambda *i: network.op(*i, mask=mask), [x, *rest], upstream
    )
    assert relative_error(outputs, [o.numpy() for o in expected]) < 1e-12
    assert relative_error(gradients, [g.numpy() for g in wanted]) < 1e-12


@pytest.mark.parametrize("each", [False, True], ids=["one_mask", "a_mask_a_gate"])
def test_dropout_masks_scale_what_the_gates_see(network, each):
    inputs = network.problem()
    count = network.gates if each else 1
    draw = np.random.default_rng(2).binomial
    on_x = draw(1, 0.5, size=(count, N, D)) * 2.0
    on_h = draw(1, 0.5, size=(count, N, H)) * 2.0
    upstream = upstream_like(network.reference(*inputs))
    options = {
        "dropout_mask": tf.constant(on_x if each else on_x[0]),
        "recurrent_dropout_mask": tf.constant(on_h if each else on_h[0]),
    }
    masks = {
        "on_x": [on_x[k % count] for k in range(network.gates)],
        "on_h": [on_h[k % count] for k in range(network.gates)],
    }
    outputs, gradients = tape_gradients(
        lambda *i: network.op(*i, **options), inputs, upstream
    )
    wanted_outputs, wanted = tape_gradients(
        lambda *i: network.plain(*i, **masks), inputs, upstream
    )
    assert relative_error(outputs, wanted_outputs) < 1e-12
    assert relative_error(gradients, wanted) < 1e-12
    x, *rest = inputs
    states, gradients = tape_gradients(
        lambda x, *i: tf.nest.flatten(network.step(x[:, 0], *i, **options)),
        [x[:, :1], *rest],
        upstream[1:],
    )
    wanted_states, wanted = tape_gradients(
        lambda *i: network.plain(*i, **masks)[1:], [x[:, :1], *rest], upstream[1:]
    )
    assert relative_error(states, wanted_states) < 1e-12
    assert relative_error(gradients, wanted) < 1e-12


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("recompute", [None, "all"])
def test_second_derivatives_equal_those_of_autodiff(network, graph, recompute):
    inputs = [tf.constant(value) for value in network.problem()]
    upstream = [tf.constant(g) for g in upstream_like(network.plain(*inputs))]
    mask = tf.constant(MASKS["holes"])

    def derivatives(function):
        with tf.GradientTape() as outer:
            outer.watch([*inputs, *upstream])
            with tf.GradientTape() as inner:
                inner.watch(inputs)
                outputs = function(*inputs, mask=mask)
            gradients = inner.gradient(outputs, inputs, output_gradients=upstream)
            curved = tf.add_n([tf.reduce_sum(tf.sin(g)) for g in gradients])
        return outer.gradient(curved, [*inputs, *upstream])

    def ours():
        return derivatives(functools.partial(network.op, recompute=recompute))

    actual = tf.function(ours, autograph=False)() if graph else ours()
    wanted = derivatives(network.plain)
    assert (
        relative_error([a.numpy() for a in actual], [w.numpy() for w in wanted]) < 1e-12
    )


@pytest.mark.parametrize("jit_compile", [False, True])
def test_traced_with_unknown_batch_and_length(network, jit_compile):
    x, *rest = network.problem()
    mask = MASKS["holes"]
    count = network.states

    @tf.function(
        jit_compile=jit_compile,
        input_signature=[
            tf.TensorSpec((None, None, D), tf.float64),
            tf.TensorSpec((None, None), tf.bool),
        ],
    )
    def gradients(x, mask):
        with tf.GradientTape() as tape:
            tape.watch(x)
            states = [tf.constant(state)[: tf.shape(x)[0]] for state in rest[:count]]
            sequence, *last = network.op(x, *states, *rest[count:], mask=mask)
            loss = tf.reduce_sum(sequence) + tf.reduce_sum(tf.reduce_prod(last, axis=0))
        assert tuple(sequence.shape) == (None, None, H)
        return sequence, tape.gradient(loss, x)

    def plain(x):
        sequence, *last = network.plain(x, *rest, mask=mask)
        return [tf.reduce_sum(sequence) + tf.reduce_sum(tf.reduce_prod(last, axis=0))]

    _, wanted = tape_gradients(plain, [x], [np.array(1.0)])
    sequence, actual = gradients(x, mask)
    assert relative_error([actual.numpy()], wanted) < 1e-12
    assert sequence.shape == (N, T, H)


def test_right_padding_equals_truncation_with_zero_gradient_there(network):
    inputs = network.problem()
    mask = MASKS["right padded"]
    (_, *last), (d_x, *_) = tape_gradients(
        lambda *i: network.op(*i, mask=mask),
        inputs,
        upstream_like(network.plain(*inputs)),
    )
    x, *rest = inputs
    states, weights = rest[: network.states], rest[network.states :]
    for n, length in enumerate(mask.sum(axis=1)):
        one = slice(n, n + 1)
        short = network.op(x[one, :length], *(s[one] for s in states), *weights)[1:]
        for actual, expected in zip(last, short, strict=True):
            np.testing.assert_allclose(actual[one], expected, rtol=0, atol=1e-15)
    assert np.all(d_x[~mask] == 0)
    assert np.all(d_x[mask] != 0)


def test_two_chunks_with_the_state_carried_over_equal_one_run(network):
    x, *rest = network.problem()
    states, weights = rest[: network.states], rest[network.states :]
    whole, *last = network.op(x, *states, *weights)
    first, *states = network.op(x[:, :1], *states, *weights)
    second, *states = network.op(x[:, 1:], *states, *weights)
    np.testing.assert_allclose(tf.concat([first, second], axis=1), whole, atol=1e-15)
    for actual, expected in zip(states, last, strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-15)


def test_zero_output_for_mask_and_no_sequence(network):
    inputs = network.problem()
    mask = MASKS["holes"]
    plain, *states = network.op(*inputs, mask=mask)
    zeroed, *_ = network.op(*inputs, mask=mask, zero_output_for_mask=True)
    np.testing.assert_array_equal(zeroed, np.where(mask[..., None], plain, 0))
    none, *only = network.op(*inputs, mask=mask, return_sequences=False)
    assert none is None
    for actual, expected in zip(only, states, strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_a_mask_of_one_row_stands_for_all_samples(network):
    inputs = network.problem()
    row = MASKS["holes"][:1]
    for actual, expected in zip(
        network.op(*inputs, mask=row),
        network.op(*inputs, mask=np.repeat(row, N, axis=0)),
        strict=True,
    ):
        np.testing.assert_array_equal(actual, expected)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("network_name", NETWORKS)
def test_any_shape_and_mask(network_name, data):
    network = NETWORKS[network_name]
    n, t, d, h = (data.draw(st.integers(1, top)) for top in (3, 5, 3, 3))
    mask = data.draw(hnp.arrays(bool, (n, t)))
    inputs = network.problem(seed=data.draw(st.integers(0, 99)), n=n, t=t, d=d, h=h)
    reference = network.reference(*inputs, mask=mask)
    upstream = upstream_like(reference)
    outputs, gradients = tape_gradients(
        lambda *i: network.op(*i, mask=mask), inputs, upstream
    )
    _, wanted = tape_gradients(
        lambda *i: network.plain(*i, mask=tf.constant(mask)), inputs, upstream
    )
    assert relative_error(outputs, reference) < 1e-12
    assert relative_error(gradients, wanted) < 1e-12
    assert np.all(gradients[0][~mask] == 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": (N, D)}, r"`x`, expected .* \(N, T, D\), got .* \(3, 2\)"),
        ({"h0": (N, 5)}, r"`h0`, expected .* \(N, 3\), got .* \(3, 5\)"),
        ({"c0": (H,)}, r"`c0`, expected .* \(N, 3\), got .* \(3,\)"),
        ({"kernel": (D, 5)}, r"`kernel`.* \(2, {wide}\), got .* \(2, 5\)"),
        ({"recurrent_kernel": (H, 2)}, r"`recurrent_kernel`.*\(3, 2\)"),
        ({"bias": (5,)}, r"`bias`, expected .* \({rows}{wide}\), got .* \(5,\)"),
        ({"mask": (T,)}, r"`mask`, expected .* \(N, T\), got .* \(4,\)"),
        ({"mask": (N, T + 1)}, r"`mask`, expected .* \(3, 4\), got .* \(3, 5\)"),
        ({"activation": "gelu"}, r"`activation`, expected one of tanh, .* got gelu"),
        ({"recurrent_activation": "softmax"}, r"`recurrent_activation`.* got softmax"),
        ({"recompute": "none"}, r"`recompute`, expected one of None, .*, got 'none'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_refuses(network, changes, message):
    ((argument, value),) = changes.items()
    if argument == "c0" and network.states == 1:
        pytest.skip("one state only")
    if argument == "recurrent_activation" and network.gates == 1:
        pytest.skip("no gates")
    names = ["x", "h0", "c0"][: 1 + network.states] + ["kernel", "recurrent_kernel"]
    inputs = dict(zip([*names, "bias"], network.problem(), strict=True))
    inputs[argument] = np.zeros(value) if isinstance(value, tuple) else value
    rows = "".join(f"{row}, " for row in network.bias_rows)
    message = message.replace("{wide}", str(network.gates * H)).replace("{rows}", rows)
    with pytest.raises(ValueError, match=message):
        network.op(**inputs)


def test_a_step_refuses_by_its_own_names(network):
    x, h, *rest = network.problem()
    with pytest.raises(
        ValueError, match=r"`x`, expected .* \(N, D\), got .* \(3, 4, 2\)"
    ):
        network.step(x, h, *rest)
    with pytest.raises(ValueError, match=r"`h`, expected .* \(N, 3\), got .* \(3, 2\)"):
        network.step(x[:, 0], h[:, :2], *rest)


def test_refuses_to_unroll_an_unknown_length(network):
    inputs = network.problem()

    @tf.function(input_signature=[tf.TensorSpec((N, None, D), tf.float64)])
    def run(x):
        return network.op(x, *inputs[1:], unroll=True)[1]

    with pytest.raises(ValueError, match=r"`unroll`, expected False .* got True"):
        run(inputs[0])
