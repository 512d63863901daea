"""Small captioners whose decisions are far from ties."""

import keras
import numpy as np

from kerasdl.models.caption_decoder import CaptionDecoder

FEATURES = 6


def sharp_decoder(rnn="lstm", vocabulary_size=9, seed=0, sharpness=8.0):
    """A random decoder with large vocabulary weights, so that words matter."""
    keras.utils.set_random_seed(seed)
    decoder = CaptionDecoder(
        vocabulary_size, FEATURES, rnn=rnn, embedding_dim=7, units=8, feature_scale=1.0
    )
    rng = np.random.default_rng(seed)
    decoder.adapt(rng.normal(2.0, 3.0, (40, FEATURES)))
    decoder.embedding.set_weights([rng.normal(size=(vocabulary_size, 7))])
    kernel, bias = decoder.vocabulary.get_weights()
    decoder.vocabulary.set_weights([sharpness * kernel, rng.normal(size=bias.shape)])
    return decoder


def features(count, seed=1):
    """Float32 (count, FEATURES), distributed as the decoder was adapted to."""
    rng = np.random.default_rng(seed)
    return rng.normal(2.0, 3.0, (count, FEATURES)).astype("float32")
