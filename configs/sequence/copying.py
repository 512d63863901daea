"""Copying: five symbols, repeated after a pause of 50 steps.

    python -m kerasdl.trainers.sequence --config=configs/sequence/copying.py \
        --workdir=runs/copying
"""

from ml_collections import ConfigDict

from kerasdl.configs.sequence import default


def get_config() -> ConfigDict:
    """The copying task."""
    config = default.get_config()
    config.task = "copying"
    config.steps = 50
    config.epochs = 20
    return config
