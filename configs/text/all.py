"""Trains the five models and compares them in one table.

    python -m kerasdl.trainers.text_classification --config=configs/text/all.py \
        --config.data.root=FOLDER --workdir=runs/sentiment

Each model has the config of its name, on the data and seed given here, and a folder of
its own in the workdir.
"""

from ml_collections import ConfigDict

from kerasdl.configs.text import default


def get_config() -> ConfigDict:
    """The comparison."""
    config = ConfigDict()
    config.seed = 0  # of every model
    config.precision = "float32"  # of training steps; or mixed_bfloat16, mixed_float16
    # Names of configs in configs/text, comma-separated.
    config.models = "bag_of_words,average,glove_average,glove_rnn,glove_lstm"
    config.epochs = 0  # of every model; 0: each its config's
    config.data = default.get_config().data
    return config
