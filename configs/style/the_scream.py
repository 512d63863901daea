"""Tübingen in the style of The Scream: the recipe, on SqueezeNet 1.1.

    python -m trainers.style_transfer --config=configs/style/the_scream.py \
        --config.data.root=FOLDER_OF_PICTURES --config.weights=SQUEEZENET_H5 \
        --workdir=runs/the_scream

Final loss 32,692: content 26,046, style 5,701, total variation 946. 13 s of
processor time, start to report, on two cores of an AMD EPYC; the loss has no spread, for
nothing in it is random.
"""

from ml_collections import ConfigDict

from configs.style import composition_vii


def get_config() -> ConfigDict:
    """The The Scream recipe."""
    config = composition_vii.recipe()
    config.styles = "the_scream.jpg"
    config.style_size = 224
    config.content_weight = 3e-2
    config.layer_weights = "200000,800,12,1"
    config.tv_weight = 2e-2
    return config
