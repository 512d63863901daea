"""Ants against bees, every layer trained: the recipe of the transfer-learning tutorial.

    python -m kerasdl.trainers.transfer \
        --config=configs/transfer/hymenoptera_finetune.py \
        --config.data.root=HYMENOPTERA_FOLDER --workdir=runs/finetune

The recipe is that of PyTorch's tutorial "Transfer Learning for Computer Vision":
SGD 1e-3 with momentum 0.9, x 0.1 every 7 of 25 epochs, batch 4, random resized crop and
flip. Difference: EfficientNet-Lite0 for ResNet-18 (--config.model.backbone=resnet18 with
--config.weights=FILE has that one).

Headline: val/accuracy 0.9281 ← 0.9346 → 0.9608 (published 0.9281)
"""

from ml_collections import ConfigDict

from kerasdl.configs.transfer import default


def get_config() -> ConfigDict:
    """The recipe, fine-tuning."""
    config = default.get_config()
    config.mode = "finetune"
    config.data.root = "tfds:hymenoptera"  # or the folder of train/ and val/
    config.data.preparation = "crop"
    config.model.image_size = 224
    config.augment.min_area = 0.08
    config.augment.variants = 4
    config.epochs = 25
    config.batch_size = 4
    config.optimizer = "sgd"
    config.learning_rate = 1e-3
    config.schedule = "step"
    config.monitor = "val/accuracy"
    return config
