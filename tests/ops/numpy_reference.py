"""The recurrent networks as slow NumPy that is obviously the equations (ground truth)."""

import numpy as np

FUNCTIONS = {
    "tanh": np.tanh,
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "relu": lambda a: np.maximum(a, 0),
    "linear": lambda a: a,
    "hard_sigmoid": lambda a: np.clip(a / 6 + 0.5, 0, 1),
}


def simple_rnn_step(x, h, W, U, b=0.0, activation="tanh"):
    return FUNCTIONS[activation](x @ W + h @ U + b)


def lstm_step(x, h, c, W, U, b=0.0, activation="tanh", recurrent_activation="sigmoid"):
    psi, phi = FUNCTIONS[activation], FUNCTIONS[recurrent_activation]
    a_i, a_f, a_c, a_o = np.split(x @ W + h @ U + b, 4, axis=1)
    c = phi(a_f) * c + phi(a_i) * psi(a_c)
    return phi(a_o) * psi(c), c


def gru_step(
    x,
    h,
    W,
    U,
    b=0.0,
    activation="tanh",
    recurrent_activation="sigmoid",
    reset_after=True,
):
    psi, phi = FUNCTIONS[activation], FUNCTIONS[recurrent_activation]
    b, b_h = b if np.ndim(b) == 2 else (b, np.zeros(U.shape[1]))
    x_z, x_r, x_h = np.split(x @ W + b, 3, axis=1)
    U_z, U_r, U_h = np.split(U, 3, axis=1)
    b_z, b_r, b_q = np.split(b_h, 3)
    z, r = phi(x_z + h @ U_z + b_z), phi(x_r + h @ U_r + b_r)
    past = r * (h @ U_h + b_q) if reset_after else (r * h) @ U_h
    return z * h + (1 - z) * psi(x_h + past)


def sequence(step, x, states, mask=None):
    """Runs step(x_t, *states) -> states over time; returns (outputs, *last states)."""
    output, outputs = np.zeros_like(states[0]), []
    for t in range(x.shape[1]):
        new_states = step(x[:, t], *states)
        m = np.ones((len(x), 1), bool) if mask is None else mask[:, t : t + 1]
        states = [
            np.where(m, new, old) for new, old in zip(new_states, states, strict=True)
        ]
        output = np.where(m, states[0], output)
        outputs.append(output)
    return np.stack(outputs, axis=1), *states


def simple_rnn(x, h0, W, U, b=0.0, mask=None, **options):
    def step(x, h):
        return [simple_rnn_step(x, h, W, U, b, **options)]

    return sequence(step, x, [h0], mask)


def lstm(x, h0, c0, W, U, b=0.0, mask=None, **options):
    def step(x, h, c):
        return lstm_step(x, h, c, W, U, b, **options)

    return sequence(step, x, [h0, c0], mask)


def gru(x, h0, W, U, b=0.0, mask=None, **options):
    def step(x, h):
        return [gru_step(x, h, W, U, b, **options)]

    return sequence(step, x, [h0], mask)
