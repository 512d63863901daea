"""A program: trains jobs by one replica or several, as its arguments say.

    python replicas.py FOLDER JOBS STRATEGIES [EPOCHS]
    python replicas.py "" steps mirrored

With `mirrored` this machine's processor counts as two devices.
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from kerasdl.training.config import override, read_config
from kerasdl.training.distribution import started
from kerasdl.training.jobs import JOBS
from kerasdl.training.run import train_config
from kerasdl.training.steps import TrainingSteps

# Small runs without anything that draws in training, each with a smaller last batch.
TINY = {
    "captioning": {
        "data.drawn_train": 13,
        "data.drawn_val": 4,
        "data.drawn_test": 0,
        "model.units": 12,
        "model.embedding_dim": 8,
        "model.dropout": 0.0,
        "batch_size": 4,
        "clip_norm": 0.5,
        "epochs": 2,
        "report.samples": 2,
    },
    "text": {
        "data.generated_train": 41,
        "data.generated_val": 20,
        "data.generated_test": 0,
        "model.width": 6,
        "model.units": 7,
        "model.dropout": 0.0,
        "model.word_dropout": 0.0,
        "model.recurrent_dropout": 0.0,
        "model.head_dropout": 0.0,
        "clip_norm": 0.1,
        "batch_size": 8,
        "epochs": 2,
    },
    "transfer": {
        "data.drawn_train": 5,
        "data.drawn_val": 4,
        "data.drawn_test": 0,
        "mode": "finetune",
        "model.image_size": 32,
        "model.dropout": 0.0,
        "model.update_batch_norm": False,
        "class_weights": "balanced",
        "batch_size": 4,
        "epochs": 1,
    },
}


def train(folder, job, distribute, **fields):
    """A tiny run of a job in `folder / (job-distribute)`."""
    spec = JOBS[job]
    config = override(
        read_config(spec.configs[0]), {**TINY[job], "distribute": distribute, **fields}
    )
    return train_config(spec, config, Path(folder) / f"{job}-{distribute}")


def take_steps(kind, clip):
    """Weights, losses and norms of four steps, the last batch of a single row."""
    with started(ConfigDict({"distribute": kind})):
        keras.utils.set_random_seed(3)
        layers = [
            keras.layers.Embedding(9, 4),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(1, kernel_regularizer="l2"),
        ]
        model = keras.Sequential(layers)
        model.build((None, None))

        def loss(ids, targets, counted):
            errors = (model(ids, training=True)[:, 0] - targets) ** 2
            return tf.reduce_sum(errors * counted) / tf.reduce_sum(counted)

        optimizer = keras.optimizers.Adam(0.01, global_clipnorm=clip)
        optimizer.build(model.trainable_variables)
        floats = tf.TensorSpec((None,), tf.float32)
        steps = TrainingSteps(
            model,
            optimizer,
            loss,
            [tf.TensorSpec((None, None), tf.int32), floats, floats],
            weight=lambda ids, targets, counted: tf.reduce_sum(counted),
        )
        random = np.random.default_rng(1)
        batches = []
        for size in (4, 3, 4, 1):
            targets = random.normal(size=size).astype("float32")
            # The loss is an average over what is not masked: of one part, nothing.
            counted = np.float32([1, 0, 1, 0][:size])
            batches.append((random.integers(0, 9, (size, 5), np.int32), targets, counted))
        figures = steps(batches)
        values = [tf.convert_to_tensor(v).numpy() for v in model.variables]
        return values, [[f["loss"], f["gradient_norm"]] for f in figures]


def compare_steps():
    """Prints the largest differences between one device and two."""
    for clip in (None, 0.05):
        (one, figures), (two, others) = (
            take_steps(kind, clip) for kind in ("none", "mirrored")
        )
        weights = max(float(abs(a - b).max()) for a, b in zip(one, two, strict=True))
        print(json.dumps([weights, float(abs(np.subtract(figures, others)).max())]))


if __name__ == "__main__":
    folder, names, kinds, epochs = (*sys.argv[1:], "")[:4]
    if "mirrored" in kinds:
        (processor,) = tf.config.list_physical_devices("CPU")
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(processor, two)
    if names == "steps":
        compare_steps()
        sys.exit()
    fields = {"epochs": int(epochs)} if epochs else {}
    for name in names.split(","):
        for kind in kinds.split(","):
            train(folder, name, kind, **fields)
