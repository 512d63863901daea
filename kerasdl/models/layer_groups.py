"""The layers of a model in groups, from the input to the output."""

from __future__ import annotations

import math
from collections.abc import Iterator

import keras


def layers_with_weights(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The innermost layers that have weights, in the model's order."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from layers_with_weights(layer)
        elif layer.weights:
            yield layer


def layer_groups(model: keras.Model) -> list[list[keras.layers.Layer]]:
    """The layers with weights in groups, the one nearest the input first.

    Layers of a convolutional network whose outputs have the same resolution are a group:
    a group ends where the grid is halved. Layers after the last grid, such as the head of
    a classifier, are the last group. In a model without grids every layer is a group.

    Args:
        model: Any built Keras model; nested models are looked into.
    """
    layers = list(layers_with_weights(model))
    sides = [_side(layer) for layer in layers]
    grids = [side for side in sides if side]
    if not grids:
        return [[layer] for layer in layers]
    whole = max(grids)
    groups: dict[int, list[keras.layers.Layer]] = {}
    for layer, side in zip(layers, sides, strict=True):
        # Convolutions without padding lose a pixel or two: a group is not one exact side.
        key = round(math.log2(whole / side)) if side else len(layers)
        groups.setdefault(key, []).append(layer)
    return [groups[key] for key in sorted(groups)]


def _side(layer: keras.layers.Layer) -> int | None:
    """The height of the grid that a layer puts out; None if it has no known grid."""
    try:
        shape = layer.output.shape
    except (AttributeError, ValueError):  # a layer of a subclassed model
        return None
    return shape[1] if len(shape) == 4 else None
