"""Which device a benchmark runs on: the same for both frameworks."""

import sys

DEVICES = ("cpu", "gpu")


def use(device: str) -> None:
    """Has TensorFlow, and PyTorch if it is imported, compute on `device` from now on.

    Raises:
        SystemExit: There is no GPU for one of them.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
    elif not gpus:
        sys.exit("error: --device=gpu: TensorFlow finds no GPU on this machine.")
    for gpu in gpus if device == "gpu" else ():
        tf.config.experimental.set_memory_growth(gpu, True)
    if "torch" in sys.modules:
        use_torch(device)


def use_torch(device: str) -> None:
    """Has PyTorch compute on `device` from now on.

    Raises:
        SystemExit: There is no GPU for it.
    """
    import torch

    if device == "gpu" and not torch.cuda.is_available():
        sys.exit("error: --device=gpu: PyTorch finds no GPU on this machine.")
    torch.set_default_device("cuda" if device == "gpu" else "cpu")
