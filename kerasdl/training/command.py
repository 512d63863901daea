"""The start and end of every command: flags, errors as one line, exit codes.

TensorFlow takes seconds to import, so nothing here imports it: a wrong flag is
answered at once. What needs the packages of the extra [jobs] is imported when a trainer
uses it, so that the exports run without them.
"""

import functools
import importlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

from absl import app, flags

from kerasdl.errors import InputError
from kerasdl.training.interrupts import Interrupted

if TYPE_CHECKING:
    from kerasdl.training.jobs import JobSpec

EXIT_INPUT = 1
EXIT_USAGE = 2


def train(job: str, main: Callable[[], object] | None = None) -> None:
    """Runs a job's command: its config and workdir by flags; see `run`.

    Args:
        job: A name of `kerasdl.training.jobs.JOBS`.
        main: What to do once flags are parsed; to train, if it is None.
    """
    from kerasdl.training.config import define_flags
    from kerasdl.training.jobs import JOBS
    from kerasdl.training.run import train_config

    spec = JOBS[job]
    if {"-h", "--help", "-help"} & set(sys.argv[1:]):
        print_and_end(_help(spec))
    define_flags(spec.configs[0])
    run(main or (lambda: train_config(spec, flags.FLAGS.config, flags.FLAGS.workdir)))


def print_and_end(text: str) -> NoReturn:
    """Prints a text and ends the process, quietly if `| head` reads no further.

    Raises:
        SystemExit: Always.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Python flushes once more at its end, into nothing now.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit()


def _help(spec: "JobSpec") -> str:
    """What a command does, its flags, and the fields of its config."""
    from kerasdl.training.fields import describe_fields

    text = sys.modules["__main__"].__doc__ or ""
    return (
        f"{text.strip()}\n\n"
        "  --workdir=FOLDER         what the run writes; started again it goes on\n"
        f"  --config=FILE            a config; {spec.configs[0]} if none is given\n"
        "  --config.FIELD=VALUE     changes a field of the config\n\n"
        f"Fields, with the values of {spec.configs[0]}:\n\n"
        + "\n".join(describe_fields(spec.configs[0]))
    )


def run(
    main: Callable[..., object],
    argv: Sequence[str] | None = None,
    positional: bool = False,
) -> None:
    """Parses the flags, calls `main` and ends the process with its exit code.

    Exit codes: 0 done; 1 an input that `main` refused (`InputError`); 2 a wrong flag;
    128 + the signal's number after Ctrl-C or SIGTERM. Each of the last three prints
    one line and no traceback; any other exception is a bug and keeps its traceback.

    Args:
        main: The command, called with no argument once flags are parsed.
        argv: The command line, program name first; `sys.argv` if it is `None`.
        positional: Whether arguments that are no flags are taken; `main` then gets the
            list of them.

    Raises:
        SystemExit: Always.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    argv = list(sys.argv if argv is None else argv)
    # config_flags looks overrides up in sys.argv, not in the arguments of app.run.
    sys.argv = argv

    def guarded(arguments: Sequence[str]) -> None:
        rest = list(arguments[1:])
        if rest and not positional:
            _end(f"arguments start with `--`, got {rest[0]!r}.", EXIT_USAGE)
        sys.exit(_guarded(functools.partial(main, rest) if positional else main))

    app.run(guarded, argv=argv, flags_parser=_parse_flags)


def import_tensorflow() -> None:
    """Imports TensorFlow without the lines that its C++ side prints while it loads.

    They ignore TF_CPP_MIN_LOG_LEVEL and would stand before a command's own first line.
    If the import fails, they are printed after all.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as noise:
        standard_error = os.dup(2)
        os.dup2(noise.fileno(), 2)
        try:
            importlib.import_module("tensorflow")
        except BaseException:
            noise.seek(0)
            os.write(standard_error, noise.read())
            raise
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)


def _parse_flags(argv: Sequence[str]) -> list[str]:
    try:
        if "config" in flags.FLAGS:
            from kerasdl.training.config import with_config_argument

            argv = with_config_argument(argv)
            sys.argv = list(argv)
        rest = flags.FLAGS(argv)
    except InputError as error:
        _end(error, EXIT_USAGE)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        _end(_flag_message(error, argv), EXIT_USAGE)
    except Exception as error:  # a config file is Python: it may raise anything
        _end(f"the file of --config cannot be read: {error}", EXIT_USAGE)
    return rest


def _flag_message(error: Exception, argv: Sequence[str]) -> str:
    """`error` as one line that names the flag."""
    if isinstance(error, AttributeError | KeyError):
        # ml_collections names the missing field alone; find the flag it came from.
        name = re.search(r"\w+", str(error))
        for flag in (argument.split("=")[0] for argument in argv):
            if name and flag.startswith("--config.") and name[0] in flag.split("."):
                near = _nearest_field(flag.removeprefix("--config."), argv)
                return f"unknown field in {flag!r}: the config has no {name[0]!r}{near}."
    return str(error)


def _nearest_field(name: str, argv: Sequence[str]) -> str:
    from kerasdl.runs import flatten
    from kerasdl.training.config import nearest, read_config

    files = [a.split("=", 1)[1] for a in argv if a.startswith("--config=")]
    return nearest(name, flatten(read_config(files[-1]).to_dict())) if files else ""


def _guarded(main: Callable[[], object]) -> int:
    try:
        main()
    except InputError as error:
        return _print_error(error, EXIT_INPUT)
    except Interrupted as interrupt:
        return _print_error(interrupt, 128 + interrupt.signal_number, "stopped")
    except KeyboardInterrupt:
        return _print_error("interrupted", 130, "stopped")
    return 0


def _print_error(message: object, code: int, what: str = "error") -> int:
    print(f"{what}: {' '.join(str(message).split())}", file=sys.stderr, flush=True)
    return code


def _end(message: object, code: int) -> None:
    sys.exit(_print_error(message, code))
