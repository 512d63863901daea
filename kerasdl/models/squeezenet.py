"""SqueezeNet 1.1 in Keras.

SqueezeNet (Iandola et al., 2016, https://arxiv.org/abs/1602.07360), in version 1.1, which
pools earlier. A fire module squeezes the channels by 1 x 1 and expands them by 1 x 1 and
3 x 3 side by side. The first convolution and the pools are 'valid'. Dropout before the
classifier, which acts in training from scratch only, is left out.

The entries of torchvision's `features`, by which recipes for style transfer name layers:
0 `conv1`, 1 `conv1_relu`, 2 `pool1`, 3 and 4 `fire2`, `fire3`, 5 `pool3`, 6 and 7
`fire4`, `fire5`, 8 `pool5`, 9 to 12 `fire6` to `fire9`.
"""

from pathlib import Path

import keras
import numpy as np

from kerasdl.weights.legacy_h5 import read_legacy_h5

STEM_FILTERS = 64
# Module -> filters of the squeeze and of each expansion; a pool follows 3 and 5.
FIRE_FILTERS = {
    2: (16, 64),
    3: (16, 64),
    4: (32, 128),
    5: (32, 128),
    6: (48, 192),
    7: (48, 192),
    8: (64, 256),
    9: (64, 256),
}
POOLED_MODULES = (3, 5)
CLASSES = 1000


def features(images: keras.KerasTensor) -> keras.KerasTensor:
    """The network up to its last fire module.

    Args:
        images: (N, S, S, 3), BGR less the mean of ImageNet.

    Returns:
        (N, h, w, 512), not negative; h = w = 13 if S is 227 or 224.
    """
    x = keras.layers.Conv2D(STEM_FILTERS, 3, 2, name="conv1")(images)
    x = keras.layers.Activation("relu", name="conv1_relu")(x)
    x = keras.layers.MaxPooling2D(3, 2, name="pool1")(x)
    for module, (squeeze, expand) in FIRE_FILTERS.items():
        x = _fire(x, squeeze, expand, f"fire{module}")
        if module in POOLED_MODULES:
            x = keras.layers.MaxPooling2D(3, 2, name=f"pool{module}")(x)
    return x


def logits(grid: keras.KerasTensor) -> keras.KerasTensor:
    """The ImageNet classifier: (N, h, w, 512) to scores (N, 1000), not negative.

    The scores are ReLU outputs averaged over the grid, as they were trained.
    """
    x = keras.layers.Conv2D(CLASSES, 1, activation="relu", name="conv10")(grid)
    return keras.layers.GlobalAveragePooling2D(name="logits")(x)


def _fire(
    x: keras.KerasTensor, squeeze: int, expand: int, name: str
) -> keras.KerasTensor:
    def convolve(x: keras.KerasTensor, filters: int, size: int, part: str):
        return keras.layers.Conv2D(
            filters, size, padding="same", activation="relu", name=f"{name}_{part}"
        )(x)

    x = convolve(x, squeeze, 1, "squeeze1x1")
    branches = [convolve(x, expand, size, f"expand{size}x{size}") for size in (1, 3)]
    return keras.layers.Concatenate(name=name)(branches)


def read_weights(path: str | Path) -> dict[str, list[np.ndarray]]:
    """Layer name -> weights, from the HDF5 file of the Keras port (`fire2/squeeze1x1`).

    Raises:
        InputError: As `read_legacy_h5` does.
    """
    weights = read_legacy_h5(path)
    return {layer.replace("/", "_"): arrays for layer, arrays in weights.items()}
