"""What a captioner's training minimises: cross-entropy and its variants.

- Label smoothing (Szegedy et al. 2016, Rethinking the Inception architecture, section 7).
- Scheduled sampling (Bengio et al. 2015): input words that the model itself would say, so
  that it learns to go on from its own mistakes. All steps at once, in two passes
  (Mihaylova and Martins 2019, Scheduled sampling for transformers): the first pass reads
  the true words, and what it says takes the place of some of them in the second.
- Self-critical training (kerasdl.training.self_critical) in the epochs after those.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from kerasdl.data.captions.vocabulary import NULL, UNK
from kerasdl.models.caption_decoder import CaptionDecoder
from kerasdl.models.caption_ensemble import CaptionEnsemble
from kerasdl.ops import masked_softmax_loss


def cross_entropy(
    decoder: CaptionDecoder,
    features: tf.Tensor,
    inputs: tf.Tensor,
    targets: tf.Tensor,
    label_smoothing: float = 0.0,
) -> tf.Tensor:
    """Masked softmax loss, summed over time, averaged over captions, with dropout.

    With label smoothing ε the target is 1 − ε on the word and ε / V on every word.

    Args:
        decoder: The model.
        features: (N, F).
        inputs, targets: int32 (N, T); `<NULL>` targets are masked.
        label_smoothing: ε, in [0, 1).
    """
    logits = decoder((features, inputs), training=True)
    mask = tf.not_equal(targets, NULL)
    loss = masked_softmax_loss(logits, targets, mask)
    if not label_smoothing:
        return loss
    spread = tf.reduce_logsumexp(logits, axis=-1) - tf.reduce_mean(logits, axis=-1)
    spread = tf.reduce_sum(tf.where(mask, spread, 0.0))
    spread /= tf.cast(tf.shape(logits)[0], spread.dtype)
    return (1.0 - label_smoothing) * loss + label_smoothing * spread


def own_words(
    decoder: CaptionDecoder,
    features: tf.Tensor,
    inputs: tf.Tensor,
    rate: tf.Tensor,
    seed: tf.Tensor,
) -> tf.Tensor:
    """The input words, some of them replaced by what the model says in their place.

    Args:
        decoder: The model; read with dropout, and not differentiated.
        features: (N, F).
        inputs: int32 (N, T), `<START> w_1 …`, padded with `<NULL>`.
        rate: The share of the words w_t that are replaced, in [0, 1].
        seed: int32 (2,), of the draws.

    Returns:
        int32 (N, T). `<START>` and `<NULL>` stay.
    """
    logits = tf.cast(decoder((features, inputs), training=True), tf.float32)
    no_word = tf.range(tf.shape(logits)[-1]) <= UNK
    logits = tf.where(no_word, tf.constant(float("-inf")), logits)
    draws = tf.random.stateless_uniform(tf.shape(logits), seed, minval=1e-20)
    said = tf.argmax(
        logits - tf.math.log(-tf.math.log(draws)), axis=-1, output_type=tf.int32
    )
    # What is said at step t − 1 would be read at step t.
    said = tf.concat([inputs[:, :1], said[:, :-1]], axis=1)
    chosen = tf.random.stateless_uniform(tf.shape(inputs), seed + 1) < rate
    replaced = chosen & (inputs > UNK)
    return tf.stop_gradient(tf.where(replaced, said, inputs))


def make_caption_loss(
    model: CaptionDecoder | CaptionEnsemble,
    *,
    label_smoothing: float = 0.0,
    scheduled_sampling: bool = False,
    reward: Callable[..., tf.Tensor] | None = None,
) -> Callable[..., tf.Tensor]:
    """The loss of one minibatch.

    Args:
        model: Of an ensemble each member has a loss of its own; the sum is returned.
        label_smoothing: See `cross_entropy`.
        scheduled_sampling: Whether input words may be replaced; see `own_words`.
        reward: The self-critical loss `reward(decoder, features, picture, seed)`, taken
            instead where a batch names pictures; None if none does.

    Returns:
        A function of the batch: features (N, F), inputs and targets (N, T), `picture`
        (N,), −1 for cross-entropy, else the index of the picture that is rewarded,
        `rate` (N,), equal numbers, of the words to replace, and `seed` (N,), equal
        numbers, of all draws.
    """
    members = model.members if isinstance(model, CaptionEnsemble) else [model]

    def loss(features, inputs, targets, picture, rate, seed):
        def supervised(decoder, number):
            words = inputs
            if scheduled_sampling:
                words = own_words(
                    decoder,
                    features,
                    inputs,
                    tf.reduce_max(rate),
                    tf.stack([tf.reduce_max(seed), number]),
                )
            return cross_entropy(decoder, features, words, targets, label_smoothing)

        def member_loss(decoder, number):
            if reward is None:
                return supervised(decoder, number)
            return tf.cond(
                tf.reduce_any(picture >= 0),
                lambda: reward(decoder, features, picture, tf.reduce_max(seed) + number),
                lambda: supervised(decoder, number),
            )

        return tf.add_n([member_loss(one, number) for number, one in enumerate(members)])

    return loss
