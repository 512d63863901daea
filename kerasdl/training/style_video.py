"""Repainting a video: a folder of frames, or a file, into a folder and a file."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kerasdl.errors import InputError
from kerasdl.reports.curves import learning_curves, save_charts
from kerasdl.reports.page import WIDE, Grid, Outcome, Report, Section
from kerasdl.reports.samples import Sample, save_sample_grid
from kerasdl.style.examples import drawn_town
from kerasdl.style.options import VideoOptions
from kerasdl.style.pictures import fitted_size, read_srgb
from kerasdl.style.transfer import network_of
from kerasdl.style.video import (
    NEEDED,
    USUAL_FPS,
    check_options,
    is_video,
    optical_flow,
    read_video,
    stylize_frames,
    write_video,
)
from kerasdl.training.checkpoint import read_arrays, restore_latest, write_latest
from kerasdl.training.interrupts import Interrupted, SignalCatcher
from kerasdl.training.job import Job
from kerasdl.training.jobs import style_options
from kerasdl.training.progress import say
from kerasdl.training.style import (
    as_array,
    list_pictures,
    style_pictures,
    under_root,
    write_picture,
)
from kerasdl.training.workdir import MetricsLog, Workdir, atomic_path

# Results of the report, taken evenly.
SHOWN = 6
# The window moves over the drawn town by this share of its side per frame.
DRAWN_STEP = 1 / 48


class VideoJob(Job):
    """Repaints the frames of a video; see `kerasdl.style.video`.

    A result is written as PNG when it is finished, and the next frame starts from what
    that file holds: so a run that was stopped goes on to the same bits.
    """

    name = "style"

    def build(self) -> None:
        """Reads the styles and the first frame.

        Raises:
            InputError: A picture or the video cannot be read, an option does not go with
                videos, or OpenCV or imageio is not installed.
        """
        config = self.config
        self._video = VideoOptions(**config.video.to_dict())
        self._options = style_options(config)
        check_options(self._options)
        if config.masks:
            raise InputError(
                f"--config.masks must be empty for a video, got {config.masks!r}."
            )
        self._styles = [as_array(style) for style in style_pictures(config)]
        for style in self._styles:
            fitted_size(style, self._options.full_style_size, "--config.styles")
        self._fps = self._video.fps or USUAL_FPS
        first = next(self._frames())
        fitted_size(first, config.image_size, "--config.content")
        optical_flow(first, first)
        network_of(self._options)
        if self._video.write_file:
            import_writer()

    def _frames(self, start: int = 0) -> Iterator[np.ndarray]:
        """The frames from number `start` on, uint8 (H, W, 3)."""
        config = self.config
        if not config.content:
            frames = drawn_frames(config.image_size, config.seed, self._video.drawn)
        elif is_video(config.content):
            frames, fps = read_video(self._content_path())
            self._fps = self._video.fps or fps
        else:
            paths = list_pictures(str(self._content_path()), "content")
            frames = (read_srgb(path) for path in paths)
        return itertools.islice(frames, start, self._video.most_frames or None)

    def _content_path(self) -> Path:
        return under_root(self.config, self.config.content, Path.exists)

    def fit(self, workdir: Workdir, objective: None) -> Outcome:
        """Repaints the frames that are left.

        Raises:
            Interrupted: After Ctrl-C or SIGTERM, once the frame under way is finished.
            InputError: As `stylize_frames`.
        """
        self._folder = workdir / "frames"
        self._folder.mkdir(exist_ok=True)
        rows = restore_latest(workdir.checkpoints, self._restore) or []
        log = MetricsLog(workdir, key="frame")
        log.restore(rows)
        done = len(rows)
        if done:
            say(f"going on from frame {done}")
        frames, previous = self._frames(max(0, done - 1)), None
        if done:
            previous = next(frames), read_srgb(self._path(done - 1))
        started = time.monotonic()
        before = rows[-1]["seconds"] if rows else 0.0
        with SignalCatcher() as signals:
            for frame in stylize_frames(
                frames, self._styles, self._options, self._video, previous
            ):
                number = len(log.rows)
                write_picture(self._path(number), frame.image, "png")
                seconds = round(before + time.monotonic() - started, 3)
                row = {"frame": number, **frame.losses, "seconds": seconds}
                if frame.flicker is not None:
                    row |= {"flicker": frame.flicker, "trusted": frame.trusted}
                log.append(row)
                write_latest(workdir.checkpoints, {}, {"rows": log.rows})
                if signals.received:
                    raise Interrupted(
                        signals.received,
                        f"{number + 1} frames are in {self._folder}; the same command "
                        "goes on from there",
                    )
        count = len(log.rows)
        say(f"{count} frames: {self._folder}")
        if self._video.write_file:
            path = workdir / "result.mp4"
            with atomic_path(path) as temporary:
                pictures = (read_srgb(self._path(k)) for k in range(count))
                write_video(temporary, pictures, self._fps)
            say(f"result: {path}")
        return Outcome(
            workdir.root, workdir.config, log.rows, seconds=log.rows[-1]["seconds"]
        )

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:05d}.png"

    def _restore(self, path: Path) -> list[dict[str, float]]:
        _, progress = read_arrays(path)
        try:
            rows = progress["rows"]
            if [row["frame"] for row in rows] != list(range(len(rows))) or not rows:
                raise ValueError("its frames are not numbered from 0 on")
            float(rows[-1]["seconds"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: not a state of this run: {error}.") from error
        read_srgb(self._path(len(rows) - 1))
        return rows

    def metrics(self, outcome: Outcome) -> dict[str, Any]:
        """The means over the frames: of the loss, and of the flicker after the first."""
        later = [row for row in outcome.rows if "flicker" in row]
        figures = {
            "train/loss": float(np.mean([row["loss/total"] for row in outcome.rows])),
            "frames": len(outcome.rows),
        }
        for name in ("flicker", "trusted"):
            if later:
                figures[name] = float(np.mean([row[name] for row in later]))
        size = read_srgb(self._path(0)).size
        return {
            **figures,
            "seconds": round(outcome.seconds, 1),
            "seed": self.config.seed,
            "parameters": size,
        }

    def report(self, outcome: Outcome) -> Report:
        """Some of the frames, and losses and flicker along the video."""
        count = len(outcome.rows)
        chosen = sorted({k * (count - 1) // max(SHOWN - 1, 1) for k in range(SHOWN)})
        samples = [Sample(read_srgb(self._path(k)), f"frame {k}", ("",)) for k in chosen]
        save_sample_grid(samples, outcome.root / "samples.png")
        shown = {"loss": ["loss/total", "loss/content", "loss/style", "loss/temporal"]}
        if count > 1:
            shown["flicker, grey levels"] = ["flicker"]
        curves = learning_curves(outcome.rows, shown, key="frame")
        save_charts(curves, outcome.root / "loss.png")
        return Report(
            title="Style transfer of a video",
            summary=f"{count} frames against features of {self.config.backbone}.",
            sections=[
                Section("Frames", grids=[Grid(samples, WIDE)]),
                Section("Along the video", charts=curves),
            ],
        )


def import_writer() -> None:
    """Refuses to begin what could not be written.

    Raises:
        InputError: imageio or its ffmpeg is not installed.
    """
    try:
        import imageio.v2
        import imageio_ffmpeg

        imageio_ffmpeg.get_ffmpeg_exe()
        del imageio
    except (ImportError, RuntimeError) as error:
        raise InputError(f"--config.video.write_file: {error}; {NEEDED}.") from error


def drawn_frames(size: int, seed: int, count: int) -> Iterator[np.ndarray]:
    """A window that moves along a drawn town, uint8 (size, size, 3) each."""
    town = drawn_town(size, seed)
    step = max(1, round(size * DRAWN_STEP))
    for number in range(count):
        left = min(number * step, town.shape[1] - size)
        yield np.ascontiguousarray(town[:, left : left + size])
