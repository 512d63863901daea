"""A captioner of pictures: a frozen backbone and a `CaptionDecoder` in one model.

One ``.keras`` file holds backbone, feature statistics and decoder.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasdl.models.caption_decoder import CaptionDecoder
from kerasdl.models.caption_ensemble import CaptionEnsemble


def grid_pooling_matrix(height, width, grid):
    """Matrix that averages an (h, w) map to grid × grid bins.

    Bin i of a side of length n covers the rows ⌊i·n/grid⌋ to ⌈(i+1)·n/grid⌉, so bins
    overlap by one row if the side does not divide (as adaptive pooling does).

    Returns:
        float32 array (grid², height·width); rows sum to 1.

    >>> grid_pooling_matrix(2, 2, 1)
    array([[0.25, 0.25, 0.25, 0.25]], dtype=float32)
    """

    def bins(side):
        matrix = np.zeros((grid, side))
        for i in range(grid):
            start, end = i * side // grid, -(-(i + 1) * side // grid)
            matrix[i, start:end] = 1.0 / (end - start)
        return matrix

    return np.kron(bins(height), bins(width)).astype("float32")


@keras.saving.register_keras_serializable(package="kerasdl")
class ImageCaptioner(keras.Model):
    """A picture in, a caption out: frozen backbone, then `CaptionDecoder`.

    The backbone is set non-trainable and always runs in inference mode, so its
    BatchNorm statistics never move.

    Args:
        backbone: keras.Model from float32 RGB (N, S, S, 3) in 0..255 to features (N, F)
            or to a feature map (N, h, w, C).
        decoder: `CaptionDecoder`, or `CaptionEnsemble` of several, with as many feature
            dimensions.
        grid: side of the grid that a feature map is average-pooled to, then flattened
            to (N, grid²·C) so that the spatial layout survives. Must be 0 for a
            backbone whose output is (N, F) already.

    Call arguments:
        inputs: pair of images, float (N, S, S, 3) in 0..255, and tokens, int (N, T).
        training: bool, whether the decoder applies dropout.

    Returns:
        logits, float (N, T, V).

    Raises:
        ValueError: if ``grid`` does not fit the backbone's output, or the decoder's
            ``feature_dim`` is not the number of features that result.
    """

    def __init__(
        self,
        backbone: keras.Model,
        decoder: CaptionDecoder | CaptionEnsemble,
        *,
        grid=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if isinstance(grid, bool) or not isinstance(grid, int) or grid < 0:
            raise ValueError(
                "Received an invalid value for argument `grid`, "
                f"expected an integer ≥ 0, got {grid!r}."
            )
        self.grid = grid
        shape = tuple(backbone.output_shape)
        if len(shape) == 4:
            _, height, width, channels = shape
            side = min(height, width)
            if not 1 <= grid <= side:
                raise ValueError(
                    "Received an invalid value for argument `grid`, expected 1 to "
                    f"{side} for a backbone with output {shape}, got {grid}."
                )
            self._pooling = grid_pooling_matrix(height, width, grid)
            feature_dim = grid * grid * channels
        elif len(shape) == 2:
            if grid:
                raise ValueError(
                    "Received an invalid value for argument `grid`, expected 0 for a "
                    f"backbone with output {shape}, got {grid}."
                )
            feature_dim = shape[1]
        else:
            raise ValueError(
                "Received an invalid value for argument `backbone`, expected an output "
                f"of shape (N, F) or (N, h, w, C), got {shape}."
            )
        if decoder.feature_dim != feature_dim:
            raise ValueError(
                "Received an invalid value for argument `decoder`, expected "
                f"feature_dim={feature_dim} for this backbone, got {decoder.feature_dim}."
            )
        backbone.trainable = False
        self.backbone = backbone
        self.decoder = decoder
        self._generators = {}
        self.built = True

    @property
    def image_size(self):
        """Side S of the square pictures that the backbone takes, in pixels."""
        return int(self.backbone.input_shape[1])

    def features(self, images):
        """Features (N, F) of images, float (N, S, S, 3) RGB in 0..255."""
        features = self.backbone(images, training=False)
        if not self.grid:
            return features
        _, height, width, channels = self.backbone.output_shape
        if height == width == self.grid:
            return tf.reshape(features, (-1, self.grid * self.grid * channels))
        cells = tf.reshape(features, (-1, height * width, channels))
        pooling = tf.constant(self._pooling, cells.dtype)
        pooled = tf.matmul(pooling, cells)  # (N, grid², C)
        return tf.reshape(pooled, (-1, self.grid * self.grid * channels))

    def call(self, inputs, training=None):
        """See the class."""
        images, tokens = inputs
        return self.decoder((self.features(images), tokens), training=training)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """The decoder's loss: see `CaptionModel.compute_loss`."""
        return self.decoder.compute_loss(x, y, y_pred, sample_weight, training)

    def generate(self, images, max_length, **options):
        """Captions for images, float (N, S, S, 3) RGB in 0..255.

        Other arguments and results are `CaptionModel.generate`'s.
        """
        return self._decode("generate", images, max_length=max_length, **options)

    def candidates(self, images, max_length, **options):
        """Several captions of each image; as `CaptionModel.candidates`."""
        return self._decode("candidates", images, max_length=max_length, **options)

    def _decode(self, name, images, **options):
        key = (name, *sorted(options.items()))
        if key not in self._generators:
            size, decode = self.image_size, getattr(self.decoder, name)
            self._generators[key] = tf.function(
                lambda images: decode(self.features(images), **options),
                input_signature=[tf.TensorSpec((None, size, size, 3), tf.float32)],
            )
        return self._generators[key](tf.convert_to_tensor(images, "float32"))

    def get_config(self):
        """Constructor arguments; backbone and decoder as Keras serialises them."""
        return {
            **super().get_config(),
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "grid": self.grid,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Builds the model that `get_config` described; no pretrained file is read."""
        config = dict(config)
        for part in ("backbone", "decoder"):
            config[part] = keras.saving.deserialize_keras_object(
                config[part], custom_objects=custom_objects
            )
        return cls(**config)
