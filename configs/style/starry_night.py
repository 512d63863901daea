"""Tübingen in the style of The Starry Night: the recipe, on SqueezeNet 1.1.

    python -m kerasdl.trainers.style_transfer --config=configs/style/starry_night.py \
        --config.data.root=FOLDER_OF_PICTURES --config.weights=SQUEEZENET_H5 \
        --workdir=runs/starry_night

Final loss 38,114: content 30,580, style 5,950, total variation 1,583; the same
whenever it is run on one machine, but Adam at rate 3.0 magnifies rounding: with sums in
another order it came to 36,300. 10 s of processor time, 11 to 21 s in all, on two cores
of an AMD EPYC.
"""

from ml_collections import ConfigDict

from kerasdl.configs.style import composition_vii


def get_config() -> ConfigDict:
    """The The Starry Night recipe."""
    config = composition_vii.recipe()
    config.styles = "starry_night.jpg"
    config.style_size = 192
    config.content_weight = 6e-2
    config.layer_weights = "300000,1000,15,3"
    config.tv_weight = 2e-2
    return config
