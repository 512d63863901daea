"""Tübingen in the style of The Starry Night: the recipe, on SqueezeNet 1.1.

    python -m trainers.style_transfer --config=configs/style/starry_night.py \
        --config.data.root=FOLDER_OF_PICTURES --config.weights=SQUEEZENET_H5 \
        --workdir=runs/starry_night

FINAL
"""

from ml_collections import ConfigDict

from configs.style import composition_vii


def get_config() -> ConfigDict:
    """The The Starry Night recipe."""
    config = composition_vii.recipe()
    config.styles = "starry_night.jpg"
    config.style_size = 192
    config.content_weight = 6e-2
    config.layer_weights = "300000,1000,15,3"
    config.tv_weight = 2e-2
    return config
