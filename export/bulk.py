"""Answers for millions of files or sentences, on Apache Beam.

    python -m kerasdl.export.bulk --model=served/captioner/1 \\
        --input='pictures/**/*.jpg' --output=captions
    python -m kerasdl.export.bulk --model=runs/transfer --features \\
        --input=pictures.csv --output=features

`--model` is a workdir, a SavedModel or a `.tflite` file. `--input` is a pattern (in
quotes), a folder, or a table: for pictures `.csv`, `.tsv` or `.jsonl` with the column
`image`; for sentences a file of lines, or a table with the column `text`; for a model of
numbers `.npy` and `.npz` files. Every input gets one line, in `answers-*.jsonl` or, with
the reason, in `bad-*.jsonl`; with `--features` answers are arrays in `features-*.npz`.
The same command, started again, goes on where it was stopped. Needs
`pip install "kerasdl[beam]"`; docs/bulk.md has the rest.
"""

import importlib.util
import json
import shlex
import sys
import time

from absl import flags

from kerasdl.errors import InputError
from kerasdl.export.bulk_plan import SHARD_SIZE, Plan, make_plan
from kerasdl.export.inputs import spread_flag
from kerasdl.training import command


def run_pipeline(plan: Plan, options: list[str]) -> None:
    """Answers for the shards of a plan that have no answers yet.

    Args:
        plan: Which inputs, which model, and where the answers go.
        options: Beam's own, such as `--runner=FlinkRunner`.
    """
    import apache_beam as beam
    from apache_beam.ml.inference.base import RunInference
    from apache_beam.options.pipeline_options import PipelineOptions

    from kerasdl.export.bulk_handler import ShardHandler

    with beam.Pipeline(options=PipelineOptions(options)) as pipeline:
        _ = (
            pipeline
            | "shards without answers" >> beam.Create(plan.missing())
            | "spread over the workers" >> beam.Reshuffle()
            | "answer" >> RunInference(ShardHandler(plan))
            | "write" >> beam.Map(lambda result: plan.write(*result))
        )


def main() -> None:
    """Runs the command."""
    if importlib.util.find_spec("apache_beam") is None:
        raise InputError(
            'apache_beam is not installed; `pip install "kerasdl[beam]"` brings it.'
        )
    given, started = flags.FLAGS, time.monotonic()
    plan = make_plan(
        given.model,
        given.input,
        given.output,
        features=given.features,
        column=given.column,
        shard_size=given.shard_size,
    )
    missing = plan.missing()
    if missing:
        run_pipeline(plan, shlex.split(given.beam))
    summary = plan.finish(len(missing), time.monotonic() - started)
    print(json.dumps(summary) if given.json else plan.line(summary))


if __name__ == "__main__":
    flags.DEFINE_string("model", None, "A workdir, a SavedModel or a .tflite file.")
    flags.DEFINE_multi_string("input", None, "Patterns, folders, files or tables.")
    flags.DEFINE_string("output", None, "The folder of the answers.")
    flags.DEFINE_bool("features", False, "The workdir's features instead of answers.")
    flags.DEFINE_string("column", "", "A table's column of pictures or texts.")
    flags.DEFINE_integer(
        "shard_size", SHARD_SIZE, "Inputs of a file of answers.", lower_bound=1
    )
    flags.DEFINE_string("beam", "", "Options of Apache Beam, such as --runner=...")
    flags.DEFINE_bool("json", False, "Print the summary as an object.")
    flags.mark_flags_as_required(["model", "input", "output"])
    command.run(main, spread_flag(sys.argv, "input"))
