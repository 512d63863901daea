"""Self-critical training: captions that score better than the model's own best guess.

Rennie et al. 2017, Self-critical sequence training for image captioning. With w^s a
caption drawn from the model p, ŵ its greedy caption and r the CIDEr-D of a caption, the
gradient of the expected reward −E[r(w^s)] is estimated by that of::

    L = −(r(w^s) − r(ŵ)) log p(w^s)

The model is its own critic: only samples that beat what it would say anyway become more
probable. No gradient flows through r or through ŵ.

Differences: `<END>` counts as a word in samples and references, so that a caption that
stops in the middle of a phrase is not rewarded for what it saved; and log p(w^s) is taken
without dropout and renormalised without `<UNK>` and the like, as w^s is drawn: otherwise
whatever is discouraged would flow to words that are never said.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from kerasdl.data.captions.tokens import caption_tokens
from kerasdl.data.captions.vocabulary import END, NULL, CaptionVocabulary
from kerasdl.decoding.greedy import greedy_decode, sample_captions
from kerasdl.metrics.cider import CiderD


class SelfCriticalLoss:
    """The loss of self-critical training on the pictures of a training split.

    Args:
        vocabulary: The model's.
        references: The captions of each picture.
        max_length: The longest caption that is drawn, `<END>` included.
    """

    def __init__(
        self,
        vocabulary: CaptionVocabulary,
        references: Sequence[Sequence[str]],
        max_length: int,
    ) -> None:
        self._cider = CiderD(
            [
                [[*vocabulary.encode(caption_tokens(one)), END] for one in captions]
                for captions in references
            ]
        )
        self._max_length = max_length

    def reward(self, ids: np.ndarray, picture: np.ndarray) -> np.ndarray:
        """CIDEr-D, float32 (N,), of captions (N, L) of pictures, by index (N,)."""
        return np.array(
            [
                self._cider.score(row[row != NULL].tolist(), int(index))
                for row, index in zip(ids, picture, strict=True)
            ],
            np.float32,
        )

    def __call__(self, decoder, features, picture, seed) -> tf.Tensor:
        """L, averaged over the minibatch.

        Args:
            decoder: The model.
            features: (N, F).
            picture: int32 (N,), which pictures they are of.
            seed: int32 scalar, of the samples.
        """
        drawn, _ = sample_captions(decoder, features, self._max_length, seed)
        said, _ = greedy_decode(decoder, features, self._max_length)
        drawn, said = tf.stop_gradient(drawn), tf.stop_gradient(said)
        both = tf.numpy_function(
            self.reward,
            [tf.concat([drawn, said], 0), tf.concat([picture, picture], 0)],
            tf.float32,
            stateful=False,
        )
        advantage = both[: tf.shape(drawn)[0]] - both[tf.shape(drawn)[0] :]
        advantage = tf.ensure_shape(advantage, (drawn.shape[0],))
        log_p = decoder.log_probability(features, drawn, among_words=True)
        return -tf.reduce_mean(tf.stop_gradient(advantage) * log_p)


@keras.saving.register_keras_serializable(package="kerasdl")
class ThenConstant(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that follows a schedule, then stays at one value.

    Args:
        schedule: Of the first steps.
        steps: How many those are.
        rate: After them.
    """

    def __init__(self, schedule, steps, rate):
        self.schedule, self.steps, self.rate = schedule, steps, rate

    def __call__(self, step):
        """The rate of a step, counted from 0."""
        return tf.where(
            tf.cast(step, tf.int64) < self.steps, self.schedule(step), self.rate
        )

    def get_config(self):
        """Constructor arguments."""
        return {"schedule": self.schedule, "steps": self.steps, "rate": self.rate}
