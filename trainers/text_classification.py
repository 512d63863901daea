"""Trains a text classifier, or several and the table that compares them.

    python -m kerasdl.trainers.text_classification --workdir=runs/text
    python -m kerasdl.trainers.text_classification --config=configs/text/all.py \
        --config.data.root=FOLDER --workdir=runs/sentiment
    python -m kerasdl.trainers.text_classification --workdir=runs/sentiment --predict=FILE

With no `--config` it learns from generated sentences and needs no network. `--predict`
prints a label for each line of FILE and writes them to predictions.txt in the workdir; a
run that has finished needs no `--config` for it.
"""

import contextlib
import sys
from pathlib import Path

from absl import flags

from kerasdl.runs import read_run
from kerasdl.training import command
from kerasdl.training.jobs import JOBS
from kerasdl.training.run import train_config

flags.DEFINE_string("predict", "", "A file of unlabelled sentences, one a line.")


def main() -> None:
    """Trains, unless the run has finished, and labels a file if one is given.

    A finished run is trained again only if flags name fields of its config; of these,
    `data.skip_bad_lines` says how the file is read, not what the run was trained on.
    """
    config, file = flags.FLAGS.config, flags.FLAGS.predict
    workdir, skip = Path(flags.FLAGS.workdir), config.data.skip_bad_lines
    finished = bool(file) and (workdir / "metrics.json").is_file()
    given = {
        a.lstrip("-").split("=")[0] for a in sys.orig_argv if a.startswith("--config")
    }
    if finished:
        before = read_run(workdir)["config"].get("data", {})
        config.data.skip_bad_lines = before.get("skip_bad_lines", skip)
    # Only the labels go to standard output if they are asked for.
    with contextlib.redirect_stdout(sys.stderr if file else sys.stdout):
        if not finished or given - {"config.data.skip_bad_lines"}:
            train_config(JOBS["text"], config, workdir)
    if file:
        command.import_tensorflow()
        from kerasdl.prediction.sentences import predict_file

        predict_file(workdir, Path(file), skip)


if __name__ == "__main__":
    command.train("text", main)
