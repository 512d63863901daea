"""Exports a trained run as a TFLite file, checked against the run's Keras model.

    python -m kerasdl.export.tflite --workdir=runs/captioning --output=captioner.tflite

The file takes one prepared input, uses built-in operations only, and carries what its
numbers mean as an appended zip. `manifest.json` beside it describes it, under the file's
name, as it does every other export into the same folder.
"""

import json
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags, logging
from kerasdl.export import inputs
from kerasdl.export.converter import QUANTIZATIONS

from kerasdl.errors import InputError
from kerasdl.training import command

# Inputs from which int8 measures the ranges of the activations.
CALIBRATION = 500
# A zip's entries carry a time; a fixed one keeps the file a function of the model.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def main() -> None:
    """Runs the command."""
    given = flags.FLAGS
    description = export_tflite(
        given.workdir,
        given.output,
        given.quantize,
        given.inputs,
        given.examples,
        given.size,
    )
    inputs.print_summary(Path(given.output), description)


def export_tflite(
    workdir: str | Path,
    output: str | Path,
    quantize: str = "none",
    files: Sequence[str] = (),
    count: int = inputs.EXAMPLES,
    size: int = 0,
) -> dict[str, Any]:
    """Writes a run's TFLite file and its entry in the manifest, or nothing.

    Args:
        workdir: The folder that the trainer wrote.
        output: The `.tflite` file.
        quantize: One of `kerasdl.export.converter.QUANTIZATIONS`.
        files: Inputs to compare on, instead of the validation split.
        count: How many inputs to compare on.
        size: Side of the input in pixels, for a job that leaves it open; 0 for its own.

    Returns:
        What the manifest says of the file.

    Raises:
        InputError: Where an input cannot be read, `output` cannot be written, the
            conversion fails, or what was exported differs from the model.
    """
    output = Path(output)
    if output.suffix != ".tflite":
        raise InputError(f"--output must end in .tflite, got {str(output)!r}.")
    if output.is_dir():
        raise InputError(f"--output must be a file, got the folder {str(output)!r}.")
    from kerasdl.export import manifest

    others = read_manifest(output.parent / manifest.MANIFEST)

    command.import_tensorflow()
    import tensorflow as tf

    logging.set_verbosity(logging.ERROR)  # tf.saved_model tells of every step

    from kerasdl.export import litert
    from kerasdl.export.converter import convert
    from kerasdl.export.jobs import load_job

    from kerasdl.training.workdir import write_json

    job = load_job(workdir)
    if size:
        job.resize(size)
    job.prepare(quantize)
    examples = inputs.export_examples(job, "val", count, files)
    arguments = job.device_inputs(examples)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(dir=output.parent, prefix=".export-")
    except OSError as error:
        raise InputError(
            f"--output cannot be written: {error.strerror}, got {str(output)!r}."
        ) from error
    with temporary as name:
        module, signatures = job.device_module()
        saved_model = Path(name) / "saved_model"
        tf.saved_model.save(module, str(saved_model), signatures=signatures)
        written = Path(name) / output.name
        calibration = ()
        if quantize == "int8":
            calibration = job.device_inputs(
                inputs.export_examples(job, "train", CALIBRATION, files)
            )
        convert(saved_model, written, quantize, calibration)

        operations = manifest.tflite_operations(written.read_bytes())
        manifest.check_builtin(operations)
        metadata = {"job": job.name, "quantize": quantize, **job.device_metadata()}
        append_files(
            written,
            {litert.METADATA: json.dumps(metadata, indent=2), **job.device_files()},
        )
        device = litert.DeviceModel(written)
        comparison = job.compare_device(
            [device.run(**given) for given in arguments], examples, quantize
        )
        comparison.check(f"the TFLite model (--quantize={quantize})")
        description = manifest.describe(
            job,
            signatures={litert.SIGNATURE: device.signature()},
            operations=operations,
            files=[(output.name, written)],
            comparisons={litert.SIGNATURE: comparison},
            latency=manifest.measure_latency(lambda a: device.run(**a), arguments),
        )
        description["quantize"] = quantize
        description["accuracy"] = job.accuracy(
            lambda example: device.run(**job.device_inputs([example])[0]), quantize
        )
        written.replace(output)
    write_json(output.parent / manifest.MANIFEST, {**others, output.name: description})
    return description


def append_files(path: Path, files: dict[str, str]) -> None:
    """Appends a zip of text files to a file; its first reader does not see them."""
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), text, zipfile.ZIP_DEFLATED)


def read_manifest(path: Path) -> dict[str, dict]:
    """What exports before this one wrote, by file name.

    Raises:
        InputError: Where the file is something else, which must not be overwritten.
    """
    if not path.exists():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        if all("job" in entry for entry in entries.values()):
            return entries
    except (AttributeError, OSError, TypeError, ValueError):
        pass
    raise InputError(f"{path}: exists, and is no manifest of TFLite exports.")


if __name__ == "__main__":
    inputs.define_export_flags("The .tflite file.")
    flags.adopt_module_key_flags(inputs)
    flags.DEFINE_enum(
        "quantize",
        "none",
        QUANTIZATIONS,
        "float32; int8 weights; float16 weights; int8 weights and activations, their "
        "ranges measured on training inputs (or on --inputs).",
    )
    flags.DEFINE_integer(
        "size",
        0,
        "Side of the input in pixels, for a style network; 0: 256.",
        lower_bound=0,
    )
    command.run(main, inputs.spread_flag(sys.argv, "inputs"))
