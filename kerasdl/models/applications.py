"""The networks of keras.applications as backbones, each with its own preprocessing."""

import contextlib
import math
import socket
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from kerasdl.errors import InputError
from kerasdl.models.backbone_specs import (
    CAFFE,
    DEFAULT_WEIGHTS,
    IMAGENET,
    MINUS_ONE_TO_ONE,
    NO_WEIGHTS,
    BackboneSpec,
    Preprocessing,
    set_layer_weights,
)
from kerasdl.weights.hdf5 import check_hdf5
from kerasdl.weights.npz import read_npz

DOWNLOAD_TIMEOUT = 20.0  # seconds without an answer; Python's own default is to wait on


@dataclass(frozen=True, kw_only=True)
class ApplicationSpec(BackboneSpec):
    """A network of keras.applications.

    Its files of weights are those that Keras downloads and saves (`.h5`,
    `.weights.h5`), and NumPy archives (`.npz`) of `layer/kernel` and `layer/bias`.

    Attributes:
        constructor: Its name in keras.applications.
        file_preprocessing: What replaces `preprocessing` if the weights come from a
            file of the user's. Keras adds a layer to EfficientNet for the weights that
            it downloads itself, and not for the same file by its path.
    """

    constructor: str
    file_preprocessing: Preprocessing | None = None

    def build(
        self, name: str, images: keras.KerasTensor, classifier: bool, weights: str
    ) -> keras.KerasTensor:
        """See `BackboneSpec.build`."""
        is_file = weights not in (DEFAULT_WEIGHTS, NO_WEIGHTS)
        if is_file and not Path(weights).is_file():
            raise InputError(f"{weights}: cannot be read: no such file of weights.")
        is_archive = is_file and Path(weights).suffix.lower() == ".npz"
        preprocessing = self.preprocessing
        if is_file and self.file_preprocessing is not None:
            preprocessing = self.file_preprocessing
        x = images if preprocessing is None else preprocessing(images)
        with self._one_line_errors(name, images.shape[1], weights):
            application = getattr(keras.applications, self.constructor)(
                include_top=classifier,
                weights="imagenet" if weights == DEFAULT_WEIGHTS else None,
                input_tensor=x,
                classifier_activation=None,
            )
            if is_file and not is_archive:
                check_hdf5(weights, f"weights of {self.constructor}")
                application.load_weights(weights)
        if is_archive:
            set_layer_weights(application, _read_npz(weights), weights)
        return application.output

    @contextlib.contextmanager
    def _one_line_errors(self, name: str, size: int, weights: str) -> Iterator[None]:
        waited = socket.getdefaulttimeout()
        socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
        try:
            with warnings.catch_warnings():
                # That MobileNet's weights were trained at 224 pixels.
                warnings.filterwarnings("ignore", message="`input_shape` is undefined")
                yield
        except InputError:
            raise
        except Exception as error:  # Keras raises a bare Exception for a failed download
            if weights not in (DEFAULT_WEIGHTS, NO_WEIGHTS):
                raise InputError(
                    f"{weights}: not weights of {self.constructor}: {error}"
                ) from error
            if isinstance(error, OSError) or "URL fetch failure" in str(error):
                raise InputError(
                    f"the weights of {name} cannot be downloaded: {error}. Give the path "
                    "of the downloaded file as `weights`, or put it into "
                    "~/.keras/models; efficientnet_lite0 needs no download."
                ) from error
            if isinstance(error, ValueError):
                raise InputError(
                    f"{name} does not take pictures of {size} pixels: {error}"
                ) from error
            raise
        finally:
            socket.setdefaulttimeout(waited)


def _read_npz(path: str) -> dict[str, list[np.ndarray]]:
    """Layer name -> [kernel, bias] as float32."""
    layers: dict[str, dict[str, np.ndarray]] = {}
    for key, array in read_npz(path).items():
        layer, _, part = key.rpartition("/")
        layers.setdefault(layer, {})[part] = array.astype(np.float32)
    try:
        return {
            layer: [parts["kernel"], parts["bias"]] for layer, parts in layers.items()
        }
    except KeyError as error:
        raise InputError(
            f"{path}: expected arrays `layer/kernel` and `layer/bias`, got {error}."
        ) from error


