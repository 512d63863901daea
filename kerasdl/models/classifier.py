"""A picture classifier: a pretrained backbone, a new head, and which parts are trained.

The head is linear, as in the transfer-learning recipe that this follows. Differences
from it: BatchNorm statistics of frozen layers do not move (there they do), and dropout
before the head is possible.
"""

from __future__ import annotations

import math
import re

import keras
import tensorflow as tf

from kerasdl.data.decisions import Decision
from kerasdl.errors import InputError
from kerasdl.models.fused_batch_norm import with_fused_batch_norm
from kerasdl.models.layer_groups import layer_groups

BACKBONE = "backbone"
HEAD = "head"
# The pooling that ends every pooled backbone.
POOL = "pool"

FREEZE_FORMS = "none, all, stages:N or regex:PATTERN"


@keras.saving.register_keras_serializable(package="kerasdl")
class ImageClassifier(keras.Model):
    """A backbone with a new linear head: pictures in, logits out.

    The head's kernel and bias are drawn from U(-1/√F, 1/√F), as the framework of the
    recipe draws them. The two parts are the layers `backbone` and `head`.

    Args:
        backbone: from RGB (N, S, S, 3) in 0..255 to pooled features (N, F). A copy
            with fused BatchNorm layers becomes the layer `backbone`.
        classes: K, at least 2.
        dropout: the share of the features that training drops before the head.
        mirrored: whether `probabilities` is the mean over a picture and its mirror image.
        multi_label: whether a picture has several of the K labels, or none.

    Attributes:
        decision: how probabilities become labels.

    Call arguments:
        images: RGB (N, S, S, 3) in 0..255.

    Returns:
        logits, float (N, K).

    Raises:
        ValueError: `classes` is below 2, or `dropout` outside [0, 1).
    """

    def __init__(
        self,
        backbone: keras.Model,
        classes: int,
        dropout: float = 0.0,
        mirrored: bool = False,
        multi_label: bool = False,
        name: str = "image_classifier",
    ) -> None:
        if classes < 2:
            raise ValueError(
                "Received an invalid value for argument `classes`, expected at least 2, "
                f"got {classes}."
            )
        if not 0 <= dropout < 1:
            raise ValueError(
                "Received an invalid value for argument `dropout`, expected at least 0 "
                f"and below 1, got {dropout}."
            )
        features = backbone.output_shape[-1]
        limit = 1 / math.sqrt(features)
        head = keras.Sequential(
            [
                keras.Input((features,)),
                keras.layers.Dropout(dropout),
                keras.layers.Dense(
                    classes,
                    kernel_initializer=keras.initializers.RandomUniform(-limit, limit),
                    bias_initializer=keras.initializers.RandomUniform(-limit, limit),
                    name="logits",
                ),
            ],
            name=HEAD,
        )
        backbone = with_fused_batch_norm(backbone)
        backbone.name = BACKBONE
        images = backbone.input
        super().__init__(images, head(backbone(images)), name=name)
        self.classes = classes
        self.dropout = dropout
        self.mirrored = mirrored
        self.decision = Decision(multi_label)

    def probabilities(self, images: tf.Tensor) -> tf.Tensor:
        """What the model answers for pictures.

        Args:
            images: As for a call.

        Returns:
            float32 (N, K).
        """
        activate = tf.sigmoid if self.decision.multi_label else tf.nn.softmax
        answers = activate(self(images, training=False))
        if self.mirrored:
            mirror = tf.reverse(images, axis=[2])
            answers = (answers + activate(self(mirror, training=False))) / 2
        return answers

    def scale_logits(self, factor: float) -> None:
        """Multiplies all logits to come, by the weights of the linear head."""
        logits = self.get_layer(HEAD).get_layer("logits")
        for variable in (logits.kernel, logits.bias):
            variable.assign(variable * factor)

    def get_config(self):
        """The constructor's arguments; the backbone as Keras serialises it."""
        return {
            "backbone": keras.saving.serialize_keras_object(self.get_layer(BACKBONE)),
            "classes": self.classes,
            "dropout": self.dropout,
            "mirrored": self.mirrored,
            "multi_label": self.decision.multi_label,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Builds the model that `get_config` described; no pretrained file is read."""
        backbone = keras.saving.deserialize_keras_object(
            config["backbone"], custom_objects=custom_objects
        )
        return cls(**{**config, "backbone": backbone})


def image_size(classifier: keras.Model) -> int:
    """S, the side of the pictures that a classifier takes."""
    return classifier.input_shape[1]


def stages(backbone: keras.Model) -> list[list[keras.layers.Layer]]:
    """The layers with weights, in groups of equal resolution, from the input on.

    EfficientNet-Lite0 and ResNet-18 have five; see `layer_groups`.
    """
    return layer_groups(backbone)


def freeze(backbone: keras.Model, spec: str) -> list[str]:
    """Makes the layers that `spec` names keep their weights and statistics.

    Args:
        backbone: As above; layers that are not named become trainable.
        spec: `none`; `all`; `stages:N`, the first N of `stages`; or `regex:PATTERN`,
            every layer in whose name the pattern is found.

    Returns:
        The names of the frozen layers that have weights.

    Raises:
        InputError: `spec` has another form, N is out of range, or the pattern is no
            regular expression or is found in no name.
    """
    layers = [layer for layer in backbone.layers if layer.weights]
    frozen = {layer.name for layer in _frozen_layers(backbone, layers, spec)}
    backbone.trainable = True
    for layer in layers:
        layer.trainable = layer.name not in frozen
    if len(frozen) == len(layers):
        backbone.trainable = False
    return [layer.name for layer in layers if layer.name in frozen]


def _frozen_layers(
    backbone: keras.Model, layers: list[keras.layers.Layer], spec: str
) -> list[keras.layers.Layer]:
    form, _, argument = spec.partition(":")
    if spec == "none":
        return []
    if spec == "all":
        return layers
    if form == "stages" and argument.isdecimal():
        groups = stages(backbone)
        if int(argument) > len(groups):
            raise InputError(
                f"--config.model.freeze: {backbone.name} has {len(groups)} stages, got "
                f"{spec!r}."
            )
        return [layer for group in groups[: int(argument)] for layer in group]
    if form == "regex":
        try:
            pattern = re.compile(argument)
        except re.error as error:
            raise InputError(f"--config.model.freeze: {error}, got {spec!r}.") from error
        found = [layer for layer in layers if pattern.search(layer.name)]
        if not found:
            raise InputError(
                "--config.model.freeze: no layer is named so, got "
                f"{spec!r}; there are {', '.join(layer.name for layer in layers[:5])}, …"
            )
        return found
    raise InputError(f"--config.model.freeze must be {FREEZE_FORMS}, got {spec!r}.")


def forward(
    classifier: keras.Model, images: tf.Tensor, update_batch_norm: bool
) -> tf.Tensor:
    """The logits in training.

    Args:
        classifier: An `ImageClassifier`.
        images: (N, S, S, 3), RGB in 0..255.
        update_batch_norm: Whether layers that are not frozen normalise by the batch and
            move their statistics; else all use those that they came with, and their
            scales and offsets are still trained.

    Returns:
        float32 (N, K), the head's dropout active.
    """
    # A frozen BatchNorm layer is in inference mode whatever it is called with.
    features = classifier.get_layer(BACKBONE)(images, training=update_batch_norm)
    return classifier.get_layer(HEAD)(features, training=True)


def class_maps(
    classifier: keras.Model, images: tf.Tensor, classes: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Where in each picture the evidence for a class is.

    Source: Jiang et al., LayerCAM: Exploring Hierarchical Class Activation Maps for
    Localization, 2021: with A the activations of a grid and y the logit, a cell's map is
    max(0, Σ_k max(0, ∂y/∂A_k) A_k). The grid is the last that is finer than the one that
    is pooled: a cell of the latter is 32 pixels wide and has seen the whole picture.

    Args:
        classifier: An `ImageClassifier`.
        images: float32 (N, S, S, 3), RGB in 0..255.
        classes: int (N,).

    Returns:
        Maps float32 (N, h, w), not negative, the largest value of each 1 (or all 0), and
        the logits (N, K).
    """
    backbone = classifier.get_layer(BACKBONE)
    to_grid = keras.Model(backbone.input, [last_fine_grid(backbone), backbone.output])
    with tf.GradientTape() as tape:
        tape.watch(images)  # the weights may all be frozen
        grid, features = to_grid(images, training=False)
        logits = classifier.get_layer(HEAD)(features, training=False)
        chosen = tf.gather(logits, classes, axis=1, batch_dims=1)
    slopes = tf.nn.relu(tape.gradient(chosen, grid))
    maps = tf.nn.relu(tf.reduce_sum(slopes * grid, axis=-1))
    largest = tf.reduce_max(maps, axis=(1, 2), keepdims=True)
    return tf.math.divide_no_nan(maps, largest), logits


def last_fine_grid(backbone: keras.Model) -> keras.KerasTensor:
    """The last output of a layer (N, h, w, F) with more cells than what is pooled."""
    pooled = backbone.get_layer(POOL).input
    grids = [
        layer.output
        for layer in backbone.layers
        if isinstance(layer.output, keras.KerasTensor) and layer.output.ndim == 4
    ]
    finer = [grid for grid in grids if grid.shape[1] > pooled.shape[1]]
    return finer[-1] if finer else pooled
