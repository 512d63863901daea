"""Rules on what a caption may say, which every search and sampler applies.

A rule sets the log-probability of a word to −∞ and leaves the others as they are, not
renormalised: a caption's score stays the log-probability that the model gives it.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from kerasdl.data.captions.vocabulary import END, NULL, START, UNK

IMPOSSIBLE = float("-inf")


def word_log_probabilities(logits):
    """Log-probabilities of the words that a caption may contain.

    ``<NULL>`` and ``<START>`` are inputs only, and ``<UNK>`` stands for a word that a
    reader would miss: they get −∞. The rest keeps the model's own probability.

    Args:
        logits: float (N, V).

    Returns:
        float32 (N, V).
    """
    log_p = tf.nn.log_softmax(tf.cast(logits, "float32"))
    return tf.where(is_word(tf.shape(log_p)[-1]), log_p, tf.constant(IMPOSSIBLE))


def is_word(vocabulary_size):
    """bool (V,), true for what a caption may contain: words, and ``<END>``."""
    word = tf.range(vocabulary_size)
    return tf.logical_or(word > UNK, tf.equal(word, END))


@dataclasses.dataclass(frozen=True)
class Constraints:
    """Rules for the next word, given the words before it.

    If the rules leave no word at all, ``<END>`` is allowed.

    Attributes:
        no_repeat_ngram: a caption has no sequence of that many words twice; 0 for no
            rule.
        forbidden: ids of words that are never said.
        dangling: ids of words that no caption ends with, such as "a" and "of". A caption
            that has any such rule is not empty either.
    """

    no_repeat_ngram: int = 0
    forbidden: tuple[int, ...] = ()
    dangling: tuple[int, ...] = ()

    def __bool__(self):
        return bool(self.no_repeat_ngram or self.forbidden or self.dangling)

    def apply(self, log_p, ids, t):
        """−∞ for the words that may not come next.

        Args:
            log_p: float32 (R, V), log-probabilities of the next word.
            ids: int32 (R, L), the words so far; what stands from column t on is ignored.
            t: int32 scalar, the number of words so far.

        Returns:
            float32 (R, V).
        """
        if not self:
            return log_p
        vocabulary_size = log_p.shape[-1]
        impossible = tf.constant(IMPOSSIBLE)
        allowed = log_p
        if self.forbidden:
            allowed = tf.where(
                _table(self.forbidden, vocabulary_size), impossible, allowed
            )
        if self.no_repeat_ngram:
            repeated = self._repeated(ids, t, vocabulary_size)
            allowed = tf.where(repeated, impossible, allowed)
        if self.dangling:
            allowed = self._whole_ending(allowed, ids, t)
        none = tf.reduce_max(allowed, axis=-1, keepdims=True) <= IMPOSSIBLE
        only_end = tf.where(_table((END,), vocabulary_size), log_p, impossible)
        return tf.where(none, only_end, allowed)

    def _whole_ending(self, log_p, ids, t):
        """No `<END>` after a dangling word, and none as the last word that fits."""
        size, impossible = log_p.shape[-1], tf.constant(IMPOSSIBLE)
        dangling = _table((*self.dangling, START), size)
        before = tf.where(t > 0, tf.gather(ids, tf.maximum(t - 1, 0), axis=1), START)
        unfinished = tf.gather(dangling, before)[:, None] & _table((END,), size)
        last = tf.equal(t, ids.shape[1] - 1)
        return tf.where(unfinished | (last & dangling), impossible, log_p)

    def _repeated(self, ids, t, vocabulary_size):
        """bool (R, V): the words that would end a sequence that was there before."""
        length = ids.shape[1]
        column = tf.range(length)
        # same[:, j]: the words before column j are the last words.
        same = (column < t) & tf.fill(tf.shape(ids), t >= self.no_repeat_ngram - 1)
        for back in range(1, self.no_repeat_ngram):
            earlier = tf.pad(ids, [[0, 0], [back, 0]], constant_values=-1)[:, :length]
            last = tf.gather(ids, tf.maximum(t - back, 0), axis=1)
            same &= tf.equal(earlier, last[:, None])
        row = tf.range(tf.shape(ids)[0])[:, None] + tf.zeros_like(ids)
        places = tf.stack([tf.reshape(row, [-1]), tf.reshape(ids, [-1])], axis=1)
        counts = tf.scatter_nd(
            places,
            tf.reshape(tf.cast(same, tf.float32), [-1]),
            tf.stack([tf.shape(ids)[0], vocabulary_size]),
        )
        return counts > 0


def _table(ids, vocabulary_size):
    """bool (V,), true at `ids`, a constant."""
    table = np.zeros(vocabulary_size, bool)
    table[list(ids)] = True
    return tf.constant(table)


def check_ids(name, ids, vocabulary_size):
    """Raises ValueError unless every id is a word's."""
    for one in ids:
        if not NULL <= UNK < one < vocabulary_size:
            raise ValueError(
                f"Received an invalid value for argument `{name}`, expected ids of "
                f"words, {UNK + 1} to {vocabulary_size - 1}, got {one!r}."
            )
