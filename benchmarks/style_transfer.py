"""Style transfer beside PyTorch: the same objective, weights and optimiser.

    python -m benchmarks.style_transfer --weights=SQUEEZENET_H5 --pictures=FOLDER

Prints seconds an Adam iteration and peak memory at several sizes, kerasdl and PyTorch by
turns in processes of their own (PyTorch in both memory layouts); the losses that both
start from and come to, which must agree; and the seconds until the loss that the recipe
reaches after its 200 iterations, by the recipe and by other optimisers. FOLDER holds the
pictures that the recipes name. Run it on a machine that does nothing else: `pip install
torch` beforehand.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from benchmarks import devices
from benchmarks.memory import peak_memory

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

RECIPE = "the_scream"
PEERS = ("kerasdl", "torch", "torch_channels_last")
# Iterations timed at a size, after as many that warm up.
TIMED = {192: 30, 512: 8, 1024: 4, 2048: 4}
# Shorter sides of the pictures, in pixels.
SIZES = {"cpu": "192,512,1024", "gpu": "512,1024,2048"}
ROUNDS = 3
# The mean loss of these first iterations is compared; Adam at rate 3.0 is chaotic later.
COMPARED = 3
DIFFERENCE_ALLOWED = 0.02


def main() -> None:
    """Runs the benchmark, or one measurement of it in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weights", required=True)
    parser.add_argument("--pictures", required=True)
    parser.add_argument("--sizes", help=f"empty: none; by default {SIZES}")
    parser.add_argument("--device", choices=devices.DEVICES, default="cpu")
    parser.add_argument("--no-time-to-loss", action="store_true")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--peer", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.sizes = SIZES[given.device] if given.sizes is None else given.sizes
    if given.peer == "kerasdl":
        devices.use(given.device)
        print(json.dumps(kerasdl_iterations(given, int(given.sizes))))
        return
    if given.peer:
        devices.use_torch(given.device)
        channels_last = given.peer == "torch_channels_last"
        print(json.dumps(torch_iterations(given.task, channels_last)))
        return
    for size in filter(None, given.sizes.split(",")):
        compare(given, int(size))
    if not given.no_time_to_loss:
        devices.use(given.device)
        time_to_loss(given)


def compare(given: argparse.Namespace, size: int) -> None:
    """Prints a row a peer: the median over rounds that take turns."""
    runs = {peer: [] for peer in PEERS}
    with tempfile.TemporaryDirectory() as folder:
        task = f"{folder}/task.npz"
        write_task(given, size, task)
        for _ in range(given.rounds):
            for peer in PEERS:
                runs[peer].append(_in_process(given, peer, size, task))
    best = min(
        statistics.median(run["seconds"] for run in runs[peer]) for peer in PEERS[1:]
    )
    print(f"\n{size} pixels (shorter side)")
    for peer, rows in runs.items():
        seconds = statistics.median(row["seconds"] for row in rows)
        peak = statistics.median(row["peak"] for row in rows)
        grown = statistics.median(row["grown"] for row in rows)
        spread = " ".join(f"{1e3 * row['seconds']:.1f}" for row in rows)
        print(
            f"{peer:20} {1e3 * seconds:8.1f} ms an iteration ({spread}), "
            f"{seconds / best:.2f} x PyTorch's faster; peak memory {peak:.0f} MiB, "
            f"{grown:.0f} above the imports"
        )
    losses = [statistics.fmean(runs[peer][0]["losses"]) for peer in PEERS]
    difference = max(losses) / min(losses) - 1
    print(f"mean loss of {COMPARED} iterations differs by {difference:.2%}")
    if difference > DIFFERENCE_ALLOWED:
        sys.exit(f"error: the peers compute different losses: {losses}")


