"""A captioner of pictures: a frozen backbone and a `CaptionDecoder` in one model.

One ``.keras`` file holds backbone, feature statistics and decoder.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasdl.models.caption_decoder import CaptionDecoder
from kerasdl.models.caption_ensemble import CaptionEnsemble
from kerasdl.models.picture_statistics import principal_components
from kerasdl.models.picture_views import views_of


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

    With V ``views`` v of a picture (`kerasdl.models.picture_views`), A_v the backbone's
    map of one and l one of its places, the features that the decoder gets are::

        A_0                                    a grid without components
        1/V Σ_v mean_l A_v                     no grid
        [1/V Σ_v mean_l A_v,  (A_0 − μ) P]     a grid with components

    μ (C,) and P (C, components) being the mean and the principal components of the places
    of the training pictures, which `adapt` measures.

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
        components: number of principal components of a place's features that the decoder
            gets, behind the features of the whole picture; 0 for all features of a place
            and none of the whole picture.
        views: number of views V whose features of the whole picture are averaged; must be
            1 if there are none of the whole picture.

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
        components=0,
        views=1,
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
            _check_count("components", components, 0, channels)
            self.whole = channels if components else 0
            feature_dim = self.whole + grid * grid * (components or channels)
        elif len(shape) == 2:
            if grid:
                raise ValueError(
                    "Received an invalid value for argument `grid`, expected 0 for a "
                    f"backbone with output {shape}, got {grid}."
                )
            _check_count("components", components, 0, 0)
            feature_dim = self.whole = shape[1]
        else:
            raise ValueError(
                "Received an invalid value for argument `backbone`, expected an output "
                f"of shape (N, F) or (N, h, w, C), got {shape}."
            )
        whole = self.whole if components else 0
        if decoder.whole != whole:
            raise ValueError(
                "Received an invalid value for argument `decoder`, expected "
                f"whole={whole}, got {decoder.whole}."
            )
        if decoder.feature_dim != feature_dim:
            raise ValueError(
                "Received an invalid value for argument `decoder`, expected "
                f"feature_dim={feature_dim} for this backbone, got {decoder.feature_dim}."
            )
        _check_count("views", views, 1, None if self.whole else 1)
        self.components, self.views = components, views
        if components:
            self.centre = self.add_weight(
                name="centre", shape=(channels,), initializer="zeros", trainable=False
            )
            self.principal = self.add_weight(
                name="principal",
                shape=(channels, components),
                initializer="orthogonal",
                trainable=False,
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
        return self.combine(self.features_of_views(images, self.views, grids=1))

    def features_of_views(self, images, count, grids=2):
        """Features of each view by itself.

        Args:
            images: float (N, S, S, 3).
            count: how many views V, which may differ from `views`.
            grids: of how many views the places are computed, 1 or 2. Others have those of
                the picture or of its mirror image, as they are mirrored or not.

        Returns:
            float (N, V, F).
        """
        maps = self.backbone(views_of(images, count), training=False)
        maps = tf.split(maps, count, axis=0) if count > 1 else [maps]
        if not self.grid:
            return tf.stack(maps, axis=1)
        if not self.components:
            return tf.stack([self._flat(self._cells(one)) for one in maps], axis=1)
        places = [
            self._flat(
                tf.matmul(
                    self._cells(one) - tf.convert_to_tensor(self.centre),
                    tf.convert_to_tensor(self.principal),
                )
            )
            for one in maps[:grids]
        ]
        means = [tf.reduce_mean(one, axis=(1, 2)) for one in maps]
        return tf.stack(
            [
                tf.concat([mean, places[view % len(places)]], axis=1)
                for view, mean in enumerate(means)
            ],
            axis=1,
        )

    def combine(self, views):
        """The features (N, F) of pictures, given those of at least `views` views.

        Args:
            views: array or tensor (N, V, F), as `features_of_views` gives them.
        """
        if self.views == 1:
            return views[:, 0]
        mean = views[:, : self.views, : self.whole]
        if not tf.is_tensor(views):
            return np.concatenate([mean.mean(1), views[:, 0, self.whole :]], axis=1)
        return tf.concat([tf.reduce_mean(mean, 1), views[:, 0, self.whole :]], axis=1)

    def adapt(self, maps):
        """Measures μ and P, for a captioner with ``components``.

        Args:
            maps: float (M, h, w, C), what the backbone gives for training pictures.
        """
        batches = (maps[start : start + 64] for start in range(0, len(maps), 64))
        cells = np.concatenate([self._cells(tf.constant(batch)) for batch in batches])
        mean, directions = principal_components(
            cells.reshape(-1, cells.shape[-1]), self.components
        )
        self.centre.assign(mean)
        self.principal.assign(directions)

    def _cells(self, maps):
        """Maps (N, h, w, C) pooled to (N, grid², C)."""
        _, height, width, channels = self.backbone.output_shape
        cells = tf.reshape(maps, (-1, height * width, channels))
        if height == width == self.grid:
            return cells
        return tf.matmul(tf.constant(self._pooling, cells.dtype), cells)

    def _flat(self, cells):
        return tf.reshape(cells, (-1, cells.shape[1] * cells.shape[2]))

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
            "components": self.components,
            "views": self.views,
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


def _check_count(name, value, least, most):
    good = isinstance(value, int) and not isinstance(value, bool) and value >= least
    if not good or (most is not None and value > most):
        expected = f"{least} to {most}" if most is not None else f"an integer ≥ {least}"
        raise ValueError(
            f"Received an invalid value for argument `{name}`, expected {expected}, "
            f"got {value!r}."
        )
