"""The style job: its pictures, its options, an optimisation that can resume."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from kerasdl.data.pictures.files import find_pictures
from kerasdl.errors import InputError
from kerasdl.files import atomic_path
from kerasdl.reports.page import Outcome, Report
from kerasdl.reports.style import report_style
from kerasdl.style.descent import StyleState
from kerasdl.style.examples import drawn_strokes, drawn_town
from kerasdl.style.inputs import Picture
from kerasdl.style.pictures import (
    FORMATS,
    encode_picture,
    fitted_size,
    read_srgb,
    shares_of_masks,
)
from kerasdl.style.transfer import StyleStep, network_of, stylize
from kerasdl.training.checkpoint import read_arrays, restore_latest, write_latest
from kerasdl.training.config import split_list
from kerasdl.training.interrupts import Interrupted, SignalCatcher
from kerasdl.training.job import Job
from kerasdl.training.jobs import style_options
from kerasdl.training.progress import say, track
from kerasdl.training.workdir import MetricsLog, Workdir

# Seconds between two checkpoints.
CHECKPOINT_INTERVAL = 5.0
# The picture as it stands while a run goes on; JPEG, which is written fast.
PROGRESS = "progress.jpg"


def content_picture(config: ConfigDict) -> Picture:
    """The picture that `config.content` names, or a drawn one."""
    if not config.content:
        return drawn_town(config.image_size, config.seed)
    return under_root(config, config.content)


def style_pictures(config: ConfigDict) -> list[Picture]:
    """The pictures that `config.styles` names, or a drawn one.

    A name with a comma stands alone, or in double quotes among others.
    """
    if not config.styles:
        return [drawn_strokes(config.style_size, config.seed)]
    whole = under_root(config, config.styles)
    if whole.is_file():
        return [whole]
    return [under_root(config, name) for name in split_list(config.styles)]


def mask_pictures(config: ConfigDict) -> list[Picture]:
    """The masks that `config.masks` names; none if it is empty."""
    return [under_root(config, name) for name in split_list(config.masks)]


def under_root(
    config: ConfigDict, name: str, is_there: Callable[[Path], bool] = Path.is_file
) -> Path:
    """A picture's path: below `data.root` if it is there, else as it is."""
    below = Path(config.data.root) / name
    return below if config.data.root and is_there(below) else Path(name)


def as_array(picture: Picture) -> np.ndarray:
    """uint8 (H, W, 3), sRGB."""
    return picture if isinstance(picture, np.ndarray) else read_srgb(picture)


