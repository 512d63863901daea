"""`kerasdl.train`: a function that does what the commands do."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from kerasdl.training.config import override, read_config
from kerasdl.training.distribution import is_chief
from kerasdl.training.jobs import JobSpec, find_job
from kerasdl.training.progress import say
from kerasdl.training.workdir import Workdir


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run; `kerasdl.load` takes it as it takes the folder's path.

    Attributes:
        workdir: Its folder.
        metrics: Its final figures, keyed `split/metric`.
    """

    workdir: Path
    metrics: dict[str, Any]

    def __fspath__(self) -> str:
        return str(self.workdir)


def train(
    config: str | os.PathLike | Mapping[str, Any],
    workdir: str | os.PathLike | None = None,
    **overrides: Any,
) -> Run:
    """Trains what a config describes; started again it goes on from where it was.

    Args:
        config: The path of a config file (those shipped with the package are found from
            any folder), a `ConfigDict`, or a mapping of some of a job's fields.
        workdir: The folder that the run writes; `runs/JOB` in the current folder, such as
            `runs/transfer`, if it is None.
        **overrides: Fields of the config, nested or dotted; a list or tuple is taken for
            a field of comma-separated text, a path for text.

    Returns:
        The run's folder and final figures.

    Raises:
        InputError: The config, the data or the folder is refused.

    Example:

    ```python
    run = kerasdl.train(
        "configs/transfer/default.py", "runs/mine", data={"root": FOLDER}, epochs=5
    )
    run.metrics["val/accuracy"]
    kerasdl.load(run).predict("picture.jpg")
    ```
    """
    if not isinstance(config, Mapping | ConfigDict):
        config = read_config(config)
    spec, complete = find_job(ConfigDict(config))
    folder = Path("runs", spec.name) if workdir is None else workdir
    return train_config(spec, override(complete, overrides), folder)


def train_config(spec: JobSpec, config: ConfigDict, workdir: str | os.PathLike) -> Run:
    """Trains a config of a known job; see `train`."""
    spec.check(config)
    # TensorFlow takes seconds: what is wrong with the folder is said before.
    if is_chief(config):
        Workdir(workdir, spec.name, config.to_dict()).close()
    say(f"{spec.name}: {os.fspath(workdir)}")
    from kerasdl.training.command import import_tensorflow

    import_tensorflow()
    from kerasdl.training.job import train as run

    return Run(Path(workdir).expanduser(), run(spec.make(config), workdir))
