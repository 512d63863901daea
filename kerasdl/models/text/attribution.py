"""Which words move a prediction: gradient times word vector.

With s the class's logit (against the mean of the logits if one of three or more classes
is chosen) and E the table of word vectors, a word v has the effect

    ∂s/∂E_v · E_v

to first order what s would lose without it. If v stands k times, each place gets a k-th.

Reference: Denil, Demiraj and de Freitas, Extraction of Salient Sentences from Labelled
Documents, 2014, section 3.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from kerasdl.data.texts.tokens import PADDING
from kerasdl.models.text.classifier import TextClassifier
from kerasdl.models.text.pooling import same_words


def effects_in_graph(
    model: TextClassifier, ids: tf.Tensor, classes: tf.Tensor
) -> tf.Tensor:
    """The effect of each word on the score of a class, in a graph.

    Args:
        model: The classifier.
        ids: int32 (N, T), padded.
        classes: int (N,), the class whose score is explained, for each sentence.

    Returns:
        float32 (N, T), zero at padding.
    """
    if model.outputs_per_sentence == 1:
        direction = tf.expand_dims(tf.where(classes == 1, 1.0, -1.0), 1)
    else:
        direction = tf.one_hot(classes, model.classes)
        if not model.multi_label:
            direction -= 1.0 / model.classes
    places = model.place_effects(ids, direction)  # (N, T)
    same = same_words(ids)  # (N, T, T)
    total = tf.reduce_sum(same * tf.expand_dims(places, 1), axis=2)
    effects = total / tf.reduce_sum(same, axis=2)
    return effects * tf.cast(ids != PADDING, effects.dtype)


def word_effects(
    model: TextClassifier, ids: np.ndarray, classes: np.ndarray
) -> np.ndarray:
    """What `effects_in_graph` gives, float32 (N, T), of arrays."""
    run = tf.function(lambda ids, classes: effects_in_graph(model, ids, classes))
    return run(tf.constant(ids), tf.constant(classes, tf.int32)).numpy()
