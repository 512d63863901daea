"""Certifies recurrent modules and functions of PyTorch; needs `torch`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch

from kerasdl.certification.layouts import Layout, torch_layout
from kerasdl.certification.reference import NETWORKS, Network
from kerasdl.certification.subjects import NotGivenError, Subject, loss, public_name


class TorchModule(Subject):
    """A `torch.nn.LSTM`, `GRU` or `RNN`, or a module that is called as they are.

    One layer, one direction, no projection. Sequences of several lengths go in and out
    packed (`pack_padded_sequence`), so that outputs at padding are 0.

    Args:
        module: The module.
        network: Which equations; None to tell from its class.
        layout: Of its parameters in the order of `module.parameters()`; None for that of
            `torch.nn`.

    Raises:
        ValueError: It has several layers or directions, a projection, dropout, or another
            activation.
    """

    zero_masked = True

    def __init__(
        self, module: torch.nn.Module, network: Network | None, layout: Layout | None
    ) -> None:
        kinds = {torch.nn.LSTM: "lstm", torch.nn.GRU: "gru", torch.nn.RNN: "simple_rnn"}
        kind = next((k for c, k in kinds.items() if isinstance(module, c)), None)
        if network is None and kind is None:
            raise ValueError(
                "Received an invalid value for argument `rnn`, expected a torch.nn.LSTM, "
                f"GRU or RNN where `kind` is not given, got {type(module).__qualname__}."
            )
        plain = {"num_layers": 1, "bidirectional": False, "proj_size": 0}
        for name, value in ({} if kind is None else plain).items():
            if getattr(module, name) != value:
                raise ValueError(
                    f"Received an invalid value for argument `rnn`, expected {name}="
                    f"{value}, got {getattr(module, name)}."
                )
        if getattr(module, "nonlinearity", "tanh") != "tanh":
            raise ValueError(
                "Received an invalid value for argument `rnn`, expected the nonlinearity "
                f"tanh, which the equations have, got {module.nonlinearity}."
            )
        self._module = module
        self._parameters = list(module.parameters())
        self.network = network or NETWORKS[kind]
        self.layout = layout or torch_layout(self.network, len(self._parameters) > 2)
        arrays = [p.detach().double().numpy() for p in self._parameters]
        W, U, *_ = self.layout.read(self.network, arrays)
        self.input_size, self.units = len(W), len(U)
        self.dtype = str(self._parameters[0].dtype).removeprefix("torch.")
        self.name = public_name(type(module))
        self._batch_first = getattr(module, "batch_first", False)

    @contextlib.contextmanager
    def borrowed(self) -> Iterator[None]:
        """As `Subject`."""
        kept = [p.detach().clone() for p in self._parameters]
        try:
            yield
        finally:
            self._set(kept)

    def _set(self, values) -> None:
        with torch.no_grad():
            for parameter, value in zip(self._parameters, values, strict=True):
                parameter.copy_(value)

    def outputs(self, problem, masked, given):
        """As `Subject`."""
        with torch.no_grad():
            _, outputs = self._run(problem, masked, given)
        return [y.double().numpy() for y in outputs]

    def derivatives(self, problem, masked, given, order):
        """As `Subject`."""
        sources, outputs = self._run(problem, masked, given)
        kept = torch.float64 if self.dtype == "float64" else torch.float32
        upstream = [torch.tensor(u, dtype=kept) for u in problem.upstream]
        value = loss(upstream, [y.to(kept) for y in outputs], torch.sum)
        gradients = self._gradients(value, sources, create_graph=order == 2)
        if order == 2:
            direction = self.own(problem.direction, given)
            value = sum(
                (g * torch.tensor(v).to(g.dtype)).sum()
                for g, v in zip(gradients, direction, strict=True)
            )
            if not value.requires_grad:
                raise NotGivenError("torch records no graph of this backward pass")
            try:
                gradients = self._gradients(value, sources)
            except (RuntimeError, NotImplementedError) as error:
                raise NotGivenError(str(error)) from error
        return [g.detach().double().numpy() for g in gradients]

    @staticmethod
    def _gradients(value, sources, create_graph=False):
        return torch.autograd.grad(
            *(value, sources),
            create_graph=create_graph,
            allow_unused=True,
            materialize_grads=True,
        )

    def _run(self, problem, masked, given):
        """Returns what is differentiated, and [sequence, *last states]."""
        if masked and not _right_padded(problem.mask):
            raise NotGivenError("PyTorch packs only sequences that are padded at the end")
        self._set(
            torch.tensor(np.ascontiguousarray(w))
            for w in self.layout.write(self.network, problem.weights)
        )
        kind = self._parameters[0].dtype
        x = torch.tensor(problem.x).to(kind).requires_grad_()
        states = [torch.tensor(h).to(kind).requires_grad_() for h in problem.states]
        fed = x if self._batch_first else x.transpose(0, 1)
        if masked:
            lengths = torch.tensor(problem.mask.sum(axis=1))
            fed = torch.nn.utils.rnn.pack_padded_sequence(
                fed, lengths, self._batch_first, enforce_sorted=False
            )
        stacked = [h[None] for h in states]  # (layers, N, H)
        initial = (stacked[0] if len(stacked) == 1 else tuple(stacked),) if given else ()
        sequence, last = self._module(fed, *initial)
        if masked:
            sequence, _ = torch.nn.utils.rnn.pad_packed_sequence(
                sequence, self._batch_first, total_length=problem.x.shape[1]
            )
        if not self._batch_first:
            sequence = sequence.transpose(0, 1)
        last = last if isinstance(last, tuple) else (last,)
        sources = [x, *(states if given else []), *self._parameters]
        return sources, [sequence, *(h[0] for h in last)]


def _right_padded(mask) -> bool:
    lengths = mask.sum(axis=1, keepdims=True)
    return bool(((np.arange(mask.shape[1]) < lengths) == mask).all() and lengths.min())
