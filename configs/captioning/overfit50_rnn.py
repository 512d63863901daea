"""Overfits 50 captions of 50 pictures with a vanilla RNN.

    python -m kerasdl.trainers.captioning --config=configs/captioning/overfit50_rnn.py \
        --config.data.root=COCO_FOLDER --workdir=runs/overfit50_rnn

As `overfit50_lstm.py`, but for the cell and a rate decay of 0.95 per epoch.

Headline: val/bleu1_single 0.235 (published 0.15; seed 0)
"""

from ml_collections import ConfigDict

from kerasdl.configs.captioning import overfit50_lstm


def get_config() -> ConfigDict:
    """The 50-caption experiment, vanilla RNN."""
    config = overfit50_lstm.get_config()
    config.model.rnn = "rnn"
    config.rate_decay = 0.95
    return config