def _in_process(given: argparse.Namespace, peer: str, size: int, task: str) -> dict:
    command = [sys.executable, "-m", "benchmarks.style_transfer"]
    command += [f"--peer={peer}", f"--sizes={size}"]
    command += [f"--task={task}", f"--device={given.device}"]
    command += [f"--weights={given.weights}", f"--pictures={given.pictures}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: {peer} at {size} pixels:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def recipe_options(given: argparse.Namespace, **more):
    """The recipe's config as `StyleOptions`, its content and its style picture."""
    import importlib

    from kerasdl.training.style import style_options

    config = importlib.import_module(f"kerasdl.configs.style.{RECIPE}").get_config()
    config.weights = given.weights
    config.update(more)
    pictures = Path(given.pictures)
    return style_options(config), pictures / config.content, pictures / config.styles


def write_task(given: argparse.Namespace, size: int, path: str) -> None:
    """Pictures, weights and options for PyTorch, whose process loads nothing of ours."""
    from kerasdl.models.squeezenet import read_weights
    from kerasdl.style.options import named_numbers, numbers
    from kerasdl.style.pictures import fit_shorter_side, read_srgb

    options, content, style = recipe_options(given)
    arrays = {
        "content": fit_shorter_side(read_srgb(content), size),
        "style": fit_shorter_side(read_srgb(style), size),
    }
    for layer, (kernel, bias) in read_weights(given.weights).items():
        arrays[f"{layer}/kernel"], arrays[f"{layer}/bias"] = kernel, bias
    fields = {
        "style_layers": options.style_layers.split(","),
        "layer_weights": numbers("layer_weights", options.layer_weights),
        "divisors": named_numbers("feature_divisors", options.feature_divisors),
        "content_weight": options.content_weight,
        "tv_weight": options.tv_weight,
        "learning_rate": options.learning_rate,
        "clamp": options.clamp,
        "timed": TIMED[size],
    }
    np.savez(path, **arrays, options=json.dumps(fields))


def timed(step, count: int) -> tuple[float, list[float]]:
    """Median seconds of `count` steps after as many, and the first losses."""
    losses = [step() for _ in range(count)][:COMPARED]
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds), losses


def kerasdl_iterations(given: argparse.Namespace, size: int) -> dict:
    """Seconds, losses and memory of the step that `stylize` takes."""
    import tensorflow as tf  # before memory is read

    from kerasdl.style.descent import AdamDescent, StyleState
    from kerasdl.style.features import to_normalised
    from kerasdl.style.objective import StyleNetwork, StyleObjective
    from kerasdl.style.pictures import fit_shorter_side, read_srgb

    imported = peak_memory()
    options, content, style = recipe_options(given, image_size=size, style_size=size)
    content, style = (
        to_normalised(tf.constant(fit_shorter_side(read_srgb(p), size)[None], tf.float32))
        for p in (content, style)
    )
    objective = StyleObjective(StyleNetwork(options), options, content, [style], content)
    moments = np.zeros((2, *content.shape), np.float32)
    count = 2 * TIMED[size]
    descent = AdamDescent(
        objective, options, StyleState(0, 0, content.numpy(), moments, 0.0), count
    )
    seconds, losses, last = [], [], time.perf_counter()

    def observe(number, values):
        nonlocal last
        total = float(values[0])
        now = time.perf_counter()
        (losses if number < COMPARED else []).append(total)
        (seconds if number >= TIMED[size] else []).append(now - last)
        last = now
        return False

    descent.run(observe)
    peak = peak_memory()
    return {
        "seconds": statistics.median(seconds),
        "losses": losses,
        "peak": peak,
        "grown": peak - imported,
    }


def torch_iterations(task: str, channels_last: bool) -> dict:
    """The same of a PyTorch implementation of the same recipe."""
    import torch

    imported = peak_memory()
    with np.load(task) as stored:
        arrays = {name: stored[name] for name in stored.files}
    options = SimpleNamespace(**json.loads(str(arrays.pop("options"))))
    objective = TorchObjective(options, arrays, channels_last)
    content, style = (objective.picture(arrays[name]) for name in ("content", "style"))
    objective.aim(content, style)
    image = content.clone().requires_grad_(True)
    adam = torch.optim.Adam([image], lr=options.learning_rate)

    def step() -> float:
        with torch.no_grad():
            image.clamp_(-options.clamp, options.clamp)
        adam.zero_grad()
        loss = objective.loss(image)
        loss.backward()
        adam.step()
        return float(loss)

    seconds, losses = timed(step, options.timed)
    peak = peak_memory()
    return {"seconds": seconds, "losses": losses, "peak": peak, "grown": peak - imported}


