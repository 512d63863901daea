"""Stores inputs and answers of an export, and runs it on them in a fresh process."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerasdl.errors import InputError
from kerasdl.export import forks, runner
from kerasdl.export.comparison import Answers, Comparison, Tolerance, compare
from kerasdl.weights.damage import DAMAGE, reason
from kerasdl.weights.npz import read_npz

MANIFEST = "manifest.json"
# The largest file of stored inputs and answers; fewer cases are stored if need be.
LARGEST_PROOF = 4 << 20


@dataclass(frozen=True)
class Case:
    """One call of a signature, and what the model in Keras answers.

    Attributes:
        signature: Its name.
        inputs: Its arguments by name.
        expected: The outputs to compare; others are not.
        carried: Arguments that are what the call before left under the same name.
    """

    signature: str
    inputs: Mapping[str, np.ndarray]
    expected: Mapping[str, np.ndarray]
    carried: tuple[str, ...] = ()


def save_cases(path: Path, cases: Sequence[Case]) -> None:
    """Writes cases as one `.npz` file; whole grey levels take a byte each."""
    arrays, order = {}, []
    for index, case in enumerate(cases):
        dtypes = {}
        for name, value in case.inputs.items():
            small = _as_bytes(value)
            dtypes[name] = "" if small is value else value.dtype.name
            runner.pack(arrays, f"{index}/in/{name}", small)
        for name, value in case.expected.items():
            runner.pack(arrays, f"{index}/out/{name}", _as_bytes(value))
        expected = {name: value.dtype.str for name, value in case.expected.items()}
        order.append(
            {
                "signature": case.signature,
                "inputs": dtypes,
                "expected": expected,
                "carried": case.carried,
            }
        )
    arrays["order"] = np.array(json.dumps(order))
    with open(path, "wb") as file:
        np.savez_compressed(file, **arrays)


def _as_bytes(value: np.ndarray) -> np.ndarray:
    """float (N, H, W, 3) of whole numbers in 0..255 as bytes; anything else as it is."""
    if value.dtype.kind != "f" or value.ndim != 4 or not value.size:
        return value
    small = np.clip(value, 0, 255).astype(np.uint8)
    return small if np.array_equal(small, value) else value


def load_cases(path: Path) -> list[Case]:
    """Reads what `save_cases` wrote.

    Raises:
        InputError: The file is missing or damaged.
    """
    try:
        arrays = read_npz(path, kinds="biufU")
        return [
            Case(
                case["signature"],
                *(
                    {
                        name: _typed(runner.unpack(arrays, f"{index}/{key}/{name}"), t)
                        for name, t in case[part].items()
                    }
                    for key, part in (("in", "inputs"), ("out", "expected"))
                ),
                tuple(case["carried"]),
            )
            for index, case in enumerate(json.loads(str(arrays["order"])))
        ]
    except DAMAGE as error:  # an `InputError` too
        why = reason(error).removeprefix(f"{path}: ").removesuffix(".")
        raise InputError(f"{path}: expected stored inputs and answers: {why}.") from error


def _typed(value: np.ndarray, dtype: str) -> np.ndarray:
    return value.astype(dtype) if dtype else value


def store_cases(path: Path, cases: Sequence[Case]) -> None:
    """Writes cases in `LARGEST_PROOF` bytes, if need be fewer of the first signature.

    Those stand at the front, and no case after them depends on them.
    """
    front = 0
    while front < len(cases) and cases[front].signature == cases[0].signature:
        front += 1
    kept = front
    while True:
        save_cases(path, [*cases[:kept], *cases[front:]])
        if kept <= 1 or path.stat().st_size <= LARGEST_PROOF:
            return
        kept = max(1, kept // 2)


def run_cases(
    model: Path,
    cases: Sequence[Case],
    latency: bool = True,
    needs: Sequence[str] = (),
    beside: Path | None = None,
) -> tuple[list[dict[str, np.ndarray]], dict[str, Any]]:
    """Runs an export on cases, in a process without kerasdl.

    Args:
        model: A `.tflite` file or the folder of a SavedModel.
        cases: The calls, in this order, all in one process.
        latency: Whether to measure how long the first case takes.
        needs: Modules to import first, with the operations of a SavedModel.
        beside: A `.tflite` file of the same signature whose latency is measured in turns.

    Returns:
        The outputs of each call, and the process's report: `signatures`, and
        `latency` by number of threads, with `stock` that of `beside`.

    Raises:
        InputError: The process fails or dies.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_cases(folder / "cases.npz", cases)
        task = {
            "model": str(model.absolute()),
            "cases": str(folder / "cases.npz"),
            "outputs": str(folder / "outputs.npz"),
            "order": json.loads(str(np.load(folder / "cases.npz")["order"])),
            "latency": latency,
            "needs": list(needs),
            "beside": [str(beside)] if beside else [],
        }
        code, said, report = _run(task, folder)
        if code:
            lines = said.strip().splitlines() or [f"exit code {code}"]
            raise InputError(f"{model.name}: does not run: {lines[-1]}")
        with np.load(folder / "outputs.npz") as arrays:
            outputs: list[dict[str, np.ndarray]] = [{} for _ in cases]
            for key in arrays.files:
                index, _, name = key.split("/", 2)
                if not name.endswith("|lengths"):
                    outputs[int(index)][name] = runner.unpack(arrays, key)
        return outputs, json.loads(report)


