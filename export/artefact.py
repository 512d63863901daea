"""The base of the predictors of exported models."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerasdl.errors import InputError
from kerasdl.prediction.predictor import Answer, Predictor

SIGNATURE = "serving_default"
METADATA = "metadata.json"
VOCABULARY = "vocab.txt"
LABELS = "labels.txt"
# What TensorFlow's messages say of its graph.
_NODES = re.compile(
    r"\{\{.*?\}\}|\[\[.*?\]\]|\[Op:.*?\]"
    r"|Graph execution error:\s*Detected at node.*?<stack traces unavailable>",
    re.DOTALL,
)


class Artefact(Predictor):
    """A model that an export wrote; see `kerasdl.prediction.predictor` for the answers.

    A user's model (`input_kind` is `"tensors"`) takes for one input an array without the
    batch, or a mapping of such by name, and answers with its outputs by name, arrays
    without the batch; given `labels.txt`, with `label` and `probabilities`.

    Attributes:
        style_weights: The share of each style, for a network that paints in several;
            equal shares if None.
    """

    style_weights: Sequence[float] | None = None

    def shares_of_styles(self, count: int) -> np.ndarray:
        """`style_weights` as the model takes them, float32 (1, count).

        Raises:
            InputError: There are not `count` of them.
        """
        given = self.style_weights
        shares = np.full(count, 1 / count) if given is None else np.asarray(given)
        if shares.shape != (count,) or not np.isfinite(shares).all():
            raise InputError(
                f"`style_weights` must be {count} numbers, got "
                f"{', '.join(map(str, shares.ravel()))}."
            )
        return shares[np.newaxis].astype(np.float32)

    def predict(self, inputs: Any, **options: Any) -> Answer | list[Answer]:
        """See `Predictor`."""
        if self.input_kind != "tensors":
            return super().predict(inputs, **options)
        if not isinstance(inputs, (list, tuple)):
            return self.answer([inputs], **options)[0]
        return self.answer(inputs, **options)


def as_tensors(
    x: Any, shapes: Mapping[str, tuple[Sequence[int | None], Any]]
) -> dict[str, np.ndarray]:
    """One input of a user's model with a batch of 1.

    Args:
        x: An array without the batch, or a mapping of such.
        shapes: The shape with the batch, -1 or None for any, and the type, by name.

    Raises:
        InputError: An input is missing, or has another shape.
    """
    if not isinstance(x, Mapping):
        if len(shapes) > 1:
            raise InputError(f"expected a mapping of {', '.join(shapes)}.")
        x = {next(iter(shapes)): x}
    if set(x) != set(shapes):
        raise InputError(
            f"expected the inputs {', '.join(shapes)}, got {', '.join(map(str, x))}."
        )
    result = {}
    for key, (shape, dtype) in shapes.items():
        value = np.asarray(x[key])
        fits = value.ndim == len(shape) - 1 and all(
            wanted in (-1, None, got)
            for wanted, got in zip(shape[1:], value.shape, strict=True)
        )
        if not fits:
            wanted = ", ".join("any" if s in (-1, None) else str(s) for s in shape[1:])
            raise InputError(
                f"{key!r} must have the shape ({wanted}), got {value.shape}."
            )
        result[key] = value[np.newaxis].astype(dtype)
    return result


def readable(error: Exception) -> str:
    """What TensorFlow says, without the names of its nodes."""
    message = getattr(error, "message", None) or str(error)
    message = _NODES.sub("", message)
    return " ".join(message.split())[:500] or type(error).__name__
