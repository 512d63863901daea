"""Pretrained networks by name: one table of their sizes, inputs and weights.

What users of a pretrained network get wrong most is the preprocessing, so it is inside
the model: every backbone takes RGB in 0..255.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import keras
import numpy as np

from kerasdl.errors import InputError
from kerasdl.models import efficientnet_lite
from kerasdl.weights.pth import read_pth

Output = Literal["pooled", "grid", "logits"]
OUTPUTS: tuple[Output, ...] = ("pooled", "grid", "logits")
LayerWeights = Mapping[str, list[np.ndarray]]


@dataclass(frozen=True)
class Preprocessing:
    """What a network was trained on: (RGB in 0..255 - `mean`) / `std`.

    Attributes:
        mean: Per channel R, G, B, in grey levels.
        std: Per channel R, G, B, in grey levels.
        bgr: Whether the channels are then reversed.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False

    def __call__(self, images: keras.KerasTensor) -> keras.KerasTensor:
        """Adds the layers that do it: (N, S, S, 3) to (N, S, S, 3)."""
        x = keras.layers.Rescaling(
            scale=[1 / std for std in self.std],
            offset=[-mean / std for mean, std in zip(self.mean, self.std, strict=True)],
            name="preprocessing",
        )(images)
        return keras.ops.flip(x, axis=-1) if self.bgr else x


@dataclass(frozen=True)
class BackboneSpec:
    """A row of `BACKBONES`.

    Attributes:
        default_size: Side of the square input, in pixels.
        feature_dim: F, the width of the pooled features.
        preprocessing: From RGB in 0..255 to what the weights were trained on.
        features: Adds the network up to its last grid: (N, S, S, 3) to (N, h, w, F).
        classifier: Adds the ImageNet classifier: (N, h, w, F) to logits (N, 1000).
        default_weights: The path of the weights that come with a package.
        read_weights: Layer name -> arrays, from the path of a file of weights.
    """

    default_size: int
    feature_dim: int
    preprocessing: Preprocessing
    features: Callable[[keras.KerasTensor], keras.KerasTensor]
    classifier: Callable[[keras.KerasTensor], keras.KerasTensor]
    default_weights: Callable[[], str]
    read_weights: Callable[[str | Path], LayerWeights]


BACKBONES: dict[str, BackboneSpec] = {
    "efficientnet_lite0": BackboneSpec(
        default_size=224,
        feature_dim=efficientnet_lite.HEAD_FILTERS,
        preprocessing=Preprocessing(mean=(127.0,) * 3, std=(128.0,) * 3),
        features=efficientnet_lite.efficientnet_lite0_features,
        classifier=efficientnet_lite.efficientnet_lite0_logits,
        default_weights=efficientnet_lite.default_weights_path,
        read_weights=lambda path: efficientnet_lite.keras_weights(read_pth(path)),
    ),
}


def build_backbone(
    name: str,
    *,
    size: int | None = None,
    output: Output = "pooled",
    weights: str | Path = "default",
) -> keras.Model:
    """Builds a pretrained network that takes pictures as they are.

    Args:
        name: A key of `BACKBONES`.
        size: Side S of the input in pixels; None for the network's own.
        output: `"pooled"` gives the mean over the last grid, (N, F); `"grid"` the last
            grid, (N, h, w, F); `"logits"` the unnormalised ImageNet scores, (N, 1000).
        weights: `"default"`, `"none"` (random ones), or the path of a file in the
            format of the network's row.

    Returns:
        A functional model of stock layers from float32 RGB (N, S, S, 3) in 0..255. The
        preprocessing is inside it.

    Raises:
        InputError: Where there is no such backbone, or its weights cannot be read or do
            not fit.
        ValueError: Where `size` or `output` is not one of those above.
    """
    if name not in BACKBONES:
        raise InputError(f"no backbone {name!r}; there are {', '.join(BACKBONES)}.")
    if output not in OUTPUTS:
        raise ValueError(
            "Received an invalid value for argument `output`, expected one of "
            f"{', '.join(OUTPUTS)}, got {output}."
        )
    spec = BACKBONES[name]
    side = spec.default_size if size is None else size
    if side < 1:
        raise ValueError(
            "Received an invalid value for argument `size`, expected a positive integer, "
            f"got {size}."
        )
    images = keras.Input((side, side, 3), name="images")
    x = spec.features(spec.preprocessing(images))
    if output == "pooled":
        x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    elif output == "logits":
        x = spec.classifier(x)
    model = keras.Model(images, x, name=name)
    if str(weights) != "none":
        path = spec.default_weights() if str(weights) == "default" else weights
        _set_weights(model, spec.read_weights(path), path)
    return model


def _set_weights(model: keras.Model, weights: LayerWeights, path: str | Path) -> None:
    """Puts a file's arrays into the layers; each must be there and fit."""
    for layer in model.layers:
        if not layer.weights:
            continue
        arrays = weights[layer.name]
        expected = [tuple(variable.shape) for variable in layer.weights]
        received = [tuple(array.shape) for array in arrays]
        if expected != received:
            raise InputError(
                f"{path}: layer {layer.name} needs shapes {expected}, got {received}."
            )
        layer.set_weights(arrays)


def weights_digest(model: keras.Model) -> str:
    """The SHA-256 of a model's weights in order, in hexadecimal: part of a cache's key."""
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
