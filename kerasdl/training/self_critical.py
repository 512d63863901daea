"""Self-critical training: captions that score better than the model's own best guess.

Rennie et al. 2017, Self-critical sequence training for image captioning. With w^s a
caption drawn from the model p, ŵ its greedy caption and r the CIDEr-D of a caption, the
gradient of the expected reward −E[r(w^s)] is estimated by that of::

    L = −(r(w^s) − r(ŵ)) log p(w^s)

The model is its own critic: only samples that beat what it would say anyway become more
probable. No gradient flows through r or through ŵ.

Differences: `<END>` counts as a word in samples and references, so that a caption that
stops in the middle of a phrase is not rewarded for what it saved; w^s is drawn without
dropout, while log p(w^s) is taken with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from kerasdl.data.captions.tokens import caption_tokens
from kerasdl.data.captions.vocabulary import END, NULL, START, CaptionVocabulary
from kerasdl.decoding.greedy import greedy_decode, sample_captions
from kerasdl.metrics.cider import CiderD


class SelfCritic:
    """Samples captions of the pictures of a training split, and computes their rewards.

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

    def draw(self, decoder, features, picture, seed):
        """Captions that the model draws, as inputs and targets, and their advantage.

        Args:
            decoder: The model.
            features: (N, F).
            picture: int32 (N,), which pictures they are of.
            seed: int32 scalar, of the samples.

        Returns:
            `<START> w^s_1 …` and w^s, int32 (N, L), and r(w^s) − r(ŵ), float32 (N,).
        """
        drawn, _ = sample_captions(decoder, features, self._max_length, seed)
        said, _ = greedy_decode(decoder, features, self._max_length)
        rewards = tf.numpy_function(
            self.reward,
            [tf.concat([drawn, said], 0), tf.concat([picture, picture], 0)],
            tf.float32,
            stateful=False,
        )
        count = tf.shape(drawn)[0]
        advantage = tf.ensure_shape(rewards[:count] - rewards[count:], (drawn.shape[0],))
        start = tf.fill([count, 1], START)
        return tf.concat([start, drawn[:, :-1]], axis=1), drawn, advantage


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
