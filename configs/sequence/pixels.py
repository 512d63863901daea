"""Drawn digits of 10 x 10 pixels, one pixel a step in an order drawn at random.

    python -m kerasdl.trainers.sequence --config=configs/sequence/pixels.py \
        --workdir=runs/pixels
"""

from ml_collections import ConfigDict

from kerasdl.configs.sequence import default


def get_config() -> ConfigDict:
    """The permuted pixels."""
    config = default.get_config()
    config.task = "pixels"
    config.steps = 100
    return config
