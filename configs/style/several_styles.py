"""One network that repaints any picture in any of several styles, or between them.

    python -m kerasdl.trainers.style_transfer --config=configs/style/several_styles.py \
        --config.data.root=FOLDER --config.styles=ONE.jpg,TWO.jpg,THREE.jpg \
        --workdir=runs/several
"""

from ml_collections import ConfigDict

from kerasdl.configs.style import feed_forward


def get_config() -> ConfigDict:
    """The network for one style, with scales and shifts for each of several."""
    config = feed_forward.get_config()
    config.network.conditional = True
    config.network.filters = 16
    config.network.steps = 2000
    return config
