"""Measures how training and bulk prediction scale, and predicts how they will.

    python -m benchmarks.scaling --output=docs/scaling.json
    python -m benchmarks.scaling --from=docs/scaling.json

Prints docs/scaling.md's tables: what was measured on this machine, by one and by two
processes of a thread each, and what the model below makes of it for GPUs that were not
measured. Their figures are `Cluster`'s: of data sheets, and flags change them.

    T(R) = max(B f / (R u F), B m / min(R d, S)) + A(R)       seconds a step on R replicas
    A(R) = 2 (R - 1) / R · G / w(R) + 2 (R - 1) l             ring all-reduce

B examples a step, f floating-point operations an example, F of a replica a second, of
which u are reached, m bytes read an example, d bytes that a replica's host reads a
second, S that the shared storage gives, G bytes of gradients, w bytes a second of the
slowest link, l its latency. (Patarasuk and Yuan 2009, Bandwidth optimal all-reduce
algorithms.)
"""

import argparse
import dataclasses
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

# Karpathy's split of COCO 2014 (train + restval), five captions a picture.
COCO_PICTURES, CAPTIONS_EACH, TOKENS = 113_287, 5, 11.5
JPEG_BYTES = 162_000  # COCO train2014: 13.5 GB in 82,783 files
BILLION = 10**9
ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}
ONE_THREAD |= {"TF_CPP_MIN_LOG_LEVEL": "3"}


@dataclasses.dataclass(frozen=True)
class Cluster:
    """What is assumed of machines with 8 GPUs each; none was measured."""

    peak_tflops: float = 312.0  # bfloat16, NVIDIA A100's data sheet
    utilisation: float = 0.3  # share of the peak that a step reaches
    nvlink_gb: float = 250.0  # bytes a second in one machine, all-reduce
    network_gb: float = 22.0  # between machines: 200 Gb/s InfiniBand
    latency_us: float = 10.0  # of one hop
    storage_gb: float = 20.0  # read from shared storage by all machines together
    host_gb: float = 1.0  # read by a GPU's share of its machine
    cores_per_gpu: int = 12  # that decode pictures
    core_dollars: float = 0.04  # an hour of a core
    egress_gbit: float = 10.0  # of a worker of 16 cores


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", default="", help="a file for what was measured")
    parser.add_argument("--parts", default="jobs,input,training,bulk", help="with commas")
    parser.add_argument("--from", dest="source", default="", help="such a file")
    for field in dataclasses.fields(Cluster):
        parser.add_argument(f"--{field.name}", type=field.type, default=field.default)
    given = vars(parser.parse_args())
    output, source, parts = (given.pop(name) for name in ("output", "source", "parts"))
    measured: dict = {}
    for path in filter(None, (source, output)):
        if os.path.exists(path):
            measured |= json.loads(Path(path).read_text())
    for part in [] if source else parts.split(","):
        measured |= PARTS[part]()
        if output:
            Path(output).write_text(json.dumps(measured, indent=1) + "\n")
    print(report(measured, Cluster(**given)))


def measure_training() -> dict:
    """Epochs of the trainers themselves, on one process and on two."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        whole, half, two = (
            epoch_seconds(root / f"{workers}-{batch}", workers, batch)
            for workers, batch in ((1, 16), (1, 8), (2, 16))
        )
        texts = run_trainer("text_classification", root / "text", SENTENCES, 1)
    return {
        "load": os.getloadavg()[0],
        "cores": os.cpu_count(),
        "epoch": {"whole": whole, "half": half, "two": two},
        "consumed": {
            "pictures, fine-tuning at 96 pixels": FINE_TUNING["data.drawn_train"] / whole,
            "sentences, LSTM": SENTENCES["data.generated_train"] / texts,
        },
    }


def measure_input() -> dict:
    """Records a second of the pipelines, and pictures of one core."""
    with tempfile.TemporaryDirectory() as folder:
        pictures = write_pictures(Path(folder) / "pictures", 96)
        return {"decode": decode_rate(pictures), "read": pipelines(pictures)}


def measure_bulk() -> dict:
    """Features by a classifier that was hardly trained."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        fields = {**FINE_TUNING, "epochs": 2, "batch_size": 16}
        run_trainer("transfer", root / "run", fields, 1)
        write_pictures(root / "pictures", 96)
        return {"bulk": bulk(root / "run", root / "pictures", root / "out")}


