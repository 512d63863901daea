"""Videos, frame after frame: each starts from the one before and is held to it.

Ruder, Dosovitskiy and Brox, 2016, Artistic Style Transfer for Videos
(https://arxiv.org/abs/1604.08610), sections 4.1 to 4.3: with ω the previous result moved
along the optical flow, and c 1 where the flow can be trusted and 0 elsewhere, a frame
starts from ω (from its own content where c is 0) and the loss has the term
w_t Σ c (x − ω)². Differences: the flow is by dense inverse search (Kroeger et al., 2016),
which OpenCV has; there is no long-term term and no second pass.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from kerasdl.errors import InputError
from kerasdl.style.features import to_normalised
from kerasdl.style.inputs import Picture, Pictures
from kerasdl.style.options import StyleOptions, VideoOptions
from kerasdl.style.pictures import fit_shorter_side, grey
from kerasdl.style.transfer import PictureRun

NEEDED = "pip install 'kerasdl[video]'"
# Files whose frames are read one by one.
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif")
USUAL_FPS = 25.0


class Frame(NamedTuple):
    """A frame of the result.

    Attributes:
        image: uint8 (H, W, 3).
        losses: Of the finished frame, by term.
        flicker: How far it is from the one before, moved along the flow: the mean
            difference where the flow can be trusted, in grey levels; None for the first.
        trusted: The share of the pixels where it can; None for the first.
    """

    image: np.ndarray
    losses: dict[str, float]
    flicker: float | None
    trusted: float | None


def stylize_frames(
    frames: Iterable[np.ndarray],
    styles: Sequence[Picture],
    options: StyleOptions,
    video: VideoOptions,
    previous: tuple[np.ndarray, np.ndarray] | None = None,
) -> Iterator[Frame]:
    """Repaints frames in the manner of `styles`.

    Args:
        frames: uint8 (H, W, 3) each, all of one size.
        styles: As `stylize`.
        options: Of the first frame, and of the others but for iterations and scales.
        video: The iterations of the others.
        previous: To go on: the frame before the first of `frames`, and its result.

    Yields:
        The results in order.

    Raises:
        InputError: An option does not go with videos, frames differ in size, or as
            `stylize`.
    """
    check_options(options)
    later = dataclasses.replace(
        options, scales=1, coarse_iterations=0, iterations=video.iterations
    )
    before, painted = previous if previous is not None else (None, None)
    for number, frame in enumerate(frames):
        if before is None:
            pictures = Pictures(frame, list(styles), [], options)
            result = PictureRun(pictures, options, options.total_iterations).run(None)
            painted = result.image
            yield Frame(painted, _losses(result), None, None)
        else:
            if frame.shape != before.shape:
                raise InputError(
                    f"frames must have one size, got {frame.shape[1]} x {frame.shape[0]} "
                    f"after {before.shape[1]} x {before.shape[0]} at number {number}."
                )
            pictures = Pictures(frame, list(styles), [], later)
            here, there = (
                fit_shorter_side(each, options.image_size) for each in (frame, before)
            )
            backward = optical_flow(here, there)
            trust = trusted(backward, optical_flow(there, here))[..., np.newaxis]
            moved = along(painted, backward)
            start = moved * trust + here * (1 - trust)
            wanted = start, moved
            if options.keep_colours:
                wanted = (grey(np.uint8(np.rint(x))) for x in wanted)
            pictures.warm, target = (
                to_normalised(tf.constant(x[np.newaxis], tf.float32)) for x in wanted
            )
            pictures.anchor = target, tf.constant(trust[np.newaxis])
            result = PictureRun(pictures, later, later.iterations).run(None)
            off = np.abs(moved - result.image).mean(-1)
            share = float(trust.mean())
            flicker = float((off * trust[..., 0]).sum() / max(trust.sum(), 1))
            painted = result.image
            yield Frame(painted, _losses(result), flicker, share)
        before = frame


def check_options(options: StyleOptions) -> None:
    """Refuses options that do not go with videos.

    Raises:
        InputError: Naming the option.
    """
    for name in ("stretch", "tile_size"):
        if getattr(options, name):
            raise InputError(
                f"`{name}` must be {type(getattr(options, name))()} for a video, got "
                f"{getattr(options, name)}."
            )


def _losses(result: Any) -> dict[str, float]:
    return {n: v for n, v in result.trace[-1].items() if n.startswith("loss/")}


def optical_flow(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Where each pixel of a frame is in another, float32 (H, W, 2): by how far (x, y).

    Args:
        one: uint8 (H, W, 3).
        other: Likewise.

    Raises:
        InputError: OpenCV is not installed.
    """
    cv2 = _imported("cv2")
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return flow.calc(*(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in (one, other)), None)


