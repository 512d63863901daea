"""Configs: Python files that `--config` names and `--config.field=value` overrides.

Nothing here imports TensorFlow, so a wrong value is answered at once.
"""

import csv
import difflib
import importlib.util
import io
import math
import os
import runpy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from kerasdl.errors import InputError
from kerasdl.runs import flatten

# The package's configs, found without being imported: only commands read them.
CONFIG_ROOT = Path(importlib.util.find_spec("kerasdl.configs").origin).parent

# Fields that may differ from those a workdir was started with: more epochs continue the
# run, a test set is only ever scored, and a report only shows what there is.
MUTABLE_FIELDS = ("epochs", "data.test")
MUTABLE_PREFIX = "report."

# What `--config` is if it is not given; a command defines one.
_default_config: list[str] = []


def define_flags(default: str) -> None:
    """Defines `--config`, with its default, and `--workdir`.

    Args:
        default: A config shipped with the package, such as
            `"configs/captioning/default.py"`.
    """
    # With a default, config_flags would read the file and the overrides right here, where
    # a wrong override cannot be answered; `with_config_argument` supplies it later.
    config_flags.DEFINE_config_file(
        "config",
        None,
        f"A config file, {default} if none is given; those shipped with the package are "
        "found from any folder. --config.field=value overrides a field.",
    )
    _default_config.append(default)
    flags.DEFINE_string("workdir", None, "The folder that the run writes.")
    flags.mark_flag_as_required("workdir")


def find_config(path: str) -> Path:
    """The file that `path` names, in the current folder or among the package's configs.

    Raises:
        InputError: There is no such file.
    """
    given = Path(path).expanduser()
    if given.is_file():
        return given.resolve()
    parts = given.parts[1:] if given.parts[:1] == ("configs",) else given.parts
    packaged = CONFIG_ROOT.joinpath(*parts)
    if not given.is_absolute() and packaged.is_file():
        return packaged
    raise InputError(
        f"--config names no file, got {path!r}{nearest(path, packaged_configs())}; the "
        f"package has {', '.join(packaged_configs())}."
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean ...?)` with the name most like a mistyped one; "" if none is.

    >>> nearest("epoch", ["epochs", "seed"])
    " (did you mean 'epochs'?)"
    """
    found = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""


def packaged_configs() -> list[str]:
    """The configs shipped with the package, as `--config` takes them."""
    return sorted(
        f"configs/{path.relative_to(CONFIG_ROOT).as_posix()}"
        for path in CONFIG_ROOT.glob("*/*.py")
        if path.name != "__init__.py"
    )


def read_config(path: str | os.PathLike) -> ConfigDict:
    """The config that a file's `get_config()` returns.

    Raises:
        InputError: There is no such file, or it does not run.
    """
    file = find_config(os.fspath(path))
    try:
        return runpy.run_path(str(file))["get_config"]()
    except Exception as error:  # a config file is Python: it may raise anything
        raise InputError(f"{file}: not a config: {error!r}.") from error


def with_config_argument(argv: Sequence[str]) -> list[str]:
    """`argv` with one absolute `--config=FILE`, put first for the overrides to follow it.

    The file is the last one named, or the command's default; a command without configs
    gets its arguments back.

    Raises:
        InputError: There is no such file.
    """
    if not _default_config:
        return list(argv)
    prefixes = ("--config=", "-config=")
    named = [a.split("=", 1)[1] for a in argv if a.startswith(prefixes)]
    others = [a for a in argv[1:] if not a.startswith(prefixes)]
    file = find_config([_default_config[-1], *named][-1])
    return [argv[0], f"--config={file}", *others]


def override(config: ConfigDict, changes: Mapping[str, Any]) -> ConfigDict:
    """A copy of a config with some fields changed.

    Args:
        config: All fields, with their values.
        changes: Values by field; names are dotted (`"data.root"`) or nested mappings. A
            sequence is taken for a field of comma-separated text, a path for text.

    Raises:
        InputError: A field is unknown or a value of another type.
    """
    config = ConfigDict(config.to_dict())
    known = flatten(config.to_dict())
    for name, value in flatten(_as_dict(changes)).items():
        if name not in known:
            raise InputError(
                f"the config has no field {name!r}{nearest(name, known)}, "
                f"got the value {value!r}."
            )
        if isinstance(known[name], str):
            value = as_text(value)
        try:
            config.update_from_flattened_dict({name: value})
        except (TypeError, ValueError) as error:
            raise InputError(
                f"--config.{name} must be of type {type(known[name]).__name__}, "
                f"got {value!r}."
            ) from error
    return config


def _as_dict(changes: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(changes, ConfigDict):
        return changes.to_dict()
    return {
        name: _as_dict(value) if isinstance(value, Mapping) else value
        for name, value in changes.items()
    }


def as_text(value: Any) -> Any:
    """A path or a sequence as the text that a flag takes; anything else as it is.

    >>> as_text(["a.jpg", "Monet, Lilies.jpg"])
    'a.jpg,"Monet, Lilies.jpg"'
    """
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, list | tuple):
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow([as_text(part) for part in value])
        return line.getvalue()
    return value


def split_list(text: str) -> list[str]:
    """The parts of comma-separated text; one that has a comma stands in double quotes.

    >>> split_list('a.jpg, "Monet, Lilies.jpg"'), split_list("")
    (['a.jpg', 'Monet, Lilies.jpg'], [])
    """
    row = next(csv.reader([text], skipinitialspace=True), [])
    return [part.strip() for part in row if part.strip()]


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
        if name not in MUTABLE_FIELDS
        and not name.startswith(MUTABLE_PREFIX)
        and old.get(name, missing) != new.get(name, missing)
    ]


def check_choice(name: str, value: str, choices: Sequence[str]) -> str:
    """`value`, if it is one of `choices`.

    Raises:
        InputError: It is not.
    """
    if value not in choices:
        raise InputError(
            f"--config.{name} must be one of {', '.join(choices)}, got {value!r}"
            f"{nearest(value, choices)}."
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


def check_numbers(config: ConfigDict) -> None:
    """Checks what holds for the numbers of every config.

    Raises:
        InputError: A number is not finite, or the seed is negative.
    """
    for name, value in flatten(config.to_dict()).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"--config.{name} must be a finite number, got {value}.")
    if config.seed < 0:
        raise InputError(f"--config.seed must not be negative, got {config.seed}.")
