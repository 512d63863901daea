"""Models 2 and 3: the mean of the word vectors, linear, sigmoid."""

from __future__ import annotations

import keras

from kerasdl.models.text.pooling import masked_mean
from kerasdl.models.text.vector_classifier import VectorClassifier


@keras.saving.register_keras_serializable(package="kerasdl")
class AverageOfVectors(VectorClassifier):
    """The mean of the word vectors over the true length, then a linear layer.

    Model 2 draws its vectors, model 3 starts from GloVe's.

    See `VectorClassifier` for arguments and shapes.

    Reference: Joulin et al., Bag of Tricks for Efficient Text Classification, 2016.
    """

    def encode(self, vectors, mask, training):
        """Returns the mean."""
        return masked_mean(vectors, mask)
