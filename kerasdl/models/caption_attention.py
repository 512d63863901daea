"""Attention of a caption decoder over the places of a picture.

Both kinds follow Luong et al. 2015, Effective approaches to attention-based neural
machine translation, equations 5 to 8: the recurrence does not wait for the attention, so
that one call covers all steps. They differ in the score of place l at step t.
"""

import keras
import tensorflow as tf

SCORES = ("dot", "additive")


def fan_in_normal():
    """Draws a kernel from N(0, 1/fan-in), not truncated."""
    return keras.initializers.VarianceScaling(
        scale=1.0, mode="fan_in", distribution="untruncated_normal"
    )


def dense(units, name, **options):
    """A dense layer whose kernel is drawn from N(0, 1/fan-in)."""
    return keras.layers.Dense(
        units, kernel_initializer=fan_in_normal(), name=name, **options
    )


@keras.saving.register_keras_serializable(package="kerasdl")
class PlaceAttention(keras.layers.Layer):
    """Where a decoder looks, and what it sees there.

    With z_l the features of place l, p_l a learned vector, h_t the decoder's state::

        m_l  = z_l W_cell + b_cell + p_l                             (N, L, H)
        e_tl = h_t W_query · m_l / sqrt(H)                           "dot"
        e_tl = v · tanh(h_t W_query + m_l W_key + b_key)             "additive"
        α_t  = softmax_l(e_tl)                                       (N, T, L)
        h̃_t  = tanh([h_t, Σ_l α_tl m_l] W_out + b_out)               (N, T, H)

    The additive score (Bahdanau et al. 2015, Neural machine translation by jointly
    learning to align and translate, appendix A.1.2) has H/2 hidden units.

    Args:
        places: L, how many places there are.
        units: H.
        score: "dot" or "additive".
    """

    def __init__(self, places, units, score="dot", **kwargs):
        super().__init__(**kwargs)
        if score not in SCORES:
            raise ValueError(
                "Received an invalid value for argument `attention`, "
                f"expected one of {list(SCORES)}, got {score!r}."
            )
        self.places, self.units, self.score = places, units, score
        self.cell_projection = dense(units, "cell_projection")
        width = units if score == "dot" else max(units // 2, 1)
        self.query_projection = dense(width, "query_projection", use_bias=False)
        self.attention_output = dense(units, "attention_output", activation="tanh")
        if score == "additive":
            self.key_projection = dense(width, "key_projection")
            self.energy = dense(1, "energy", use_bias=False)

    def build(self, input_shape):
        """Creates the weights, given the shape (N, L, features of a place)."""
        if self.built:
            return
        self.position = self.add_weight(
            name="position",
            shape=(self.places, self.units),
            initializer=keras.initializers.RandomNormal(stddev=0.1),
        )
        self.cell_projection.build((None, self.places, input_shape[-1]))
        self.query_projection.build((None, None, self.units))
        self.attention_output.build((None, None, 2 * self.units))
        if self.score == "additive":
            self.key_projection.build((None, self.places, self.units))
            self.energy.build((None, None, None, self.query_projection.units))
        self.built = True

    def encode(self, z):
        """What steps need of places z (N, L, F): a tuple of tensors, m first."""
        m = self.cell_projection(z) + self.position
        return (m,) if self.score == "dot" else (m, self.key_projection(m))

    def weights_of(self, h, encoded):
        """α (N, T, L) of states h (N, T, H), given what `encode` returned."""
        query = self.query_projection(h)
        if self.score == "dot":
            energy = tf.matmul(query, encoded[0], transpose_b=True) / self.units**0.5
        else:
            hidden = tf.tanh(query[:, :, None] + encoded[1][:, None])  # (N, T, L, H/2)
            energy = self.energy(hidden)[..., 0]
        return tf.nn.softmax(energy)

    def call(self, h, encoded):
        """h̃ (N, T, H) of states h (N, T, H), given what `encode` returned."""
        context = tf.matmul(self.weights_of(h, encoded), encoded[0])  # (N, T, H)
        return self.attention_output(tf.concat([h, context], axis=-1))

    def get_config(self):
        """Constructor arguments."""
        return {
            **super().get_config(),
            "places": self.places,
            "units": self.units,
            "score": self.score,
        }
