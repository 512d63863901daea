"""Coverage-guided fuzzing of one reader with Atheris (libFuzzer for Python).

    python -m tests.fuzz.run pth --seconds=600 --folder=/tmp/fuzz

Run from the checkout after `pip install -e ".[fuzz]"`. The folder keeps the corpus and,
as `crash-*`, `timeout-*` or `oom-*`, an input that broke the promise of
docs/reliability.md; the exit code is then not 0. The last lines of the output tell the
inputs tried and the peak of the memory.
"""

import argparse
import sys
import tempfile
from pathlib import Path

SECONDS_PER_INPUT = 10
MEMORY_MB = 1024


def main() -> None:
    """Runs the command."""
    import atheris

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("reader")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--folder", type=Path, default=Path("fuzz"))
    options = parser.parse_args()

    with atheris.instrument_imports(include=["kerasdl", "pickletools", "zipfile"]):
        from tests.fuzz.readers import TARGETS

        target = TARGETS[options.reader]
        corpus = options.folder / options.reader
        corpus.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory()
        for index, seed in enumerate(target.seeds()):
            (corpus / f"seed{index}").write_bytes(seed)
            # Read once here, so that the reader's own imports are instrumented too.
            target.try_one(seed, Path(scratch.name))

    def try_one(data: bytes) -> None:
        target.try_one(data, Path(scratch.name))

    atheris.Setup(
        [
            sys.argv[0],
            str(corpus),
            f"-max_total_time={options.seconds}",
            f"-timeout={SECONDS_PER_INPUT}",
            f"-rss_limit_mb={MEMORY_MB}",
            f"-artifact_prefix={options.folder}/",
            "-max_len=65536",
            "-print_final_stats=1",
            "-verbosity=0",
        ],
        try_one,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
