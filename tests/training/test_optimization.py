"""Learning rates and optimisers by the fields of a config."""

import numpy as np
import pytest
from ml_collections import ConfigDict

from kerasdl.errors import InputError
from kerasdl.training.optimization import make_optimizer, make_schedule


def rates(steps, epochs=10, steps_per_epoch=4, **fields):
    config = ConfigDict({"learning_rate": 1e-3, "epochs": epochs, **fields})
    schedule = make_schedule(config, steps_per_epoch)
    return [float(schedule(step)) for step in steps]


def test_step_decay():
    fields = {"schedule": "step", "rate_decay": 0.1, "decay_every": 7}
    np.testing.assert_allclose(
        rates([27, 28, 56], **fields), [1e-3, 1e-4, 1e-5], rtol=1e-5
    )


def test_exponential_decay_falls_at_whole_epochs():
    fields = {"schedule": "exponential", "rate_decay": 0.5, "decay_every": 7}
    np.testing.assert_allclose(rates([3, 4, 8], **fields), [1e-3, 5e-4, 2.5e-4])


def test_cosine_decay_against_its_equation():
    steps = np.arange(41)
    expected = 0.5e-3 * (1 + np.cos(np.pi * steps / 40))
    np.testing.assert_allclose(rates(steps), expected, atol=1e-9)


def test_warm_up_is_linear_and_the_cosine_follows():
    steps = np.arange(41)
    expected = np.where(
        steps < 4, steps / 4 * 1e-3, 0.5e-3 * (1 + np.cos(np.pi * (steps - 4) / 36))
    )
    np.testing.assert_allclose(rates(steps, warmup=1.0), expected, atol=1e-9)
    with pytest.raises(InputError, match=r"must be less than the epochs, got 10\.0"):
        rates([0], warmup=10.0)


def test_kinds():
    adam = make_optimizer(ConfigDict(), 0.1)
    assert type(adam).__name__ == "Adam" and adam.global_clipnorm is None
    decayed = make_optimizer(ConfigDict({"weight_decay": 0.1, "clip_norm": 2.0}), 0.1)
    assert type(decayed).__name__ == "AdamW" and decayed.global_clipnorm == 2.0
    sgd = make_optimizer(ConfigDict({"optimizer": "sgd", "momentum": 0.9}), 0.1)
    assert (type(sgd).__name__, sgd.momentum) == ("SGD", 0.9)