def along(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """A picture (H, W, C) read where the flow (H, W, 2) points, float32 (H, W, C).

    Bilinear; beyond the border the border's pixels.
    """
    height, width = flow.shape[:2]
    x = np.clip(np.arange(width) + flow[..., 0], 0, width - 1)
    y = np.clip(np.arange(height)[:, np.newaxis] + flow[..., 1], 0, height - 1)
    left, top = np.int64(x), np.int64(y)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    x, y = (x - left)[..., np.newaxis], (y - top)[..., np.newaxis]
    upper = picture[top, left] * (1 - x) + picture[top, right] * x
    lower = picture[bottom, left] * (1 - x) + picture[bottom, right] * x
    return (upper * (1 - y) + lower * y).astype(np.float32)


def trusted(backward: np.ndarray, forward: np.ndarray) -> np.ndarray:
    """Where the previous frame shows the same place, 1.0 or 0.0, (H, W).

    Equations 5 and 6 of Ruder et al.: 0 where the two flows contradict each other (what
    was hidden before), at the edges of what moves, and where the flow leaves the frame.

    Args:
        backward: Of each pixel into the previous frame, (H, W, 2).
        forward: Of each pixel of the previous frame into this one.
    """
    there = along(forward, backward)

    def squared(flow):
        return (flow**2).sum(-1)

    together = squared(there + backward)
    hidden = together > 0.01 * (squared(there) + squared(backward)) + 0.5
    slopes = sum(squared(np.gradient(backward, axis=axis)) for axis in (0, 1))
    edges = slopes > 0.01 * squared(backward) + 0.002
    height, width = backward.shape[:2]
    x = np.arange(width) + backward[..., 0]
    y = np.arange(height)[:, np.newaxis] + backward[..., 1]
    outside = (x < 0) | (x > width - 1) | (y < 0) | (y > height - 1)
    return (~(hidden | edges | outside)).astype(np.float32)


def is_video(path: str | Path) -> bool:
    """Whether a path names a file whose frames are read one by one, by its ending."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def read_video(path: Path) -> tuple[Iterator[np.ndarray], float]:
    """The frames of a file, uint8 (H, W, 3) each, and how many there are per second.

    Raises:
        InputError: imageio is not installed, or the file is no video that it can read.
    """
    imageio = _imported("imageio.v3")
    try:
        fps = float(imageio.immeta(path, plugin="FFMPEG").get("fps") or USUAL_FPS)
        frames = imageio.imiter(path, plugin="FFMPEG")
        first = next(frames)
    except (OSError, RuntimeError, StopIteration, ValueError, ImportError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"{path}: no video that can be read: {reason[-1]}.") from error

    def all_frames():
        yield first
        yield from frames

    return all_frames(), fps


def write_video(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
    """Writes frames, uint8 (H, W, 3) each, as H.264 in MP4.

    A last column or row is doubled where the side is odd, which the format has not.

    Raises:
        InputError: imageio is not installed.
    """
    imageio = _imported("imageio.v2")
    options = {"fps": fps, "quality": 9, "macro_block_size": 2, "format": "FFMPEG"}
    with imageio.get_writer(path, **options) as writer:
        for frame in frames:
            height, width = frame.shape[:2]
            even = ((0, height % 2), (0, width % 2), (0, 0))
            writer.append_data(np.pad(frame, even, mode="edge"))


def _imported(name: str) -> Any:
    try:
        return __import__(name, fromlist=["_"])
    except ImportError as error:
        raise InputError(
            f"a video needs {name.split('.')[0]}, which is not installed: {NEEDED}."
        ) from error
