import numpy as np
import pytest

from kerasdl.ops import dense_over_time
from tests.ops.gradient_checks import finite_differences, relative_error, tape_gradients


@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients(bias):
    draw = np.random.default_rng(0).normal
    inputs = [draw(size=(2, 3, 4)), draw(size=(4, 5))] + [draw(size=5)] * bias
    upstream = draw(size=(2, 3, 5))

    def slow(x, kernel, bias=0.0):
        return np.stack([x[:, t] @ kernel + bias for t in range(x.shape[1])], axis=1)

    (y,), gradients = tape_gradients(lambda *i: [dense_over_time(*i)], inputs, [upstream])
    np.testing.assert_allclose(y, slow(*inputs), rtol=0, atol=1e-14)
    expected = finite_differences(lambda *i: np.sum(slow(*i) * upstream), inputs)
    assert relative_error(gradients, expected) < 1e-6


@pytest.mark.parametrize(
    ("x", "kernel", "bias", "message"),
    [
        ((2, 4), (4, 5), (5,), r"`x`, expected .* \(N, T, H\), got .* \(2, 4\)"),
        ((2, 3, 4), (3, 5), (5,), r"`kernel`, expected .* \(4, V\), got .* \(3, 5\)"),
        ((2, 3, 4), (4, 5), (4,), r"`bias`, expected .* \(5\), got .* \(4,\)"),
    ],
)
def test_refuses_shapes(x, kernel, bias, message):
    with pytest.raises(ValueError, match=message):
        dense_over_time(np.zeros(x), np.zeros(kernel), np.zeros(bias))
