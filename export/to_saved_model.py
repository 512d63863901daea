"""`kerasdl.export.saved_model`: any model as a checked SavedModel, by versions."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kerasdl.errors import InputError
from kerasdl.export import forks, manifest
from kerasdl.export.converter import save_module
from kerasdl.export.proof import MANIFEST, compare_cases, run_cases, store_cases
from kerasdl.export.sources import open_subject
from kerasdl.export.staging import staged
from kerasdl.export.subject import SERVING, Request, accuracy_entry
from kerasdl.files import sync

PROOF = "proof.npz"


def saved_model(
    model: Any,
    folder: str | Path,
    *,
    inputs: Sequence[str] = (),
    examples: int = 50,
    representative: Any = None,
    signatures: Sequence[str] = ("infer",),
) -> tuple[Path, dict[str, Any]]:
    """Writes a model as the next version of a SavedModel, checked, or nothing.

    It loads and serves with TensorFlow alone. What was written answers stored inputs in a
    process without kerasdl as the model does; `manifest.json` in the version's folder
    keeps the figures.

    Args:
        model: A `keras.Model`, a `.keras` file, a workdir, or a captioner.
        folder: The folder that holds the versions, `folder/1` first, as TensorFlow
            Serving expects it.
        inputs: Of a workdir: files to compare on, instead of its validation split.
        examples: Of a workdir: how many inputs to compare on.
        representative: Of a Keras model: real inputs, see `kerasdl.export.tflite`.
        signatures: "infer", and of a text run also "explain", which tells what each word
            does to the answer.

    Returns:
        The version's folder, and what its manifest says.

    Raises:
        InputError: An input cannot be read, `folder` cannot be written, or what was
            exported differs from the model. Nothing is written then.
    """
    output = Path(folder)
    if output.exists() and not output.is_dir():
        raise InputError(f"--output must be a folder, got the file {str(output)!r}.")
    request = Request(
        inputs=tuple(inputs),
        examples=examples,
        representative=representative,
        signatures=tuple(signatures),
    )
    forks.start()
    subject = open_subject(model, request)
    export = subject.served(request)
    import tensorflow as tf

    from kerasdl.export.serving.warmup import write_warmup
    from kerasdl.files import write_json

    with next_version(output) as version:
        save_module(export.module, version, export.signatures)
        drop_custom_gradients(version)
        outputs, report = run_cases(
            version, export.cases, needs=export.notes.get("requires", ())
        )
        comparisons = compare_cases(export.cases, outputs, export.tolerances)
        for name, comparison in comparisons.items():
            comparison.check(f"the SavedModel's signature {name}")
        store_cases(version / PROOF, export.cases)
        write_warmup(version, dict(export.cases[0].inputs))
        files = sorted(path for path in version.rglob("*") if path.is_file())
        entry = manifest.describe(
            subject,
            export,
            operations=operations(version),
            files=[(path.relative_to(version).as_posix(), path) for path in files],
            comparisons=comparisons,
            report=report,
        )
        entry["proof"] = PROOF
        if export.accuracy is not None:
            served = tf.saved_model.load(str(version)).signatures[SERVING]
            entry["accuracy"] = accuracy_entry(export.accuracy(served))
        write_json(version / MANIFEST, entry)
    return output / str(max(versions(output))), entry


def drop_custom_gradients(folder: Path) -> None:
    """Takes the names of hand-derived gradients out of a SavedModel.

    They stand for Python functions that no SavedModel holds, and TensorFlow warns of each
    when it loads one. What is left is differentiated by TensorFlow itself.
    """
    from kerasdl.tensorflow_private import SavedModel, nodes_of, write_fingerprint

    path = folder / "saved_model.pb"
    model = SavedModel.FromString(path.read_bytes())
    for meta_graph in model.meta_graphs:
        for node in nodes_of(meta_graph.graph_def):
            if "_gradient_op_type" in node.attr:
                del node.attr["_gradient_op_type"]
    path.write_bytes(model.SerializeToString(deterministic=True))
    write_fingerprint(str(folder))  # of the graph as it is now


def operations(folder: Path) -> Counter:
    """How often each operation occurs in a SavedModel, function bodies included."""
    from kerasdl.tensorflow_private import SavedModel, nodes_of

    data = (folder / "saved_model.pb").read_bytes()
    graph = SavedModel.FromString(data).meta_graphs[0].graph_def
    return Counter(node.op for node in nodes_of(graph))


def versions(output: Path) -> list[int]:
    """The version numbers in a folder of versions."""
    return [int(path.name) for path in output.iterdir() if path.name.isdecimal()]


@contextlib.contextmanager
def next_version(output: Path) -> Iterator[Path]:
    """Yields a new folder that becomes the next version on success, else is removed.

    A server that watches `output` sees whole versions only: the folder has a hidden name
    until it is renamed.

    Raises:
        InputError: `output` cannot be written.
    """
    with staged(output) as temporary:
        folder = temporary / "version"
        folder.mkdir()
        yield folder
        for path in sorted(folder.rglob("*"), reverse=True):  # a folder after its files
            sync(path)
        while True:
            version = max(versions(output), default=0) + 1
            try:
                os.rename(folder, output / str(version))
                break
            except OSError:
                if not (output / str(version)).exists():
                    raise  # not a version that another export wrote meanwhile
