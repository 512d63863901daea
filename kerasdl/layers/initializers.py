"""Initialisers of the biases of gates, which set how long a layer remembers at first.

A unit of an LSTM whose forget gate is f keeps f^k of its cell state for k steps: with the
gate's bias b and no other input, f = σ(b), and the memory lasts for about 1 + e^b steps.
So does a GRU's update gate z in Keras's form h_t = z_t ∗ h_{t-1} + (1 − z_t) ∗ h̃_t.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras

# Of the gates' blocks of columns: that of the gate that keeps the state, and of the gate
# that lets new input in; an LSTM's are i, f, c̃, o, a GRU's z, r, h̃.
_KEEPING, _ENTERING = {4: 1, 3: 0}, {4: 0}


class GateBias(keras.initializers.Initializer):
    """Sets the biases of the gates that keep the state, and leaves the others at 0.

    Args:
        units: H of the layer, which tells an LSTM's bias (4H) from a GRU's (3H) or
            (2, 3H); of a GRU's two biases, which are added, the first one gets the value.
    """

    def __init__(self, units: int) -> None:
        if isinstance(units, bool) or not isinstance(units, int) or units < 1:
            raise ValueError(
                "Received an invalid value for argument `units`, expected a positive "
                f"integer, got {units!r}."
            )
        self.units = units

    def gate_bias(self, dtype: str):
        """The bias of the gate that keeps the state, (H,)."""
        raise NotImplementedError

    def entering_bias(self, kept):
        """The bias of an LSTM's input gate, (H,), given that of its forget gate."""
        return keras.ops.zeros_like(kept)

    def __call__(self, shape: Sequence[int], dtype: str | None = None):
        """The whole bias.

        Raises:
            ValueError: `shape` is not that of the bias of an LSTM or a GRU of H units.
        """
        shape, dtype = tuple(shape), dtype or keras.config.floatx()
        gates = shape[-1] // self.units if shape else 0
        allowed = [(4 * self.units,), (3 * self.units,), (2, 3 * self.units)]
        if shape not in allowed:
            raise ValueError(
                "Received an invalid value for argument `shape`, expected "
                f"{allowed[0]} of an LSTM, {allowed[2]} or {allowed[1]} of a GRU of "
                f"{self.units} units, got {shape}; an LSTM needs "
                "`unit_forget_bias=False` besides."
            )
        kept = self.gate_bias(dtype)
        parts = [keras.ops.zeros((self.units,), dtype)] * gates
        parts[_KEEPING[gates]] = kept
        if gates in _ENTERING:
            parts[_ENTERING[gates]] = self.entering_bias(kept)
        bias = keras.ops.concatenate(parts)
        if len(shape) == 2:
            bias = keras.ops.stack([bias, keras.ops.zeros_like(bias)])
        return bias

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return {"units": self.units}


@keras.saving.register_keras_serializable(package="kerasdl")
class ForgetBias(GateBias):
    """One value for the forget gates of an LSTM, or the update gates of a GRU.

    Args:
        units: H of the layer.
        value: The bias; 1 is what Keras's LSTM starts with, and its GRU starts with 0.

    Example:

    >>> cell = keras.layers.GRU(2, bias_initializer=ForgetBias(2, 3.0))
    >>> cell.build((None, None, 1))
    >>> cell.cell.bias.numpy()[0].tolist()
    [3.0, 3.0, 0.0, 0.0, 0.0, 0.0]

    References: Gers, Schmidhuber and Cummins, Learning to Forget, 2000; Jozefowicz,
    Zaremba and Sutskever, An Empirical Exploration of Recurrent Network Architectures,
    2015, section 3.
    """

    def __init__(self, units: int, value: float = 1.0) -> None:
        super().__init__(units)
        self.value = float(value)

    def gate_bias(self, dtype):
        """The value for each unit."""
        return keras.ops.full((self.units,), self.value, dtype)

    def get_config(self):
        """Returns the constructor's arguments."""
        return super().get_config() | {"value": self.value}


@keras.saving.register_keras_serializable(package="kerasdl")
class ChronoBias(GateBias):
    """Memories of all lengths up to the longest dependency that is expected.

        b_f = log u,   b_i = −b_f   of an LSTM,      b_z = log u   of a GRU

    with u drawn for each unit from U(1, T − 1), so that the unit's memory lasts for about
    1 + u steps.

    Args:
        units: H of the layer.
        longest: T, in time steps, greater than 2.
        seed: Of the draws; None takes them from Keras's global generator.

    Example:

    >>> lstm = keras.layers.LSTM(
    ...     64, unit_forget_bias=False, bias_initializer=ChronoBias(64, longest=200)
    ... )

    Reference: Tallec and Ollivier, Can Recurrent Neural Networks Warp Time?, 2018,
    equation 16 and section 2; their GRU's update gate is 1 − z of Keras's.
    """

    def __init__(self, units: int, longest: float, seed: int | None = None) -> None:
        super().__init__(units)
        if not (math.isfinite(longest) and longest > 2):
            raise ValueError(
                "Received an invalid value for argument `longest`, expected a number of "
                f"steps greater than 2, got {longest!r}."
            )
        self.longest = longest
        self.seed = seed

    def gate_bias(self, dtype):
        """The logarithm of each unit's draw."""
        draws = keras.random.uniform(
            (self.units,), 1.0, self.longest - 1.0, dtype=dtype, seed=self.seed
        )
        return keras.ops.log(draws)

    def entering_bias(self, kept):
        """The input gate lets in as much as the forget gate lets go."""
        return -kept

    def get_config(self):
        """Returns the constructor's arguments."""
        return super().get_config() | {"longest": self.longest, "seed": self.seed}
