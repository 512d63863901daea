"""Overfits 50 captions of 50 pictures with an LSTM and reprints them word for word.

    python -m trainers.captioning --config=configs/captioning/overfit50_lstm.py \
        --config.data.root=COCO_FOLDER --workdir=runs/overfit50_lstm

Recipe of SPEC's baseline: Adam 5e-3, batch 25, 50 epochs, rate decay 0.995.
"""

from ml_collections import ConfigDict

from configs.captioning import default


def get_config() -> ConfigDict:
    """The 50-caption experiment, LSTM."""
    config = default.get_config()
    config.data.train_pictures = 50
    config.data.captions_per_picture = 1
    config.epochs = 50
    config.batch_size = 25
    config.learning_rate = 5e-3
    config.schedule = "exponential"
    config.rate_decay = 0.995
    config.monitor = "train/loss"  # it is to memorise, not to generalise
    return config
