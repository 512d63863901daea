"""Tübingen in the style of The Starry Night, on the network that ships with the package.

    python -m trainers.style_transfer --config=configs/style/starry_night_best.py \
        --config.data.root=FOLDER_OF_PICTURES --workdir=runs/starry_night_best

Final loss 1.572: content 0.997, style 0.370, total variation 0.205. 21 s of
processor time, start to report, on two cores of an AMD EPYC; the loss has no spread, for
nothing in it is random.
"""

from ml_collections import ConfigDict

from configs.style import composition_vii_best


def get_config() -> ConfigDict:
    """The Starry Night."""
    config = composition_vii_best.best()
    config.styles = "starry_night.jpg"
    return config
