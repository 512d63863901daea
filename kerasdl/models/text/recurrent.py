"""Models 4 and 5: word vectors, RNN or LSTM, linear and sigmoid on the last true step."""

from __future__ import annotations

import keras

from kerasdl import layers
from kerasdl.models.text.classifier import TextClassifier
from kerasdl.models.text.word_vectors import WordVectors


class LastStepClassifier(TextClassifier):
    """A recurrent layer over the word vectors; its output at the last token is scored.

    Padding stands after the last token and is masked, so the state that comes out is
    the last true step's.

    Args:
        vocabulary_size: V, the number of ids.
        classes: K.
        width: D, the length of a word vector.
        units: H, the length of the hidden state.
        word_dropout, dropout, frozen: see `WordVectors`.
        recurrent_dropout: fraction of h_{t-1} that training drops, the same at every
            step.
        head_dropout: fraction of the last output that training drops.

    See `TextClassifier` for shapes.
    """

    LAYER: type[keras.layers.Layer]

    def __init__(
        self,
        vocabulary_size: int,
        classes: int = 2,
        width: int = 50,
        units: int = 128,
        word_dropout: float = 0.0,
        dropout: float = 0.0,
        frozen: bool = False,
        recurrent_dropout: float = 0.0,
        head_dropout: float = 0.0,
        **kwargs,
    ) -> None:
        super().__init__(vocabulary_size, classes, **kwargs)
        self.word_vectors = WordVectors(
            vocabulary_size, width, word_dropout, dropout, frozen
        )
        self.recurrent = self.LAYER(units, recurrent_dropout=recurrent_dropout)
        self.head_dropout = keras.layers.Dropout(head_dropout)
        self.head = keras.layers.Dense(self.outputs_per_sentence)

    def call(self, ids, training=False):
        """Returns the logits."""
        vectors, mask = self.word_vectors(ids, training=training)
        last = self.recurrent(vectors, mask=mask, training=training)
        return self.head(self.head_dropout(last, training=training))

    def word_tables(self):
        """The word vectors."""
        return [self.word_vectors.table]

    def get_config(self):
        """Returns the constructor's arguments."""
        return (
            super().get_config()
            | self.word_vectors.arguments()
            | {
                "units": self.recurrent.units,
                "recurrent_dropout": self.recurrent.recurrent_dropout,
                "head_dropout": self.head_dropout.rate,
            }
        )


@keras.saving.register_keras_serializable(package="kerasdl")
class LastStepRNN(LastStepClassifier):
    """Model 4: a vanilla RNN, h_t = tanh(x_t W_x + h_{t-1} W_h + b)."""

    __doc__ += LastStepClassifier.__doc__.split("\n", 1)[1]
    LAYER = layers.SimpleRNN


@keras.saving.register_keras_serializable(package="kerasdl")
class LastStepLSTM(LastStepClassifier):
    """Model 5: an LSTM."""

    __doc__ += LastStepClassifier.__doc__.split("\n", 1)[1]
    LAYER = layers.LSTM
