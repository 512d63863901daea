"""Cross-validation inside the training pictures: each is answered by a model that did
not see it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from kerasdl.data.pictures.class_folders import LabelledPicture, PictureDataset
from kerasdl.training.job import Job, Objective, prepare
from kerasdl.training.optimization import averaged_weights
from kerasdl.training.precision import scaling_losses
from kerasdl.training.progress import say


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Answers for pictures that the answering models were not trained on.

    Attributes:
        logits: float32 (N, V, K), of V views of each picture.
        labels: int (N,).
        folds: int (N,), which fold each picture is of.
    """

    logits: np.ndarray
    labels: np.ndarray
    folds: np.ndarray


def fold_of(labels: Sequence[int], folds: int, seed: int) -> np.ndarray:
    """The fold of each example, int (N,): every class is spread evenly over the folds.

    Args:
        labels: N classes; of several labels each N rows, which are spread at random.
        folds: How many.
        seed: Of the order within a class.
    """
    labels = np.asarray(labels)
    if labels.ndim == 2:
        labels = np.zeros(len(labels), int)
    fold = np.zeros(len(labels), int)
    for number in np.unique(labels):
        members = np.flatnonzero(labels == number)
        order = np.random.default_rng([seed, int(number)]).permutation(members)
        fold[order] = np.arange(len(members)) % folds
    return fold


def folded(dataset: PictureDataset, folds: int, seed: int) -> Iterator[PictureDataset]:
    """The data set of each fold: its training pictures divided, no other picture."""
    fold = fold_of([picture.label for picture in dataset.train], folds, seed)
    for number in range(folds):
        parts: tuple[list[LabelledPicture], ...] = ([], [])
        for picture, own in zip(dataset.train, fold, strict=True):
            parts[int(own == number)].append(picture)
        yield dataclasses.replace(dataset, train=parts[0], val=parts[1], test=[])


def cross_validate(
    make_job: Callable[[PictureDataset], Job],
    dataset: PictureDataset,
    folds: int,
    seed: int,
) -> HeldOut:
    """Trains a job on all folds but one, for each fold, and asks it for the one.

    The models are those of the last epoch; nothing is chosen on the pictures held out.

    Args:
        make_job: Makes a transfer job of a data set.
        dataset: Its training pictures are used alone.
        folds: At least 2.
        seed: Of the folds.
    """
    logits, labels, sizes = [], [], []
    for number, part in enumerate(folded(dataset, folds, seed), start=1):
        say(f"cross-validation: fold {number} of {folds}")
        job = make_job(part)
        job.fit_in_memory(prepare(job))
        held = job.splits["val"]
        logits.append(job.scorer.logits(held))
        labels.append(held.pictures.labels)
        sizes.append(len(held))
    numbers = np.repeat(np.arange(folds), sizes)
    return HeldOut(np.concatenate(logits), np.concatenate(labels), numbers)


def take_all_steps(job: Job, objective: Objective) -> None:
    """Takes all training steps of a job; no checkpoint, no evaluation, no folder."""
    precision = job.config.precision
    rate = job.schedule(objective.steps_per_epoch)
    optimizer = scaling_losses(precision, job.optimizer(rate))
    if not optimizer.built:
        optimizer.build(objective.model.trainable_variables)
    take_steps = objective.steps(optimizer, precision)
    for epoch in range(job.epochs):
        if objective.changes(epoch):
            take_steps = objective.steps(optimizer, precision)
        for batch in objective.batches(epoch):
            take_steps([batch])
    variables = objective.model.variables
    with averaged_weights(optimizer):
        kept = [variable.numpy() for variable in variables]
    for variable, value in zip(variables, kept, strict=True):
        variable.assign(value)
