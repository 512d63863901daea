"""The options of the server and their defaults, which are the flags of the command."""

import dataclasses


def _option(default: str | int, meaning: str, least: int = 1) -> str | int:
    metadata = {"help": meaning, "least": least}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Options:
    """How a model is served, and what one request, or all together, may ask."""

    model: str = _option("", "A SavedModel's folder, or a folder of its versions.")
    name: str = _option("", "What requests call the model; its folder's name, if empty.")
    host: str = _option(
        "127.0.0.1", "127.0.0.1 listens to this machine alone, 0.0.0.0 or :: to all."
    )
    port: int = _option(8501, "Where to listen, from 1024 to 65535.")
    versions: int = _option(2, "How many of the newest versions are served; 0: all.", 0)
    reload_seconds: int = _option(2, "Seconds between two looks for new versions.")
    max_body_mib: int = _option(16, "MiB of a request's body.")
    max_megapixels: int = _option(25, "Megapixels of a picture.")
    max_batch: int = _option(64, "Rows of a request, and rows that run at once.")
    max_waiting: int = _option(
        128, "Requests that wait for an answer; more are told to come again."
    )
    timeout: int = _option(60, "Seconds to read a request in, and to answer it in.")
