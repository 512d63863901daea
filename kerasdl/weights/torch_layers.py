"""Converts PyTorch's layout of a layer's weights to Keras's."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kerasdl.weights.pth import read_pth
from kerasdl.weights.safetensors import read_safetensors

Tensors = Mapping[str, np.ndarray]


def read_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """Reads a state dict: a `.safetensors` file, or what `torch.save` wrote.

    Raises:
        InputError: As `read_safetensors` and `read_pth` do.
    """
    if Path(path).suffix.lower() == ".safetensors":
        return read_safetensors(path)
    return read_pth(path)


def convolution(tensors: Tensors, name: str) -> list[np.ndarray]:
    """`Conv2D` without a bias: (out, in, h, w) to (h, w, in, out)."""
    return [tensors[f"{name}.weight"].transpose(2, 3, 1, 0)]


def depthwise_convolution(tensors: Tensors, name: str) -> list[np.ndarray]:
    """`DepthwiseConv2D` without a bias: (channels, 1, h, w) to (h, w, channels, 1)."""
    return [tensors[f"{name}.weight"].transpose(2, 3, 0, 1)]


def batch_normalization(tensors: Tensors, name: str) -> list[np.ndarray]:
    """`BatchNormalization`: gamma, beta, moving mean and variance (channels,)."""
    parts = ("weight", "bias", "running_mean", "running_var")
    return [tensors[f"{name}.{part}"] for part in parts]


def linear(tensors: Tensors, name: str) -> list[np.ndarray]:
    """`Dense`: kernel (out, in) to (in, out), bias (out,)."""
    return [tensors[f"{name}.weight"].T, tensors[f"{name}.bias"]]