PARTS = {
    "jobs": lambda: {"jobs": {"captioner": captioner(), "classifier": classifier()}},
    "input": measure_input,
    "training": measure_training,
    "bulk": measure_bulk,
}

FINE_TUNING = {
    "mode": "finetune",
    "model.update_batch_norm": False,
    "model.image_size": 96,
    "augment.flip": False,
    "data.drawn_train": 64,
    "data.drawn_val": 8,
    "data.drawn_test": 0,
    "epochs": 3,
    "report.maps": 0,
}
SENTENCES = {
    "data.generated_train": 2000,
    "data.generated_val": 100,
    "data.generated_test": 0,
    "epochs": 3,
    "report.samples": 1,
}


def epoch_seconds(workdir: Path, workers: int, batch: int) -> float:
    """Median seconds of an epoch of fine-tuning after the first."""
    fields = {**FINE_TUNING, "batch_size": batch}
    return run_trainer("transfer", workdir, fields, workers)


def run_trainer(job: str, workdir: Path, fields: dict, workers: int) -> float:
    """Median seconds of an epoch after the first, of the trainer itself."""
    train = [sys.executable, "-m", f"kerasdl.trainers.{job}", f"--workdir={workdir}"]
    if workers > 1:
        fields = {**fields, "distribute": "multi_worker"}
        launcher = [sys.executable, "-m", "kerasdl.trainers.local_workers"]
        train = [*launcher, f"--workers={workers}", "--", *train]
    command = [*train, *(f"--config.{name}={value}" for name, value in fields.items())]
    environment = {**os.environ, **ONE_THREAD}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return statistics.median(json.loads(line)["seconds"] for line in lines[1:])


def captioner() -> dict:
    """The decoder of configs/captioning/coco.py: parameters, operations, bytes read."""
    from kerasdl.configs.captioning import coco
    from kerasdl.models.caption_decoder import CaptionDecoder

    model, words = coco.get_config().model, 9_500
    places, channels = model.grid**2, 1280
    row = channels + places * model.components  # the whole picture, then its places
    decoder = CaptionDecoder(
        words,
        row,
        rnn=model.rnn,
        embedding_dim=model.embedding_dim,
        units=model.units,
        features_in=model.features_in,
        cells=places,
        whole=channels,
        attention=model.attention_score,
    )
    tables = words * model.embedding_dim  # looked up, not multiplied
    multiplied = decoder.count_params() - tables - 2 * row  # nor mean and variance
    places_once = 6 * places * model.components * model.units  # not once a token
    return {
        "parameters": decoder.count_params(),
        # Forward two and backward four operations a weight and token.
        "operations": 6 * multiplied * TOKENS + places_once,
        "bytes": 4 * row,
        "examples": COCO_PICTURES * CAPTIONS_EACH,
        "batch": 100,
    }


def classifier() -> dict:
    """Fine-tuning of EfficientNet-Lite0 at 224 pixels on as many pictures."""
    import tensorflow as tf

    from kerasdl.models.backbones import build_backbone

    backbone = build_backbone("efficientnet_lite0", size=224)
    spec = tf.TensorSpec((1, 224, 224, 3), tf.float32)
    graph = tf.function(backbone).get_concrete_function(spec).graph
    profiler = tf.compat.v1.profiler
    options = profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    forward = profiler.profile(graph, options=options).total_float_ops
    return {
        "parameters": backbone.count_params(),
        "operations": 3 * forward,
        "bytes": JPEG_BYTES,
        "examples": COCO_PICTURES,
        "batch": 256,
    }


def write_pictures(folder: Path, count: int) -> list[Path]:
    """JPEG files of 640 x 480, smooth with some noise, about as large as COCO's."""
    from PIL import Image

    folder.mkdir()
    paths = [folder / f"{k:05d}.jpg" for k in range(count)]
    for k, path in enumerate(paths):
        random = np.random.default_rng(k)
        smooth = Image.fromarray(random.integers(0, 256, (24, 32, 3), np.uint8))
        pixels = np.asarray(smooth.resize((640, 480), Image.Resampling.BICUBIC), float)
        noisy = np.clip(pixels + random.normal(0, 12, pixels.shape), 0, 255)
        Image.fromarray(noisy.astype(np.uint8)).save(path, quality=90)
    return paths


