"""Several text classifiers on the same data: their configs, and the best of them."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from kerasdl.errors import InputError
from kerasdl.training.config import packaged_configs
from kerasdl.training.workdir import Workdir, atomic_path

# What a model needs besides its config to answer for new text.
MODEL_FILES = ("vocab.txt", "labels.txt", "tokenizer.json", "model.keras")


def check_models(config: ConfigDict) -> list[str]:
    """The names in `config.models`.

    Raises:
        InputError: One is no text config of the package, or there is none.
    """
    known = [
        path.rsplit("/", 1)[-1].removesuffix(".py")
        for path in packaged_configs()
        if path.startswith("configs/text/")
    ]
    known = [name for name in known if name not in ("all", "adding")]
    names = [name.strip() for name in config.models.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise InputError(
            f"--config.models must be names of {', '.join(known)}, got {config.models!r}."
        )
    return list(dict.fromkeys(names))


def model_config(config: ConfigDict, name: str) -> ConfigDict:
    """The config of one model with the data, seed and epochs of `config`."""
    chosen = importlib.import_module(f"kerasdl.configs.text.{name}").get_config()
    chosen.data = config.data
    chosen.seed = config.seed
    if config.epochs:
        chosen.epochs = config.epochs
    return chosen


def keep_best(workdir: Workdir, runs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Copies the files of the model that is best on validation to the top folder.

    Args:
        workdir: The folder of all runs.
        runs: Each model's metrics.

    Returns:
        `best_model`, its name.
    """
    best = max(runs, key=lambda name: runs[name].get("val/accuracy", 0.0))
    for name in MODEL_FILES:
        with atomic_path(workdir / name) as temporary:
            shutil.copyfile(workdir.root / best / name, temporary)
    return {"best_model": best}
