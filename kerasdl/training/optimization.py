"""Optimisers and learning rates of the jobs, by the fields of their configs."""

import contextlib
from collections.abc import Iterator

import keras
from ml_collections import ConfigDict

from kerasdl.errors import InputError
from kerasdl.tensorflow_private import moving_averages, trained_variables
from kerasdl.tuning import OneCycle
from kerasdl.tuning.optimizers import inner_optimizer, restored

# Not decayed: biases, and BatchNorm's offset and scale.
NOT_DECAYED = ("bias", "beta", "gamma")


def make_schedule(
    config: ConfigDict, steps_per_epoch: int, epochs: int | None = None
) -> keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate as a function of the optimiser's steps.

    `config.schedule` is `cosine` (the default): a linear warm-up over `config.warmup`
    epochs, then half a cosine down to 0 (Loshchilov & Hutter 2017, SGDR, equation 5
    without restarts); or `exponential`: times `config.rate_decay` each epoch; or `step`:
    times `config.rate_decay` each `config.decay_every` epochs; or `one_cycle`, see
    `OneCycle`, with a rise over `config.warmup` epochs, a quarter of all if it is 0.

    Args:
        config: Has `learning_rate`, and some of the fields above.
        steps_per_epoch: Steps in an epoch.
        epochs: How many epochs a cosine takes; those of the config if it is None.
    """
    rate, schedule = config.learning_rate, config.get("schedule", "cosine")
    if schedule in ("exponential", "step"):
        every = config.get("decay_every", 1) if schedule == "step" else 1
        return keras.optimizers.schedules.ExponentialDecay(
            rate, every * steps_per_epoch, config.rate_decay, staircase=True
        )
    warmup = round(config.get("warmup", 0.0) * steps_per_epoch)
    steps = (epochs or config.epochs) * steps_per_epoch
    if warmup >= steps:
        raise InputError(
            f"--config.warmup must be less than the epochs, got {config.warmup}."
        )
    if schedule == "one_cycle":
        return OneCycle(rate, steps, **({"rise": warmup / steps} if warmup else {}))
    if not warmup:
        return keras.optimizers.schedules.CosineDecay(rate, steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0, steps - warmup, warmup_target=rate, warmup_steps=warmup
    )


def make_optimizer(
    config: ConfigDict, rate: float | keras.optimizers.schedules.LearningRateSchedule
) -> keras.optimizers.Optimizer:
    """Adam; AdamW if weights are decayed; SGD with momentum if the config says so.

    Args:
        config: Its `optimizer`, `momentum`, `weight_decay`, `clip_norm` and `ema` (the
            weight of the past in a moving average of the weights) count; those that it
            lacks are off.
        rate: The learning rate.
    """
    decay = config.get("weight_decay", 0.0)
    more = {"global_clipnorm": config.get("clip_norm", 0.0) or None}
    if config.get("ema", 0.0):
        more |= {"use_ema": True, "ema_momentum": config.ema}
    if config.get("optimizer") == "sgd":
        optimizer = keras.optimizers.SGD(
            rate, config.momentum, weight_decay=decay or None, **more
        )
    elif decay or config.get("optimizer") == "adamw":
        optimizer = keras.optimizers.AdamW(rate, weight_decay=decay, **more)
    else:
        optimizer = keras.optimizers.Adam(rate, **more)
    if decay:
        optimizer.exclude_from_weight_decay(var_names=list(NOT_DECAYED))
    return optimizer


@contextlib.contextmanager
def averaged_weights(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """The trained variables are their moving averages inside, if there are such.

    Afterwards they are, to the bit, what they were before.
    """
    inner = inner_optimizer(optimizer)
    if not inner.use_ema or not int(inner.iterations.numpy()):
        yield
        return
    variables = trained_variables(inner)
    with restored(variables):
        for variable, average in zip(variables, moving_averages(inner), strict=True):
            variable.assign(average)
        yield
