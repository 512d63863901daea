"""The losses of captioners: cross-entropy and its variants.

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
from kerasdl.decoding.constraints import is_word
from kerasdl.models.caption_decoder import CaptionDecoder
from kerasdl.models.caption_ensemble import CaptionEnsemble
from kerasdl.ops import masked_softmax_loss
from kerasdl.training.self_critical import SelfCritic


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
    logits = tf.cast(decoder((features, inputs), training=True), tf.float32)
    mask = tf.not_equal(targets, NULL)
    loss = masked_softmax_loss(logits, targets, mask)
    if not label_smoothing:
        return loss
    spread = tf.reduce_sum(tf.where(mask, _spread(logits), 0.0))
    spread /= tf.cast(tf.shape(logits)[0], spread.dtype)
    return (1.0 - label_smoothing) * loss + label_smoothing * spread


def own_words(
    decoder: CaptionDecoder,
    features: tf.Tensor,
    inputs: tf.Tensor,
    rate: tf.Tensor,
    seed: tf.Tensor,
) -> tf.Tensor:
    """The input words, some of them replaced by the model's own predictions.

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


def reinforced_loss(
    decoder: CaptionDecoder,
    features: tf.Tensor,
    captions: tuple[tf.Tensor, tf.Tensor],
    rewarded: tf.Tensor,
    critic: SelfCritic,
    picture: tf.Tensor,
    seed: tf.Tensor,
    label_smoothing: float = 0.0,
) -> tf.Tensor:
    """Cross-entropy, or the self-critical loss of captions that the model draws.

    Both weigh the log-probabilities of captions, which differ in where they come from:
    the choice between the two is outside of what is differentiated.

    Args:
        decoder, features: As for `cross_entropy`.
        captions: The inputs and targets of the cross-entropy.
        rewarded: bool scalar, whether the model draws its own instead.
        critic: Draws and judges them.
        picture: int32 (N,), which pictures the features are of, if it is rewarded.
        seed: int32 scalar, of what is drawn.
        label_smoothing: Of the cross-entropy.
    """
    inputs, targets, weight = tf.cond(
        rewarded,
        lambda: critic.draw(decoder, features, picture, seed),
        lambda: (*captions, tf.ones_like(picture, tf.float32)),
    )
    targets, weight = tf.stop_gradient(targets), tf.stop_gradient(weight)
    logits = tf.cast(decoder((features, inputs), training=True), tf.float32)
    # As samples are drawn: otherwise what is discouraged would flow to <UNK>.
    logits = tf.where(rewarded & ~is_word(logits.shape[-1]), -1e9, logits)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)
    if label_smoothing:
        smoothing = tf.where(rewarded, 0.0, label_smoothing)
        losses = (1.0 - smoothing) * losses + smoothing * _spread(logits)
    losses = tf.reduce_sum(tf.where(tf.not_equal(targets, NULL), losses, 0.0), axis=1)
    return tf.reduce_mean(weight * losses)


def make_caption_loss(
    model: CaptionDecoder | CaptionEnsemble,
    *,
    label_smoothing: float = 0.0,
    scheduled_sampling: bool = False,
    critic: SelfCritic | None = None,
) -> Callable[..., tf.Tensor]:
    """The loss of one minibatch.

    Args:
        model: Of an ensemble each member has a loss of its own; the sum is returned.
        label_smoothing: See `cross_entropy`.
        scheduled_sampling: Whether input words may be replaced; see `own_words`.
        critic: Of self-critical training; None if no batch asks for it.

    Returns:
        A function of the batch: features (N, F), inputs and targets (N, T), and for
        scheduled sampling or a critic `picture` (N,), −1 for cross-entropy, else the
        index of the picture that is rewarded, `rate` (N,), equal numbers, of the words to
        replace, and `seed` (N,), equal numbers, of all draws.
    """
    members = model.members if isinstance(model, CaptionEnsemble) else [model]

    def loss(features, inputs, targets, picture=None, rate=None, seed=None):
        total = 0.0
        for number, decoder in enumerate(members):
            words = inputs
            if scheduled_sampling:
                seeds = tf.stack([tf.reduce_max(seed), number])
                words = own_words(decoder, features, inputs, tf.reduce_max(rate), seeds)
            if critic is None:
                total += cross_entropy(decoder, features, words, targets, label_smoothing)
            else:
                total += reinforced_loss(
                    decoder,
                    features,
                    (words, targets),
                    tf.reduce_any(picture >= 0),
                    critic,
                    picture,
                    tf.reduce_max(seed) + number,
                    label_smoothing,
                )
        return total

    return loss


def _spread(logits):
    """Cross-entropy of the uniform distribution over the words, (N, T)."""
    return tf.reduce_logsumexp(logits, axis=-1) - tf.reduce_mean(logits, axis=-1)
