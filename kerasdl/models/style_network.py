"""A feed-forward network that repaints pictures in one style.

Johnson, Alahi and Fei-Fei, 2016, Perceptual Losses for Real-Time Style Transfer and
Super-Resolution (https://arxiv.org/abs/1603.08155), table 1 of its supplement.
Differences: instance normalisation for batch normalisation (Ulyanov et al., 2016,
https://arxiv.org/abs/1607.08022); nearest-neighbour enlargement and a convolution for
transposed convolutions, which leave a chequered pattern (Odena et al., 2016,
https://doi.org/10.23915/distill.00003); every convolution mirrors the border by what it
needs instead of the picture once by 40 pixels, so residual blocks keep their size.
"""

import keras
import tensorflow as tf

# Two strides of two: inputs are padded to multiples of it.
STRIDE = 4
NORM_EPSILON = 1e-5


@keras.saving.register_keras_serializable(package="kerasdl")
class InstanceNormalization(keras.layers.Layer):
    """Each channel of each picture to mean 0 and variance 1, then scaled and shifted.

    y = gamma (x - mean) / sqrt(variance + epsilon) + beta, mean and variance over the
    places of one picture's channel.

    Call arguments:
        inputs: (N, H, W, C).

    Returns:
        (N, H, W, C).
    """

    def build(self, input_shape):
        """Creates gamma and beta, (C,) each."""
        channels = input_shape[-1]
        self.gamma = self.add_weight(name="gamma", shape=(channels,), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(channels,), initializer="zeros")

    def call(self, inputs):
        """See the class."""
        mean = keras.ops.mean(inputs, axis=(1, 2), keepdims=True)
        centred = inputs - mean
        variance = keras.ops.mean(centred * centred, axis=(1, 2), keepdims=True)
        scale = keras.ops.rsqrt(variance + NORM_EPSILON) * self.gamma
        return centred * scale + self.beta

    def compute_output_shape(self, input_shape):
        """The shape of the input."""
        return input_shape


@keras.saving.register_keras_serializable(package="kerasdl")
class StylePainter(keras.Model):
    """A feed-forward network that repaints pictures in one style, untrained.

    Args:
        filters: channels of the first convolution; 2 and 4 times as many after it.
        residual_blocks: how many at a quarter of the size.

    Call arguments:
        images: RGB (N, H, W, 3) in 0..255; H and W multiples of `STRIDE`.

    Returns:
        RGB (N, H, W, 3) in 0..255.
    """

    def __init__(
        self, filters: int = 32, residual_blocks: int = 5, name: str = "style_painter"
    ) -> None:
        images = keras.Input((None, None, 3), name="images")
        x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="to_units")(images)
        x = _convolve(x, filters, 9, "down0")
        x = _convolve(x, 2 * filters, 3, "down1", strides=2)
        x = _convolve(x, 4 * filters, 3, "down2", strides=2)
        for block in range(residual_blocks):
            y = _convolve(x, 4 * filters, 3, f"residual{block}_0")
            y = _convolve(y, 4 * filters, 3, f"residual{block}_1", activate=False)
            x = keras.layers.Add(name=f"residual{block}")([x, y])
        for stage, width in enumerate((2 * filters, filters)):
            x = keras.layers.UpSampling2D(2, name=f"enlarge{stage}")(x)
            x = _convolve(x, width, 3, f"up{stage}")
        x = keras.layers.Conv2D(3, 9, activation="tanh", name="rgb")(_mirror(x, 9))
        x = keras.layers.Rescaling(127.5, offset=127.5, name="to_grey_levels")(x)
        super().__init__(images, x, name=name)
        self.filters = filters
        self.residual_blocks = residual_blocks

    def get_config(self):
        """The constructor's arguments."""
        return {
            "filters": self.filters,
            "residual_blocks": self.residual_blocks,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Builds the network that `get_config` described."""
        return cls(**config)


def apply_to_any_size(network: keras.Model, images: tf.Tensor) -> tf.Tensor:
    """The network on pictures whose sides need not be multiples of `STRIDE`.

    Args:
        network: A `StylePainter`.
        images: float32 (N, H, W, 3), RGB in 0..255, H and W at least 5.

    Returns:
        float32 (N, H, W, 3), whole grey levels in 0..255.
    """
    shape = tf.shape(images)
    height, width = shape[1], shape[2]
    more = [(0, 0), (0, -height % STRIDE), (0, -width % STRIDE), (0, 0)]
    styled = network(tf.pad(images, more, "SYMMETRIC"), training=False)
    return tf.round(styled[:, :height, :width])


def _mirror(x: keras.KerasTensor, kernel_size: int) -> keras.KerasTensor:
    """Widens the border by what a kernel of that size takes away."""
    edge = (kernel_size // 2, kernel_size // 2)
    return keras.ops.pad(x, ((0, 0), edge, edge, (0, 0)), mode="reflect")


def _convolve(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    name: str,
    strides: int = 1,
    activate: bool = True,
) -> keras.KerasTensor:
    x = keras.layers.Conv2D(filters, kernel_size, strides, use_bias=False, name=name)(
        _mirror(x, kernel_size)
    )
    x = InstanceNormalization(name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x) if activate else x
