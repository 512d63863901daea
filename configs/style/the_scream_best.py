"""Tübingen in the style of The Scream, on the network that ships with the package.

    python -m kerasdl.trainers.style_transfer --config=configs/style/the_scream_best.py \
        --config.data.root=FOLDER_OF_PICTURES --workdir=runs/the_scream_best

Final loss 2.087: content 1.042, style 0.877, total variation 0.167; the same whenever it
is run on one machine. 16 s of processor time, 18 to 25 s in all, on two cores of an AMD
EPYC.
"""

from ml_collections import ConfigDict

from kerasdl.configs.style import composition_vii_best


def get_config() -> ConfigDict:
    """The Scream."""
    config = composition_vii_best.best()
    config.styles = "the_scream.jpg"
    return config
