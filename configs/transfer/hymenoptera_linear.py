"""Ants against bees in seconds: logistic regression on features.

    python -m kerasdl.trainers.transfer --config=configs/transfer/hymenoptera_linear.py \
        --config.data.root=HYMENOPTERA_FOLDER --workdir=runs/linear

As `hymenoptera_freeze_best.py`, but the head is computed at once, its regularisation
chosen inside the training pictures, and answers are means over a picture and its mirror
image. Chosen by cross-validation too: the likeliest of all recipes there.

Headline: val/accuracy 0.9673 ← 0.9739 → 0.9739 (published 0.9477)
"""

from ml_collections import ConfigDict

from kerasdl.configs.transfer import hymenoptera_freeze_best


def get_config() -> ConfigDict:
    """The experiment without training steps."""
    config = hymenoptera_freeze_best.get_config()
    config.mode = "linear"
    config.model.mirrored = True
    return config
