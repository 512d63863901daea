"""Exports a model as a TFLite file, checked against the Keras model.

    python -m kerasdl.export.tflite --model=runs/captioning --output=captioner.tflite
    python -m kerasdl.export.tflite --model=gestures.keras --output=gestures.tflite \
        --steps=50 --quantize=dynamic --signatures=infer,step

The file uses built-in operations only, and carries what its numbers mean as an appended
zip. `manifest.json` beside it describes it, under the file's name, as it does every other
export into the same folder.
"""

import sys
from pathlib import Path

from absl import flags

from kerasdl.export import inputs
from kerasdl.export.converter import QUANTIZATIONS
from kerasdl.export.writing import checked_output
from kerasdl.training import command


def main() -> None:
    """Runs the command."""
    given = flags.FLAGS
    checked_output(given.output, ".tflite")  # before TensorFlow takes its seconds
    command.import_tensorflow()
    from kerasdl.export.to_tflite import tflite

    entry = tflite(
        inputs.given_model(),
        given.output,
        batch=given.batch or None,
        steps=given.steps or None,
        quantize=given.quantize,
        representative=given.representative or None,
        strategy=given.strategy,
        signatures=given.signatures,
        loss=given.loss or None,
        optimizer=given.optimizer or None,
        size=given.size,
        inputs=given.inputs,
        examples=given.examples,
        stock=given.stock,
        stretch=given.stretch,
    )
    inputs.print_summary(Path(given.output), entry)


if __name__ == "__main__":
    inputs.define_export_flags("The .tflite file.")
    inputs.define_shape_flags("auto")
    flags.adopt_module_key_flags(inputs)
    flags.DEFINE_enum(
        "quantize",
        "none",
        QUANTIZATIONS,
        "float32; int8 weights, activations as they come; float16 weights; int8 weights "
        "used as float32; int8 weights and activations, their ranges measured on "
        "training inputs (or on --representative).",
    )
    flags.DEFINE_list("signatures", ["infer"], "infer, and any of step, train, explain.")
    flags.DEFINE_string("loss", "", "Of the signature train: a Keras loss.")
    flags.DEFINE_string("optimizer", "", "Of train: sgd, momentum or adam.")
    flags.DEFINE_bool(
        "stock", True, "Measure a recurrent Keras model's own conversion beside ours."
    )
    flags.DEFINE_bool(
        "stretch",
        False,
        "Stretch the pictures of a workdir, as MediaPipe does, instead of cropping.",
    )
    command.run(main, inputs.spread_flag(sys.argv, "inputs"))
