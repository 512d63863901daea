"""Consensus captions: what people said of the most similar training pictures.

Devlin et al. 2015 (Exploring nearest neighbor approaches for image captioning,
arXiv:1505.04467) caption a picture by the caption that the captions of its nearest
training pictures agree with most. Here the candidates are the model's own, so that the
memory only chooses among what the model finds likely. It helps where training pictures
are few.

With c a candidate, the k nearest training pictures m by the cosine of their pooled
features, and g_n(c) the tf-idf vector of the n-grams of c::

    w_m     = softmax_m((cos_m − max cos) / 0.1)                      over the k nearest
    gain(c) = 10/4 Σ_n g_n(c)/‖g_n(c)‖ · Σ_m w_m mean_s g_n(s)/‖g_n(s)‖
              · exp(−(l(c) − l̄)² / 2σ²),  σ = 6

s being the captions of m and l̄ = Σ_m w_m mean_s l(s). That is the mean CIDEr-D of c
against their captions (kerasdl.metrics.cider), but that counts are not clipped, and that
the penalty of the length takes their mean length.

All of it is arithmetic on tensors and part of both exports. An n-gram is known by a hash
in [0, 2¹⁹): two of one picture's neighbours fall together about once in fifty times.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasdl.data.captions.vocabulary import NULL, UNK
from kerasdl.decoding.hashing import mixed
from kerasdl.metrics.cider import ORDERS, SIGMA

SIZE = 1 << 19
TEMPERATURE = 0.1


@keras.saving.register_keras_serializable(package="kerasdl")
class CaptionMemory(keras.layers.Layer):
    """The captions of M training pictures, and how to find those of similar pictures.

    Args:
        pictures: M.
        ngrams: G, the largest number of different n-grams of one picture.
        features: P, the length of a pooled feature vector.
    """

    def __init__(self, pictures, ngrams, features, **kwargs):
        super().__init__(trainable=False, **kwargs)
        self.pictures, self.ngrams, self.features = pictures, ngrams, features
        self.build()

    def build(self, input_shape=None):
        """Creates the weights; `from_captions` fills them."""
        if self.built:
            return
        for name, shape, dtype in (
            ("keys", (self.pictures, self.features), "float32"),  # of length 1
            ("places", (self.pictures, self.ngrams), "int32"),  # hashes of n-grams
            ("values", (self.pictures, self.ngrams), "float32"),  # mean g_n(s)/‖g_n(s)‖
            ("lengths", (self.pictures,), "float32"),
            ("idf", (SIZE,), "float32"),
        ):
            weight = self.add_weight(
                name=name, shape=shape, dtype=dtype, initializer="zeros", trainable=False
            )
            setattr(self, name, weight)
        self.built = True

    @classmethod
    def from_captions(cls, pooled, picture, ids):
        """A memory of training pictures.

        Args:
            pooled: float (M, P), their pooled features.
            picture: int (C,), the picture of each caption.
            ids: int32 (C, T), the captions, `<END>` and `<NULL>` at their end.
        """
        pooled = np.asarray(pooled, np.float32)
        count = len(pooled)
        hashes, there = (array.numpy() for array in hashed_ngrams(tf.constant(ids)))
        seen = np.unique(
            np.stack([np.repeat(picture, there[0].size), hashes.reshape(-1)])[
                :, there.reshape(-1)
            ],
            axis=1,
        )
        frequency = np.bincount(seen[1], minlength=SIZE)
        idf = np.log(count) - np.log(np.maximum(frequency, 1))
        vectors = [{} for _ in range(count)]
        captions_of = np.bincount(picture, minlength=count)
        for one, places, valid in zip(picture, hashes, there, strict=True):
            for row, kept in zip(places, valid, strict=True):  # one of each order
                place, times = np.unique(row[kept], return_counts=True)
                weight = times * idf[place]
                norm = np.sqrt((weight**2).sum())
                for where, value in zip(place, weight / max(norm, 1e-9), strict=True):
                    vector = vectors[one]
                    vector[where] = vector.get(where, 0.0) + value / captions_of[one]
        memory = cls(count, max(map(len, vectors)), pooled.shape[1])
        places = np.zeros((count, memory.ngrams), np.int32)
        values = np.zeros((count, memory.ngrams), np.float32)
        for one, vector in enumerate(vectors):
            places[one, : len(vector)] = list(vector)
            values[one, : len(vector)] = list(vector.values())
        lengths = np.bincount(picture, (ids > UNK).sum(axis=1), count) / captions_of
        keys = pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-9)
        memory.set_weights([keys, places, values, lengths, idf])
        return memory

    def gain(self, pooled, ids, nearest):
        """How well captions agree with what people said of similar pictures.

        Args:
            pooled: float32 (N, P).
            ids: int32 (N, K, L), candidates.
            nearest: k, how many pictures are asked.

        Returns:
            float32 (N, K).
        """
        candidates, length = ids.shape[1], ids.shape[2]
        nearest = min(nearest, self.pictures)
        keys = tf.convert_to_tensor(self.keys)
        cosine = tf.matmul(tf.math.l2_normalize(pooled, axis=1), keys, transpose_b=True)
        cosine, index = tf.math.top_k(cosine, nearest)  # (N, k)
        weight = tf.nn.softmax(cosine / TEMPERATURE)
        flat = tf.reshape(index, [-1])
        places = tf.gather(tf.convert_to_tensor(self.places), flat)  # (N·k, G)
        values = tf.gather(tf.convert_to_tensor(self.values), flat)
        values *= tf.reshape(weight, [-1, 1])
        mean_length = tf.gather(tf.convert_to_tensor(self.lengths), flat)
        mean_length = tf.reduce_sum(tf.reshape(mean_length, [-1, nearest]) * weight, 1)
        # What all of a picture's neighbours said, as one vector (N, SIZE).
        batch = tf.shape(index)[0]
        per_picture = nearest * self.ngrams
        row = tf.repeat(tf.range(batch), per_picture)
        said = tf.scatter_nd(
            tf.stack([row, tf.reshape(places, [-1])], axis=1),
            tf.reshape(values, [-1]),
            tf.stack([batch, SIZE]),
        )
        hashes, there = hashed_ngrams(tf.reshape(ids, [-1, length]))  # (N·K, 4, L)
        there = tf.cast(there, tf.float32)
        first = tf.repeat(tf.range(batch), candidates)[:, None, None] * SIZE
        found = tf.gather(tf.reshape(said, [-1]), hashes + first) * there
        idf = tf.gather(tf.convert_to_tensor(self.idf), hashes) * there
        same = tf.cast(tf.equal(hashes[..., None], hashes[:, :, None]), tf.float32)
        squares = tf.reduce_sum(tf.linalg.matvec(same, idf) * idf, axis=2)  # (N·K, 4)
        norm = tf.sqrt(tf.maximum(squares, 1e-12))
        cosines = tf.reduce_sum(found * idf, axis=2) / norm
        words = tf.reduce_sum(there[:, 0], axis=1)
        off = tf.reshape(words, [-1, candidates]) - mean_length[:, None]
        total = tf.reshape(tf.reduce_sum(cosines, axis=1), [-1, candidates])
        return total * (10.0 / ORDERS) * tf.exp(-(off**2) / (2 * SIGMA**2))

    def get_config(self):
        """Constructor arguments."""
        return {
            **super().get_config(),
            "pictures": self.pictures,
            "ngrams": self.ngrams,
            "features": self.features,
        }


def hashed_ngrams(ids):
    """The n-grams of captions as hashes.

    Args:
        ids: int32 (C, L).

    Returns:
        int32 (C, 4, L), the hash in [0, SIZE) of the n words from each place on, and
        bool (C, 4, L), whether there are so many.
    """
    length = ids.shape[1]
    word = (ids > UNK) & tf.not_equal(ids, NULL)
    hashes, there, running, valid = [], [], tf.zeros_like(ids), tf.ones_like(word)
    for order in range(ORDERS):
        later = tf.pad(ids, [[0, 0], [0, order]])[:, order:]
        running = mixed(running * 31 + later + order + 1)
        valid = valid & tf.pad(word, [[0, 0], [0, order]])[:, order:]
        hashes.append(tf.math.floormod(running, SIZE))
        there.append(valid)
    assert hashes[0].shape[1] == length
    return tf.stack(hashes, axis=1), tf.stack(there, axis=1)
