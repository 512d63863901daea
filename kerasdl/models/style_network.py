"""A feed-forward network that repaints pictures in one style, or in any of several.

Johnson, Alahi and Fei-Fei, 2016, Perceptual Losses for Real-Time Style Transfer and
Super-Resolution (https://arxiv.org/abs/1603.08155), table 1 of its supplement.
Differences: instance normalisation for batch normalisation (Ulyanov et al., 2016,
https://arxiv.org/abs/1607.08022); nearest-neighbour enlargement and a convolution for
transposed convolutions, which leave a chequered pattern (Odena et al., 2016,
https://doi.org/10.23915/distill.00003); every convolution mirrors the border by what it
needs instead of the picture once by 40 pixels, so residual blocks keep their size.

For several styles every convolution is shared, and each style has scales and shifts of
its own after each normalisation: Dumoulin, Shlens and Kudlur, 2017, A Learned
Representation For Artistic Style (https://arxiv.org/abs/1610.07629), section 2.2. A
mixture of styles is the weighted mean of their scales and shifts (there, section 3.4).
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
        return _normalise(inputs, self.gamma, self.beta)

    def compute_output_shape(self, input_shape):
        """The shape of the input."""
        return input_shape


@keras.saving.register_keras_serializable(package="kerasdl")
class ConditionalInstanceNormalization(keras.layers.Layer):
    """`InstanceNormalization` with a scale and a shift of each of S styles.

    With w the weights of the styles in a picture, its gamma and beta are Σ_s w_s gamma_s
    and Σ_s w_s beta_s.

    Args:
        styles: S.

    Call arguments:
        inputs: (N, H, W, C).
        style_weights: w, (N, S).

    Returns:
        (N, H, W, C).
    """

    def __init__(self, styles: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.styles = styles

    def build(self, input_shape, *_):
        """Creates gamma and beta, (S, C) each."""
        shape = (self.styles, input_shape[-1])
        self.gamma = self.add_weight(name="gamma", shape=shape, initializer="ones")
        self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros")

    def call(self, inputs, style_weights):
        """See the class."""
        gamma, beta = (
            keras.ops.matmul(style_weights, each)[:, None, None]
            for each in (self.gamma, self.beta)
        )
        return _normalise(inputs, gamma, beta)

    def get_config(self):
        """The constructor's arguments."""
        return super().get_config() | {"styles": self.styles}

    def compute_output_shape(self, input_shape, *_):
        """The shape of the input."""
        return input_shape


def _normalise(inputs, gamma, beta):
    mean = keras.ops.mean(inputs, axis=(1, 2), keepdims=True)
    centred = inputs - mean
    variance = keras.ops.mean(centred * centred, axis=(1, 2), keepdims=True)
    scale = keras.ops.rsqrt(variance + NORM_EPSILON) * gamma
    return centred * scale + beta


@keras.saving.register_keras_serializable(package="kerasdl")
class StylePainter(keras.Model):
    """A feed-forward network that repaints pictures, untrained.

    Args:
        filters: channels of the first convolution; 2 and 4 times as many after it.
        residual_blocks: how many at a quarter of the size.
        styles: how many it paints in.

    Call arguments:
        images: RGB (N, H, W, 3) in 0..255; H and W multiples of `STRIDE`.
        style_weights: the share of each style, (N, styles); there is such an argument if
            there are several styles.

    Returns:
        RGB (N, H, W, 3) in 0..255.
    """

    def __init__(
        self,
        filters: int = 32,
        residual_blocks: int = 5,
        styles: int = 1,
        name: str = "style_painter",
    ) -> None:
        images = keras.Input((None, None, 3), name="images")
        inputs = [images]
        if styles > 1:
            inputs.append(keras.Input((styles,), name="style_weights"))

        def convolve(x, filters, kernel_size, name, strides=1, activate=True):
            x = keras.layers.Conv2D(
                filters, kernel_size, strides, use_bias=False, name=name
            )(_mirror(x, kernel_size))
            if styles > 1:
                norm = ConditionalInstanceNormalization(styles, name=f"{name}_norm")
            else:
                norm = InstanceNormalization(name=f"{name}_norm")
            x = norm(x, *inputs[1:])
            return keras.layers.ReLU(name=f"{name}_relu")(x) if activate else x

        x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="to_units")(images)
        x = convolve(x, filters, 9, "down0")
        x = convolve(x, 2 * filters, 3, "down1", strides=2)
        x = convolve(x, 4 * filters, 3, "down2", strides=2)
        for block in range(residual_blocks):
            y = convolve(x, 4 * filters, 3, f"residual{block}_0")
            y = convolve(y, 4 * filters, 3, f"residual{block}_1", activate=False)
            x = keras.layers.Add(name=f"residual{block}")([x, y])
        for stage, width in enumerate((2 * filters, filters)):
            x = keras.layers.UpSampling2D(2, name=f"enlarge{stage}")(x)
            x = convolve(x, width, 3, f"up{stage}")
        x = keras.layers.Conv2D(3, 9, activation="tanh", name="rgb")(_mirror(x, 9))
        x = keras.layers.Rescaling(127.5, offset=127.5, name="to_grey_levels")(x)
        super().__init__(inputs if styles > 1 else images, x, name=name)
        self.filters = filters
        self.residual_blocks = residual_blocks
        self.styles = styles

    def get_config(self):
        """The constructor's arguments."""
        return {
            "filters": self.filters,
            "residual_blocks": self.residual_blocks,
            "styles": self.styles,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Builds the network that `get_config` described."""
        return cls(**config)


def apply_to_any_size(
    network: keras.Model, images: tf.Tensor, style_weights: tf.Tensor | None = None
) -> tf.Tensor:
    """The network on pictures whose sides need not be multiples of `STRIDE`.

    Args:
        network: A `StylePainter`.
        images: float32 (N, H, W, 3), RGB in 0..255, H and W at least 5.
        style_weights: float32 (N, styles), if there are several.

    Returns:
        float32 (N, H, W, 3), whole grey levels in 0..255.
    """
    shape = tf.shape(images)
    height, width = shape[1], shape[2]
    more = [(0, 0), (0, -height % STRIDE), (0, -width % STRIDE), (0, 0)]
    padded = tf.pad(images, more, "SYMMETRIC")
    inputs = padded
    if style_weights is not None:
        inputs = [padded, tf.convert_to_tensor(style_weights)]
    styled = network(inputs, training=False)
    return tf.round(styled[:, :height, :width])


def _mirror(x: keras.KerasTensor, kernel_size: int) -> keras.KerasTensor:
    """Widens the border by what a kernel of that size takes away."""
    edge = (kernel_size // 2, kernel_size // 2)
    return keras.ops.pad(x, ((0, 0), edge, edge, (0, 0)), mode="reflect")
