"""The pointwise part of an LSTM step, forward and backward.

The names and equations are those of `kerasdl.ops.lstm` and docs/derivations.md. Shapes:
a, `values` and A (..., 4H), the gates in the order i, f, c̃, o; states (..., H).
"""

import tensorflow as tf

from kerasdl.ops.activations import get_activation
from kerasdl.ops.compilation import in_xla


def advance(gates, values, c):
    """Returns h_t, c_t and ψ(c_t) from the gates' values (N, 4H) and c_{t-1}."""
    i, f, candidate, o = tf.split(values, 4, axis=-1)
    new_c = f * c + i * candidate
    squashed_c = gates.activation.function(new_c)
    return o * squashed_c, new_c, squashed_c


def local_derivatives(gates, values, previous_c, squashed_c):
    """Returns the factors of the backward recursion that need no recurrence.

    For all steps at once: `factors` [c̃, c_{t-1}, i, ψ(c_t)] ∗ (derivative of each gate)
    (..., 4H); `from_h` o ∗ ψ'(c_t), what γ_t takes from δ_t; and f, what γ_{t-1} takes
    from γ_t.
    """
    i, f, candidate, o = tf.split(values, 4, axis=-1)
    partners = tf.concat([candidate, previous_c, i, squashed_c], axis=-1)
    return partners * gates.slopes(values), o * gates.activation.slope(squashed_c), f


def gate_gradient(delta, gamma, factors):
    """Returns A_t = [a^i a^f a^c a^o] (N, 4H)."""
    return tf.concat([gamma, gamma, gamma, delta], axis=-1) * factors


class TanhGates:
    """All four gates as one tanh, for ψ = tanh and φ = sigmoid.

    Since σ(a) = ½ tanh(½ a) + ½, with s = (½, ½, 1, ½) and m = (½, ½, 0, ½) over the
    gates the values are s ∗ tanh(s ∗ a) + m. The inner s is multiplied into the weights,
    which a power of two does without rounding; under XLA, which would have to write the
    products out, it is one more factor of a fused loop. The slope is s² − (value − m)².
    """

    def __init__(self, units, dtype):
        ones = tf.ones(units, dtype)
        self.units = units
        self.activation = get_activation("tanh")
        self._fused = in_xla()
        self._scale = tf.concat([ones / 2, ones / 2, ones, ones / 2], axis=0)
        self._middle = tf.concat([ones / 2, ones / 2, 0 * ones, ones / 2], axis=0)

    def scaled(self, weights):
        """Returns what takes the place of a kernel or bias (..., 4H) in the step."""
        return weights if self._fused else weights * self._scale

    def values(self, z):
        """Returns [i f c̃ o] from the products with the scaled weights, z."""
        z = z * self._scale if self._fused else z
        return self._scale * tf.tanh(z) + self._middle

    def slopes(self, values):
        """Returns the derivative of each gate with respect to a."""
        return self._scale**2 - (values - self._middle) ** 2


class SeparateGates:
    """Gates of any other pair of activations; the methods are those of `TanhGates`."""

    def __init__(self, units, activation, recurrent_activation):
        self.units = units
        self.activation = activation
        self._recurrent = recurrent_activation

    def scaled(self, weights):
        """Returns the weights."""
        return weights

    def values(self, z):
        """Returns [i f c̃ o]."""
        return self._each(z, self.activation.function, self._recurrent.function)

    def slopes(self, values):
        """Returns the derivative of each gate."""
        return self._each(values, self.activation.slope, self._recurrent.slope)

    def _each(self, z, function, recurrent_function):
        i_and_f, candidate, o = tf.split(
            z, [2 * self.units, self.units, self.units], axis=-1
        )
        return tf.concat(
            [recurrent_function(i_and_f), function(candidate), recurrent_function(o)],
            axis=-1,
        )


def make_gates(activation, recurrent_activation, recurrent_kernel):
    """Returns the functions of the four gates for activations given by name.

    Raises:
        ValueError: an unknown activation, naming the argument.
    """
    units = recurrent_kernel.shape[0]
    activation = get_activation(activation)
    recurrent = get_activation(recurrent_activation, "recurrent_activation")
    if (activation.name, recurrent.name) == ("tanh", "sigmoid"):
        return TanhGates(units, recurrent_kernel.dtype)
    return SeparateGates(units, activation, recurrent)
