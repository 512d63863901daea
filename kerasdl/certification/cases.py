"""The situations in which a recurrent layer is certified, drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kerasdl.certification.layouts import Layout
from kerasdl.certification.reference import Network, Problem

Array = np.ndarray

SAMPLES, STEPS, LONG = 4, 7, 200
# Pre-activations of hundreds: gates are 0 or 1 in any precision, and e^{-a} overflows.
SATURATION = 300.0
# σ(5) = 0.993: after 200 steps a quarter is left.
MEMORY_BIAS = 5.0


@dataclass(frozen=True)
class Case:
    """One situation.

    Attributes:
        name: What its row is called.
        samples: N.
        steps: T.
        mask: A pattern of `draw_mask`, "" for no mask.
        with_states: Whether initial states are given; zero otherwise.
        saturated: Whether every other step drives all gates into saturation.
        remembering: Whether the weights are such that gradients last for long.
    """

    name: str
    samples: int = SAMPLES
    steps: int = STEPS
    mask: str = ""
    with_states: bool = True
    saturated: bool = False
    remembering: bool = False


def standard_cases(samples: int = 0, steps: int = 0, long: int = LONG) -> list[Case]:
    """The cases of a certificate.

    Args:
        samples: N of all but one of them; 0 for `SAMPLES`.
        steps: T of all but two of them; 0 for `STEPS`.
        long: T of the long sequence.
    """
    samples, steps = samples or SAMPLES, steps or STEPS
    size = {"samples": samples, "steps": steps}
    return [
        Case("initial state given", **size),
        Case("starts from zero", **size, with_states=False),
        Case("one step", samples, 1),
        Case("one sample", 1, steps),
        *(
            Case(name, **size, mask=name)
            for name in ("right padded", "left padded", "holes", "a row fully masked")
        ),
        Case("saturated gates", **size, saturated=True),
        Case("long sequence", samples, long, remembering=True),
    ]


def draw_mask(
    pattern: str, samples: int, steps: int, random: np.random.Generator
) -> Array:
    """A mask (N, T) of one of the patterns, true where a step counts."""
    lengths = np.linspace(steps, 1, samples).round().astype(int)[:, np.newaxis]
    t = np.arange(steps)
    if pattern == "right padded":
        return t < lengths
    if pattern == "left padded":
        return t >= steps - lengths
    mask = np.ones((samples, steps), bool)
    if pattern:
        mask = random.random((samples, steps)) > 0.4
        mask[:, 0] = np.arange(samples) % 2 == 0  # some rows begin with a masked step
        mask[:, -1] |= ~mask.any(axis=1)
    if pattern == "a row fully masked":
        mask[-1] = False
    return mask


def draw_problem(
    case: Case,
    network: Network,
    layout: Layout,
    input_size: int,
    units: int,
    dtype: Any,
    seed: int,
    weights: list[Array] | None = None,
) -> Problem:
    """The numbers of a case, each exact in `dtype` and handed over as float64.

    Args:
        case: The situation.
        network: The kind of network.
        layout: How the layer holds its weights: a bias that it lacks is 0.
        input_size: D.
        units: H.
        dtype: Of the layer's computation.
        seed: Of the draws.
        weights: [W, U, b, b'] of a layer whose weights cannot be set.
    """
    random = np.random.default_rng(seed)
    N, T, D, H = case.samples, case.steps, input_size, units

    def draw(*shape, scale=1.0):
        return scale * random.normal(size=shape)

    mask = draw_mask(case.mask, N, T, random)
    x = draw(N, T, D)
    states = [draw(N, H, scale=0.5 * case.with_states) for _ in range(network.states)]
    if weights is None:
        weights = _draw_weights(draw, network, D, H, case.remembering)
    if case.remembering and network.name == "simple_rnn":
        x *= 0.03  # where tanh is nearly linear
        states = [0.1 * h for h in states]
    if case.saturated:
        x[:, 1::2] *= SATURATION
    upstream = [draw(N, T, H), *(draw(N, H) for _ in states)]
    direction = [draw(*a.shape) for a in (x, *states, *weights)]
    for biases in (weights[2:], direction[-2:]):
        if layout.biases in ("none", "one"):
            biases[1][...] = 0
        if layout.biases == "none":
            biases[0][...] = 0
    if not case.with_states:
        for v in direction[1 : 1 + network.states]:
            v[...] = 0
    problem = Problem(x, states, weights, mask, upstream, direction)
    return problem.astype(dtype).astype(np.float64)


def _draw_weights(draw, network: Network, D: int, H: int, remembering: bool):
    G = len(network.gates)
    W, U = draw(D, G * H, scale=D**-0.5), draw(H, G * H, scale=H**-0.5)
    b, b2 = draw(G * H, scale=0.5), draw(G * H, scale=0.5)
    if remembering and network.name == "simple_rnn":
        U, _ = np.linalg.qr(U)  # no direction grows or vanishes
        b, b2 = 0.01 * b, 0.01 * b2
    elif remembering:
        keep = network.gates.index("f" if "f" in network.gates else "z")
        b[keep * H : (keep + 1) * H] += MEMORY_BIAS
    return [W, U, b, b2]
