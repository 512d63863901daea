"""Which pixels a feature of a network sees: its receptive field, layer by layer."""

from collections.abc import Sequence
from typing import NamedTuple

import keras

from kerasdl.errors import InputError

# Layers that look at one place at a time.
_POINTWISE = (
    keras.layers.Activation,
    keras.layers.BatchNormalization,
    keras.layers.Dropout,
    keras.layers.ReLU,
    keras.layers.Rescaling,
)
_MERGING = (keras.layers.Add, keras.layers.Concatenate)
_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
_POOLING = (keras.layers.AveragePooling2D, keras.layers.MaxPooling2D)


class Reach(NamedTuple):
    """Which pixels a feature sees: the one at place j those from j·stride − before to
    j·stride + after, along either axis."""

    stride: int
    before: int
    after: int


def reaches(model: keras.Model) -> dict[str, Reach]:
    """The reach of each layer's features, by name.

    Raises:
        InputError: If a layer may see the whole picture.
    """
    found: dict[str, Reach] = {}
    of_tensor: dict[int, Reach] = {}
    for layer in model.operations:
        inputs = [of_tensor[id(tensor)] for tensor in _inputs(layer)]
        found[layer.name] = of_tensor[id(layer.output)] = _reach(layer, inputs)
    return found


def _inputs(layer: keras.layers.Layer) -> list[keras.KerasTensor]:
    if isinstance(layer, keras.layers.InputLayer):
        return []
    return keras.tree.flatten(layer.input)


def _reach(layer: keras.layers.Layer, inputs: Sequence[Reach]) -> Reach:
    if isinstance(layer, keras.layers.InputLayer):
        return Reach(1, 0, 0)
    strides = {reach.stride for reach in inputs}
    stride = strides.pop()
    before = max(reach.before for reach in inputs)
    after = max(reach.after for reach in inputs)
    flips_channels = type(layer).__name__ == "Flip" and layer.axis in (-1, 3)
    if (
        isinstance(layer, _POINTWISE)
        or flips_channels
        or (isinstance(layer, _MERGING) and not strides)
    ):
        return Reach(stride, before, after)
    if isinstance(layer, keras.layers.ZeroPadding2D):
        (top, _), (left, _) = layer.padding
        if top == left:
            return Reach(stride, before + stride * top, after - stride * top)
    if isinstance(layer, (*_CONVOLUTIONS, *_POOLING)):
        pooled = isinstance(layer, _POOLING)
        kernel = layer.pool_size if pooled else layer.kernel_size
        dilation = (1, 1) if pooled else layer.dilation_rate
        if len({*zip(kernel, layer.strides, dilation, strict=True)}) == 1:
            span = (kernel[0] - 1) * dilation[0]
            step = layer.strides[0]
            # With padding "same" and strides, how much of it comes before depends on the
            # size: the most and the least.
            most = span // 2 if layer.padding == "same" else 0
            least = max(span + 1 - step, 0) // 2 if layer.padding == "same" else 0
            return Reach(
                stride * step, before + stride * most, after + stride * (span - least)
            )
    raise InputError(
        f"`tile_size` must be 0 for this network: the layer {layer.name} "
        f"({type(layer).__name__}) may see more than a tile."
    )
