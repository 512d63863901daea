"""Tübingen in the style of Composition VII: the recipe, on SqueezeNet 1.1.

    python -m kerasdl.trainers.style_transfer --config=configs/style/composition_vii.py \
        --config.data.root=FOLDER_OF_PICTURES --config.weights=SQUEEZENET_H5 \
        --workdir=runs/composition_vii

Final loss 34,879: content 22,796, style 9,629, total variation 2,455; the same
whenever it is run on one machine, but Adam at rate 3.0 magnifies rounding: with sums in
another order it came to 39,511. 10 s of processor time, 11 to 21 s in all, on two cores
of an AMD EPYC.
"""

from ml_collections import ConfigDict

from kerasdl.configs.style import default


def recipe() -> ConfigDict:
    """What the three recipes share: all but pictures, sizes and weights of terms."""
    config = default.get_config()
    config.content = "tubingen.jpg"  # looked up below data.root
    config.backbone = "squeezenet"
    config.content_layers = "fire2"  # entry 3 of torchvision's `features`
    config.style_layers = "conv1_relu,fire3,fire4,fire5"  # entries 1, 4, 6, 7
    # The weights of the terms were tuned for torchvision's copy of the network. The
    # Caffe copy takes pixels 57 times as large, and its first layers answer louder, its
    # later ones softer: divided like this, every layer has a say in the result.
    config.feature_divisors = "conv1_relu=20,fire2=22,fire3=16,fire4=6,fire5=2.5"
    config.weighting = "raw"
    config.style_weight = 1.0
    config.image_size = 192
    config.init_noise = 0.0
    config.iterations = 200
    config.learning_rate = 3.0
    config.decay_at = 180  # a fresh Adam from there
    config.decay_learning_rate = 0.1
    config.clamp = 1.5
    config.clamp_until = 190
    config.stretch = True
    return config


def get_config() -> ConfigDict:
    """The Composition VII recipe."""
    config = recipe()
    config.styles = "composition_vii.jpg"
    config.style_size = 512
    config.content_weight = 5e-2
    config.layer_weights = "20000,500,12,1"
    config.tv_weight = 5e-2
    return config
