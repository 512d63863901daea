"""A drawn town in drawn strokes: the built-in pictures, no network, no data to fetch.

    python -m kerasdl.trainers.style_transfer --workdir=runs/style

Under a minute on 2 cores. Every field of a style config is declared here, with the value
that the options of `kerasdl.style` give it; the other files change some.
"""

import dataclasses

from ml_collections import ConfigDict

from kerasdl.style.options import NetworkOptions, StyleOptions, VideoOptions


def get_config() -> ConfigDict:
    """All fields, with the values of the built-in experiment."""
    config = ConfigDict()
    config.method = (
        "picture"  # optimises one; "network" trains one for styles; or "video"
    )
    config.content = ""  # a picture; of a video a folder or a file; "" draws one
    config.styles = ""  # pictures, comma-separated; "" draws one
    config.masks = ""  # a grey picture a style, comma-separated: white where it holds
    config.every = 10  # iterations between two rows of metrics.jsonl
    config.progress = 20  # iterations between two pictures of progress.jpg; 0 for none
    config.format = "png"  # of the result; or "jpeg", "webp"
    # Pixel sizes, weights, layers, optimiser, ...: StyleOptions says what each field is.
    config.update(dataclasses.asdict(StyleOptions()))

    config.data = ConfigDict()
    config.data.root = ""  # "network": a folder of pictures to train on; "": drawn ones
    config.data.test = ""  # "network": a folder of pictures to score and show besides
    # What a feed-forward network is and how it is trained: NetworkOptions says.
    config.network = ConfigDict(dataclasses.asdict(NetworkOptions()))
    # How a video's later frames are made: VideoOptions says.
    config.video = ConfigDict(dataclasses.asdict(VideoOptions()))
    return config
