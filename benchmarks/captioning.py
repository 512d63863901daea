"""Captioning beside the same model from keras.layers and from PyTorch.

    python -m benchmarks.captioning
    python -m benchmarks.captioning --tasks=train,greedy-64 --rounds=9

Each contender is a process of its own, which does the same work on the same number of
threads; they take turns, and the medians over the rounds are printed with the median of
the rounds' ratios, so that a busy moment of the machine hits all alike. The decoder is
the one of configs/captioning/flickr8k_lstm.py: h_0 from pooled features, embedding 256,
LSTM 512, dropout 0.5.

- `train`: captions a second of a training step, batches of 64 captions of 16 words.
- `greedy-1`, `greedy-64`, `beam-1`, `beam-64`: pictures a second from features to ids, 20
  words, by `generate` here and by a plain PyTorch loop there (beam of 3).
- `extract`: pictures a second through EfficientNet-Lite0 at 224 pixels, batches of 32.
- `tflite`: milliseconds for a picture on the device's runtime, one thread, from pixels to
  ids; there is nothing to compare it with.

PyTorch is needed, which kerasdl itself does not need.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from benchmarks.turns import serve_steps

VOCABULARY, FEATURES, EMBEDDING, UNITS = 2000, 1280, 256, 512
BATCH, WORDS, LENGTH, WIDTH = 64, 16, 20, 3
DROPOUT, RATE, CLIP = 0.5, 1e-3, 5.0
START, END = 1, 2
WARM_UP = 3
TASKS = {
    "train": (("kerasdl", "keras.layers", "torch"), BATCH),
    "greedy-1": (("kerasdl", "torch"), 1),
    "greedy-64": (("kerasdl", "torch"), 64),
    "beam-1": (("kerasdl", "torch"), 1),
    "beam-64": (("kerasdl", "torch"), 64),
    "extract": (("kerasdl", "torch"), 32),
}
Step = Callable[[], object]


def batch_of_captions() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, inputs and targets."""
    draw = np.random.default_rng(0)
    words = draw.integers(4, VOCABULARY, (BATCH, WORDS + 1)).astype(np.int32)
    return features(BATCH), words[:, :-1], words[:, 1:]


def features(count: int) -> np.ndarray:
    """Of pictures, float32 (count, F)."""
    return np.random.default_rng(1).normal(size=(count, FEATURES)).astype(np.float32)


def pictures(count: int) -> np.ndarray:
    """Of noise, float32 (count, 224, 224, 3)."""
    draw = np.random.default_rng(2)
    return draw.integers(0, 256, (count, 224, 224, 3)).astype(np.float32)


def kerasdl_decoder():
    """The decoder of the configs."""
    from kerasdl.models.caption_decoder import CaptionDecoder

    sizes = {"embedding_dim": EMBEDDING, "units": UNITS}
    return CaptionDecoder(VOCABULARY, FEATURES, dropout=DROPOUT, **sizes)


def train_with_kerasdl() -> Step:
    """The step of the captioning job."""
    from kerasdl.training.caption_losses import make_caption_loss

    decoder = kerasdl_decoder()
    return _keras_step(decoder, make_caption_loss(decoder))


def train_with_keras_layers() -> Step:
    """The same model of stock layers, in the same step."""
    import keras
    import tensorflow as tf

    z, words = keras.Input((FEATURES,)), keras.Input((None,), dtype="int32")
    h_0 = keras.layers.Dense(UNITS)(z)
    x = keras.layers.Embedding(VOCABULARY, EMBEDDING)(words)
    x = keras.layers.Dropout(DROPOUT)(x)
    recurrent = keras.layers.LSTM(UNITS, return_sequences=True)
    h = recurrent(x, initial_state=[h_0, keras.ops.zeros_like(h_0)])
    h = keras.layers.Dropout(DROPOUT)(h)
    model = keras.Model([z, words], keras.layers.Dense(VOCABULARY)(h))

    def loss(z, words, targets):
        logits = model([z, words], training=True)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
        return tf.reduce_mean(tf.reduce_sum(losses, axis=1))

    return _keras_step(model, loss)


