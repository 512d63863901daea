"""Exports a trained run as a SavedModel, checked against the run's Keras model.

    python -m kerasdl.export.saved_model --workdir=runs/captioning \
        --output=served/captioner

writes `served/captioner/<version>/`, the next free version number, as TensorFlow Serving
expects it. What it was compared on is the validation split, or `--inputs=FILE...`.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import flags, logging
from kerasdl.export import inputs

from kerasdl.errors import InputError
from kerasdl.training import command


def main() -> None:
    """Runs the command."""
    given = flags.FLAGS
    version, description = export_saved_model(
        given.workdir, given.output, given.inputs, given.examples
    )
    inputs.print_summary(version, description)


def export_saved_model(
    workdir: str | Path,
    output: str | Path,
    files: Sequence[str] = (),
    count: int = inputs.EXAMPLES,
) -> tuple[Path, dict[str, Any]]:
    """Writes a run's SavedModel and its manifest, or nothing.

    Args:
        workdir: The folder that the trainer wrote.
        output: The folder that holds the versions.
        files: Inputs to compare on, instead of the validation split.
        count: How many inputs to compare on.

    Returns:
        The version's folder, and what its manifest says.

    Raises:
        InputError: Where an input cannot be read, `output` cannot be written, or what
            was exported differs from the model.
    """
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise InputError(f"--output must be a folder, got the file {str(output)!r}.")

    command.import_tensorflow()
    import numpy as np
    import tensorflow as tf

    logging.set_verbosity(logging.ERROR)  # tf.saved_model tells of every step

    from kerasdl.export import manifest
    from kerasdl.export.jobs import SERVING, load_job
    from kerasdl.export.serving.warmup import write_warmup

    from kerasdl.training.workdir import write_json

    job = load_job(workdir)
    examples = inputs.export_examples(job, "val", count, files)
    with next_version(output) as folder:
        module, signatures = job.serving_module()
        tf.saved_model.save(
            module,
            str(folder),
            signatures=signatures,
            options=tf.saved_model.SaveOptions(experimental_custom_gradients=False),
        )
        drop_custom_gradients(folder)

        served = tf.saved_model.load(str(folder))
        comparisons = job.compare_serving(served.signatures, examples)
        for name, comparison in comparisons.items():
            comparison.check(f"the SavedModel's signature {name}")
        run = served.signatures[SERVING]
        (argument,) = run.structured_input_signature[1]
        latency = manifest.measure_latency(
            lambda example: run(**{argument: tf.constant([example.data])}), examples
        )
        write_warmup(folder, {argument: np.array([examples[0].data], object)})
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        description = manifest.describe(
            job,
            signatures=manifest.saved_model_signatures(served.signatures),
            operations=manifest.saved_model_operations(folder),
            files=[(path.relative_to(folder).as_posix(), path) for path in files],
            comparisons=comparisons,
            latency=latency,
        )
        description["accuracy"] = job.accuracy(
            lambda example: run(**{argument: tf.constant([example.data])})
        )
        write_json(folder / manifest.MANIFEST, description)
    return output / str(max(versions(output))), description


def drop_custom_gradients(folder: Path) -> None:
    """Takes the names of hand-derived gradients out of a SavedModel.

    They stand for Python functions that no SavedModel holds, and TensorFlow warns of each
    when it loads one. What is left is differentiated by TensorFlow itself.
    """
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow.python.saved_model import fingerprinting_utils

    path = folder / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for meta_graph in model.meta_graphs:
        graph = meta_graph.graph_def
        bodies = [graph.node, *(body.node_def for body in graph.library.function)]
        for node in (node for body in bodies for node in body):
            if "_gradient_op_type" in node.attr:
                del node.attr["_gradient_op_type"]
    path.write_bytes(model.SerializeToString(deterministic=True))
    fingerprinting_utils.write_fingerprint(str(folder))  # of the graph as it is now


def versions(output: Path) -> list[int]:
    """The version numbers in a folder of versions."""
    return [int(path.name) for path in output.iterdir() if path.name.isdecimal()]


@contextlib.contextmanager
def next_version(output: Path) -> Iterator[Path]:
    """Yields a new folder that becomes the next version on success, else is removed.

    A server that watches `output` sees whole versions only: the folder has a hidden name
    until it is renamed.

    Raises:
        InputError: Where `output` cannot be written.
    """
    created = not output.exists()
    try:
        output.mkdir(parents=True, exist_ok=True)
        # A context of its own, so that errors in the body are not taken for this one's.
        temporary = tempfile.TemporaryDirectory(dir=output, prefix=".export-")
    except OSError as error:
        raise InputError(
            f"--output cannot be written: {error.strerror}, got {str(output)!r}."
        ) from error
    try:
        with temporary as name:
            folder = Path(name) / "version"
            folder.mkdir()
            yield folder
            while True:
                version = max(versions(output), default=0) + 1
                try:
                    os.rename(folder, output / str(version))
                    break
                except OSError:
                    if not (output / str(version)).exists():
                        raise  # not a version that another export wrote meanwhile
    finally:
        if created and not any(output.iterdir()):
            output.rmdir()


if __name__ == "__main__":
    inputs.define_export_flags("The folder that holds the versions.")
    flags.adopt_module_key_flags(inputs)
    command.run(main, inputs.spread_flag(sys.argv, "inputs"))
