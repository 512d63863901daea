"""The learning-rate finder on a job's own objective; see `kerasdl.tuning.lr_find`."""

from __future__ import annotations

import itertools

from kerasdl.errors import InputError
from kerasdl.training.job import Job, Objective
from kerasdl.training.precision import FLOAT32
from kerasdl.tuning.optimizers import restored
from kerasdl.tuning.rate_finder import LOWEST, RateCurve, sweep


def sweep_rates(job: Job, objective: Objective) -> RateCurve:
    """Losses of an objective at rates that grow; the model is afterwards as it was.

    Raises:
        InputError: The loss is not finite at once.
    """
    optimizer = job.optimizer(LOWEST)
    optimizer.build(objective.model.trainable_variables)
    take_steps = objective.steps(optimizer, FLOAT32)
    epochs = map(objective.batches, itertools.count())
    batches = itertools.chain.from_iterable(epochs)

    def take_step(rate: float) -> float:
        optimizer.learning_rate = rate
        return take_steps([next(batches)])[0]["loss"]

    try:
        with restored(objective.model.variables):
            return sweep(take_step)
    except ValueError as error:
        raise InputError(f"--config.lr_find: {error}") from error
