"""Labels for a file of unlabelled sentences."""

from __future__ import annotations

import sys
from pathlib import Path

from kerasdl.data.texts.lines import LineErrors, read_unlabelled
from kerasdl.prediction.runs import load_run
from kerasdl.training.progress import say
from kerasdl.training.workdir import write_text


def predict_file(workdir: Path, path: Path, skip_bad_lines: bool = False) -> Path:
    """Prints a label for each line of a file and writes them to predictions.txt.

    Args:
        workdir: A finished run.
        path: Sentences, one per line. A blank line gets an empty label, so that line k of
            the labels stays line k of the file.
        skip_bad_lines: Whether a bad line gets an empty label too, or ends the command.

    Returns:
        The path of predictions.txt.

    Raises:
        InputError: The run has not finished, or the file cannot be read or is empty or
            has a bad line.
    """
    errors = LineErrors(skip_bad_lines)
    sentences = read_unlabelled(path, errors)
    answers = load_run(workdir).predict([text for text in sentences if text])
    predicted = (answer["label"] for answer in answers)
    labels = [next(predicted) if text else "" for text in sentences]
    if errors.count:
        say(f"{errors.count} bad lines got an empty label, the first: {errors.first}")
    text = "".join(f"{label}\n" for label in labels)
    written = workdir / "predictions.txt"
    write_text(written, text)
    sys.stdout.write(text)
    sys.stdout.flush()
    say(f"labels: {written}")
    return written