def _run(task: dict[str, Any], folder: Path) -> tuple[int, str, str]:
    """The exit code of a task's process, what it said, and its report."""
    if Path(task["model"]).is_dir():
        report = folder / "report.json"
        more = {"kind": "cases", "runner": runner.__file__, "report": str(report)}
        done = forks.run({**task, **more}, folder)
        return done.code, done.said, report.read_text() if report.exists() else ""
    process = subprocess.run(
        # -P: the program's folder has modules named like installed ones.
        [sys.executable, "-P", runner.__file__],
        input=json.dumps(task),
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        errors="replace",
    )
    return process.returncode, process.stderr, process.stdout


def compare_cases(
    cases: Sequence[Case], outputs: Answers, tolerances: Mapping[str, Tolerance]
) -> dict[str, Comparison]:
    """Compares the outputs of `run_cases` with what is expected, by signature."""
    result = {}
    for signature, tolerance in tolerances.items():
        chosen = [
            index
            for index, case in enumerate(cases)
            if case.signature == signature and case.expected
        ]
        if chosen:
            got = [outputs[index] for index in chosen]
            expected = [cases[index].expected for index in chosen]
            result[signature] = compare(tolerance, got, expected)
    return result


def file_entry(path: Path) -> dict[str, Any]:
    """Size in bytes and SHA-256 of a file."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def check_files(folder: Path, files: Mapping[str, Any]) -> None:
    """Compares the files of a folder with what its manifest says of them.

    Raises:
        InputError: A file is missing or another one, or lies elsewhere.
    """
    for name, written in files.items():
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise InputError(f"{folder / MANIFEST}: names the file {name!r} elsewhere.")
        if not (folder / name).is_file() or file_entry(folder / name) != written:
            raise InputError(
                f"{folder / name}: not the file that the manifest describes."
            )


def verify(path: str | Path) -> dict[str, Any]:
    """Checks an export again, anywhere, by the manifest that was written with it.

    The file must be the one that the manifest describes; a process without kerasdl (for
    a `.tflite` file without TensorFlow) runs it on the stored inputs, and its answers
    must be those of the model that was exported.

    Args:
        path: A `.tflite` file, or the folder of a SavedModel's version.

    Returns:
        `comparison` by signature, `latency` by number of threads, `signatures`.

    Raises:
        InputError: A file is missing, damaged or another one, or an answer differs.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        entry = manifest if path.is_dir() else manifest[path.name]
        if "before" in entry and file_entry(path) != entry["files"][path.name]:
            entry = entry["before"]  # a killed export had not replaced the file yet
        files, proof = dict(entry["files"]), str(entry["proof"])
        tolerances = {
            name: Tolerance(**comparison["tolerance"])
            for name, comparison in entry["comparison"].items()
            if not comparison.get("not_stored")
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder / MANIFEST}: expected the manifest of {path.name}: {error!r}."
        ) from error
    check_files(folder, files)
    cases = load_cases(folder / Path(proof).name)
    outputs, report = run_cases(path, cases, needs=entry.get("requires", ()))
    comparisons = compare_cases(cases, outputs, tolerances)
    for name, comparison in comparisons.items():
        comparison.check(f"{path.name}: {name}")
    report["comparison"] = {name: c.as_json() for name, c in comparisons.items()}
    return report
