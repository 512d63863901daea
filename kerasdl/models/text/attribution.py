"""Which words move a prediction: gradient times word vector."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from kerasdl.models.text.classifier import TextClassifier


def word_effects(
    model: TextClassifier, ids: np.ndarray, classes: np.ndarray
) -> np.ndarray:
    """The effect of each word on the score of a class.

    With s the class's logit (against the mean of the logits if one of three or more
    classes is chosen) and
    E the table of word vectors, a word v has the effect ∂s/∂E_v · E_v: to first order
    what s would lose without it. Where v stands k times each place gets a k-th.

    Args:
        model: The classifier.
        ids: int32 (N, T), padded.
        classes: int (N,), the class whose score is explained, for each sentence.

    Returns:
        float32 (N, T), zero at padding.

    Reference: Denil, Demiraj and de Freitas, Extraction of Salient Sentences from
    Labelled Documents, 2014, section 3.
    """
    effects = np.zeros(ids.shape, np.float32)
    local = tf.distribute.get_strategy().experimental_local_results
    tables = [local(table.value)[0] for table in model.word_tables()]
    # One sentence at a time: the gradient is by word, and two sentences share words.
    for row, (sentence, label) in enumerate(zip(ids, classes, strict=True)):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(tables)
            logits = model(tf.constant(sentence[np.newaxis]), training=False)[0]
            if model.multi_label:
                score = logits[label]
            elif model.classes == 2:
                score = logits[0] if label == 1 else -logits[0]
            else:
                score = logits[label] - tf.reduce_mean(logits)
        occurrences = (sentence[:, np.newaxis] == sentence).sum(axis=1)
        for table, gradient in zip(tables, tape.gradient(score, tables), strict=True):
            if gradient is not None:
                products = tf.reduce_sum(tf.convert_to_tensor(gradient) * table, axis=1)
                effects[row] += products.numpy()[sentence] / occurrences
    return np.where(ids != 0, effects, 0.0)
