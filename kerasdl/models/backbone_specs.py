"""A row of the table of backbones, and the network that is built from it."""

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from kerasdl.errors import InputError

Layers = Callable[[keras.KerasTensor], keras.KerasTensor]
LayerWeights = Mapping[str, list[np.ndarray]]

DEFAULT_WEIGHTS = "default"
NO_WEIGHTS = "none"


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


# The statistics of ImageNet as torchvision, and as Caffe, subtracts them.
IMAGENET = Preprocessing(
    mean=(0.485 * 255, 0.456 * 255, 0.406 * 255),
    std=(0.229 * 255, 0.224 * 255, 0.225 * 255),
)
CAFFE = Preprocessing(mean=(123.68, 116.779, 103.939), std=(1.0,) * 3, bgr=True)
MINUS_ONE_TO_ONE = Preprocessing(mean=(127.5,) * 3, std=(127.5,) * 3)


@dataclass(frozen=True, kw_only=True)
class BackboneSpec(abc.ABC):
    """A row of the table.

    Attributes:
        default_size: Side of the square input, in pixels.
        feature_dim: F, the channels of the last grid.
        preprocessing: From RGB in 0..255 to what the weights were trained on; None if
            the network itself begins with it.
    """

    default_size: int
    feature_dim: int
    preprocessing: Preprocessing | None

    @abc.abstractmethod
    def build(
        self, name: str, images: keras.KerasTensor, classifier: bool, weights: str
    ) -> keras.KerasTensor:
        """Adds the preprocessing and the network with its weights.

        Args:
            name: The backbone's, for errors.
            images: RGB (N, S, S, 3) in 0..255.
            classifier: Whether to go on to the ImageNet scores.
            weights: `DEFAULT_WEIGHTS`, `NO_WEIGHTS`, or a path.

        Returns:
            The last grid (N, h, w, F), or the scores (N, 1000) before a softmax.

        Raises:
            InputError: If S is too small or the weights cannot be had.
        """


@dataclass(frozen=True, kw_only=True)
class NetworkSpec(BackboneSpec):
    """A network of this package.

    Attributes:
        features: Adds the layers up to the last grid.
        logits: Adds the classifier to the last grid.
        read_weights: Layer name -> arrays, from a path; a KeyError if one is missing.
        default_weights: The path of weights that come with a package; None if no
            package has them.
        file_format: The files that `read_weights` reads, for errors.
    """

    features: Layers
    logits: Layers
    read_weights: Callable[[str | Path], LayerWeights]
    default_weights: Callable[[], str] | None = None
    file_format: str

    def build(
        self, name: str, images: keras.KerasTensor, classifier: bool, weights: str
    ) -> keras.KerasTensor:
        """See `BackboneSpec.build`."""
        try:
            x = self.features(self.preprocessing(images))
        except ValueError as error:
            raise InputError(
                f"{name} does not take pictures of {images.shape[1]} pixels: {error}"
            ) from error
        if classifier:
            x = self.logits(x)
        if weights == DEFAULT_WEIGHTS:
            if self.default_weights is None:
                raise InputError(
                    f"no package has weights of {name}: give the path of "
                    f"{self.file_format}."
                )
            weights = self.default_weights()
        if weights != NO_WEIGHTS:
            set_layer_weights(keras.Model(images, x), self._read(weights), weights)
        return x

    def _read(self, path: str) -> LayerWeights:
        try:
            return self.read_weights(path)
        except KeyError as error:
            raise InputError(
                f"{path}: lacks {error}; expected {self.file_format}."
            ) from error
        except ValueError as error:  # a tensor of other dimensions than the layer's
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}: {error}; expected {self.file_format}.") from error


def set_layer_weights(model: keras.Model, weights: LayerWeights, path: str) -> None:
    """Puts a file's arrays into a model's layers.

    Raises:
        InputError: If a layer's arrays are missing or of other shapes.
    """
    for layer in model.layers:
        if not layer.weights:
            continue
        if layer.name not in weights:
            raise InputError(f"{path}: has no weights for layer {layer.name}.")
        expected = [tuple(variable.shape) for variable in layer.weights]
        received = [tuple(array.shape) for array in weights[layer.name]]
        if expected != received:
            raise InputError(
                f"{path}: layer {layer.name} needs shapes {expected}, got {received}."
            )
        layer.set_weights(weights[layer.name])
