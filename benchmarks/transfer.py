"""Times fine-tuning against PyTorch, and frozen training with and without its cache.

    python -m benchmarks.transfer
    python -m benchmarks.transfer --parts=frozen --root=HYMENOPTERA_FOLDER

`finetune` trains EfficientNet-Lite0 on random pictures: the very step of
`kerasdl.trainers.transfer` here, the same network with the same optimizer in PyTorch
there, at both of its memory layouts. Each is a process of its own; they take turns, and
the median of the rounds is printed, so that a busy moment of the machine hits all alike.
`frozen` runs the trainer twice, each with an empty cache.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import devices
from benchmarks.turns import serve_steps

CLASSES = 2
WARM_UP = 3
# What a column is called, and the name of that memory format in PyTorch.
LAYOUTS = {"contiguous": "contiguous_format", "channels_last": "channels_last"}


def tensorflow_step(batch: int, size: int) -> Callable[[], object]:
    """The training step of the trainer, on one minibatch."""
    import keras
    import tensorflow as tf

    from kerasdl.models.backbones import build_backbone
    from kerasdl.models.classifier import ImageClassifier
    from kerasdl.training.steps import make_train_step
    from kerasdl.training.transfer_losses import picture_loss

    backbone = build_backbone("efficientnet_lite0", size=size)
    classifier = ImageClassifier(backbone, CLASSES)
    optimizer = keras.optimizers.SGD(1e-3, momentum=0.9)
    optimizer.build(classifier.trainable_variables)
    step = make_train_step(
        classifier,
        optimizer,
        picture_loss(classifier, np.ones(CLASSES, np.float32), 0.0, True),
        [
            tf.TensorSpec((None, size, size, 3), tf.uint8),
            tf.TensorSpec((None,), tf.int32),
        ],
    )
    images, labels = _batch(batch, size)
    return lambda: float(step((images, labels))["loss"])


def torch_backbone() -> list:
    """The layers of EfficientNet-Lite0 in PyTorch, up to its last feature map."""
    from torch import nn

    from kerasdl.models.efficientnet_lite import HEAD_FILTERS, STAGES, STEM_FILTERS

    def convolve(inputs, outputs, kernel, stride=1, groups=1, activate=True):
        layers = [
            nn.Conv2d(
                inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False
            ),
            nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01),
        ]
        return nn.Sequential(*layers, *([nn.ReLU6(inplace=True)] if activate else []))

    class Block(nn.Module):
        def __init__(self, inputs, stage, stride):
            super().__init__()
            wide = inputs * stage.expansion
            layers = [convolve(inputs, wide, 1)] if stage.expansion != 1 else []
            layers += [
                convolve(wide, wide, stage.kernel_size, stride, groups=wide),
                convolve(wide, stage.filters, 1, activate=False),
            ]
            self.layers = nn.Sequential(*layers)
            self.shortcut = stride == 1 and inputs == stage.filters

        def forward(self, x):
            y = self.layers(x)
            return x + y if self.shortcut else y

    layers, channels = [convolve(3, STEM_FILTERS, 3, 2)], STEM_FILTERS
    for stage in STAGES:
        for repeat in range(stage.repeats):
            layers.append(Block(channels, stage, stage.strides if repeat == 0 else 1))
            channels = stage.filters
    return [*layers, convolve(channels, HEAD_FILTERS, 1)]


def torch_step(batch: int, size: int, layout: str) -> Callable[[], object]:
    """The same network, loss and optimizer in PyTorch."""
    import torch
    from torch import nn

    from kerasdl.models.efficientnet_lite import HEAD_FILTERS

    layers = [
        *torch_backbone(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(HEAD_FILTERS, CLASSES),
    ]
    memory_format = getattr(torch, LAYOUTS[layout])
    network = nn.Sequential(*layers).to(memory_format=memory_format).train()
    optimizer = torch.optim.SGD(network.parameters(), 1e-3, momentum=0.9)
    images, labels = _batch(batch, size)
    images = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    labels = torch.from_numpy(labels).long()
    device = torch.get_default_device()

    def step():
        x, y = images.to(device), labels.to(device)  # as the trainer, at every step
        x = (x.to(memory_format=memory_format).float() - 127) / 128
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def _batch(batch: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    images = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), np.uint8)
    return images, (np.arange(batch) % CLASSES).astype(np.int32)


def serve(name: str, batch: int, size: int, device: str) -> None:
    """A worker: for each line on standard input, times that many steps."""
    if name == "kerasdl":
        devices.use(device)
        step = tensorflow_step(batch, size)
    else:
        devices.use_torch(device)
        step = torch_step(batch, size, name)
    serve_steps(step, WARM_UP)


def time_finetuning(
    batch: int, size: int, rounds: int, steps: int, device: str
) -> dict[str, float]:
    """Pictures a second of each contender, the median of the rounds."""
    workers = {
        name: subprocess.Popen(
            [sys.executable, "-m", "benchmarks.transfer", f"--worker={name}"]
            + [f"--batch={batch}", f"--size={size}", f"--device={device}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for name in ("kerasdl", *LAYOUTS)
    }
    rates: dict[str, list[float]] = {name: [] for name in workers}
    try:
        for worker in workers.values():
            while worker.stdout.readline() != "ready\n":
                if worker.poll() is not None:
                    raise SystemExit("a worker ended before it was ready")
        for _ in range(rounds):
            for name, worker in workers.items():
                worker.stdin.write(f"{steps}\n")
                worker.stdin.flush()
                rates[name].append(batch * steps / float(worker.stdout.readline()))
    finally:
        for worker in workers.values():
            worker.kill()
            worker.wait()
    return {name: statistics.median(values) for name, values in rates.items()}


def time_frozen(root: str, config: str) -> dict[str, float]:
    """Seconds that the trainer says it took, with and without the feature cache."""
    seconds = {}
    for cached in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(
                [sys.executable, "-m", "kerasdl.trainers.transfer", f"--config={config}"]
                + [f"--config.data.root={root}", f"--workdir={folder}/run"]
                + [f"--config.data.cache={folder}/cache"]
                + [f"--config.cache_features={cached}"],
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            metrics = json.loads(Path(folder, "run", "metrics.json").read_text())
            seconds["cached" if cached else "uncached"] = metrics["seconds"]
    return seconds


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", default="finetune", help="finetune, frozen or both")
    parser.add_argument("--batches", default="4,16", help="minibatch sizes")
    parser.add_argument("--size", type=int, default=224, help="side of the pictures")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="a round")
    parser.add_argument("--root", default="", help="class folders, for frozen")
    parser.add_argument("--config", default="configs/transfer/hymenoptera_freeze.py")
    parser.add_argument("--device", choices=devices.DEVICES, default="cpu")
    parser.add_argument("--worker", default="", help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, default=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        serve(given.worker, given.batch, given.size, given.device)
        return
    if given.parts in ("finetune", "both"):
        print("| batch | kerasdl | torch contiguous | torch channels_last | ratio |")
        print("|---|---|---|---|---|")
        for batch in map(int, given.batches.split(",")):
            rates = time_finetuning(
                batch, given.size, given.rounds, given.steps, given.device
            )
            ratio = rates["kerasdl"] / max(rates[layout] for layout in LAYOUTS)
            cells = " | ".join(f"{rate:.1f}" for rate in rates.values())
            print(f"| {batch} | {cells} | {ratio:.2f} |", flush=True)
    if given.parts in ("frozen", "both"):
        seconds = time_frozen(given.root, given.config)
        print(
            f"frozen: {seconds['cached']} s with the cache (empty at the start), "
            f"{seconds['uncached']} s without: "
            f"{seconds['uncached'] / seconds['cached']:.1f} times"
        )


if __name__ == "__main__":
    main()
