"""A drawn town in drawn strokes: the built-in pictures, no network, no data to fetch.

    python -m kerasdl.trainers.style_transfer --workdir=runs/style

Under a minute on 2 cores. Every field of a style config is declared here, with the value
that `kerasdl.style.StyleOptions` and `kerasdl.style.NetworkOptions` give it; the other
files change some.
"""

import dataclasses

from ml_collections import ConfigDict

from kerasdl.style.options import NetworkOptions, StyleOptions


def get_config() -> ConfigDict:
    """All fields, with the values of the built-in experiment."""
    config = ConfigDict()
    config.method = "picture"  # optimises one picture; "network" trains one for a style
    config.content = ""  # a picture; "" draws one
    config.styles = ""  # pictures, comma-separated; "" draws one
    config.every = 10  # iterations between two rows of metrics.jsonl
    config.format = "png"  # of the result; or "jpeg", "webp"
    # Pixel sizes, weights, layers, optimiser, ...: StyleOptions says what each field is.
    config.update(dataclasses.asdict(StyleOptions()))

    config.data = ConfigDict()
    config.data.root = ""  # "network": a folder of pictures to train on; "": drawn ones
    config.data.test = ""  # "network": a folder of pictures to score and show besides
    # What a feed-forward network is and how it is trained: NetworkOptions says.
    config.network = ConfigDict(dataclasses.asdict(NetworkOptions()))
    return config
