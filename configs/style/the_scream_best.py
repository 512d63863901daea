"""Tübingen in the style of The Scream, on the network that ships with the package.

    python -m trainers.style_transfer --config=configs/style/the_scream_best.py \
        --config.data.root=FOLDER_OF_PICTURES --workdir=runs/the_scream_best

Final loss 2.251: content 1.040, style 1.035, total variation 0.176. 21 s of
processor time, start to report, on two cores of an AMD EPYC; the loss has no spread, for
nothing in it is random.
"""

from ml_collections import ConfigDict

from configs.style import composition_vii_best


def get_config() -> ConfigDict:
    """The Scream."""
    config = composition_vii_best.best()
    config.styles = "the_scream.jpg"
    return config
