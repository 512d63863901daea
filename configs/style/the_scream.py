"""Tübingen in the style of The Scream: the recipe, on SqueezeNet 1.1.

    python -m kerasdl.trainers.style_transfer --config=configs/style/the_scream.py \
        --config.data.root=FOLDER_OF_PICTURES --config.weights=SQUEEZENET_H5 \
        --workdir=runs/the_scream

Final loss 33,080: content 26,330, style 5,788, total variation 962; the same
whenever it is run on one machine, but Adam at rate 3.0 magnifies rounding: with sums in
another order it came to 32,692. 10 s of processor time, 11 to 21 s in all, on two cores
of an AMD EPYC.
"""

from ml_collections import ConfigDict

from kerasdl.configs.style import composition_vii


def get_config() -> ConfigDict:
    """The The Scream recipe."""
    config = composition_vii.recipe()
    config.styles = "the_scream.jpg"
    config.style_size = 224
    config.content_weight = 3e-2
    config.layer_weights = "200000,800,12,1"
    config.tv_weight = 2e-2
    return config
