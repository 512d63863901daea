"""The caption that several candidates agree on most, instead of the most probable one.

Minimum Bayes risk decoding with the similarity of captions as the gain: of candidates
that a model thinks about equally good, the one that is most like the others is the least
risky (Kumar and Byrne 2004, Minimum Bayes-risk decoding; for captions, the consensus
caption of Devlin et al. 2015, arXiv:1505.04467, among those of the nearest pictures).
"""

import tensorflow as tf

from kerasdl.data.captions.vocabulary import UNK

# Sequences of up to so many words are compared.
ORDERS = 4


def similarities(ids):
    """How alike the captions of a picture are.

    The Dice coefficient of their n-grams, averaged over the orders n = 1 to 4: twice the
    number of places whose n-gram is in the other caption, over the number of places.

    Args:
        ids: int32 (N, K, L), captions padded with ``<NULL>`` after ``<END>``.

    Returns:
        float32 (N, K, K), symmetric, in [0, 1]. A caption too short to have an n-gram has
        similarity 0 of that order.
    """
    captions, length = ids.shape[1], ids.shape[2]
    flat = tf.reshape(ids, [-1, captions * length])  # (N, KL)
    equal = tf.equal(flat[:, :, None], flat[:, None, :])  # (N, KL, KL)
    equal &= (flat > UNK)[:, :, None]  # neither padding nor <END>
    start = tf.reshape(ids > UNK, [-1, captions, length])
    place = tf.range(captions * length) % length
    total, same, valid = 0.0, equal, start
    for order in range(1, ORDERS + 1):
        if order > 1:
            # An n-gram is an (n−1)-gram followed by an equal word.
            same = same & _shifted(equal, order - 1, place < length - order + 1)
            later = tf.pad(start, [[0, 0], [0, 0], [0, order - 1]])[..., order - 1 :]
            valid = valid & later
        found = tf.reshape(same, [-1, captions * length, captions, length])
        found = tf.cast(tf.reduce_any(found, axis=3), tf.float32)  # (N, KL, K)
        found = tf.reshape(found, [-1, captions, length, captions])
        shared = tf.reduce_sum(found, axis=2)  # (N, K, K): of a's n-grams, in b
        count = tf.reduce_sum(tf.cast(valid, tf.float32), axis=2)  # (N, K)
        both = count[:, :, None] + count[:, None, :]
        shared += tf.transpose(shared, [0, 2, 1])
        total += tf.where(both > 0, shared / tf.maximum(both, 1.0), 0.0)
    return total / ORDERS


def _shifted(equal, by, inside):
    """`equal` of the places `by` further on in both captions."""
    moved = tf.pad(equal, [[0, 0], [0, by], [0, by]])[:, by:, by:]
    return moved & inside[:, None] & inside[None, :]


def consensus_caption(ids, score, weight=0.0):
    """The candidate with the highest mean similarity to the candidates.

    Args:
        ids: int32 (N, K, L), candidates, padded with ``<NULL>`` after ``<END>``.
        score: float32 (N, K), the log-probability of each; −∞ for one that is none.
        weight: how much a candidate's vote counts by its probability: votes are
            proportional to p^weight. 0 counts all alike, as is right for samples.

    Returns:
        The chosen ids, int32 (N, L), and their score, float32 (N,).
    """
    there = score > float("-inf")
    vote = tf.nn.softmax(tf.where(there, weight * tf.where(there, score, 0.0), -1e9))
    gain = tf.linalg.matvec(similarities(ids), vote)
    best = tf.argmax(tf.where(there, gain, -1.0), axis=1, output_type=tf.int32)
    rows = tf.range(tf.shape(ids)[0]) * ids.shape[1] + best
    return (
        tf.gather(tf.reshape(ids, [-1, ids.shape[2]]), rows),
        tf.gather(tf.reshape(score, [-1]), rows),
    )
