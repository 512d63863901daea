"""Tübingen in the style of The Starry Night, on the network that ships with the package.

    python -m kerasdl.trainers.style_transfer \
        --config=configs/style/starry_night_best.py \
        --config.data.root=FOLDER_OF_PICTURES --workdir=runs/starry_night_best

Final loss 1.524: content 0.988, style 0.336, total variation 0.201; the same whenever it
is run on one machine. 16 s of processor time, 18 to 25 s in all, on two cores of an AMD
EPYC.
"""

from ml_collections import ConfigDict

from kerasdl.configs.style import composition_vii_best


def get_config() -> ConfigDict:
    """The Starry Night."""
    config = composition_vii_best.best()
    config.styles = "starry_night.jpg"
    return config
