"""Pretraining of a text classifier as language models on its own training sentences."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from kerasdl.data.texts.batches import TextBatches, in_order
from kerasdl.errors import InputError
from kerasdl.models.text.bilstm import PooledBiLSTM
from kerasdl.models.text.classifier import TextClassifier
from kerasdl.models.text.language_model import BidirectionalLanguageModel
from kerasdl.ops.execution import compile_every_length
from kerasdl.training.distribution import shard
from kerasdl.training.loop import TrainingLoop
from kerasdl.training.optimization import make_optimizer, make_schedule
from kerasdl.training.precision import scaling_losses
from kerasdl.training.steps import TrainingSteps
from kerasdl.training.text_corpus import (
    BATCH_SIGNATURE,
    IDS_SIGNATURE,
    MULTI_LABEL_SIGNATURE,
    SCORE_BATCH,
    TextCorpus,
)
from kerasdl.training.workdir import Workdir

# Training steps in one call of their graph.
STEPS_PER_CALL = 25

# Where its checkpoints and metrics lie in a run's folder.
FOLDER = "pretraining"
# Of the gradient's norm: the first steps on a large vocabulary are steep.
CLIP_NORM = 1.0


class Pretraining(NamedTuple):
    """What a pretraining was.

    Attributes:
        seconds: That it took, over all of its sessions; 0 if there was none.
        note: A sentence for the report; empty if there was none.
    """

    seconds: float
    note: str


def check_pretraining(model: TextClassifier, config: ConfigDict) -> None:
    """Checks that the model can be pretrained, if it is to be.

    Raises:
        InputError: The model is of another kind, or frozen.
    """
    is_of_kind = isinstance(model, PooledBiLSTM) and not config.model.frozen
    if config.pretraining.epochs and not is_of_kind:
        raise InputError(
            "--config.pretraining.epochs must be 0 but for bilstm with word vectors that "
            f"are not frozen, got {config.pretraining.epochs} for {config.model.name}."
        )


def pretrain(
    model: TextClassifier, corpus: TextCorpus, config: ConfigDict, workdir: Workdir
) -> Pretraining:
    """Trains the model's word vectors and LSTMs to tell neighbouring words.

    No label is used. It goes on where it was interrupted; once finished, its best epoch
    by `val/loss` (the last one without a validation split) is loaded.

    Args:
        model: Untrained; `config.pretraining.epochs` must be 0 but for `bilstm`.
        corpus: The training split is learnt from, the validation split measured on.
        config: The run's.
        workdir: The run's.

    Raises:
        InputError: The model is of another kind, or frozen.
    """
    fields = config.pretraining
    check_pretraining(model, config)
    if not fields.epochs:
        return Pretraining(0.0, "")
    train, val = corpus.unlabelled, corpus.splits["val"]
    language_model = BidirectionalLanguageModel(model, fields.dropout)

    def loss(ids: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        del labels
        return language_model(ids, training=True)

    measure = tf.function(
        lambda ids: language_model(ids, training=False),
        input_signature=[IDS_SIGNATURE],
    )

    def evaluate() -> dict[str, float]:
        values = [
            (float(measure(ids)), np.count_nonzero(ids))
            for _, ids in in_order(val.rows, SCORE_BATCH)
        ]
        if not values:
            return {}
        losses, words = zip(*values, strict=True)
        return {"val/loss": float(np.average(losses, weights=words))}

    batches = TextBatches(
        train.rows, train.labels, config.batch_size, config.seed, shard()
    )
    schedule = make_schedule(fields, len(batches))
    optimizer = scaling_losses(
        config.precision, make_optimizer(ConfigDict({"clip_norm": CLIP_NORM}), schedule)
    )
    optimizer.build(language_model.trainable_variables)
    if config.xla:
        loss = compile_every_length()(loss)
    loop = TrainingLoop(
        workdir=Workdir(workdir / FOLDER, "text", config.to_dict()).create(),
        model=language_model,
        optimizer=optimizer,
        take_steps=TrainingSteps(
            language_model,
            optimizer,
            loss,
            MULTI_LABEL_SIGNATURE if model.multi_label else BATCH_SIGNATURE,
            STEPS_PER_CALL,
            weight=lambda ids, _: tf.math.count_nonzero(ids),
            precision=config.precision,
        ),
        batches=batches,
        steps_per_epoch=len(batches),
        epochs=fields.epochs,
        evaluate=evaluate,
        monitor="val/loss" if len(val) else "train/loss",
        name="pretraining",
    )
    progress = loop.run()
    loop.workdir.close()
    whose = "validation" if len(val) else "training"
    return Pretraining(
        progress.seconds,
        f"Word vectors and LSTMs were first trained for {fields.epochs} epochs to tell "
        "the next word and the word before, on the training sentences without their "
        f"labels, in {progress.seconds:.0f} s: {progress.best:.3f} nats a {whose} word.",
    )
