"""Exports a model as an ONNX file, checked against the Keras model in ONNX Runtime.

    python -m kerasdl.export.onnx --model=gestures.keras --output=gestures.onnx

Needs `pip install "kerasdl[onnx]"`. `manifest.json` beside the file describes it.
"""

import sys
from pathlib import Path

from absl import flags

from kerasdl.export import inputs
from kerasdl.export.writing import checked_output
from kerasdl.training import command


def main() -> None:
    """Runs the command."""
    given = flags.FLAGS
    checked_output(given.output, ".onnx")  # before TensorFlow takes its seconds
    command.import_tensorflow()
    from kerasdl.export.to_onnx import onnx

    entry = onnx(
        inputs.given_model(),
        given.output,
        batch=given.batch or None,
        steps=given.steps or None,
        representative=given.representative or None,
        strategy=given.strategy,
        size=given.size,
        inputs=given.inputs,
        examples=given.examples,
    )
    inputs.print_summary(Path(given.output), entry)


if __name__ == "__main__":
    inputs.define_export_flags("The .onnx file.")
    inputs.define_shape_flags("loop")
    flags.adopt_module_key_flags(inputs)
    command.run(main, inputs.spread_flag(sys.argv, "inputs"))
