"""Captions Flickr8k pictures with a vanilla RNN on pooled ImageNet features.

    python -m kerasdl.trainers.captioning --config=configs/captioning/flickr8k_rnn.py \
        --config.data.root=FLICKR8K_FOLDER --workdir=runs/flickr8k_rnn

As `flickr8k_lstm.py`, but for the cell.

Headline: val/bleu1_single 0.257, 0.267 (published above 0.25; seeds 0, 1)
"""

from ml_collections import ConfigDict

from kerasdl.configs.captioning import flickr8k_lstm


def get_config() -> ConfigDict:
    """The Flickr8k experiment, vanilla RNN."""
    config = flickr8k_lstm.get_config()
    config.model.rnn = "rnn"
    return config
