"""Models 4 and 5: word vectors, RNN or LSTM, linear and sigmoid on the last true step."""

from __future__ import annotations

import keras

from kerasdl import layers
from kerasdl.models.text.vector_classifier import VectorClassifier


class LastStepClassifier(VectorClassifier):
    """A recurrent layer over the word vectors; its output at the last token is scored.

    Padding stands after the last token and is masked, so the state that comes out is
    the last true step's.

    Args:
        vocabulary_size: V, the number of ids.
        classes: K.
        units: H, the length of the hidden state.
        recurrent_dropout: fraction of h_{t-1} that training drops, the same at every
            step.
        **kwargs: the arguments of `VectorClassifier`.

    See `TextClassifier` for shapes.
    """

    LAYER: type[keras.layers.Layer]

    def __init__(
        self,
        vocabulary_size: int,
        classes: int = 2,
        units: int = 128,
        recurrent_dropout: float = 0.0,
        **kwargs,
    ) -> None:
        super().__init__(vocabulary_size, classes, **kwargs)
        self.recurrent = self.LAYER(units, recurrent_dropout=recurrent_dropout)

    def encode(self, vectors, mask, training):
        """Returns the output at the last token, (N, H)."""
        return self.recurrent(vectors, mask=mask, training=training)

    def get_config(self):
        """Returns the constructor's arguments."""
        return super().get_config() | {
            "units": self.recurrent.units,
            "recurrent_dropout": self.recurrent.recurrent_dropout,
        }


@keras.saving.register_keras_serializable(package="kerasdl")
class LastStepRNN(LastStepClassifier):
    """Model 4: a vanilla RNN, h_t = tanh(x_t W_x + h_{t-1} W_h + b).

    See `LastStepClassifier`.
    """

    LAYER = layers.SimpleRNN


@keras.saving.register_keras_serializable(package="kerasdl")
class LastStepLSTM(LastStepClassifier):
    """Model 5: an LSTM.

    See `LastStepClassifier`.
    """

    LAYER = layers.LSTM
