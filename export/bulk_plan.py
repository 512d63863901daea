"""What bulk prediction is to do, what of it is done, and its files.

    plan.json                  model, inputs and options, written when the plan is whole
    plan/00000.jsonl           the inputs of each shard
    bad-00000-of-00012.jsonl   inputs of a shard that got no answer, with the reason
    answers-...jsonl           the answers of a shard; features-...npz for features
    summary.json               counts, written at the end

A shard is done when its answers are there, and they appear whole or not at all, under a
name that the shard determines: a shard that is tried twice, or by two workers at once,
leaves one file. So every input is answered exactly once, whatever was killed.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kerasdl.errors import InputError
from kerasdl.export.bulk_inputs import Outcome, Row, list_inputs
from kerasdl.export.bulk_model import BulkModel
from kerasdl.files import atomic_path, make_folder, write_json
from kerasdl.training.progress import say

# Inputs of a shard: an interrupted run loses at most so many answers a worker.
SHARD_SIZE = 1000


@dataclass(frozen=True)
class Plan:
    """A bulk prediction, small enough to be sent to every worker.

    Attributes:
        output: The folder of the answers, which all workers must see.
        model: What answers.
        digest: Of the model's files.
        input: What was named as inputs.
        features: Whether features are wanted instead of answers.
        column: The column that was named.
        shard_size: Inputs of a shard.
        count: Inputs of all shards.
    """

    output: str
    model: str
    digest: str
    input: tuple[str, ...]
    features: bool
    column: str
    shard_size: int
    count: int = 0

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return -(-self.count // self.shard_size)

    def rows(self, shard: int) -> list[Row]:
        """The inputs of a shard."""
        path = Path(self.output) / "plan" / f"{shard:05d}.jsonl"
        # Not `splitlines`: a sentence may hold U+2028, which is a line's end to that.
        lines = path.read_text("utf-8").split("\n")[:-1]
        return [Row(*json.loads(line)) for line in lines]

    def path(self, kind: str, shard: int, ending: str) -> Path:
        """The file of a shard's answers or bad inputs."""
        return Path(self.output) / f"{kind}-{shard:05d}-of-{self.shards:05d}.{ending}"

    def answers(self, shard: int) -> Path:
        """The file whose presence says that a shard is done."""
        kind = ("features", "npz") if self.features else ("answers", "jsonl")
        return self.path(kind[0], shard, kind[1])

    def missing(self) -> list[int]:
        """The shards that have no answers yet."""
        return [n for n in range(self.shards) if not self.answers(n).is_file()]

    def write(self, shard: int, outcomes: Sequence[Outcome], *_: Any) -> int:
        """Writes what became of a shard's inputs, the answers last; returns the shard."""
        names = [row.name for row in self.rows(shard)]
        if [outcome.name for outcome in outcomes] != names:
            raise RuntimeError(f"shard {shard}: not the outcomes of its inputs")
        good = [outcome for outcome in outcomes if outcome.answer is not None]
        bad = [outcome for outcome in outcomes if outcome.answer is None]
        reasons = [{"input": one.name, "reason": one.reason} for one in bad]
        _write(self.path("bad", shard, "jsonl"), _lines(reasons))
        data = _arrays(good) if self.features else _lines(self._plain(shard, good))
        _write(self.answers(shard), data)
        say(f"shard {shard + 1} of {self.shards}: {len(good)} answers, {len(bad)} bad")
        return shard

    def _plain(self, shard: int, outcomes: Iterable[Outcome]) -> Iterable[dict]:
        """Answers as JSON has them; pictures are written, and answered by their path."""
        for place, outcome in enumerate(outcomes):
            answer = {"input": outcome.name}
            for name, value in outcome.answer.items():
                if name == "image":
                    path = Path(self.output) / "pictures" / f"{shard:05d}-{place:05d}.png"
                    file = io.BytesIO()
                    Image.fromarray(value).save(file, "PNG")
                    make_folder(path.parent)
                    _write(path, file.getvalue())
                    name, value = "picture", str(path)
                answer[name] = value
            yield answer

    def finish(self, shards: int, seconds: float) -> dict[str, Any]:
        """Counts all answers and writes summary.json.

        Args:
            shards: How many this run had to do.
            seconds: How long that took.

        Raises:
            InputError: Answers are missing, twice there, or all inputs were bad.
        """
        answered = bad = 0
        for shard in range(self.shards):
            path = self.answers(shard)
            if self.features:
                with np.load(path, allow_pickle=False) as arrays:
                    good = len(arrays["input"])
            else:
                good = _count(path)
            broken = _count(self.path("bad", shard, "jsonl"))
            here = min(self.shard_size, self.count - shard * self.shard_size)
            if good + broken != here:
                raise InputError(
                    f"{path}: expected {here} answers and bad inputs, got {good} and "
                    f"{broken}; remove the file and start the same command again."
                )
            answered, bad = answered + good, bad + broken
        done = min(shards * self.shard_size, self.count)
        summary = {
            "inputs": self.count,
            "answered": answered,
            "bad": bad,
            "seconds": round(seconds, 3),
            "inputs_in_this_run": done,
            "inputs_per_second": round(done / max(seconds, 1e-9), 2),
        }
        write_json(Path(self.output) / "summary.json", summary)
        if not answered:
            reason = self._first_reason()
            raise InputError(f"none of {bad} inputs could be answered: {reason}")
        return summary

    def _first_reason(self) -> str:
        with open(self.path("bad", 0, "jsonl"), encoding="utf-8") as file:
            return json.loads(file.readline())["reason"]

    def line(self, summary: dict[str, Any]) -> str:
        """The summary for people."""
        return (
            f"{self.output}: {summary['inputs']} inputs, {summary['answered']} answered, "
            f"{summary['bad']} bad; {summary['inputs_in_this_run']} in this run, "
            f"{summary['inputs_per_second']} a second"
        )


