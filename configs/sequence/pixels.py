"""Drawn digits of 12 x 12 pixels, one pixel a step in an order drawn at random.

    python -m kerasdl.trainers.sequence --config=configs/sequence/pixels.py \
        --workdir=runs/pixels
"""

from ml_collections import ConfigDict

from kerasdl.configs.sequence import default


def get_config() -> ConfigDict:
    """The permuted pixels."""
    config = default.get_config()
    config.task = "pixels"
    config.steps = 144
    config.epochs = 20
    return config
