"""Optimisers and learning rates of the jobs, by the fields of their configs."""

import keras
from ml_collections import ConfigDict

from kerasdl.errors import InputError

# Not decayed: biases, and BatchNorm's offset and scale.
NOT_DECAYED = ("bias", "beta", "gamma")


def make_schedule(
    config: ConfigDict, steps_per_epoch: int, epochs: int | None = None
) -> keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate as a function of the optimiser's steps.

    `config.schedule` is `cosine` (the default): a linear warm-up over `config.warmup`
    epochs, then half a cosine down to 0 (Loshchilov & Hutter 2017, SGDR, equation 5
    without restarts); or `exponential`: times `config.rate_decay` each epoch; or `step`:
    times `config.rate_decay` each `config.decay_every` epochs.

    Args:
        config: Has `learning_rate`, and some of the fields above.
        steps_per_epoch: Steps in an epoch.
        epochs: How many epochs a cosine takes; those of the config if it is None.
    """
    rate = config.learning_rate
    if config.get("schedule", "cosine") != "cosine":
        every = config.get("decay_every", 1) if config.schedule == "step" else 1
        return keras.optimizers.schedules.ExponentialDecay(
            rate, every * steps_per_epoch, config.rate_decay, staircase=True
        )
    warmup = round(config.get("warmup", 0.0) * steps_per_epoch)
    steps = (epochs or config.epochs) * steps_per_epoch
    if not warmup:
        return keras.optimizers.schedules.CosineDecay(rate, steps)
    if warmup >= steps:
        raise InputError(
            f"--config.warmup must be less than the epochs, got {config.warmup}."
        )
    return keras.optimizers.schedules.CosineDecay(
        0.0, steps - warmup, warmup_target=rate, warmup_steps=warmup
    )


def make_optimizer(
    config: ConfigDict, rate: float | keras.optimizers.schedules.LearningRateSchedule
) -> keras.optimizers.Optimizer:
    """Adam; AdamW if weights are decayed; SGD with momentum if the config says so.

    Args:
        config: Its `optimizer`, `momentum`, `weight_decay` and `clip_norm` count; those
            that it lacks are off.
        rate: The learning rate.
    """
    decay = config.get("weight_decay", 0.0)
    clip = {"global_clipnorm": config.get("clip_norm", 0.0) or None}
    if config.get("optimizer") == "sgd":
        optimizer = keras.optimizers.SGD(
            rate, config.momentum, weight_decay=decay or None, **clip
        )
    elif decay or config.get("optimizer") == "adamw":
        optimizer = keras.optimizers.AdamW(rate, weight_decay=decay, **clip)
    else:
        optimizer = keras.optimizers.Adam(rate, **clip)
    if decay:
        optimizer.exclude_from_weight_decay(var_names=list(NOT_DECAYED))
    return optimizer