def _keras_step(model, loss) -> Step:
    import keras
    import tensorflow as tf

    from kerasdl.training.steps import make_train_step

    optimizer = keras.optimizers.Adam(RATE, global_clipnorm=CLIP)
    optimizer.build(model.trainable_variables)
    kinds = ((FEATURES, tf.float32), (None, tf.int32), (None, tf.int32))
    signature = [tf.TensorSpec((None, size), kind) for size, kind in kinds]
    step = make_train_step(model, optimizer, loss, signature)
    batch = tuple(map(tf.constant, batch_of_captions()))
    return lambda: float(step(batch)["loss"])


def torch_decoder():
    """The same model in PyTorch, with a step of its decoding."""
    import torch
    from torch import nn

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.projection = nn.Linear(FEATURES, UNITS)
            self.embedding = nn.Embedding(VOCABULARY, EMBEDDING)
            self.recurrent = nn.LSTM(EMBEDDING, UNITS, batch_first=True)
            self.vocabulary = nn.Linear(UNITS, VOCABULARY)
            self.dropout = nn.Dropout(DROPOUT)

        def start(self, z):
            h_0 = self.projection(z)[None]
            return h_0, torch.zeros_like(h_0)

        def forward(self, words, state):
            h, state = self.recurrent(self.dropout(self.embedding(words)), state)
            return self.vocabulary(self.dropout(h)), state

    torch.manual_seed(0)
    return Decoder()


def train_with_torch() -> Step:
    """The same step in PyTorch."""
    import torch

    decoder = torch_decoder().train()
    optimizer = torch.optim.Adam(decoder.parameters(), RATE)
    z, words, targets = map(torch.from_numpy, batch_of_captions())
    targets = targets.long()

    def step():
        optimizer.zero_grad()
        logits, _ = decoder(words, decoder.start(z))
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), reduction="sum"
        )
        (loss / BATCH).backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), CLIP)
        optimizer.step()
        return loss.item()

    return step


def decode_with_kerasdl(count: int, beam: int) -> Step:
    """`generate`, compiled as the captioner compiles it."""
    import tensorflow as tf

    decoder, z = kerasdl_decoder(), tf.constant(features(count))
    decode = tf.function(lambda z: decoder.generate(z, LENGTH, beam_size=beam)[0])
    return lambda: decode(z).numpy()


