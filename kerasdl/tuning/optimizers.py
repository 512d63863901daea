"""What is inside an optimizer, and variables that are put back after a trial."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import keras


def inner_optimizer(
    optimizer: keras.optimizers.Optimizer,
) -> keras.optimizers.Optimizer:
    """The optimizer that moves the weights, inside those that scale losses or rates."""
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    return optimizer


@contextlib.contextmanager
def restored(variables: Iterable[keras.Variable]) -> Iterator[None]:
    """Variables may be changed inside; afterwards they are, to the bit, as before."""
    before = [(variable, variable.numpy()) for variable in variables]
    try:
        yield
    finally:
        for variable, value in before:
            variable.assign(value)
