"""Pretrained networks by name: one table of their sizes, inputs and weights.

What users of a pretrained network get wrong most is the preprocessing, so it is inside
the model: every backbone takes RGB in 0..255.
"""

import difflib
import hashlib
from functools import partial
from pathlib import Path
from typing import Literal

import keras
import numpy as np

from kerasdl.errors import InputError
from kerasdl.models import efficientnet_lite, resnet, squeezenet
from kerasdl.models.applications import APPLICATIONS
from kerasdl.models.backbone_specs import (
    CAFFE,
    IMAGENET,
    BackboneSpec,
    NetworkSpec,
    Preprocessing,
)

Output = Literal["pooled", "grid", "logits"]
OUTPUTS: tuple[Output, ...] = ("pooled", "grid", "logits")


def _lite(variant: int, size: int) -> NetworkSpec:
    stages = efficientnet_lite.VARIANTS[variant]
    return NetworkSpec(
        default_size=size,
        feature_dim=efficientnet_lite.HEAD_FILTERS,
        preprocessing=Preprocessing(mean=(127.0,) * 3, std=(128.0,) * 3),
        features=partial(efficientnet_lite.features, stages=stages),
        logits=efficientnet_lite.logits,
        read_weights=partial(efficientnet_lite.read_weights, stages=stages),
        default_weights=partial(efficientnet_lite.default_weights_path, variant),
        file_format="a .pth or .safetensors state dict of its PyTorch port",
    )


BACKBONES: dict[str, BackboneSpec] = {
    "efficientnet_lite0": _lite(0, 224),
    "resnet18": NetworkSpec(
        default_size=224,
        feature_dim=resnet.STAGE_FILTERS[-1],
        preprocessing=IMAGENET,
        features=resnet.features,
        logits=resnet.logits,
        read_weights=resnet.read_weights,
        file_format="a .pth or .safetensors state dict in torchvision's layout",
    ),
    "squeezenet": NetworkSpec(
        default_size=227,
        feature_dim=2 * squeezenet.FIRE_FILTERS[9][1],
        preprocessing=CAFFE,
        features=squeezenet.features,
        logits=squeezenet.logits,
        read_weights=squeezenet.read_weights,
        file_format="the .h5 of its Keras port",
    ),
    "efficientnet_lite1": _lite(1, 240),
    "efficientnet_lite2": _lite(2, 260),
    **APPLICATIONS,
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
        name: A key of `BACKBONES`, in any case.
        size: Side S of the input in pixels; None for the network's own.
        output: `"pooled"` gives the mean over the last grid, (N, F); `"grid"` the last
            grid, (N, h, w, F); `"logits"` the ImageNet scores before a softmax,
            (N, 1000).
        weights: `"default"` for those that come with a package or can be downloaded,
            `"none"` for random ones, or the path of a file in the format that the
            network's row names.

    Returns:
        A functional model of stock layers from float32 RGB (N, S, S, 3) in 0..255. The
        preprocessing is inside it.

    Raises:
        InputError: If there is no such backbone, it does not take pictures of `size`,
            or its weights cannot be found, read, or do not fit.
        ValueError: If `size` is not positive or `output` none of those above.
    """
    spec = find_backbone(name)
    if output not in OUTPUTS:
        raise ValueError(
            "Received an invalid value for argument `output`, expected one of "
            f"{', '.join(OUTPUTS)}, got {output}."
        )
    side = spec.default_size if size is None else size
    if side < 1:
        raise ValueError(
            "Received an invalid value for argument `size`, expected a positive integer, "
            f"got {size}."
        )
    images = keras.Input((side, side, 3), name="images")
    x = spec.build(name.lower(), images, output == "logits", str(weights))
    if output == "pooled":
        x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(images, x, name=name.lower())


def list_backbones() -> list[str]:
    """The names that `build_backbone` takes.

    >>> list_backbones()[:3]
    ['efficientnet_lite0', 'resnet18', 'squeezenet']
    """
    return list(BACKBONES)


def find_backbone(name: str) -> BackboneSpec:
    """The row of `BACKBONES` called `name`, in any case.

    Raises:
        InputError: If there is none; names like it are given.
    """
    spec = BACKBONES.get(name.lower())
    if spec is None:
        near = difflib.get_close_matches(name.lower(), BACKBONES, n=3) or list(BACKBONES)
        raise InputError(f"no backbone {name!r}; there is {', '.join(near)}.")
    return spec


def weights_digest(model: keras.Model) -> str:
    """The SHA-256 of a model's weights in order, in hexadecimal."""
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