class PictureJob(Job):
    """Optimises one picture; see `kerasdl.style.stylize`."""

    name = "style"

    def build(self) -> None:
        """Reads the pictures."""
        config = self.config
        self._options = style_options(config)
        self._content = as_array(content_picture(config))
        self._styles = [as_array(picture) for picture in style_pictures(config)]
        sizes = [fitted_size(self._content, config.image_size, "--config.content")]
        for style in self._styles:
            wanted = self._options.full_style_size
            sizes.append(fitted_size(style, wanted, "--config.styles"))
        masks = mask_pictures(config)
        self._masks = [as_array(mask) for mask in masks]
        if masks:
            shares_of_masks(
                self._masks,
                [str(mask) for mask in masks],
                len(self._styles),
                self._content.shape[:2],
            )
        if Path(config.init).suffix:
            read_srgb(config.init)
        network = network_of(self._options)
        if self._options.tile_size:
            for size in sizes:
                network.tiles(size)

    def fit(self, workdir: Workdir, objective: None) -> Outcome:
        """Optimises what is left to optimise and writes the result.

        Raises:
            Interrupted: After Ctrl-C or SIGTERM, once checkpoint and picture are
                written.
            InputError: As `stylize`.
        """
        self._folder = workdir.checkpoints
        self._progress = workdir / PROGRESS
        restored = restore_latest(self._folder, self._restore)
        state, rows = restored or (None, [])
        done = 0
        if state is not None:
            done = self._iterations_before(state.scale) + state.iteration
            say(f"going on from iteration {done}")
        self._log = MetricsLog(workdir, key="iteration")
        self._log.restore([row for row in rows if row["iteration"] < done])
        self._saved = time.monotonic()
        total = self._options.total_iterations
        bar = track(range(done, total), total - done, "iterations")
        with SignalCatcher() as signals:

            def should_stop() -> bool:
                next(bar, None)
                return bool(signals.received)

            result = stylize(
                self._content,
                self._styles,
                masks=self._masks,
                options=self._options,
                every=self.config.every,
                callback=self._record,
                should_stop=should_stop,
                resume=state,
            )
        bar.close()
        self._save(result.state)
        path = workdir / f"result{FORMATS[self.config.format][0]}"
        write_picture(path, result.image, self.config.format)
        if not result.finished:
            raise Interrupted(
                signals.received,
                f"the picture so far is {path}; the same command goes on from there",
            )
        self._progress.unlink(missing_ok=True)
        say(f"result: {path}")
        self._result = result.image
        return Outcome(
            workdir.root, workdir.config, self._log.rows, seconds=result.state.seconds
        )

    def _iterations_before(self, scale: int) -> int:
        return sum(self._options.iterations_at(coarser) for coarser in range(scale))

    def _record(self, step: StyleStep) -> None:
        self._log.append(step.row)
        shown = self.config.progress
        if shown and step.iteration % shown < self.config.every:
            write_picture(self._progress, step.picture(), "jpeg")
        if time.monotonic() - self._saved >= CHECKPOINT_INTERVAL:
            self._save(step.state())
            self._saved = time.monotonic()

    def _save(self, state: StyleState) -> None:
        fields = state.fields
        arrays = {n: v for n, v in fields.items() if isinstance(v, np.ndarray)}
        fields = {n: v for n, v in fields.items() if n not in arrays}
        write_latest(self._folder, arrays, {**fields, "rows": self._log.rows})

    def _restore(self, path: Path) -> tuple[StyleState, list[dict[str, float]]]:
        arrays, progress = read_arrays(path)
        try:
            rows = progress.pop("rows")
            state = StyleState(**arrays, **progress)
            counts = (state.scale, state.iteration)
            shape = state.image.shape
            if not all(type(count) is int and count >= 0 for count in counts):
                raise ValueError(f"scale and iteration must count, got {counts}")
            if state.scale >= self._options.scales or state.iteration > (
                self._options.iterations_at(state.scale)
            ):
                raise ValueError(f"scale and iteration are beyond the end, got {counts}")
            if state.image.ndim != 4 or state.moments.shape != (2, *shape):
                raise ValueError(f"shapes {shape} and {state.moments.shape} do not fit")
            averaged = self._options.average_decay > 0
            if averaged != (state.average is not None) or (
                averaged and state.average.shape != shape
            ):
                raise ValueError("the mean of the iterates does not fit")
            if not state.seconds >= 0 or [
                row for row in rows if row["iteration"] < 0 or row["loss/total"] is None
            ]:
                raise ValueError("seconds and rows must be numbers")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: not a state of this run: {error}.") from error
        return state, rows

    def metrics(self, outcome: Outcome) -> dict[str, Any]:
        """The losses of the result."""
        last = outcome.rows[-1]
        losses = {name: value for name, value in last.items() if name.startswith("loss/")}
        return {
            "train/loss": last["loss/total"],
            **losses,
            "seconds": round(outcome.seconds, 1),
            "seed": self.config.seed,
            "parameters": self._result.size,
        }

    def report(self, outcome: Outcome) -> Report:
        """Content, styles and result, and the losses."""
        return report_style(outcome, self._content, self._styles, self._result)


def write_picture(path: Path, image: np.ndarray, format: str) -> None:
    """Writes uint8 (H, W, 3) as a file of a format of `FORMATS`, whole or not at all."""
    data = encode_picture(image, format)
    with atomic_path(path, len(data)) as temporary:
        temporary.write_bytes(data)


def make_job(config: ConfigDict) -> Job:
    """A picture to optimise, a network to train, or a video."""
    if config.method == "picture":
        return PictureJob(config)
    if config.method == "video":
        from kerasdl.training.style_video import VideoJob

        return VideoJob(config)
    from kerasdl.training.style_network import NetworkJob

    return NetworkJob(config)


def list_pictures(root: str, field: str) -> list[Path]:
    """The pictures in a folder and the folders below it, by name.

    Raises:
        InputError: There is none.
    """
    if not Path(root).is_dir():
        raise InputError(f"--config.{field} must name a folder, got {root!r}.")
    found = find_pictures(Path(root))
    for note in found.note(Path(root)):
        say(note)
    pictures = found.pictures
    if not pictures:
        raise InputError(f"--config.{field} holds no picture, got {root!r}.")
    return pictures
