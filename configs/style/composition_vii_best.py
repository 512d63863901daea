"""Tübingen in the style of Composition VII, on the network that ships with the package.

    python -m kerasdl.trainers.style_transfer \
        --config=configs/style/composition_vii_best.py \
        --config.data.root=FOLDER_OF_PICTURES --workdir=runs/composition_vii_best

Final loss 1.825: content 1.218, style 0.383, total variation 0.224; the same whenever it
is run on one machine. 16 s of processor time, 18 to 25 s in all, on two cores of an AMD
EPYC.
"""

from ml_collections import ConfigDict

from kerasdl.configs.style import default


def best() -> ConfigDict:
    """What the three share: two sizes, the coarse one for large strokes."""
    config = default.get_config()
    config.content = "tubingen.jpg"  # looked up below data.root
    config.image_size = 384
    config.style_size = 384
    config.style_weight = 40.0
    config.scales = 2
    config.coarse_iterations = 120
    config.iterations = 60
    return config


def get_config() -> ConfigDict:
    """Composition VII."""
    config = best()
    config.styles = "composition_vii.jpg"
    return config
