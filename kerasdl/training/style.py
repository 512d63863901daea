"""What the style trainer is made of: its pictures, its options, a run that can resume."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from kerasdl.data.pictures.files import find_pictures
from kerasdl.errors import InputError
from kerasdl.style.descent import StyleState
from kerasdl.style.examples import drawn_strokes, drawn_town
from kerasdl.style.options import StyleOptions, words
from kerasdl.style.pictures import FORMATS, encode_picture, read_srgb
from kerasdl.style.transfer import Picture, StyleResult, StyleStep, stylize
from kerasdl.training.interrupts import Interrupted, SignalCatcher
from kerasdl.training.progress import say, track
from kerasdl.training.workdir import MetricsLog, Workdir, atomic_path

# Seconds between two checkpoints.
CHECKPOINT_INTERVAL = 5.0


def style_options(config: ConfigDict) -> StyleOptions:
    """The options among a config's fields.

    Raises:
        InputError: Where one is out of range.
    """
    names = [field.name for field in dataclasses.fields(StyleOptions)]
    return StyleOptions(**{name: config[name] for name in names})


def content_picture(config: ConfigDict) -> Picture:
    """The picture that `config.content` names, or a drawn one."""
    if not config.content:
        return drawn_town(config.image_size, config.seed)
    return _under_root(config, config.content)


def style_pictures(config: ConfigDict) -> list[Picture]:
    """The pictures that `config.styles` names, or a drawn one."""
    if not config.styles:
        return [drawn_strokes(config.style_size, config.seed)]
    return [_under_root(config, name) for name in words(config.styles)]


def _under_root(config: ConfigDict, name: str) -> Path:
    """A picture's path: below `data.root` where it is there, else as it is."""
    below = Path(config.data.root) / name
    return below if config.data.root and below.is_file() else Path(name)


def as_array(picture: Picture) -> np.ndarray:
    """uint8 (H, W, 3), sRGB."""
    return picture if isinstance(picture, np.ndarray) else read_srgb(picture)


def result_name(config: ConfigDict) -> str:
    """The result's file in the workdir."""
    return f"result{FORMATS[config.format][0]}"


class PictureRun:
    """Optimises one picture into a workdir; started again it goes on.

    Args:
        workdir: Where rows, checkpoints and the result go.
        config: The run's config.
    """

    def __init__(self, workdir: Workdir, config: ConfigDict) -> None:
        self._workdir = workdir
        self._config = config
        self._options = style_options(config)
        self.log = MetricsLog(workdir, key="iteration")
        self._saved = time.monotonic()

    def run(self) -> StyleResult:
        """Optimises what is left to optimise and writes the result.

        Raises:
            Interrupted: After Ctrl-C or SIGTERM, once checkpoint and picture are
                written.
            InputError: As `stylize`.
        """
        latest = self._workdir.checkpoints / "latest.npz"
        state = StyleState.load(latest) if latest.exists() else None
        done = 0
        if state is not None:
            done = state.iteration + sum(
                self._options.iterations_at(scale) for scale in range(state.scale)
            )
            say(f"going on from iteration {done}")
        self.log.resume(after=done - 1)
        total = self._options.total_iterations
        bar = track(range(done, total), total - done, "iterations")
        with SignalCatcher() as signals:

            def should_stop() -> bool:
                next(bar, None)
                return bool(signals.received)

            result = stylize(
                content_picture(self._config),
                style_pictures(self._config),
                options=self._options,
                every=self._config.every,
                callback=self._record,
                should_stop=should_stop,
                resume=state,
            )
        bar.close()
        self._save(result.state)
        self.write(result.image)
        if not result.finished:
            raise Interrupted(
                signals.received,
                f"the picture so far is {self._workdir / result_name(self._config)}; the "
                "same command goes on from there",
            )
        return result

    def write(self, image: np.ndarray) -> None:
        """Writes a picture as the run's result, whole or not at all."""
        data = encode_picture(image, self._config.format)
        with atomic_path(self._workdir / result_name(self._config)) as temporary:
            temporary.write_bytes(data)

    def _record(self, step: StyleStep) -> None:
        self.log.append(step.row)
        if time.monotonic() - self._saved >= CHECKPOINT_INTERVAL:
            self._save(step.state())
            self._saved = time.monotonic()

    def _save(self, state: StyleState) -> None:
        with atomic_path(self._workdir.checkpoints / "latest.npz") as temporary:
            state.save(temporary)


def list_pictures(root: str, field: str) -> list[Path]:
    """The pictures in a folder and the folders below it, by name.

    Raises:
        InputError: Where there is none.
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


class StyledByRun:
    """`kerasdl.load` of a run that optimised a picture: the same for other pictures.

    Args:
        config: The run's resolved config.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = ConfigDict(config)

    def stylize(self, path: str | Path) -> np.ndarray:
        """The picture at `path` in the run's style, uint8 (H, W, 3).

        Raises:
            InputError: Where it, or a style of the run, cannot be read.
        """
        return stylize(
            path, style_pictures(self._config), options=style_options(self._config)
        ).image
