"""Small random problems in float64, and the mask patterns that every test runs over."""

import numpy as np

N, T, D, H = 3, 4, 2, 3

MASKS = {
    "none": None,
    "all true": np.ones((N, T), bool),
    "right padded": np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]], bool),
    "left padded": np.array([[1, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]], bool),
    "holes": np.array([[1, 0, 1, 1], [0, 1, 0, 1], [1, 0, 0, 1]], bool),
    "a row fully masked": np.array([[1, 1, 0, 1], [0, 0, 0, 0], [0, 1, 1, 0]], bool),
}


def sequence_problem(gates, states, seed=0, n=N, t=T, d=D, h=H, bias_rows=()):
    """Returns the inputs [x, states..., kernel, recurrent kernel, bias]."""
    draw = np.random.default_rng(seed).normal
    return [
        draw(size=(n, t, d)),
        *(draw(size=(n, h)) for _ in range(states)),
        draw(size=(d, gates * h)),
        draw(size=(h, gates * h)),
        draw(size=(*bias_rows, gates * h)),
    ]


def upstream_like(outputs, seed=1):
    draw = np.random.default_rng(seed).normal
    return [draw(size=np.shape(output)) for output in outputs]
