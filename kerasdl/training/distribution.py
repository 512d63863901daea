"""Training on several replicas: strategies, shares of a batch, and who writes files.

A replica is a device (`mirrored`) or a process (`multi_worker`, described by TF_CONFIG
as TensorFlow documents it). Every replica holds all weights; each takes every R-th row of
a global batch, and gradients are summed. Weights then are those of one process at the
same global batch, up to the order of sums; but layers that draw, such as dropout, draw
the same for each replica's rows, and BatchNorm, if it learns its statistics, would learn
those of a part: that is refused.

Nothing here imports TensorFlow before a strategy is made.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ml_collections import ConfigDict

from kerasdl.errors import InputError

if TYPE_CHECKING:
    import tensorflow as tf

STRATEGIES = ("none", "mirrored", "multi_worker")


def is_chief(config: ConfigDict) -> bool:
    """Whether this process writes the run's folder: worker 0 does.

    Raises:
        InputError: The run has several workers, and TF_CONFIG does not describe them.
    """
    return _kind(config) != "multi_worker" or worker()[0] == 0


def worker() -> tuple[int, int]:
    """This process's number among the workers of TF_CONFIG, and how many there are.

    Raises:
        InputError: It is missing, no JSON, or names no worker of its cluster.
    """
    text = os.environ.get("TF_CONFIG", "")
    try:
        described = json.loads(text)
        cluster, task = described["cluster"], described["task"]
        chiefs = len(cluster.get("chief", []))
        count = chiefs + len(cluster["worker"])
        index = {"chief": 0, "worker": chiefs}[task["type"]] + int(task["index"])
        if not 0 <= index < count:
            raise ValueError(f"worker {index} of {count}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            "--config.distribute=multi_worker needs the environment variable TF_CONFIG: "
            '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", '
            f'"index": N}}}}; got {text[:200]!r} ({error}).'
        ) from error
    return index, count


@contextlib.contextmanager
def started(config: ConfigDict) -> Iterator[None]:
    """The scope of the config's strategy: what is built in it is on every replica.

    Raises:
        InputError: As `is_chief`.
    """
    if _kind(config) == "none":
        yield
        return
    with _strategy(_kind(config)).scope():
        yield


@functools.cache
def _strategy(kind: str) -> tf.distribute.Strategy:
    """The strategy; one in a process, since two would number their sums alike."""
    import tensorflow as tf

    if kind == "multi_worker":
        worker()
        return tf.distribute.MultiWorkerMirroredStrategy()
    devices = tf.config.list_logical_devices("GPU")
    devices = devices or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


@contextlib.contextmanager
def folder_of(config: ConfigDict, root: str | os.PathLike) -> Iterator[str | os.PathLike]:
    """The folder that this process writes: the run's, or a worker's copy of its state.

    A worker reads the run's checkpoints and writes like the chief, into a folder that
    goes when the run ends: what both would write is the same, and only the chief's stays.
    """
    if is_chief(config):
        yield root
        return
    root = Path(root).expanduser()
    with tempfile.TemporaryDirectory(prefix="kerasdl-worker-") as copy:
        for path in [*root.rglob("config.json"), *root.rglob("checkpoints/*.npz")]:
            target = Path(copy) / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        yield copy


def shard() -> slice:
    """The rows of each global batch that this process reads."""
    import tensorflow as tf

    resolver = tf.distribute.get_strategy().cluster_resolver
    if resolver is None or not resolver.task_type:
        return slice(None)
    index, count = worker()
    return slice(index, None, count)


def check_agreement(value: int, what: str) -> None:
    """Raises InputError unless every replica's process has the same value."""
    import tensorflow as tf

    strategy = tf.distribute.get_strategy()
    if strategy.num_replicas_in_sync == 1:
        return
    own = tf.constant(float(value), tf.float64)
    values = strategy.experimental_distribute_values_from_function(lambda _: own)
    total = float(strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None))
    if total != value * strategy.num_replicas_in_sync:
        raise InputError(
            f"the workers differ in {what}: this one has {value}, all together "
            f"{total:g}. They must see the same --workdir."
        )


def _kind(config: ConfigDict) -> str:
    return config.get("distribute", "none")
