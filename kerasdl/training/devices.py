"""Devices, before TensorFlow first uses them."""

import contextlib

import tensorflow as tf


def prepare_devices() -> None:
    """Lets GPU memory grow as it is needed instead of taking all of it at once."""
    for device in tf.config.list_physical_devices("GPU"):
        # A process that has used the GPU already keeps what it has.
        with contextlib.suppress(RuntimeError):
            tf.config.experimental.set_memory_growth(device, True)
