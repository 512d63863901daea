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

from kerasdl.errors import InputError
from kerasdl.export import inputs
from kerasdl.export.converter import QUANTIZATIONS
from kerasdl.training import command


def main() -> None:
    """Runs the command."""
    given = flags.FLAGS
    if not given.output.endswith(".tflite"):  # before TensorFlow takes its seconds
        raise InputError(f"--output must end in .tflite, got {given.output!r}.")
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
    )
    inputs.print_summary(Path(given.output), entry)


if __name__ == "__main__":
    inputs.define_export_flags("The .tflite file.")
    flags.adopt_module_key_flags(inputs)
    flags.DEFINE_enum(
        "quantize",
        "none",
        QUANTIZATIONS,
        "float32; int8 weights, activations as they come; float16 weights; int8 weights "
        "used as float32; int8 weights and activations, their ranges measured on "
        "training inputs (or on --representative).",
    )
    flags.DEFINE_integer("batch", 0, "Samples of a call; 0: what the model says.")
    flags.DEFINE_integer("steps", 0, "Time steps; 0: what the model says, or any.")
    flags.DEFINE_enum(
        "strategy",
        "auto",
        ("auto", "loop", "unrolled"),
        "Loops over time as loops, or every step written out.",
    )
    flags.DEFINE_list("signatures", ["infer"], "infer, and any of step, train.")
    flags.DEFINE_string("loss", "", "Of the signature train: a Keras loss.")
    flags.DEFINE_string("optimizer", "", "Of train: sgd, momentum or adam.")
    flags.DEFINE_integer(
        "size",
        0,
        "Side of the input in pixels, for a style network; 0: 256.",
        lower_bound=0,
    )
    command.run(main, inputs.spread_flag(sys.argv, "inputs"))
