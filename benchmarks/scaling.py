"""Measures how training and bulk prediction scale, and predicts how they will.

    python -m benchmarks.scaling --output=docs/scaling.json
    python -m benchmarks.scaling --from=docs/scaling.json

Prints docs/scaling.md's tables: what was measured on this machine, by one and by two
processes of a thread each, and what benchmarks/cost_model.py makes of it for GPUs that
were not measured. Their figures are `Cluster`'s: of data sheets, and flags change them.
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

from benchmarks.cost_model import (
    CAPTIONS_EACH,
    COCO_PICTURES,
    JPEG_BYTES,
    TOKENS,
    Cluster,
    report,
)

ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}
ONE_THREAD |= {"TF_CPP_MIN_LOG_LEVEL": "3"}


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
        "epoch": {
            "whole": whole,
            "half": half,
            "two": two,
            "pictures": FINE_TUNING["data.drawn_train"],
        },
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


if __name__ == "__main__":
    main()