def pipelines(paths: list[Path]) -> dict:
    """Records a second that this process reads, all its processors together."""
    from kerasdl.data.pictures.augmentation import Augmentation
    from kerasdl.data.pictures.batches import (
        FeatureBatches,
        PictureBatches,
        PictureSplit,
    )
    from kerasdl.data.pictures.class_folders import LabelledPicture
    from kerasdl.data.texts.batches import TextBatches
    from kerasdl.data.texts.tokens import TokenRows

    random = np.random.default_rng(0)
    pictures = PictureSplit([LabelledPicture(p.name, 0, path=str(p)) for p in paths])
    lengths = random.integers(5, 36, 100_000)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    rows = TokenRows(random.integers(2, 9999, offsets[-1], np.int32), offsets)
    features = np.zeros((1, 50_000, 1280), np.float32)
    several = {
        "JPEG of 640 x 480, cropped to 224": (
            PictureBatches(pictures, Augmentation(224), 16, 0)
        ),
        "features, 1,280 wide": FeatureBatches(features, np.zeros(50_000, int), 64, 0),
        "sentences of 20 words": TextBatches(rows, np.zeros(len(rows)), 64, 0),
    }
    rates = {}
    for name, batches in several.items():
        started = time.perf_counter()
        count = sum(len(labels) for _, labels in batches(0))
        rates[name] = count / (time.perf_counter() - started)
    return rates


def decode_rate(paths: list[Path]) -> dict:
    """Pictures a second that one core decodes and resizes to 224 pixels."""
    from kerasdl.data.pictures.decoding import prepare_picture, read_picture

    started = time.process_time()
    for path in paths:
        prepare_picture(read_picture(path), 224, "squash")
    seconds = time.process_time() - started
    size = statistics.mean(path.stat().st_size for path in paths)
    return {"pictures a core and second": len(paths) / seconds, "bytes": size}


def bulk(model: Path, pictures: Path, output: Path) -> dict:
    """Features of pictures by `kerasdl.export.bulk`: the rate, and each shard's."""
    command = [sys.executable, "-m", "kerasdl.export.bulk", f"--model={model}"]
    command += [f"--input={pictures}", f"--output={output}", "--features"]
    command += ["--shard_size=8", "--json"]
    environment = {**os.environ, **ONE_THREAD}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    done = sorted(path.stat().st_mtime for path in output.glob("features-*.npz"))
    shards = [after - before for before, after in itertools.pairwise(done)]
    size = sum(path.stat().st_size for path in output.glob("features-*.npz"))
    return {
        "pictures a second": 8 / statistics.mean(shards),
        "spread": statistics.stdev(shards) / statistics.mean(shards),
        "slowest": max(shards) / statistics.mean(shards),
        "bytes": size / len(list(pictures.iterdir())),
    }


def all_reduce(parameters: int, replicas: int, cluster: Cluster) -> float:
    """A(R) of gradients of 4 bytes a parameter."""
    if replicas == 1:
        return 0.0
    link = 1e9 * (cluster.nvlink_gb if replicas <= 8 else cluster.network_gb)
    share = 2 * (replicas - 1) / replicas
    hops = 2 * (replicas - 1) * cluster.latency_us * 1e-6
    return share * 4 * parameters / link + hops


def step(job: dict, replicas: int, cluster: Cluster, decode: float) -> dict:
    """T(R) and its parts, for a batch that grows with the replicas."""
    batch = job["batch"] * replicas
    compute = job["operations"] * job["batch"]
    compute /= cluster.peak_tflops * 1e12 * cluster.utilisation
    rate = 1e9 * min(replicas * cluster.host_gb, cluster.storage_gb) / job["bytes"]
    if job["bytes"] == JPEG_BYTES:
        rate = min(rate, replicas * cluster.cores_per_gpu * decode)
    parts = {
        "compute": compute,
        "input": batch / rate,
        "all-reduce": all_reduce(job["parameters"], replicas, cluster),
    }
    seconds = max(parts["compute"], parts["input"]) + parts["all-reduce"]
    return {**parts, "step": seconds, "rate": batch / seconds}