def _efficientnet_file_preprocessing() -> Preprocessing:
    """Keras's EfficientNet computes (x / 255 - m) / sqrt(s), with s where s² belongs.

    m and s are the mean and standard deviation of ImageNet. The layer that Keras adds
    divides by sqrt(s) once more. In front of the network that is x -> x' with
    x' / 255 - m = (x / 255 - m) / sqrt(s): x' = (x - 255 m (1 - sqrt(s))) / sqrt(s).
    """
    std = [math.sqrt(s / 255) for s in IMAGENET.std]
    mean = [m * (1 - root) for m, root in zip(IMAGENET.mean, std, strict=True)]
    return Preprocessing(mean=tuple(mean), std=tuple(std))


def _rows(
    preprocessing: Preprocessing | None,
    sizes: dict[str, tuple[int, int]],
    file_preprocessing: Preprocessing | None = None,
) -> dict[str, ApplicationSpec]:
    """Rows that share their preprocessing, from constructor -> (size, features)."""
    return {
        constructor.lower(): ApplicationSpec(
            default_size=size,
            feature_dim=feature_dim,
            preprocessing=preprocessing,
            constructor=constructor,
            file_preprocessing=file_preprocessing,
        )
        for constructor, (size, feature_dim) in sizes.items()
    }


# Constructor -> side of the input, channels of the last grid.
APPLICATIONS: dict[str, BackboneSpec] = {
    **_rows(
        CAFFE,
        {
            "ResNet50": (224, 2048),
            "ResNet101": (224, 2048),
            "ResNet152": (224, 2048),
            "VGG16": (224, 512),
            "VGG19": (224, 512),
        },
    ),
    **_rows(
        IMAGENET,
        {
            "DenseNet121": (224, 1024),
            "DenseNet169": (224, 1664),
            "DenseNet201": (224, 1920),
        },
    ),
    **_rows(
        MINUS_ONE_TO_ONE,
        {
            "InceptionResNetV2": (299, 1536),
            "InceptionV3": (299, 2048),
            "MobileNet": (224, 1024),
            "MobileNetV2": (224, 1280),
            "NASNetLarge": (331, 4032),
            "NASNetMobile": (224, 1056),
            "ResNet50V2": (224, 2048),
            "ResNet101V2": (224, 2048),
            "ResNet152V2": (224, 2048),
            "Xception": (299, 2048),
        },
    ),
    **_rows(
        None,
        {
            "ConvNeXtTiny": (224, 768),
            "ConvNeXtSmall": (224, 768),
            "ConvNeXtBase": (224, 1024),
            "ConvNeXtLarge": (224, 1536),
            "ConvNeXtXLarge": (224, 2048),
            "EfficientNetV2B0": (224, 1280),
            "EfficientNetV2B1": (240, 1280),
            "EfficientNetV2B2": (260, 1408),
            "EfficientNetV2B3": (300, 1536),
            "EfficientNetV2S": (384, 1280),
            "EfficientNetV2M": (480, 1280),
            "EfficientNetV2L": (480, 1280),
            "MobileNetV3Large": (224, 960),
            "MobileNetV3Small": (224, 576),
        },
    ),
    **_rows(
        None,
        {
            "EfficientNetB0": (224, 1280),
            "EfficientNetB1": (240, 1280),
            "EfficientNetB2": (260, 1408),
            "EfficientNetB3": (300, 1536),
            "EfficientNetB4": (380, 1792),
            "EfficientNetB5": (456, 2048),
            "EfficientNetB6": (528, 2304),
            "EfficientNetB7": (600, 2560),
        },
        file_preprocessing=_efficientnet_file_preprocessing(),
    ),
}
