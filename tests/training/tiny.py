"""A tiny job, built, with the steps that train it."""

from kerasdl.training.config import override, read_config
from kerasdl.training.job import prepare
from kerasdl.training.jobs import JOBS
from kerasdl.training.precision import scaling_losses
from tests.training.replicas import TINY


def built(name, **fields):
    """The objective, the optimizer and the steps of a job of `TINY` with other fields."""
    spec = JOBS[name]
    config = override(read_config(spec.configs[0]), {**TINY[name], **fields})
    spec.check(config)
    job = spec.make(config)
    objective = prepare(job)
    optimizer = job.optimizer(job.schedule(objective.steps_per_epoch))
    optimizer = scaling_losses(config.precision, optimizer)
    optimizer.build(objective.model.trainable_variables)
    return objective, optimizer, objective.steps(optimizer, config.precision)
