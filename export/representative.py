"""Inputs for the checks of a user's model: given ones, or random ones.

Drawn ones are chosen to find what goes wrong: another batch and length than the first
call's, padding, and values that drive a cell state beyond 10 and back.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasdl.errors import InputError
from kerasdl.files import open_regular
from kerasdl.weights.damage import DAMAGE, reason
from kerasdl.weights.npz import read_npz

# Inputs from which int8 measures the ranges of the activations.
CALIBRATION = 500
# The factor that saturates gates, and the steps after which |c| has passed 10.
LARGE, LONG = 20.0, 40


def batches(
    given: Any, inputs: Mapping[str, Any], shapes: Mapping[str, tuple]
) -> Iterator[dict[str, np.ndarray]]:
    """Arguments of the model, one call after another, from what a caller gave.

    Args:
        given: An array, or a mapping or list of arrays (one for each input), samples
            first; a `.npy` or `.npz` file of such; or an iterable of samples, or of
            batches as the model takes them. None for nothing.
        inputs: The model's inputs by name.
        shapes: The shapes that the export takes, None for any length of an axis.

    Raises:
        InputError: An input is missing or has another shape.
    """
    if given is None:
        return
    if isinstance(given, (str, Path)):
        given = read_arrays(Path(given))
    whole = _named(given, inputs)
    if whole is not None:
        size = next(iter(shapes.values()))[0] or 1
        count = min(len(value) for value in whole.values())
        for start in range(0, count - size + 1, size):
            part = {name: value[start : start + size] for name, value in whole.items()}
            yield _checked(part, inputs, shapes)
        if count < size:
            raise InputError(
                f"`representative` must hold at least a batch of {size}, got {count}."
            )
        return
    try:
        samples = iter(given)
    except TypeError as error:
        raise InputError(
            "`representative` must be an array, a file, or an iterable of inputs, got "
            f"{type(given).__name__}."
        ) from error
    for sample in samples:
        named = _named(sample, inputs)
        if named is None:
            raise InputError(
                f"`representative` must give the inputs {', '.join(inputs)}, got "
                f"{type(sample).__name__}."
            )
        named = {
            name: value[np.newaxis] if value.ndim < len(shapes[name]) else value
            for name, value in named.items()
        }
        yield _checked(named, inputs, shapes)


def read_arrays(path: Path) -> Any:
    """The array in a `.npy` file, or those in a `.npz` file by name.

    Raises:
        InputError: The file is neither, or cannot be read.
    """
    try:
        with open_regular(path) as file:
            is_archive = file.read(2) == b"PK"
        return read_npz(path) if is_archive else np.load(path, allow_pickle=False)
    except DAMAGE as error:  # an `InputError` too
        why = reason(error).removeprefix(f"{path}: ").removesuffix(".")
        raise InputError(
            f"{path}: expected a .npy or .npz file of inputs: {why}."
        ) from error


def _named(given: Any, inputs: Mapping[str, Any]) -> dict[str, np.ndarray] | None:
    """Arrays by the names of the inputs; None if `given` is no such thing."""
    if isinstance(given, Mapping):
        missing = [name for name in inputs if name not in given]
        if missing:
            raise InputError(
                f"`representative` lacks the input {missing[0]!r}, got "
                f"{', '.join(map(str, given))}."
            )
        return {name: np.asarray(given[name]) for name in inputs}
    if isinstance(given, (list, tuple)) and len(inputs) > 1:
        if len(given) != len(inputs):
            return None
        return dict(zip(inputs, map(np.asarray, given), strict=True))
    if hasattr(given, "__array__") and len(inputs) == 1:
        return {next(iter(inputs)): np.asarray(given)}
    return None


def _checked(
    values: dict[str, np.ndarray], inputs: Mapping[str, Any], shapes: Mapping[str, tuple]
) -> dict[str, np.ndarray]:
    for name, value in values.items():
        shape = shapes[name]
        fits = value.ndim == len(shape) and all(
            wanted is None or wanted == got
            for wanted, got in zip(shape, value.shape, strict=True)
        )
        if not fits:
            raise InputError(
                f"`representative`: {name!r} must have the shape {shape}, got "
                f"{value.shape}."
            )
        dtype = inputs[name].dtype
        values[name] = value.astype("float32" if "float" in dtype else dtype)
    return values


def drawn(
    model: Any,
    inputs: Mapping[str, Any],
    shapes: Mapping[str, tuple],
    timed: Sequence[str],
) -> list[dict[str, np.ndarray]]:
    """Calls with drawn inputs, the first and the last two times the same."""
    import keras

    from kerasdl.export.forms import layers_of

    rng = np.random.default_rng(0)
    words = min(
        (
            layer.input_dim
            for layer in layers_of(model)
            if isinstance(layer, keras.layers.Embedding)
        ),
        default=2,
    )
    masking = [
        layer for layer in layers_of(model) if isinstance(layer, keras.layers.Masking)
    ]
    padding = masking[0].mask_value if masking else 0

    def one(batch, steps, factor=1.0, held=False, padded=False):
        call = {}
        for name, tensor in inputs.items():
            shape = list(shapes[name])
            shape[0] = shape[0] or batch
            shape[1:] = [side or steps for side in shape[1:]]
            if "float" in tensor.dtype:
                value = rng.normal(0.0, factor, shape).astype("float32")
            else:
                value = rng.integers(0, words, shape).astype(tensor.dtype)
            if name in timed and held:
                value[:] = value[:, :1]
            if name in timed and padded and shape[1] > 1:
                value[-1, (shape[1] + 1) // 2 :] = padding
            call[name] = value
        return call

    first = one(1, 7)
    return [
        first,
        first,
        one(3, 12, padded=bool(masking) or words > 2),
        one(2, 1),
        one(1, LONG, LARGE, held=True),
        first,
    ]
