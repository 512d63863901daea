"""Recurrent Keras layers over `kerasdl.ops`: weights, configuration, masks and states."""

from kerasdl.backend import check_backend
from kerasdl.layers.gru import GRU, GRUCell
from kerasdl.layers.initializers import ChronoBias, ForgetBias
from kerasdl.layers.interchange import (
    from_keras,
    from_torch_state_dict,
    to_keras,
    to_torch_state_dict,
)
from kerasdl.layers.lstm import LSTM, LSTMCell
from kerasdl.layers.simple_rnn import SimpleRNN, SimpleRNNCell
from kerasdl.ops.execution import emissions_in_buffers, steps_written_out

__all__ = [
    "GRU",
    "LSTM",
    "ChronoBias",
    "ForgetBias",
    "GRUCell",
    "LSTMCell",
    "SimpleRNN",
    "SimpleRNNCell",
    "emissions_in_buffers",
    "from_keras",
    "from_torch_state_dict",
    "steps_written_out",
    "to_keras",
    "to_torch_state_dict",
]

# Keras has been imported by now, and says its backend wherever that is set.
check_backend()
