"""`manifest.json`: what an export wrote, and how it compares with the model."""

import hashlib
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from kerasdl.export.jobs import Comparison, Job

from kerasdl.errors import InputError

MANIFEST = "manifest.json"
VERSIONED_PACKAGES = ("kerasdl", "tensorflow", "keras", "ai-edge-litert")
# Examples whose latency is measured, after one that warms up.
TIMED = 20


def describe(
    job: Job,
    *,
    signatures: Mapping[str, Any],
    operations: Mapping[str, int],
    files: Iterable[tuple[str, Path]],
    comparisons: Mapping[str, Comparison],
    latency: Mapping[str, Any],
) -> dict[str, Any]:
    """A manifest's object.

    Args:
        job: What was exported.
        signatures: By name, `{"inputs": {name: spec}, "outputs": {name: spec}}`.
        operations: How often each operation occurs.
        files: Name in the manifest, and path, of each file written.
        comparisons: By signature.
        latency: What `measure_latency` returned.
    """
    versions = {}
    for package in VERSIONED_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "unknown"
    sizes = {name: file_entry(path) for name, path in files}
    return {
        "job": job.name,
        "versions": versions,
        "model": file_entry(job.workdir / "model.keras"),
        "signatures": dict(signatures),
        "operations": dict(sorted(operations.items())),
        "files": sizes,
        "bytes": sum(entry["bytes"] for entry in sizes.values()),
        "comparison": {name: c.as_json() for name, c in comparisons.items()},
        "largest_difference": max(c.largest_difference for c in comparisons.values()),
        "latency": dict(latency),
    }


def file_entry(path: Path) -> dict[str, Any]:
    """Size in bytes and SHA-256 of a file."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def measure_latency(answer: Callable[[Any], Any], inputs: list[Any]) -> dict[str, Any]:
    """Milliseconds that one input takes, wall-clock, on this machine.

    Args:
        answer: Answers one input.
        inputs: At least one; the first is answered once more to warm up.
    """
    answer(inputs[0])
    seconds = []
    for value in inputs[:TIMED]:
        start = time.perf_counter()
        answer(value)
        seconds.append(time.perf_counter() - start)
    return {
        "batch": 1,
        "inputs": len(seconds),
        "median_ms": round(1e3 * statistics.median(seconds), 3),
        "largest_ms": round(1e3 * max(seconds), 3),
    }


def saved_model_signatures(signatures: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs and outputs of each signature that `tf.saved_model.load` gave."""

    def specs(tensors):
        return {
            name: {"dtype": spec.dtype.name, "shape": spec.shape.as_list()}
            for name, spec in sorted(tensors.items())
        }

    return {
        name: {
            "inputs": specs(function.structured_input_signature[1]),
            "outputs": specs(function.structured_outputs),
        }
        for name, function in signatures.items()
    }


def saved_model_operations(path: Path) -> Counter:
    """How often each operation occurs in a SavedModel, function bodies included."""
    from tensorflow.core.protobuf import saved_model_pb2

    graph = saved_model_pb2.SavedModel.FromString(
        (path / "saved_model.pb").read_bytes()
    ).meta_graphs[0]
    operations = Counter(node.op for node in graph.graph_def.node)
    for function in graph.graph_def.library.function:
        operations.update(node.op for node in function.node_def)
    return operations


def tflite_operations(model: bytes) -> Counter:
    """How often each operation occurs in a TFLite model, loop bodies included.

    A custom operation, TensorFlow's own (`Flex...`) among them, is named
    `CUSTOM:<its name>`.
    """
    from ai_edge_litert import schema_py_generated as schema

    names = {
        value: name
        for name, value in vars(schema.BuiltinOperator).items()
        if isinstance(value, int)
    }
    flatbuffer = schema.Model.GetRootAs(model)
    kinds = []
    for index in range(flatbuffer.OperatorCodesLength()):
        code = flatbuffer.OperatorCodes(index)
        # Operations below 127 are in the older of the two fields.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if number == schema.BuiltinOperator.CUSTOM:
            kinds.append(f"CUSTOM:{(code.CustomCode() or b'?').decode()}")
        else:
            kinds.append(names[number])
    operations = Counter()
    for index in range(flatbuffer.SubgraphsLength()):
        graph = flatbuffer.Subgraphs(index)
        for position in range(graph.OperatorsLength()):
            operations[kinds[graph.Operators(position).OpcodeIndex()]] += 1
    return operations


def check_builtin(operations: Mapping[str, int]) -> None:
    """Raises InputError where a TFLite model needs more than built-in operations."""
    custom = sorted(name for name in operations if name.startswith("CUSTOM:"))
    if custom:
        raise InputError(
            f"the TFLite model needs operations that are not built in: "
            f"{', '.join(custom)}; nothing was written."
        )
