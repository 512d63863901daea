"""The memory horizon: how many steps back a recurrent layer's gradient reaches.

A random gradient enters at each sequence's last step alone. With δ_t and γ_t the whole
gradients that then reach h_t and c_t, the share that is left k steps further back is

    ‖δ_{T−k}‖ / ‖δ_T‖        and of an LSTM also        ‖γ_{T−k}‖ / ‖γ_T‖

The horizon is the first lag k at which the median over sequences falls under 1 %. Of an
LSTM's forget gate f (and a GRU's update gate z) the half-life tells what the state alone
keeps: with f̄ the geometric mean over the steps, f̄^k = ½ after ln ½ / ln f̄ steps.

References: Hochreiter, Untersuchungen zu dynamischen neuronalen Netzen, 1991; Pascanu,
Mikolov and Bengio, On the Difficulty of Training Recurrent Neural Networks, 2013.
"""

import contextlib
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl import layers as ours
from kerasdl.tuning.optimizers import restored

RECURRENT = (keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN)
# The share of the gradient that counts as nothing.
THRESHOLD = 0.01
_AUTOMATIC = re.compile(r"^((?:forward_|backward_)?(?:lstm|gru|simple_rnn))_\d+$")
# The gate that keeps the state: which of the blocks of H columns it is.
KEEPING_GATES = {"LSTM": 1, "GRU": 0}


@dataclass(frozen=True)
class Reach:
    """How far back one layer's gradient reaches.

    Attributes:
        delta: float (K,), the median of ‖δ_{T−k}‖ / ‖δ_T‖ at lag k = 0 … K−1.
        gamma: Likewise of γ, or None for a layer without a cell state.
        half_lives: float (H,), steps after which each unit's gate has let through half,
            or None for a layer without such a gate.
    """

    delta: np.ndarray
    gamma: np.ndarray | None = None
    half_lives: np.ndarray | None = None

    def figures(self, threshold: float = THRESHOLD) -> dict[str, float]:
        """`delta_horizon`, `gamma_horizon`, `half_life` (median) and `half_life_90`.

        A horizon is in steps; K if the gradient does not fall under the threshold.
        """
        figures = {"delta_horizon": horizon(self.delta, threshold)}
        if self.gamma is not None:
            figures["gamma_horizon"] = horizon(self.gamma, threshold)
        if self.half_lives is not None:
            figures["half_life"] = float(np.median(self.half_lives))
            figures["half_life_90"] = float(np.quantile(self.half_lives, 0.9))
        return figures


def horizon(shares: np.ndarray, threshold: float = THRESHOLD) -> float:
    """The first lag at which `shares` (K,) falls under the threshold; K if at none."""
    below = np.flatnonzero(shares < threshold)
    return float(below[0] if len(below) else len(shares))


def recurrent_layers(model: keras.Layer) -> dict[str, keras.Layer]:
    """The LSTM, GRU and SimpleRNN layers of a model by name, at any depth.

    The numbers that Keras puts behind names of its own (`lstm_7`) depend on the layers
    made before, so the model's layers are counted instead: `lstm`, `lstm_2`.
    """
    found: dict[str, keras.Layer] = {}
    for layer in model._flatten_layers():
        if isinstance(layer, RECURRENT):
            name = base = _AUTOMATIC.sub(r"\1", layer.name)
            count = 1
            while name in found:
                count += 1
                name = f"{base}_{count}"
            found[name] = layer
    return found


def measure(model: keras.Layer, inputs: Any, seed: int = 0) -> dict[str, Reach]:
    """Measures every recurrent layer of a model on a batch, without dropout.

    Args:
        model: A Keras model, or one layer.
        inputs: A batch as the model takes it: a tensor, or a list or dict of them.
        seed: Of the direction of the gradient that enters.

    Returns:
        {name of the layer: `Reach`}.

    Raises:
        ValueError: The model holds no recurrent layer, or calls none on the batch.
    """
    found = recurrent_layers(model)
    if not found:
        raise ValueError(
            "Received an invalid value for argument `model`, expected one with an LSTM, "
            f"GRU or SimpleRNN layer, got {model.name!r} without."
        )
    # Keras's layers move their dropout seeds on in inference too. They are put back, so
    # that training draws the same with measurements as without.
    seeds = [v for v in model.non_trainable_variables if "int" in v.dtype]
    with restored(seeds), _recorded(found) as calls:
        model(inputs, training=False)
    if not calls:
        raise ValueError(
            "Received an invalid value for argument `inputs`, expected a batch on which "
            f"{model.name!r} runs one of {', '.join(found)} eagerly; it ran none."
        )
    return {
        name: _reach(found[name], *calls[name], seed) for name in found if name in calls
    }


