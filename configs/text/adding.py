"""The adding problem at T = 200: the vanilla RNN fails, the LSTM succeeds.

python -m kerasdl.trainers.adding_problem --workdir=runs/adding

Headline: mean squared error 7e-5 by the LSTM, 0.163 by the RNN (seed 0)
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """All fields of the experiment."""
    config = ConfigDict()
    config.seed = 0
    config.models = "rnn,lstm"
    config.steps = 200  # T, length of a sequence
    config.units = 64
    # Biases of the forget gates start at log U(1, T - 1), those of the input gates at
    # the negative (Tallec & Ollivier 2018): the cell begins with a memory as long as T.
    config.chrono = True
    config.epochs = 20
    config.batches_per_epoch = 100
    config.batch_size = 64  # sequences
    config.learning_rate = 1e-2
    config.clip_norm = 1.0  # of the whole gradient
    config.val_sequences = 2000
    return config
