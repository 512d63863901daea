"""A bench of recurrent cells on the adding problem at T = 100, with memory horizons.

    python -m kerasdl.trainers.sequence --workdir=runs/bench

Every field of a sequence config is declared here; the other files change some.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """All fields, with the values of the built-in experiment."""
    config = ConfigDict()
    config.seed = 0  # of weights, sequences and the order of pixels
    config.precision = "float32"  # of training steps; or mixed_bfloat16, mixed_float16
    # adding: the sum of two marked numbers; copying: symbols after a pause; pixels: drawn
    # digits, pixel by pixel.
    config.task = "adding"
    # Cells to compare, comma-separated: rnn, lstm, gru, all biases 0; lstm_forget and
    # gru_forget, the gates that keep the state at `forget_bias`; lstm_chrono and
    # gru_chrono, memories of up to the whole sequence (Tallec & Ollivier 2018).
    config.models = "rnn,lstm,lstm_forget,lstm_chrono,gru,gru_forget,gru_chrono"
    # T: numbers of adding, blanks of copying, pixels of a square picture.
    config.steps = 100
    config.symbols = 5  # to copy
    config.alphabet = 8  # different symbols
    config.permuted = True  # pixels come in an order drawn at random, not row by row
    config.units = 32  # hidden state
    config.forget_bias = 1.0  # of the cells called _forget
    config.epochs = 15  # of each cell
    config.batches_per_epoch = 100  # drawn anew
    config.batch_size = 64  # sequences
    config.learning_rate = 5e-3  # of Adam
    config.clip_norm = 1.0  # of the whole gradient
    config.val_sequences = 1000  # held out, the same for all cells
    config.memory_horizon = True  # measure how far back gradients reach, every epoch
    return config
