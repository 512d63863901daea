"""ResNet-18 in Keras, in the layout of torchvision's weights.

Deep residual learning (He et al., 2015, https://arxiv.org/abs/1512.03385), Table 1, the
18-layer column. Padding is symmetric as in PyTorch: if a stride is 2, Keras's 'same'
would look at other pixels. Differences from torchvision: the classifier returns logits
in either, and none is in the network.
"""

from pathlib import Path

import keras
import numpy as np

from kerasdl.weights.torch_layers import (
    batch_normalization,
    convolution,
    linear,
    read_state_dict,
)

BATCH_NORM_EPSILON = 1e-5
# PyTorch's 0.1 is the share of the new batch, Keras's momentum that of the old mean.
BATCH_NORM_MOMENTUM = 0.9
STAGE_FILTERS = (64, 128, 256, 512)
BLOCKS = 2  # in each stage
CLASSES = 1000


def features(images: keras.KerasTensor) -> keras.KerasTensor:
    """The network up to its last block.

    Args:
        images: (N, S, S, 3), RGB as (x / 255 - mean) / standard deviation of ImageNet.

    Returns:
        (N, ceil(S / 32), ceil(S / 32), 512), not negative.
    """
    x = _convolve(images, STAGE_FILTERS[0], 7, 2, "conv1")
    x = _relu(x, "conv1")
    # After a ReLU, padding by 0 is padding by minus infinity.
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = keras.layers.MaxPooling2D(3, 2, name="pool1")(x)
    for stage, filters in enumerate(STAGE_FILTERS, start=1):
        for block in range(BLOCKS):
            strides = 2 if stage > 1 and block == 0 else 1
            x = _basic_block(x, filters, strides, f"layer{stage}_{block}")
    return x


def logits(grid: keras.KerasTensor) -> keras.KerasTensor:
    """The ImageNet classifier: (N, h, w, 512) to unnormalised logits (N, 1000)."""
    x = keras.layers.GlobalAveragePooling2D(name="pool")(grid)
    return keras.layers.Dense(CLASSES, name="logits")(x)


def _basic_block(
    x: keras.KerasTensor, filters: int, strides: int, name: str
) -> keras.KerasTensor:
    """Two 3 x 3 convolutions beside a shortcut, projected if shapes differ."""
    shortcut = x
    if strides != 1 or x.shape[-1] != filters:
        shortcut = _convolve(x, filters, 1, strides, f"{name}_downsample")
    x = _convolve(x, filters, 3, strides, f"{name}_conv1")
    x = _relu(x, f"{name}_conv1")
    x = _convolve(x, filters, 3, 1, f"{name}_conv2")
    x = keras.layers.Add(name=f"{name}_add")([shortcut, x])
    return _relu(x, name)


def _convolve(
    x: keras.KerasTensor, filters: int, kernel_size: int, strides: int, name: str
) -> keras.KerasTensor:
    """Pads by half the kernel on every side, convolves, normalises."""
    if kernel_size > 1:
        x = keras.layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
    x = keras.layers.Conv2D(filters, kernel_size, strides, use_bias=False, name=name)(x)
    return keras.layers.BatchNormalization(
        momentum=BATCH_NORM_MOMENTUM, epsilon=BATCH_NORM_EPSILON, name=f"{name}_bn"
    )(x)


def _relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.Activation("relu", name=f"{name}_relu")(x)


def read_weights(path: str | Path) -> dict[str, list[np.ndarray]]:
    """Layer name -> weights, from a state dict with torchvision's names.

    The classifier may be missing.

    Raises:
        InputError: As `read_state_dict` does.
        KeyError: If the file lacks a tensor of the network.
    """
    tensors = read_state_dict(path)
    weights = {
        "conv1": convolution(tensors, "conv1"),
        "conv1_bn": batch_normalization(tensors, "bn1"),
    }
    for stage in range(1, len(STAGE_FILTERS) + 1):
        for block in range(BLOCKS):
            ours, theirs = f"layer{stage}_{block}", f"layer{stage}.{block}"
            layers = {"conv1": ("conv1", "bn1"), "conv2": ("conv2", "bn2")}
            if f"{theirs}.downsample.0.weight" in tensors:
                layers["downsample"] = ("downsample.0", "downsample.1")
            for layer, (kernel, norm) in layers.items():
                weights[f"{ours}_{layer}"] = convolution(tensors, f"{theirs}.{kernel}")
                weights[f"{ours}_{layer}_bn"] = batch_normalization(
                    tensors, f"{theirs}.{norm}"
                )
    if "fc.weight" in tensors:
        weights["logits"] = linear(tensors, "fc")
    return weights