def decode_with_torch(count: int, beam: int) -> Step:
    """The loop that one writes first: a step for each word, all hypotheses at once."""
    import torch

    decoder, z = torch_decoder().eval(), torch.from_numpy(features(count))

    @torch.inference_mode()
    def greedy():
        state, word = decoder.start(z), torch.full((count, 1), START)
        ended, said = torch.zeros(count, dtype=torch.bool), []
        for _ in range(LENGTH):
            logits, state = decoder(word, state)
            word = logits[:, -1].argmax(-1, keepdim=True)
            said.append(word.masked_fill(ended[:, None], 0))
            ended |= word[:, 0] == END
            if ended.all():
                break
        return torch.cat(said, 1).numpy()

    @torch.inference_mode()
    def search():
        state = tuple(s.repeat_interleave(beam, 1) for s in decoder.start(z))
        word, said = torch.full((count * beam, 1), START), None
        score = torch.full((count, beam), -1e9)
        score[:, 0] = 0.0
        ended = torch.zeros(count, beam, dtype=torch.bool)
        first = torch.arange(count)[:, None] * beam
        for _ in range(LENGTH):
            logits, state = decoder(word, state)
            log_p = logits[:, -1].log_softmax(-1).view(count, beam, -1)
            log_p[ended] = -1e9
            log_p[..., 0][ended] = 0.0
            total = (score[..., None] + log_p).view(count, -1)
            score, best = total.topk(beam)
            rows = (first + best // VOCABULARY).flatten()
            word = (best % VOCABULARY).view(-1, 1)
            state = tuple(s[:, rows] for s in state)
            said = word if said is None else torch.cat([said[rows], word], 1)
            ended = ended.flatten()[rows] | (word[:, 0] == END)
            ended = ended.view(count, beam)
            if ended.all():
                break
        return said[first[:, 0]].numpy()

    return greedy if beam == 1 else search


def extract_with_kerasdl() -> Step:
    """The backbone as the extractor of features calls it."""
    import tensorflow as tf

    from kerasdl.models.backbones import build_backbone

    backbone = build_backbone("efficientnet_lite0", size=224, output="grid")
    images = tf.constant(pictures(32))
    network = tf.function(lambda x: backbone(x, training=False))
    return lambda: network(images).numpy()


def extract_with_torch() -> Step:
    """The same network in PyTorch, at the layout that is faster for it."""
    import torch

    from benchmarks.transfer import torch_backbone

    network = torch.nn.Sequential(*torch_backbone()).eval()
    network = network.to(memory_format=torch.channels_last)
    images = torch.from_numpy(pictures(32).transpose(0, 3, 1, 2).copy())
    images = images.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def extract():
        return network((images - 127) / 128).numpy()

    return extract


def worker(task: str, contender: str) -> Step:
    """What a contender repeats."""
    if task == "train":
        return {
            "kerasdl": train_with_kerasdl,
            "keras.layers": train_with_keras_layers,
            "torch": train_with_torch,
        }[contender]()
    ours = contender == "kerasdl"
    if task == "extract":
        return extract_with_kerasdl() if ours else extract_with_torch()
    way, _, count = task.partition("-")
    decode = decode_with_kerasdl if ours else decode_with_torch
    return decode(int(count), 1 if way == "greedy" else WIDTH)


def serve(task: str, contender: str) -> None:
    """A worker: for each line on standard input, the seconds of that many steps."""
    step = worker(task, contender)
    serve_steps(step, WARM_UP)


def take_turns(task: str, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Items a second of each contender in each round, of about `seconds` each."""
    names, items = TASKS[task]
    workers = {
        name: subprocess.Popen(
            [sys.executable, "-m", "benchmarks.captioning"]
            + [f"--worker={name}", f"--tasks={task}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for name in names
    }

    def ask(name: str, steps: int) -> float:
        workers[name].stdin.write(f"{steps}\n")
        workers[name].stdin.flush()
        return float(workers[name].stdout.readline())

    try:
        for name, process in workers.items():
            while process.stdout.readline() != "ready\n":
                if process.poll() is not None:
                    raise SystemExit(f"{task}: {name} ended before it was ready")
        steps = {name: max(round(seconds / ask(name, 1)), 1) for name in names}
        rates: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(rounds):
            for name in names:
                rates[name].append(items * steps[name] / ask(name, steps[name]))
        return rates
    finally:
        for process in workers.values():
            process.kill()
            process.wait()


def time_tflite(rounds: int) -> float:
    """Milliseconds for a picture of the whole captioner by the device's runtime."""
    from ai_edge_litert.interpreter import Interpreter

    import kerasdl
    from kerasdl.models.backbones import build_backbone
    from kerasdl.models.captioner import ImageCaptioner

    backbone = build_backbone("efficientnet_lite0", size=224, output="pooled")
    words = ["<NULL>", "<START>", "<END>", "<UNK>", *map(str, range(VOCABULARY - 4))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "captioner.tflite"
        model = ImageCaptioner(backbone, kerasdl_decoder())
        kerasdl.export.tflite(model, path, vocabulary=words, examples=1)
        run = Interpreter(str(path), num_threads=1).get_signature_runner()
        times = []
        for _ in range(rounds + 1):
            started = time.perf_counter()
            run(image=pictures(1))
            times.append(time.perf_counter() - started)
    return 1e3 * statistics.median(times[1:])


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", default=",".join((*TASKS, "tflite")))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a round")
    parser.add_argument("--worker", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        serve(given.tasks, given.worker)
        return
    print("| task | kerasdl | keras.layers | torch | × keras.layers | × torch |")
    print("|---|---|---|---|---|---|")
    for task in given.tasks.split(","):
        if task == "tflite":
            print(f"| tflite | {time_tflite(given.rounds):.1f} ms | | | | |", flush=True)
            continue
        rates = take_turns(task, given.rounds, given.seconds)
        cells, ratios = [], []
        for name in ("kerasdl", "keras.layers", "torch"):
            times = rates.get(name)
            cells.append(f"{statistics.median(times):.1f}" if times else "")
            if name != "kerasdl":
                pairs = zip(rates["kerasdl"], times or [], strict=False)
                ratio = [ours / theirs for ours, theirs in pairs]
                ratios.append(f"{statistics.median(ratio):.2f}" if ratio else "")
        print(f"| {task} | {' | '.join(cells + ratios)} |", flush=True)


if __name__ == "__main__":
    main()
