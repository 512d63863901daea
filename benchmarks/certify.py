"""Certifies the recurrent layers that people use, and writes docs/certify.md's table.

    python -m benchmarks.certify --output=certificates.txt

Prints a row a layer: how many of the measured rows hold, and the largest relative error
of outputs, first and second derivatives over the cases; the full tables go to the file.
Files are converted with a dynamic batch and length where the layer allows it, and for
N = 4, T = 7 else. Needs PyTorch for its rows; without it they are left out.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tempfile
from pathlib import Path

import keras
import tensorflow as tf
from absl import app, flags

from kerasdl import layers
from kerasdl.certification import QUANTITIES, certify

_OUTPUT = flags.DEFINE_string("output", "certificates.txt", "The full tables.")

N, T, D, H = 4, 7, 5, 8
KINDS = {"SimpleRNN": "simple_rnn", "LSTM": "lstm", "GRU": "gru"}


def converted(layer, path, fixed):
    """Converts a layer to a file from x (N, T, D) to the sequence and last states."""
    layer.build((None, None, D))
    spec = tf.TensorSpec((N, T, D) if fixed else (None, None, D))
    run = tf.function(lambda x: tf.nest.flatten(layer(x)), input_signature=[spec])
    with layers.emissions_in_buffers():
        function = run.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    path.write_bytes(converter.convert())
    return path


def certificates():
    """Yields (title, certificate)."""
    for package, module in (("keras.layers", keras.layers), ("kerasdl.layers", layers)):
        for name in KINDS:
            layer = getattr(module, name)(H)
            yield f"`{package}.{name}`", certify(layer, show=False)
    try:
        import torch
    except ImportError:
        print("torch is not installed: its rows are left out")
    else:
        for name in ("RNN", "LSTM", "GRU"):
            module = getattr(torch.nn, name)(D, H)
            yield f"`torch.nn.{name}`", certify(module, show=False)
    with tempfile.TemporaryDirectory() as folder:
        for title, module, fixed in (
            ("`keras.layers.{}`, batch and length fixed", keras.layers, True),
            ("`kerasdl.layers.{}`", layers, False),
        ):
            for name, kind in KINDS.items():
                layer = getattr(module, name)(H, return_sequences=True, return_state=True)
                path = converted(layer, Path(folder) / "rnn.tflite", fixed)
                found = certify(path, kind, weights=layer.get_weights(), show=False)
                yield f"LiteRT file of {title.format(name)}", found


def row(title, certificate):
    """One line of the table."""
    measured = [r for r in certificate.rows if r.measured or r.raised]
    cells = [f"{len(measured) - len(certificate.failures)} of {len(measured)}"]
    for quantity in QUANTITIES:
        errors = [r.error for r in measured if r.quantity == quantity]
        cells.append(f"{max(errors):.1e}" if errors else "—")
    return f"| {title} | {' | '.join(cells)} |"


def main(_):
    """Runs the command."""
    print(f"| layer | rows that hold | {' | '.join(QUANTITIES)} |\n|---|---|---|---|---|")
    with open(_OUTPUT.value, "w", encoding="utf-8") as file:
        for title, certificate in certificates():
            print(row(title, certificate), flush=True)
            print(f"{certificate}\n", file=file)


if __name__ == "__main__":
    app.run(main)
