"""GloVe, a bidirectional LSTM with maximum and attention pooling, pretrained.

    python -m kerasdl.trainers.text_classification --config=configs/text/best.py \
        --config.data.root=FOLDER --workdir=runs/best

Headline: val/accuracy, % 97.25 ← 97.29 → 97.34 (seeds 0 to 4)
"""

from ml_collections import ConfigDict

from kerasdl.configs.text import default


def get_config() -> ConfigDict:
    """The bidirectional model, pretrained as language models on the same sentences."""
    config = default.get_config()
    config.model.name = "bilstm"
    config.model.vectors = "glove"
    config.model.units = 128
    config.model.dropout = 0.3
    config.model.head_dropout = 0.3
    config.pretraining.epochs = 8
    config.adversarial = 0.8
    config.xla = True
    config.epochs = 10
    config.batch_size = 128
    config.learning_rate = 2e-3
    config.clip_norm = 0.0
    return config
