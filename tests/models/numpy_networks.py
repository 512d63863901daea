"""Convolutional networks in NumPy and float64, slow and straight from their papers.

They take the weights as the files have them, so they also check how the files are read.
Pictures are (N, H, W, C); kernels are PyTorch's, (out, in, h, w).
"""

import numpy as np


def same_padding(length, kernel_size, strides):
    """TensorFlow's 'same': ceil(length / strides) results, the odd pixel at the end."""
    results = -(-length // strides)
    total = max((results - 1) * strides + kernel_size - length, 0)
    return total // 2, total - total // 2


def pad(x, kernel_size, strides, padding):
    """`padding` is "same", or pixels on every side."""
    if padding == "same":
        sides = [same_padding(length, kernel_size, strides) for length in x.shape[1:3]]
    else:
        sides = [(padding, padding)] * 2
    return np.pad(x, [(0, 0), *sides, (0, 0)])


def windows(x, kernel_size, strides):
    """(N, h, w, C, kernel_size, kernel_size)"""
    every = np.lib.stride_tricks.sliding_window_view(
        x, (kernel_size, kernel_size), axis=(1, 2)
    )
    return every[:, ::strides, ::strides]


def convolve(x, kernel, strides=1, padding="same"):
    size = kernel.shape[-1]
    seen = windows(pad(x, size, strides, padding), size, strides)
    return np.tensordot(seen, kernel.astype(np.float64), ([3, 4, 5], [1, 2, 3]))


def convolve_each_channel(x, kernel, strides):
    size = kernel.shape[-1]
    seen = windows(pad(x, size, strides, "same"), size, strides)
    return np.einsum("nhwcij,cij->nhwc", seen, kernel[:, 0].astype(np.float64))


def normalise(x, tensors, name, epsilon):
    gamma, beta, mean, variance = (
        tensors[f"{name}.{part}"].astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta


def relu(x, most=np.inf):
    return np.clip(x, 0, most)


def max_pool(x, size, strides, padding=0):
    padded = np.pad(
        x, [(0, 0), (padding,) * 2, (padding,) * 2, (0, 0)], constant_values=-np.inf
    )
    return windows(padded, size, strides).max(axis=(4, 5))


def efficientnet_lite(tensors, x, halved=(1, 3, 5, 11)):
    """RGB in 0..255 to (last grid, logits); the blocks `halved` halve the grid."""

    def layer(x, kernel, norm, strides=1, activate=True, each=False):
        weights = tensors[f"{kernel}.weight"]
        if each:
            x = convolve_each_channel(x, weights, strides)
        else:
            x = convolve(x, weights, strides)
        x = normalise(x, tensors, norm, 1e-3)
        return relu(x, 6) if activate else x

    x = layer((x - 127) / 128, "_conv_stem", "_bn0", strides=2)
    for index in range(len([name for name in tensors if "_project_conv" in name])):
        block = f"_blocks.{index}"
        strides = 2 if index in halved else 1
        y = x
        if f"{block}._expand_conv.weight" in tensors:
            y = layer(y, f"{block}._expand_conv", f"{block}._bn0")
        y = layer(y, f"{block}._depthwise_conv", f"{block}._bn1", strides, each=True)
        y = layer(y, f"{block}._project_conv", f"{block}._bn2", activate=False)
        x = x + y if strides == 1 and x.shape == y.shape else y
    grid = layer(x, "_conv_head", "_bn1")
    logits = grid.mean((1, 2)) @ tensors["_fc.weight"].T + tensors["_fc.bias"]
    return grid, logits


def resnet18(tensors, x):
    """RGB in 0..255 to (last grid, logits)."""

    def layer(x, kernel, norm, strides, padding):
        x = convolve(x, tensors[f"{kernel}.weight"], strides, padding)
        return normalise(x, tensors, norm, 1e-5)

    x = (x / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    x = max_pool(relu(layer(x, "conv1", "bn1", 2, 3)), 3, 2, padding=1)
    for stage in (1, 2, 3, 4):
        for index in (0, 1):
            block = f"layer{stage}.{index}"
            strides = 2 if stage > 1 and index == 0 else 1
            y = relu(layer(x, f"{block}.conv1", f"{block}.bn1", strides, 1))
            y = layer(y, f"{block}.conv2", f"{block}.bn2", 1, 1)
            if strides == 2:
                down = f"{block}.downsample"
                x = layer(x, f"{down}.0", f"{down}.1", 2, 0)
            x = relu(x + y)
    return x, x.mean((1, 2)) @ tensors["fc.weight"].T + tensors["fc.bias"]


def resnet18_shapes():
    """Name -> shape, in torchvision's order."""
    shapes = {}

    def layer(kernel, norm, filters, channels, size):
        shapes[f"{kernel}.weight"] = (filters, channels, size, size)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{part}"] = (filters,)

    layer("conv1", "bn1", 64, 3, 7)
    channels = 64
    for stage, filters in enumerate((64, 128, 256, 512), start=1):
        for index in (0, 1):
            block = f"layer{stage}.{index}"
            layer(f"{block}.conv1", f"{block}.bn1", filters, channels, 3)
            layer(f"{block}.conv2", f"{block}.bn2", filters, filters, 3)
            if channels != filters:
                down = f"{block}.downsample"
                layer(f"{down}.0", f"{down}.1", filters, channels, 1)
            channels = filters
    shapes["fc.weight"] = (1000, 512)
    shapes["fc.bias"] = (1000,)
    return shapes


def random_tensors(shapes, seed=0):
    """Kernels that keep the scale of what goes through, and plausible statistics."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in shapes.items():
        values = rng.normal(size=shape)
        if name.endswith("running_var"):
            values = rng.uniform(0.5, 1.5, size=shape)
        elif len(shape) > 1:
            values *= np.sqrt(2 / np.prod(shape[1:]))
        elif name.endswith(".weight"):
            values = 0.5 + 0.1 * values
        tensors[name] = values.astype(np.float32)
    return tensors


SQUEEZENET_POOLS = ("fire3", "fire5")


def squeezenet(layers, x):
    """RGB in 0..255 to (last grid, scores); `layers` are (HWIO kernel, bias)."""

    def layer(x, name, strides=1, padding="same"):
        kernel, bias = layers[name]
        return relu(convolve(x, kernel.transpose(3, 2, 0, 1), strides, padding) + bias)

    x = x[:, :, :, ::-1] - [103.939, 116.779, 123.68]
    x = max_pool(layer(x, "conv1", strides=2, padding=0), 3, 2)
    for module in range(2, 10):
        fire = f"fire{module}"
        squeezed = layer(x, f"{fire}/squeeze1x1")
        branches = [layer(squeezed, f"{fire}/expand{size}") for size in ("1x1", "3x3")]
        x = np.concatenate(branches, axis=-1)
        if fire in SQUEEZENET_POOLS:
            x = max_pool(x, 3, 2)
    return x, layer(x, "conv10").mean((1, 2))


def squeezenet_layers(seed=0):
    """Layer name -> (HWIO kernel, bias), random."""
    rng = np.random.default_rng(seed)
    shapes = {"conv1": (3, 3, 3, 64), "conv10": (1, 1, 512, 1000)}
    channels = 64
    for module in range(2, 10):
        squeeze = 16 * (module // 2)
        shapes[f"fire{module}/squeeze1x1"] = (1, 1, channels, squeeze)
        shapes[f"fire{module}/expand1x1"] = (1, 1, squeeze, 4 * squeeze)
        shapes[f"fire{module}/expand3x3"] = (3, 3, squeeze, 4 * squeeze)
        channels = 8 * squeeze
    return {
        name: (
            rng.normal(0, np.sqrt(2 / np.prod(shape[:3])), shape).astype(np.float32),
            rng.normal(0, 0.1, shape[3]).astype(np.float32),
        )
        for name, shape in shapes.items()
    }


def vgg16(archive, x):
    """RGB in 0..255 to the last grid; `archive` holds `block1_conv1/kernel`, HWIO."""
    x = x[:, :, :, ::-1] - [103.939, 116.779, 123.68]
    for block, convolutions in enumerate((2, 2, 3, 3, 3), start=1):
        for index in range(1, convolutions + 1):
            name = f"block{block}_conv{index}"
            kernel = archive[f"{name}/kernel"].astype(np.float64)
            bias = archive[f"{name}/bias"].astype(np.float64)
            x = relu(convolve(x, kernel.transpose(3, 2, 0, 1)) + bias)
        x = max_pool(x, 2, 2)
    return x
