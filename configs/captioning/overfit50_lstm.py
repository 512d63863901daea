"""Overfits 50 captions of 50 pictures with an LSTM and reprints them word for word.

    python -m kerasdl.trainers.captioning --config=configs/captioning/overfit50_lstm.py \
        --config.data.root=COCO_FOLDER --workdir=runs/overfit50_lstm

The recipe of the captioning exercise of CS231n (Stanford 2019, assignment 3) and of
homework 2 of EECS 498/598 (University of Michigan 2019): Adam 5e-3, batch 25, 50 epochs,
rate decay 0.995 per epoch.

Headline: val/bleu1_single 0.227 (published 0.15; seed 0)
"""

from ml_collections import ConfigDict

from kerasdl.configs.captioning import default


def get_config() -> ConfigDict:
    """The 50-caption experiment, LSTM."""
    config = default.get_config()
    config.model.layer = ""
    config.model.image_size = 224
    config.model.grid = 0  # one pooled vector a picture
    config.model.attention = False
    config.model.feature_scale = 0.1
    config.model.units = 512
    config.data.train_pictures = 50
    config.data.captions_per_picture = 1
    config.epochs = 50
    config.batch_size = 25
    config.learning_rate = 5e-3
    config.schedule = "exponential"
    config.rate_decay = 0.995
    config.monitor = "train/loss"  # it is to memorise, not to generalise
    return config
