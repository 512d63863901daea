"""Converts the weights of a recurrent layer to those of the equations, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kerasdl.certification.reference import Network

Array = np.ndarray

BIASES = ("none", "one", "stacked", "two")


@dataclass(frozen=True)
class Layout:
    """Where the gates stand in a layer's weights, and how many biases there are.

    Attributes:
        gates: The order of the blocks of H columns by letter: `ifco` of an LSTM (c the
            candidate, also called g), `zrh` of a GRU (h the candidate, also called n),
            `h` of a vanilla network. "" for Keras's order, which is the one above.
        transposed: Whether the kernels are (GH, D) and (GH, H), as in PyTorch.
        biases: `none`; `one` (GH,); `stacked`, one array (2, GH) of b and b', as in
            Keras's GRU with `reset_after`; `two`, b and b' apart, as in PyTorch.
    """

    gates: str = ""
    transposed: bool = False
    biases: str = "one"

    def check(self, network: Network) -> None:
        """Raises ValueError unless this is a layout of that network."""
        if self.gates and sorted(self.gates) != sorted(network.gates):
            raise ValueError(
                "Received an invalid value for argument `layout`, expected the gates "
                f"{network.gates!r} in some order for {network.name}, got {self.gates!r}."
            )
        if self.biases not in BIASES:
            raise ValueError(
                "Received an invalid value for argument `layout`, expected biases to be "
                f"one of {', '.join(BIASES)}, got {self.biases!r}."
            )

    def names(self) -> list[str]:
        """What the layer's arrays are called in a table, in order."""
        biases = {"none": [], "two": ["b", "b'"], "stacked": ["b, b'"], "one": ["b"]}
        return ["W", "U", *biases[self.biases]]

    def write(self, network: Network, weights: Sequence[Array]) -> list[Array]:
        """From [W, U, b, b'] to the layer's arrays.

        The map is a permutation (biases that a layer does not have are left out), so it
        takes gradients and directions to the layer's as well.
        """
        order = [network.gates.index(gate) for gate in self.gates or network.gates]
        W, U, b, b2 = (_reordered(w, order) for w in weights)
        if self.transposed:
            W, U = W.T, U.T
        biases = {"none": [], "one": [b], "stacked": [np.stack([b, b2])], "two": [b, b2]}
        return [W, U, *biases[self.biases]]

    def read(self, network: Network, arrays: Sequence[Array]) -> list[Array]:
        """From the layer's arrays to [W, U, b, b'], 0 for a bias that it lacks.

        Raises:
            ValueError: The arrays are of another number or shape.
        """
        arrays = [np.asarray(a) for a in arrays]
        if len(arrays) != len(self.names()):
            raise ValueError(
                "Received an invalid value for argument `weights`, expected "
                f"{len(self.names())} arrays ({'; '.join(self.names())}), got "
                f"{len(arrays)}."
            )
        W, U = (a.T if self.transposed else a for a in arrays[:2])
        if W.ndim != 2 or U.ndim != 2 or U.shape[1] != W.shape[1]:
            raise ValueError(
                "Received an invalid value for argument `weights`, expected kernels of "
                f"(D, {len(network.gates)}H) and (H, {len(network.gates)}H), got "
                f"{W.shape} and {U.shape}."
            )
        zero = np.zeros(W.shape[1], W.dtype)
        biases = [*arrays[2:], zero, zero][:2]
        if self.biases == "stacked":
            biases = list(arrays[2])
        gates = self.gates or network.gates
        order = [gates.index(gate) for gate in network.gates]
        return [_reordered(w, order) for w in (W, U, *biases)]


KERAS, KERAS_STACKED = Layout(), Layout(biases="stacked")
# PyTorch's (i, f, g, o) and (r, z, n), in our letters.
TORCH_GATES = {"gru": "rzh"}


def keras_layout(network: Network, use_bias: bool = True) -> Layout:
    """The layout of `keras.layers.LSTM`, `GRU` and `SimpleRNN`."""
    if not use_bias:
        return Layout(biases="none")
    return KERAS_STACKED if network.name == "gru" else KERAS


def torch_layout(network: Network, use_bias: bool = True) -> Layout:
    """The layout of `torch.nn.LSTM`, `GRU` and `RNN`."""
    gates = TORCH_GATES.get(network.name, "")
    return Layout(gates, transposed=True, biases="two" if use_bias else "none")


def _reordered(array: Array, order: Sequence[int]) -> Array:
    blocks = np.split(array, len(order), axis=-1)
    return np.concatenate([blocks[k] for k in order], axis=-1)
