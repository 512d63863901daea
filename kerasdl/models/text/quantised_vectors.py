"""Word vectors in a byte for each of their parts: product quantisation.

A vector is cut into M parts of D / M numbers; each part is one of 256 that a codebook
holds, so that a word takes M bytes in the place of 4 D:

    v = [C_1[k_1], C_2[k_2], … C_M[k_M]],      k_m = argmin ‖part_m − C_m[k]‖

Decoding is two gathers, built-in operations in TFLite.

References: Jégou, Douze and Schmid, Product Quantization for Nearest Neighbor Search,
2011; Joulin et al., FastText.zip: Compressing Text Classification Models, 2016. Different
from the latter: norms have no codebook of their own, no word is left out, and nothing is
trained afterwards.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from kerasdl.data.texts.tokens import PADDING

# Entries of a codebook: what a byte can name.
ENTRIES = 256
_ROUNDS = 15


def product_quantise(
    table: np.ndarray, parts: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Codes and codebooks of a table, by k-means on each part.

    Args:
        table: float (V, D).
        parts: M, a divisor of D.
        seed: Of the first centres.

    Returns:
        Codes, uint8 (V, M), and codebooks, float32 (M, 256, D / M).
    """
    # SciPy comes with the extra [jobs]; answering needs none of it.
    from scipy.cluster.vq import kmeans2

    size, width = table.shape
    codes = np.zeros((size, parts), np.uint8)
    books = np.zeros((parts, ENTRIES, width // parts), np.float32)
    for m, part in enumerate(np.split(table.astype(np.float64), parts, axis=1)):
        distinct, place = np.unique(part, axis=0, return_inverse=True)
        if len(distinct) <= ENTRIES:  # no loss
            books[m, : len(distinct)], codes[:, m] = distinct, place.ravel()
            continue
        random = np.random.default_rng([seed, m])
        start = distinct[random.choice(len(distinct), ENTRIES, replace=False)]
        centres, nearest = kmeans2(part, start, _ROUNDS, minit="matrix", missing="warn")
        books[m], codes[:, m] = centres, nearest
    return codes, books


@keras.saving.register_keras_serializable(package="kerasdl")
class QuantisedVectors(keras.layers.Layer):
    """The vectors of `WordVectors`, product-quantised; they are not trained.

    Args:
        vocabulary_size: V, the number of ids.
        width: D, the length of a vector.
        parts: M, a divisor of D.

    Call arguments and results are those of `WordVectors`.
    """

    def __init__(self, vocabulary_size: int, width: int, parts: int, **kwargs) -> None:
        super().__init__(**kwargs)
        if parts < 1 or width % parts:
            raise ValueError(
                "Received an invalid value for argument `parts`, expected a divisor of "
                f"the width {width}, got {parts!r}."
            )
        self.vocabulary_size, self.width, self.parts = vocabulary_size, width, parts

    def build(self, input_shape) -> None:
        """Creates codes (V, M) and codebooks (256 M, D / M)."""
        fixed = {"initializer": "zeros", "trainable": False}
        shape = (self.vocabulary_size, self.parts)
        self.codes = self.add_weight(name="codes", shape=shape, dtype="uint8", **fixed)
        shape = (ENTRIES * self.parts, self.width // self.parts)
        self.codebooks = self.add_weight(name="codebooks", shape=shape, **fixed)

    def set_table(self, table: np.ndarray, seed: int) -> None:
        """Takes the quantised rows of a table, float (V, D)."""
        codes, books = product_quantise(table, self.parts, seed)
        self.codes.assign(codes)
        self.codebooks.assign(books.reshape(self.codebooks.shape))

    def call(self, ids, training=False):
        """Returns vectors and mask."""
        del training
        ids = tf.cast(ids, tf.int32)
        mask = tf.not_equal(ids, PADDING)
        codes = tf.cast(tf.gather(self.codes.value, ids), tf.int32)  # (N, T, M)
        places = codes + ENTRIES * tf.range(self.parts)
        parts = tf.gather(self.codebooks.value, places)  # (N, T, M, D / M)
        shape = tf.shape(ids)
        vectors = tf.reshape(parts, (shape[0], shape[1], self.width))
        return vectors * tf.cast(tf.expand_dims(mask, 2), vectors.dtype), mask

    @property
    def table(self) -> tf.Tensor:
        """The vectors as they are decoded, (V, D)."""
        ids = tf.range(self.vocabulary_size)[tf.newaxis]
        return self(ids)[0][0]

    def arguments(self) -> dict:
        """The arguments that a classifier passes on, by name."""
        return {"width": self.width, "parts": self.parts}

    def get_config(self):
        """Returns the constructor's arguments."""
        return (
            super().get_config()
            | self.arguments()
            | {"vocabulary_size": self.vocabulary_size}
        )