def report(measured: dict, cluster: Cluster) -> str:
    """The tables of docs/scaling.md, of the parts that were measured."""
    lines = []
    if "epoch" in measured:
        whole, half, two = (measured["epoch"][name] for name in ("whole", "half", "two"))
        waiting = 1e3 * (two - half / 2) / (FINE_TUNING["data.drawn_train"] / 16)
        lines += [
            f"Load {measured['load']:.1f} on {measured['cores']} cores.",
            "",
            "| fine-tuning at 96 pixels, a thread a process | |",
            "|---|---|",
            f"| one process, batch 16: seconds an epoch | {whole:.2f} |",
            f"| one process, batch 8 | {half:.2f} |",
            f"| two processes, batch 16 together | {two:.2f} |",
            f"| speed-up of two processes | {whole / two:.2f} |",
            f"| all-reduce and waiting, a step | {waiting:.0f} ms |",
            "",
            "| consumed by the step, a thread | records/s | by 100 times as fast |",
            "|---|---|---|",
        ]
        for name, rate in measured["consumed"].items():
            lines.append(f"| {name} | {rate:,.0f} | {100 * rate:,.0f} |")
    decode = 100.0
    if "read" in measured:
        decode = measured["decode"]["pictures a core and second"]
        lines += ["", "| read by this process | records/s |", "|---|---|"]
        lines += [f"| {name} | {rate:,.0f} |" for name, rate in measured["read"].items()]
        lines.append(f"| decoded and resized, a core | {decode:,.0f} |")
    for name, job in measured.get("jobs", {}).items():
        lines += ["", *job_lines(name, job, cluster, decode)]
    if "bulk" in measured:
        lines += ["", *bulk_lines(measured, cluster)]
    return "\n".join(lines)


def job_lines(name: str, job: dict, cluster: Cluster, decode: float) -> list[str]:
    """The predicted steps of a job on 1, 8 and 64 GPUs."""
    lines = [
        f"**{name}**: {job['parameters'] / 1e6:.1f} million parameters, "
        f"{job['operations'] / 1e9:.2f} GFLOP and {job['bytes'] / 1e3:.0f} kB an "
        f"example, {job['batch']} examples a GPU",
        "",
        "| GPUs | compute | input | all-reduce | step | rate/s | epoch | of linear |",
        "|---|---|---|---|---|---|---|---|",
    ]
    alone = step(job, 1, cluster, decode)["rate"]
    for replicas in (1, 8, 64):
        found = step(job, replicas, cluster, decode)
        cells = [
            f"{1e3 * found[part]:.2f} ms"
            for part in ("compute", "input", "all-reduce", "step")
        ]
        cells += [f"{found['rate']:,.0f}", f"{job['examples'] / found['rate']:.0f} s"]
        efficiency = found["rate"] / (replicas * alone)
        lines.append(f"| {replicas} | {' | '.join(cells)} | {efficiency:.0%} |")
    return lines


def bulk_lines(measured: dict, cluster: Cluster) -> list[str]:
    """A billion pictures: cost, bytes, and what the slowest shard costs."""
    bulk = measured["bulk"]
    hours = BILLION / bulk["pictures a second"] / 3600
    workers, shard = 1000, 1000
    shard_seconds = shard / bulk["pictures a second"]
    tail = bulk["slowest"] * shard_seconds
    network = 1e9 * cluster.egress_gbit / 8 / 16
    needed = bulk["pictures a second"] * JPEG_BYTES
    return [
        "| a billion pictures, features, on cores | |",
        "|---|---|",
        f"| measured rate of a core | {bulk['pictures a second']:.1f} pictures/s |",
        f"| core hours, dollars | {hours:,.0f}, {hours * cluster.core_dollars:,.0f} |",
        f"| read, at {JPEG_BYTES / 1e3:.0f} kB | {BILLION * JPEG_BYTES / 1e12:.0f} TB |",
        f"| written, at {bulk['bytes'] / 1e3:.1f} kB | "
        f"{BILLION * bulk['bytes'] / 1e12:.1f} TB |",
        f"| read by a core, of its share of the network | {needed / 1e6:.1f} of "
        f"{network / 1e6:.0f} MB/s |",
        f"| {workers} cores: hours if all end together | {hours / workers:.0f} |",
        f"| spread of a shard's time, the slowest | {bulk['spread']:.0%}, "
        f"{bulk['slowest']:.2f} times the mean |",
        f"| a shard of {shard}: seconds, the slowest | {shard_seconds:.0f}, {tail:.0f} |",
        f"| at most lost to the last shard (Graham 1966) | "
        f"{tail / (3600 * hours / workers):.2%} |",
    ]


if __name__ == "__main__":
    main()
