"""Pure functions of tensors: recurrent networks and the loss, with gradients."""

from kerasdl.ops.embedding import word_embedding
from kerasdl.ops.gru import gru, gru_gradient_norms, gru_step
from kerasdl.ops.losses import masked_softmax_loss
from kerasdl.ops.lstm import lstm, lstm_gradient_norms, lstm_step
from kerasdl.ops.simple_rnn import simple_rnn, simple_rnn_gradient_norms, simple_rnn_step

__all__ = [
    "gru",
    "gru_gradient_norms",
    "gru_step",
    "lstm",
    "lstm_gradient_norms",
    "lstm_step",
    "masked_softmax_loss",
    "simple_rnn",
    "simple_rnn_gradient_norms",
    "simple_rnn_step",
    "word_embedding",
]
