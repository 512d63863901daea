"""Captions Flickr8k pictures with an LSTM on pooled ImageNet features.

    python -m kerasdl.trainers.captioning --config=configs/captioning/flickr8k_lstm.py \
        --config.data.root=FLICKR8K_FOLDER --workdir=runs/flickr8k_lstm

Epochs and beam were chosen by training on 700 of the training pictures and
scoring the other 100. The validation pictures choose the epoch that is kept.

Headline: val/bleu1_single 0.250 ← 0.254 → 0.256 (seeds 0 to 2)
"""

from ml_collections import ConfigDict

from kerasdl.configs.captioning import default


def get_config() -> ConfigDict:
    """The Flickr8k experiment, LSTM."""
    config = default.get_config()
    config.model.layer = ""
    config.model.image_size = 224
    config.model.grid = 0  # one pooled vector a picture
    config.model.attention = False
    config.model.feature_scale = 0.1
    config.model.units = 512
    config.learning_rate = 1e-3
    config.data.min_count = 3
    config.model.dropout = 0.5
    config.epochs = 12
    config.clip_norm = 5.0
    config.monitor = "val/bleu1_single"  # the figure that the experiment answers to
    config.decode.beam_size = 3
    config.decode.length_penalty = 1.0
    return config
