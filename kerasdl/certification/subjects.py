"""One interface to the recurrent layers of all frameworks that can be certified."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from kerasdl.certification.layouts import Layout
from kerasdl.certification.reference import Network, Problem

Array = np.ndarray


class NotGivenError(Exception):
    """The subject has no such thing; the reason is the message."""


class Subject:
    """A recurrent layer that answers a `Problem` with arrays.

    Attributes:
        name: For the table.
        network: Which equations it should satisfy.
        layout: How it holds its weights.
        dtype: The type of its computation, by name.
        input_size: D.
        units: H.
        weights: [W, U, b, b'], if they cannot be set.
        sizes: The (N, T) that it takes, 0 for any.
        zero_masked: Whether its outputs are 0 at masked steps.
        reverse: Whether it runs a sequence from its end.
        takes_states: Whether it takes initial states.
        order: How many derivatives it gives: 0, 1 or 2.
    """

    name: str
    network: Network
    layout: Layout
    dtype: str = "float32"
    input_size: int
    units: int
    weights: list[Array] | None = None
    sizes: tuple[int, int] = (0, 0)
    zero_masked = False
    reverse = False
    takes_states = True
    order = 2

    @contextlib.contextmanager
    def borrowed(self) -> Iterator[None]:
        """The time in which the subject may be changed; it is as before afterwards."""
        yield

    def outputs(self, problem: Problem, masked: bool, given: bool) -> list[Array | None]:
        """[sequence, *last states], None for what it does not return.

        Args:
            problem: The point.
            masked: Whether to hand over the mask.
            given: Whether to hand over the initial states.

        Raises:
            NotGivenError: It takes no such argument.
        """
        raise NotImplementedError

    def derivatives(
        self, problem: Problem, masked: bool, given: bool, order: int
    ) -> list[Array]:
        """∇L or H v with respect to [x, *states if given, *the layer's own weights].

        Raises:
            NotGivenError: It has no such derivative, or takes no such argument.
        """
        raise NotGivenError("no derivatives")

    def own(self, arrays: Sequence[Array], given: bool) -> list[Array]:
        """From arrays [x, *states, W, U, b, b'] to what `derivatives` returns."""
        x, *states = arrays[: 1 + self.network.states]
        weights = self.layout.write(self.network, arrays[1 + self.network.states :])
        return [x, *(states if given else []), *weights]


class NumpyFunction(Subject):
    """A function of arrays, with its author's own backward pass if there is one.

    Args:
        function: (x, states, weights, mask or None) -> (sequence, *last states).
        backward: The same and a list of ∂L/∂[sequence, *last states] ->
            [∂x, *∂states, *∂weights]; None if there is none.
        network, layout, dtype, input_size, units: See `Subject`.
    """

    def __init__(
        self,
        function: Callable,
        backward: Callable | None,
        network: Network,
        layout: Layout,
        dtype: str,
        input_size: int,
        units: int,
    ) -> None:
        self.name = getattr(function, "__name__", type(function).__name__)
        self.network, self.layout, self.dtype = network, layout, dtype
        self.input_size, self.units = input_size, units
        self._function, self._backward = function, backward
        self.order = 0 if backward is None else 1

    def outputs(self, problem, masked, given):
        """As `Subject`."""
        return list(self._function(*self._arguments(problem, masked, given)))

    def derivatives(self, problem, masked, given, order):
        """As `Subject`."""
        if order > self.order:
            raise NotGivenError("a NumPy function has only what `backward` gives")
        arguments = self._arguments(problem, masked, given)
        outputs = self._function(*arguments)
        upstream = [
            (u * (1 + np.asarray(y, u.dtype))).astype(self.dtype)
            for u, y in zip(problem.upstream, outputs, strict=True)
        ]
        return list(self._backward(*arguments, upstream))

    def _arguments(self, problem: Problem, masked: bool, given: bool) -> tuple[Any, ...]:
        p = problem.astype(self.dtype)
        if not given:
            raise NotGivenError("a function is always given its states")
        weights = self.layout.write(self.network, p.weights)
        return p.x, p.states, weights, p.mask if masked else None


def public_name(kind: type) -> str:
    """The name by which a class is imported, `keras.layers.LSTM` for instance."""
    for package in ("keras.layers", "kerasdl.layers", "torch.nn"):
        if kind.__module__.split(".")[0] == package.split(".")[0]:
            return f"{package}.{kind.__qualname__}"
    return kind.__qualname__


def loss(upstream: Sequence[Any], outputs: Sequence[Any], total: Callable) -> Any:
    """L = Σ_k Σ u_k ∗ (y_k + ½ y_k²); `total` sums a tensor of the framework."""
    pairs = zip(upstream, outputs, strict=True)
    return sum(total(u * (y + 0.5 * y * y)) for u, y in pairs)
