"""Seconds an epoch of the five text models, beside the same models in PyTorch.

    python -m benchmarks.text --root=SENTIMENT_FOLDER

Both sides train on the same batches (length-bucketed, padded) with Adam, the same sizes,
dropout and initial vectors' width, on the same number of threads, epoch about epoch. The
first epoch of each warms up and compiles and is told apart; the median of the others
counts. Needs PyTorch, which kerasdl does not.
"""

import argparse
import itertools
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
import torch

from benchmarks import devices
from kerasdl.configs.text import (
    average,
    bag_of_words,
    glove_average,
    glove_lstm,
    glove_rnn,
)
from kerasdl.data.texts.batches import TextBatches
from kerasdl.training.optimization import make_optimizer
from kerasdl.training.steps import TrainingSteps
from kerasdl.training.text_corpus import BATCH_SIGNATURE, TextCorpus
from kerasdl.training.text_objective import build_classifier, training_loss
from kerasdl.training.text_pretraining import STEPS_PER_CALL

CONFIGS = {
    "bag_of_words": bag_of_words,
    "average": average,
    "glove_average": glove_average,
    "glove_rnn": glove_rnn,
    "glove_lstm": glove_lstm,
}
TIMED_EPOCHS = 3


class TorchBag(torch.nn.Module):
    """Model 1 in PyTorch."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(size, 1, padding_idx=0)
        self.bias = torch.nn.Parameter(torch.zeros(1))

    def forward(self, ids):
        """Logits (N,)."""
        ids = ids.sort(dim=1, descending=True).values
        first = torch.ones_like(ids, dtype=torch.bool)
        first[:, 1:] = ids[:, 1:] != ids[:, :-1]
        return (self.table(ids)[..., 0] * (first & (ids != 0))).sum(dim=1) + self.bias


class TorchVectors(torch.nn.Module):
    """Models 2 to 5 in PyTorch."""

    def __init__(self, size: int, width: int, model) -> None:
        super().__init__()
        self.fields = model
        self.table = torch.nn.Embedding(size, width, padding_idx=0)
        self.recurrent = None
        if model.name != "average":
            kind = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM}[model.name]
            self.recurrent = kind(width, model.units, batch_first=True)
        self.head = torch.nn.Linear(width if model.name == "average" else model.units, 1)

    def vectors(self, ids):
        """Word vectors (N, T, D) and mask (N, T)."""
        mask = ids != 0
        if self.fields.word_dropout:
            dropped = torch.rand(ids.shape, device=ids.device) < self.fields.word_dropout
            ids = torch.where(dropped & mask, 1, ids)
        return torch.dropout(self.table(ids), self.fields.dropout, self.training), mask

    def score(self, vectors, mask):
        """Logits (N,)."""
        lengths = mask.sum(dim=1)
        if self.recurrent is None:
            encoded = (vectors * mask[..., None]).sum(dim=1) / lengths[:, None]
        else:
            outputs, _ = self.recurrent(vectors)
            encoded = outputs[torch.arange(len(outputs)), lengths - 1]
        encoded = torch.dropout(encoded, self.fields.head_dropout, self.training)
        return self.head(encoded)[:, 0]

    def forward(self, ids):
        """Logits (N,)."""
        return self.score(*self.vectors(ids))


def torch_step(model, config):
    """One training step in PyTorch, with the loss of `kerasdl.training.text`."""
    optimizer = torch.optim.Adam(model.parameters(), config.learning_rate)
    criterion = torch.nn.functional.binary_cross_entropy_with_logits

    def loss_of(ids, labels):
        if not config.adversarial:
            return criterion(model(ids), labels)
        vectors, mask = model.vectors(ids)
        value = criterion(model.score(vectors, mask), labels)
        (gradient,) = torch.autograd.grad(value, vectors, retain_graph=True)
        gradient = gradient * mask[..., None]
        norm = gradient.square().sum(dim=(1, 2), keepdim=True).sqrt()
        moved = vectors + config.adversarial * gradient / (norm + 1e-12)
        return 0.5 * (value + criterion(model.score(moved, mask), labels))

    def step(ids, labels):
        device = torch.get_default_device()
        ids, labels = (torch.from_numpy(a).to(device) for a in (ids, labels))
        loss = loss_of(ids.long(), labels.float())
        optimizer.zero_grad()
        loss.backward()
        if config.clip_norm:
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.step()
        return loss.item()

    return step


def our_epoch(model, config):
    """A function that trains kerasdl's model for an epoch of batches."""
    optimizer = make_optimizer(config, config.learning_rate)
    optimizer.build(model.trainable_variables)
    loss = training_loss(model, config)
    steps = TrainingSteps(model, optimizer, loss, BATCH_SIGNATURE, STEPS_PER_CALL)

    def epoch(batches):
        batches = iter(batches)
        while group := list(itertools.islice(batches, steps.size)):
            steps(group)

    return epoch


def torch_epoch(model, config):
    """The same of the model in PyTorch."""
    step = torch_step(model.train(), config)

    def epoch(batches):
        for ids, labels in batches:
            step(ids, labels)

    return epoch


def seconds_of(epoch, batches) -> float:
    """The time of an epoch."""
    started = time.perf_counter()
    epoch(batches)
    return time.perf_counter() - started


def main() -> None:
    """Prints a row a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", required=True, help="a folder of labelled sentences")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--models", default=",".join(CONFIGS))
    parser.add_argument("--device", choices=devices.DEVICES, default="cpu")
    arguments = parser.parse_args()
    devices.use(arguments.device)
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    torch.set_num_threads(arguments.threads)
    print(f"{'':16} {'first epoch':^17}   median of {TIMED_EPOCHS} more, seconds")
    print(
        f"{'model':16} {'kerasdl':>8} {'PyTorch':>8} {'kerasdl':>8} {'PyTorch':>8} ratio"
    )
    for name in arguments.models.split(","):
        config = CONFIGS[name].get_config()
        config.data.root = arguments.root
        corpus = TextCorpus(config)
        train = corpus.splits["train"]
        batches = TextBatches(train.rows, train.labels, config.batch_size, config.seed)
        keras.utils.set_random_seed(config.seed)
        model, _ = build_classifier(config, corpus.vocabulary, 2)
        size = len(corpus.vocabulary)
        if name == "bag_of_words":
            peer = TorchBag(size)
        else:
            peer = TorchVectors(size, model.word_vectors.width, config.model)
        if sum(p.numel() for p in peer.parameters()) < model.count_params():
            raise RuntimeError(f"the peer of {name} is smaller than the model.")
        sides = (our_epoch(model, config), torch_epoch(peer, config))
        seconds = [
            [seconds_of(side, batches(epoch)) for side in sides]
            for epoch in range(1 + TIMED_EPOCHS)
        ]
        first = " ".join(f"{value:8.2f}" for value in seconds[0])
        ours, theirs = np.median(seconds[1:], axis=0)
        print(
            f"{name:16} {first} {ours:8.2f} {theirs:8.2f} {ours / theirs:5.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