@contextlib.contextmanager
def _recorded(found: dict[str, keras.Layer]) -> Iterator[dict[str, tuple]]:
    """Collects (sequences, initial states, mask) of each layer's longest call."""
    calls: dict[str, tuple] = {}

    def recording(name, call):
        def run(sequences, initial_state=None, mask=None, **kwargs):
            longest = calls[name][0].shape[1] if name in calls else 0
            if tf.executing_eagerly() and sequences.shape[1] > longest:
                calls[name] = (tf.convert_to_tensor(sequences), initial_state, mask)
            return call(sequences, initial_state=initial_state, mask=mask, **kwargs)

        return run

    try:
        for name, layer in found.items():
            layer.__dict__["call"] = recording(name, layer.call)
        yield calls
    finally:
        for layer in found.values():
            layer.__dict__.pop("call", None)


def _reach(layer, sequences, initial_state, mask, seed) -> Reach:
    """Measures one layer on what went into it."""
    probe = _probe(layer, sequences.shape)
    N, T, _ = sequences.shape
    d_sequence = np.zeros((N, T, layer.units), probe.compute_dtype)
    direction = np.random.default_rng(seed).normal(size=(N, layer.units))
    d_sequence[:, -1] = direction / np.linalg.norm(direction, axis=1, keepdims=True)
    if mask is not None:
        mask = tf.reshape(tf.cast(keras.tree.flatten(mask)[0], bool), (-1, T))
        mask = tf.broadcast_to(mask, (N, T))
    norms = probe.gradient_norms(sequences, d_sequence, initial_state, mask)
    steps = np.ones((N, T), bool) if mask is None else np.array(mask)
    if layer.go_backwards:
        steps = steps[:, ::-1]  # the columns of the norms are in the order of the run
    shares = {name: _by_lag(np.array(value), steps) for name, value in norms.items()}
    half_lives = _half_lives(probe, sequences, initial_state, mask, steps)
    return Reach(shares["delta"], shares.get("gamma"), half_lives)


def _probe(layer: keras.Layer, shape: Sequence[int]) -> keras.Layer:
    """Ours with the weights of `layer`, returning the sequence of states as they are."""
    name = next(kind.__name__ for kind in RECURRENT if isinstance(layer, kind))
    config = getattr(keras.layers, name).get_config(layer)
    config |= {"return_sequences": True, "return_state": False, "stateful": False}
    config |= {"zero_output_for_mask": False, "dropout": 0.0, "recurrent_dropout": 0.0}
    # Nothing is drawn: a run with measurements draws the same as one without.
    config |= {"kernel_initializer": "zeros", "recurrent_initializer": "zeros", "seed": 0}
    probe = getattr(ours, name).from_config(config)
    probe.build(tuple(shape))
    probe.set_weights(layer.get_weights())
    return probe


def _by_lag(norms: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """From norms (N, T) to the median share at each lag, masked steps left out."""
    lengths = steps.sum(axis=1)
    shares = np.full((len(norms), max(lengths.max(), 1)), np.nan)
    for row, norm, keep, length in zip(shares, norms, steps, lengths, strict=True):
        backwards = norm[keep][::-1].astype(np.float64)
        if length and backwards[0] > 0:
            row[:length] = backwards / backwards[0]
    with warnings.catch_warnings():  # a lag that no sequence has is NaN
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmedian(shares, axis=0)


def _half_lives(probe, sequences, initial_state, mask, steps) -> np.ndarray | None:
    """Of each unit's gate that keeps the state."""
    gate = next((g for k, g in KEEPING_GATES.items() if k in type(probe).__name__), None)
    if gate is None or not steps.any():
        return None
    outputs = np.array(probe(sequences, initial_state=initial_state, mask=mask))
    x = np.array(sequences)[:, ::-1] if probe.go_backwards else np.array(sequences)
    h0 = np.zeros_like(outputs[:, 0])
    if initial_state is not None:
        h0 = np.array(keras.tree.flatten(initial_state)[0])
    before = np.concatenate([h0[:, np.newaxis], outputs[:, :-1]], axis=1)
    ran = np.cumsum(steps, axis=1) - steps > 0  # whether a step before this one counted
    before = np.where(ran[:, :, np.newaxis], before, h0[:, np.newaxis])
    H = probe.units
    columns = np.s_[..., gate * H : (gate + 1) * H]
    kernel, recurrent_kernel, *bias = probe.get_weights()
    a = x @ kernel[columns] + before @ recurrent_kernel[columns]
    a = a + sum(b[columns].reshape(-1, H).sum(axis=0) for b in bias)
    values = np.array(probe.recurrent_activation(tf.constant(a[steps], tf.float64)))
    with np.errstate(divide="ignore"):
        return np.log(0.5) / np.minimum(np.log(values).mean(axis=0), -1e-12)
