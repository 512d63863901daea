"""Models 2 and 3: the mean of the word vectors, linear, sigmoid."""

from __future__ import annotations

import keras

from kerasdl.models.text.classifier import TextClassifier
from kerasdl.models.text.pooling import masked_mean
from kerasdl.models.text.word_vectors import WordVectors


@keras.saving.register_keras_serializable(package="kerasdl")
class AverageOfVectors(TextClassifier):
    """The mean of the word vectors over the true length, then a linear layer.

    Model 2 draws its vectors, model 3 starts from GloVe's.

    Args:
        vocabulary_size: V, the number of ids.
        classes: K.
        width: D, the length of a word vector.
        word_dropout, dropout, frozen: see `WordVectors`.
        head_dropout: fraction of the mean's components that training drops.

    See `TextClassifier` for shapes.

    Reference: Joulin et al., Bag of Tricks for Efficient Text Classification, 2016.
    """

    def __init__(
        self,
        vocabulary_size: int,
        classes: int = 2,
        width: int = 100,
        word_dropout: float = 0.0,
        dropout: float = 0.0,
        frozen: bool = False,
        head_dropout: float = 0.0,
        **kwargs,
    ) -> None:
        super().__init__(vocabulary_size, classes, **kwargs)
        self.word_vectors = WordVectors(
            vocabulary_size, width, word_dropout, dropout, frozen
        )
        self.head_dropout = keras.layers.Dropout(head_dropout)
        self.head = keras.layers.Dense(self.outputs_per_sentence)

    def call(self, ids, training=False):
        """Returns the logits."""
        vectors, mask = self.word_vectors(ids, training=training)
        mean = self.head_dropout(masked_mean(vectors, mask), training=training)
        return self.head(mean)

    def word_tables(self):
        """The word vectors."""
        return [self.word_vectors.table]

    def get_config(self):
        """Returns the constructor's arguments."""
        return (
            super().get_config()
            | self.word_vectors.arguments()
            | {"head_dropout": self.head_dropout.rate}
        )
