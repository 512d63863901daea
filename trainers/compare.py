"""Shows finished runs side by side: figures, what differs in their configs, curves.

    python -m kerasdl.trainers.compare runs/one runs/other
    python -m kerasdl.trainers.compare runs/sentiment --output=models.html

A run that trained several models stands for all of them. The table is printed, and a page
with the curves one over the other and links to each run's report is written to --output.
"""

import sys
from pathlib import Path

from absl import flags

from kerasdl.errors import InputError
from kerasdl.training import command
from kerasdl.training.progress import say


def main(folders: list[str]) -> None:
    """Prints and writes the comparison of the runs in `folders`."""
    from kerasdl.reports import comparison

    if not folders:
        raise InputError("name the folders of the runs to compare, got none.")
    runs = comparison.read_runs(folders)
    print(*comparison.comparison_lines(runs), sep="\n")
    output = Path(flags.FLAGS.output).expanduser()
    comparison.write_comparison(runs, output)
    say(f"page: {output}")


if __name__ == "__main__":
    if {"-h", "--help", "-help"} & set(sys.argv[1:]):
        command.print_and_end(__doc__.strip())
    flags.DEFINE_string("output", "comparison.html", "The page to write.")
    command.run(main, positional=True)
