"""Configs: Python files that `--config` names and `--config.field=value` overrides."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from kerasdl.errors import InputError

# The package's configs, found without being imported: only commands read them.
CONFIG_ROOT = Path(importlib.util.find_spec("kerasdl.configs").origin).parent

# Fields that may differ from those a workdir was started with: more epochs continue
# the run, and a test set is only ever scored.
MUTABLE_FIELDS = ("epochs", "data.test")

# What `--config` is where it is not given; a command defines one.
_default_config: list[str] = []


def define_flags(default: str) -> None:
    """Defines `--config` (`default` where it is not given) and `--workdir`.

    Args:
        default: A config shipped with the package, such as
            `"configs/captioning/default.py"`.
    """
    # With a default, config_flags would read the file and the overrides right here, where
    # a wrong override cannot be answered; `with_config_argument` supplies it later.
    config_flags.DEFINE_config_file(
        "config",
        None,
        f"A config file, {default} where none is given; those shipped with the package "
        "are found from any folder. --config.field=value overrides a field.",
    )
    _default_config.append(default)
    flags.DEFINE_string("workdir", None, "The folder that the run writes.")
    flags.mark_flag_as_required("workdir")


def find_config(path: str) -> Path:
    """The file that `path` names, in the current folder or among the package's configs.

    Raises:
        InputError: Where there is no such file.
    """
    given = Path(path)
    if given.is_file():
        return given.resolve()
    parts = given.parts[1:] if given.parts[:1] == ("configs",) else given.parts
    packaged = CONFIG_ROOT.joinpath(*parts)
    if not given.is_absolute() and packaged.is_file():
        return packaged
    raise InputError(
        f"--config names no file, got {path!r}; the package has "
        f"{', '.join(packaged_configs())}."
    )


def packaged_configs() -> list[str]:
    """The configs shipped with the package, as `--config` takes them."""
    return sorted(
        f"configs/{path.relative_to(CONFIG_ROOT).as_posix()}"
        for path in CONFIG_ROOT.glob("*/*.py")
        if path.name != "__init__.py"
    )


def with_config_argument(argv: Sequence[str]) -> list[str]:
    """`argv` with one absolute `--config=FILE`, put first for the overrides to follow it.

    The file is the last one named, the command's default where none is; a command
    without configs gets its arguments back.

    Raises:
        InputError: Where there is no such file.
    """
    if not _default_config:
        return list(argv)
    prefixes = ("--config=", "-config=")
    named = [a.split("=", 1)[1] for a in argv if a.startswith(prefixes)]
    others = [a for a in argv[1:] if not a.startswith(prefixes)]
    file = find_config([_default_config[-1], *named][-1])
    return [argv[0], f"--config={file}", *others]


def config_name(path: str) -> str:
    """A config's name: its file's, without folder and ending."""
    return Path(path).stem


def flatten(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields as one level with dotted names.

    >>> flatten({"seed": 0, "data": {"root": ""}})
    {'seed': 0, 'data.root': ''}
    """
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat


def differing_fields(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """`name (before -> now)` of each field that may not differ and does.

    Args:
        before: The resolved config that a workdir was started with.
        now: The resolved config of this run.
    """
    old, new = flatten(before), flatten(now)
    missing = object()
    return [
        f"{name} ({old.get(name, 'absent')!r} -> {new.get(name, 'absent')!r})"
        for name in sorted(old.keys() | new.keys())
        if name not in MUTABLE_FIELDS and old.get(name, missing) != new.get(name, missing)
    ]


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    """`value`, where it is one of `choices`.

    Raises:
        InputError: Where it is not.
    """
    if value not in choices:
        raise InputError(
            f"--config.{name} must be one of {', '.join(choices)}, got {value!r}."
        )
    return value


def check_positive(config: ConfigDict, *names: str) -> None:
    """Checks that the named fields (dotted) are greater than zero.

    Raises:
        InputError: Naming the first that is not.
    """
    flat = flatten(config.to_dict())
    for name in names:
        if not flat[name] > 0:
            raise InputError(f"--config.{name} must be positive, got {flat[name]!r}.")
