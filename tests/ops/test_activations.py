import numpy as np
import pytest

from kerasdl.ops.activations import ACTIVATIONS, get_activation
from tests.ops.numpy_reference import FUNCTIONS

# No point within a finite difference of a kink (0, ±3).
POINTS = np.array([-7.0, -3.1, -2.9, -1.0, -0.1, 0.1, 0.7, 2.9, 3.1, 7.0])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_value_and_slope(name):
    activation, reference = get_activation(name), FUNCTIONS[name]
    values = activation.function(POINTS)
    np.testing.assert_allclose(values, reference(POINTS), rtol=0, atol=1e-15)
    step = 1e-6
    expected = (reference(POINTS + step) - reference(POINTS - step)) / (2 * step)
    np.testing.assert_allclose(activation.slope(values), expected, rtol=0, atol=1e-9)


def test_refuses_others_by_name():
    with pytest.raises(ValueError, match=r"`recurrent_activation`.*tanh.*got softsign"):
        get_activation("softsign", "recurrent_activation")