def make_plan(
    model: str,
    inputs: Sequence[str],
    output: str,
    *,
    features: bool = False,
    column: str = "",
    shard_size: int = SHARD_SIZE,
) -> Plan:
    """The plan that lies in `output`, or a new one.

    Inputs are listed once: a run that goes on does the shards of its first start.

    Raises:
        InputError: An input or the model is missing, or `output` is that of another
            command.
    """
    folder = Path(output).expanduser()
    plan = Plan(
        str(folder), model, digest(model), tuple(inputs), features, column, shard_size
    )
    stored = _read_plan(folder)
    if stored is not None:
        for name, wanted in asdict(plan).items():
            found = stored.get(name)
            found = tuple(found) if isinstance(found, list) else found
            if name not in ("count", "output") and wanted != found:
                raise InputError(
                    f"--output holds the answers of another command: --{name} was "
                    f"{found!r}, got {wanted!r}; name another folder."
                )
        return Plan(**{**asdict(plan), "count": stored["count"]})
    kind = BulkModel(model, features).input_kind
    rows = list_inputs(inputs, kind, column)
    first = next(rows, None)
    if first is None:
        raise InputError(f"--input: expected inputs, got none in {', '.join(inputs)}.")
    rows = itertools.chain([first], rows)
    shutil.rmtree(folder / "plan", ignore_errors=True)  # of a start that was killed
    make_folder(folder / "plan")
    count = 0
    while part := list(itertools.islice(rows, shard_size)):
        path = folder / "plan" / f"{count // shard_size:05d}.jsonl"
        _write(path, _lines(part))
        count += len(part)
    plan = Plan(**{**asdict(plan), "count": count})
    write_json(folder / "plan.json", asdict(plan))
    return plan


def _read_plan(folder: Path) -> dict[str, Any] | None:
    path = folder / "plan.json"
    if not path.is_file():
        if folder.is_dir() and any(n.name != "plan" for n in folder.iterdir()):
            raise InputError(f"--output must be a new folder, got {str(folder)!r}.")
        return None
    try:
        stored = json.loads(path.read_text("utf-8"))
        if type(stored["count"]) is not int or stored["count"] < 1:
            raise ValueError(f"count is {stored['count']!r}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a plan of bulk prediction: {error}.") from error
    return stored


def digest(model: str) -> str:
    """SHA-256 of a model's files: of a workdir's model.keras, or of all of a SavedModel.

    Raises:
        InputError: There is no such file or folder.
    """
    path = Path(model).expanduser()
    if not path.exists():
        raise InputError(f"--model names no file or folder, got {model!r}.")
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    if (path / "model.keras").is_file():
        files = [path / "model.keras"]
    total = hashlib.sha256()
    for file in files:
        if file.is_file():
            total.update(f"{file.name}\n".encode())
            with open(file, "rb") as opened:
                total.update(hashlib.file_digest(opened, "sha256").digest())
    return total.hexdigest()


def _write(path: Path, data: bytes) -> None:
    with atomic_path(path, len(data)) as temporary:
        temporary.write_bytes(data)


def _lines(rows: Iterable[Any]) -> bytes:
    lines = [json.dumps(row, ensure_ascii=False, default=_plain_number) for row in rows]
    # A lone half of a UTF-16 pair, as in a file's name that is no UTF-8, has no bytes.
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


def _plain_number(value: Any) -> Any:
    return value.tolist()  # an array, or one of its numbers


def _count(path: Path) -> int:
    with open(path, "rb") as file:
        return sum(1 for _ in file)


def _arrays(outcomes: Sequence[Outcome]) -> bytes:
    """`input`, the names, and each output, a row for each; see `numpy.load`."""
    names = [outcome.name for outcome in outcomes]
    arrays = {"input": np.array(names, np.str_)}
    for key in outcomes[0].answer if outcomes else ():
        arrays[key] = np.stack([outcome.answer[key] for outcome in outcomes])
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()
