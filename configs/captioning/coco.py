"""Captions COCO pictures: the full training set with Karpathy's splits.

    python -m kerasdl.trainers.captioning --config=configs/captioning/coco.py \
        --config.data.root=COCO_FOLDER --workdir=runs/coco

An LSTM with additive attention over the 7 x 7 grid of EfficientNet-Lite0, cross-entropy,
then self-critical training on CIDEr. The features of 123,287 pictures take 13.6 GB on
disk (two views of 13,824 float32 numbers per picture), in shards, read as they are
needed. docs/captioning.md says how long it takes, and what stands between it and
published figures.
"""

from ml_collections import ConfigDict

from kerasdl.configs.captioning import default


def get_config() -> ConfigDict:
    """The COCO experiment."""
    config = default.get_config()
    config.data.min_count = 5  # as neuraltalk2: about 9,500 words
    config.data.max_words = 16
    config.data.views = 2  # each picture and its mirror image
    config.model.layer = ""
    config.model.image_size = 224
    config.model.grid = 7
    config.model.attention_score = "additive"
    config.model.components = 256
    config.model.features_in = "both"
    config.model.h_0_activation = "tanh"
    config.model.input_activation = "relu"
    config.model.feature_scale = 1.0
    config.model.units = 512
    config.model.embedding_dim = 512
    config.model.dropout = 0.5
    config.epochs = 15
    config.batch_size = 100
    config.learning_rate = 5e-4
    config.clip_norm = 5.0
    config.scheduled_sampling = 0.25
    config.self_critical.epochs = 10
    config.self_critical.learning_rate = 5e-5
    config.decode.max_length = 20
    config.decode.beam_size = 3
    config.decode.no_repeat_ngram = 3
    return config
