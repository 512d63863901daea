"""Checks an export again on any machine: the same files and answers.

    python -m kerasdl.export.verify --model=captioner.tflite
    python -m kerasdl.export.verify --model=served/captioner/1

Prints a line per signature and the latency; ends with exit code 1 if an answer differs.
"""

from pathlib import Path

from absl import flags

from kerasdl.export import inputs
from kerasdl.export.proof import verify
from kerasdl.training import command


def main() -> None:
    """Runs the command."""
    model = Path(flags.FLAGS.model)
    inputs.print_report(verify(model))
    print(f"{model}: as its manifest says")


if __name__ == "__main__":
    flags.DEFINE_string("model", None, "A .tflite file, or a SavedModel's version.")
    flags.mark_flag_as_required("model")
    command.run(main)
