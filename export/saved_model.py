"""Exports a model as a SavedModel, checked against the Keras model.

    python -m kerasdl.export.saved_model --model=runs/captioning \
        --output=served/captioner

writes `served/captioner/<version>/`, the next free version number, as TensorFlow Serving
expects it. `--model` is a workdir or a `.keras` file. What a run's export was compared on
is the validation split, or `--inputs=FILE...`.
"""

import sys

from absl import flags

from kerasdl.export import inputs
from kerasdl.training import command


def main() -> None:
    """Runs the command."""
    command.import_tensorflow()
    from kerasdl.export.to_saved_model import saved_model

    given = flags.FLAGS
    version, entry = saved_model(
        inputs.given_model(),
        given.output,
        inputs=given.inputs,
        examples=given.examples,
        representative=given.representative or None,
        signatures=given.signatures,
    )
    inputs.print_summary(version, entry)


if __name__ == "__main__":
    inputs.define_export_flags("The folder that holds the versions.")
    flags.adopt_module_key_flags(inputs)
    flags.DEFINE_list("signatures", ["infer"], "infer, and of a text run explain.")
    command.run(main, inputs.spread_flag(sys.argv, "inputs"))
