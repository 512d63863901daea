"""The common flags of the export commands, and the input files that they name."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from kerasdl.data.broken import each_readable
from kerasdl.data.pictures.files import (
    find_pictures,
    is_picture_name,
    read_picture_bytes,
)
from kerasdl.data.texts.lines import LineErrors, read_unlabelled
from kerasdl.errors import InputError
from kerasdl.export.jobs import Example, Job

# How many inputs an export is compared on.
EXAMPLES = 50


def define_export_flags(output: str) -> None:
    """Defines the flags that both exports have; `output` describes `--output`."""
    flags.DEFINE_string("model", "", "A workdir, or a .keras file.")
    flags.DEFINE_string("workdir", "", "Another name of --model.")
    flags.DEFINE_string("output", None, output)
    flags.DEFINE_multi_string(
        "inputs",
        [],
        "Files to compare the export on, instead of the run's validation split.",
    )
    flags.DEFINE_integer(
        "examples", EXAMPLES, "How many inputs to compare the export on.", lower_bound=1
    )
    flags.DEFINE_string(
        "representative", "", "A .npy or .npz file of real inputs of a Keras model."
    )
    flags.mark_flag_as_required("output")
    flags.register_multi_flags_validator(
        ["model", "workdir"],
        lambda given: bool(given["model"]) != bool(given["workdir"]),
        "Flag --model=W|M.keras (or --workdir=W) must have a value, one of the two.",
    )


def define_shape_flags(strategy: str) -> None:
    """Defines the flags on shapes of a file; `strategy` is the default of that flag."""
    flags.DEFINE_integer("batch", 0, "Samples of a call; 0: what the model says.")
    flags.DEFINE_integer("steps", 0, "Time steps; 0: what the model says, or any.")
    flags.DEFINE_enum(
        "strategy",
        strategy,
        ("auto", "loop", "unrolled"),
        "Loops over time as loops, or every step written out.",
    )
    flags.DEFINE_integer(
        "size",
        0,
        "Side of the input in pixels, for a style network; 0: 256.",
        lower_bound=0,
    )


def given_model() -> str:
    """What `--model` or `--workdir` names."""
    return flags.FLAGS.model or flags.FLAGS.workdir


def export_examples(
    job: Job, split: str, count: int, files: Sequence[str] = ()
) -> list[Example]:
    """Real inputs for an export; broken ones are skipped with a warning.

    Args:
        job: Whose inputs.
        split: Of the run's data set; not read if `files` are given.
        count: How many at most.
        files: What `--inputs` names.

    Raises:
        InputError: There is none, or more than `MOST_BROKEN` are broken.
    """
    if files:
        given = [e for e in given_examples(job.input_kind, files) if e.data][:count]
    else:
        given = job.examples(split, count)
    examples = list(each_readable(given, job.readable, warn))
    if not examples:
        raise InputError("--inputs: expected inputs to compare the export on, got none.")
    return examples


def given_examples(input_kind: str, files: Sequence[str]) -> list[Example]:
    """The inputs that files are (pictures) or hold (sentences, one a line).

    A blank line is an empty sentence, so that line k of a file stays its item k.

    Raises:
        InputError: A file cannot be read, a line is bad, or there is no input.
    """
    if input_kind == "picture":
        paths = picture_files(files, warn)
        return [Example(str(path), read_picture_bytes(path)) for path in paths]
    return [
        Example(f"{name}: line {number}", sentence.encode())
        for name in files
        for number, sentence in enumerate(read_unlabelled(name, LineErrors()), start=1)
    ]


def print_summary(path: Path, entry: dict[str, Any]) -> None:
    """Says what was written and how it compares."""
    print(f"{path}: {entry['bytes'] / 2**20:.1f} MiB")
    if entry["strategy"] != "none":
        print(f"loops over time: {entry['strategy']}")
    print_report(entry)
    accuracy = entry.get("accuracy")
    if accuracy:
        print(
            f"accuracy: {accuracy['export']:.4f} on {accuracy['examples']} inputs, the "
            f"model's {accuracy['model']:.4f}"
        )


def print_report(report: dict[str, Any]) -> None:
    """Says how answers compare, and how long one takes."""
    for name, comparison in report["comparison"].items():
        print(
            f"{name}: {comparison['agreeing']} of {comparison['examples']} answers as "
            f"the model's, within {comparison['largest_difference']:.2g}"
        )
    for threads, each in report["latency"]["threads"].items():
        print(
            f"latency: {each['median_ms']} ms (median of {each['calls']} calls), "
            f"{each['p99_ms']} ms (99 %); threads: {threads}"
        )
    stock = report["latency"].get("stock")
    if stock and "threads" in stock:
        for threads, each in stock["threads"].items():
            print(f"Keras's own file: {each['median_ms']} ms; threads: {threads}")
    elif stock:
        print(f"Keras's own file: none, {stock['why']}")


def spread_flag(argv: Sequence[str], flag: str) -> list[str]:
    """`argv` with the flag repeated before each file, as absl wants it.

    >>> spread_flag(["predict", "--input=a.jpg", "b.jpg", "--json"], "input")
    ['predict', '--input=a.jpg', '--input=b.jpg', '--json']
    """
    spread, in_flag, names_flag = [], False, (f"--{flag}", f"-{flag}")
    for argument in argv:
        if argument.startswith("-"):
            name, equals, _ = argument.partition("=")
            in_flag = name in names_flag
            if in_flag and not equals:
                continue  # `--input a.jpg`: the files follow
            spread.append(argument)
        else:
            spread.append(f"--{flag}={argument}" if in_flag else argument)
    return spread


def picture_files(names: Sequence[str], warn: Callable[[str], None]) -> list[Path]:
    """The pictures that `names` are: files, and those directly in folders.

    What does not end as a picture does is no picture, and is listed once; hidden files
    in a folder are not listed either.

    Raises:
        InputError: A name is neither file nor folder, or no picture is left.
    """
    pictures: list[Path] = []
    others: list[str] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            found = find_pictures(path, deep=False)
            pictures += found.pictures
            others += map(str, found.others)
        elif os.path.lexists(path):
            is_picture = is_picture_name(path.name)
            pictures += [path] * is_picture
            others += [name] * (not is_picture)
        else:
            raise InputError(f"no such file: {name!r}.")
    if others:
        warn(f"no picture by its ending, left out: {', '.join(others)}")
    if not pictures:
        raise InputError(f"expected a picture, got {', '.join(names) or 'none'}.")
    return pictures


def warn(message: str) -> None:
    """Prints one line on standard error."""
    print(f"warning: {message}", file=sys.stderr, flush=True)