class TorchObjective:
    """The recipe's losses in PyTorch, on the weights in Keras's file."""

    def __init__(self, options, arrays: dict, channels_last: bool) -> None:
        import torch

        self.torch, self.options = torch, options
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.layers = {}
        for name in [key[: -len("/kernel")] for key in arrays if key.endswith("/kernel")]:
            kernel = arrays[f"{name}/kernel"].transpose(3, 2, 0, 1).copy()
            self.layers[name] = (
                torch.tensor(kernel).to(memory_format=self.format),
                torch.tensor(arrays[f"{name}/bias"]),
            )
        self.mean = torch.tensor((0.485, 0.456, 0.406)).reshape(1, 3, 1, 1)
        self.std = torch.tensor((0.229, 0.224, 0.225)).reshape(1, 3, 1, 1)
        self.caffe_mean = torch.tensor((123.68, 116.779, 103.939)).reshape(1, 3, 1, 1)

    def picture(self, pixels: np.ndarray):
        """uint8 (H, W, 3) as (1, 3, H, W), normalised units."""
        image = self.torch.tensor(pixels).permute(2, 0, 1)[None].float() / 255
        return ((image - self.mean) / self.std).contiguous(memory_format=self.format)

    def _convolve(self, x, name: str, stride: int = 1, padding: int = 0):
        kernel, bias = self.layers[name]
        functional = self.torch.nn.functional
        y = functional.conv2d(x, kernel, bias, stride=stride, padding=padding)
        return functional.relu(y, inplace=True)

    def _fire(self, x, name: str):
        squeezed = self._convolve(x, f"{name}_squeeze1x1")
        return self.torch.cat(
            [
                self._convolve(squeezed, f"{name}_expand1x1"),
                self._convolve(squeezed, f"{name}_expand3x3", padding=1),
            ],
            1,
        )

    def features(self, image) -> dict:
        """Layer -> (1, C, H, W), up to fire5, divided as the recipe says."""
        pool = self.torch.nn.functional.max_pool2d
        x = ((image * self.std + self.mean) * 255 - self.caffe_mean).flip(1)
        found = {"conv1_relu": self._convolve(x, "conv1", 2)}
        found["fire2"] = self._fire(pool(found["conv1_relu"], 3, 2), "fire2")
        found["fire3"] = self._fire(found["fire2"], "fire3")
        found["fire4"] = self._fire(pool(found["fire3"], 3, 2), "fire4")
        found["fire5"] = self._fire(found["fire4"], "fire5")
        return {
            name: x / self.options.divisors.get(name, 1.0) for name, x in found.items()
        }

    @staticmethod
    def gram(features):
        """(C, C), divided by C·H·W, of (1, C, H, W)."""
        _, channels, height, width = features.shape
        flat = features.reshape(channels, height * width)
        return flat @ flat.T / flat.numel()

    def aim(self, content, style) -> None:
        """Computes the targets, once."""
        with self.torch.no_grad():
            self.content = self.features(content)["fire2"]
            found = self.features(style)
            self.grams = [self.gram(found[n]) for n in self.options.style_layers]

    def loss(self, image):
        """The weighted total."""
        found = self.features(image)
        loss = self.options.content_weight * ((found["fire2"] - self.content) ** 2).sum()
        for name, target, weight in zip(
            self.options.style_layers,
            self.grams,
            self.options.layer_weights,
            strict=True,
        ):
            loss = loss + weight * ((self.gram(found[name]) - target) ** 2).sum()
        down = ((image[:, :, 1:] - image[:, :, :-1]) ** 2).sum()
        right = ((image[:, :, :, 1:] - image[:, :, :, :-1]) ** 2).sum()
        return loss + self.options.tv_weight * (down + right)


def time_to_loss(given: argparse.Namespace) -> None:
    """Prints how soon other optimisers reach the recipe's own final loss."""
    from kerasdl.style import stylize

    options, content, style = recipe_options(given)
    trace = stylize(content, style, options=options, every=50).trace
    target, seconds = trace[-1]["loss/total"], trace[-1]["seconds"]
    print(f"\n{RECIPE}: 200 iterations, {seconds:.1f} s, loss {target:.0f}")
    for label, changes in {
        "L-BFGS": {"optimizer": "lbfgs"},
        "Adam at 0.1": {"learning_rate": 0.1, "decay_at": 0},
        "two scales, Adam at 0.1": {
            "scales": 2,
            "coarse_iterations": 30,
            "learning_rate": 0.1,
            "decay_at": 0,
        },
    }.items():
        rows = []
        last = changes.get("scales", 1) - 1
        offset = last * changes.get("coarse_iterations", 0)
        stylize(
            content,
            style,
            options=options,
            every=1,
            callback=lambda step, rows=rows: rows.append(step.row),
            should_stop=lambda rows=rows, offset=offset: (
                bool(rows)
                and rows[-1]["iteration"] >= offset
                and rows[-1]["loss/total"] <= target
            ),
            clamp=0.0,
            clamp_until=0,
            stretch=False,
            **changes,
        )
        end = rows[-1]
        reached = end["loss/total"] <= target
        print(
            f"{label:26} {end['seconds']:6.1f} s, {end['seconds'] / seconds:.2f} x, "
            f"{end['iteration']} iterations" + ("" if reached else ", not reached")
        )


if __name__ == "__main__":
    main()
