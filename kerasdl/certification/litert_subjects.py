"""Certifies a recurrent layer in a `.tflite` file."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from kerasdl.certification.layouts import Layout
from kerasdl.certification.reference import Network
from kerasdl.certification.subjects import NotGivenError, Subject


class LiteRTFile(Subject):
    """A `.tflite` file, whose weights are what they are and which has outputs alone.

    Of its inputs, that of rank 3 is x (N, T, D), a boolean one the mask (N, T), those of
    rank 2 the initial states (N, H) in order. Of its outputs, that of rank 3 is the
    sequence, those of rank 2 the last states in order. One interpreter answers all cases,
    as an application's would, and nothing is reset between them.

    Args:
        path: The file.
        network, layout: Which equations, and how `weights` are laid out.
        weights: The layer's arrays.

    Raises:
        ValueError: It has no input of rank 3, or not exactly the outputs above.
    """

    order = 0

    def __init__(
        self,
        path: str | os.PathLike,
        network: Network,
        layout: Layout,
        weights: Sequence[np.ndarray],
    ) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.name = os.path.basename(path)
        self.network, self.layout = network, layout
        self.weights = [w.astype(np.float64) for w in layout.read(network, weights)]
        self.input_size, self.units = len(self.weights[0]), len(self.weights[1])
        self._interpreter = Interpreter(os.fspath(path))
        inputs = self._interpreter.get_input_details()
        self._mask = [d for d in inputs if d["dtype"] == np.bool_]
        self._x = [d for d in inputs if len(d["shape"]) == 3]
        self._states = [d for d in inputs if len(d["shape"]) == 2 and d not in self._mask]
        self.takes_states = bool(self._states)
        outputs = self._interpreter.get_output_details()
        ranks = sorted(len(d["shape"]) for d in outputs)
        if len(self._x) != 1 or not set(ranks) <= {2, 3} or ranks.count(3) > 1:
            raise ValueError(
                "Received an invalid value for argument `rnn`, expected a file from one "
                "(N, T, D) to a sequence (N, T, H) and states (N, H), got inputs of rank "
                f"{[len(d['shape']) for d in inputs]} and outputs of rank {ranks}."
            )
        self._sequence = [d["index"] for d in outputs if len(d["shape"]) == 3]
        # The order of a signature's outputs is that of their names.
        self._last = [d["index"] for d in outputs if len(d["shape"]) == 2]
        N, T, _ = self._x[0]["shape_signature"]
        self.sizes = (max(0, int(N)), max(0, int(T)))
        self._allocated = None

    def outputs(self, problem, masked, given):
        """As `Subject`."""
        if masked and not self._mask:
            raise NotGivenError("the file has no mask among its inputs")
        if given and not self._states:
            raise NotGivenError("the file has no state among its inputs")
        for axis, size, taken in zip("NT", problem.x.shape, self.sizes, strict=False):
            if taken not in (0, size):
                raise NotGivenError(f"the file takes {axis} = {taken} alone")
        fed = [(self._x[0], problem.x.astype(np.float32))]
        fed += [(d, problem.mask) for d in self._mask]
        fed += [
            (d, h.astype(np.float32))
            for d, h in zip(self._states, problem.states, strict=False)
        ]
        interpreter = self._interpreter
        if self._allocated != problem.x.shape:
            for detail, value in fed:
                interpreter.resize_tensor_input(detail["index"], value.shape)
            interpreter.allocate_tensors()
            self._allocated = problem.x.shape
        for detail, value in fed:
            interpreter.set_tensor(detail["index"], value)
        interpreter.invoke()
        sequence = [interpreter.get_tensor(k) for k in self._sequence] or [None]
        last = [interpreter.get_tensor(k) for k in self._last]
        missing = [None] * (self.network.states - len(last))
        return [*sequence, *last[: self.network.states], *missing]
