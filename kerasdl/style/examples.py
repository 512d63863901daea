"""Two pictures of our own, drawn by code: a town on a river, and brush strokes."""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

# Drawn this many times larger, then reduced, for smooth edges.
_OVERSAMPLING = 3

_WALLS = ("#e8d8b0", "#d9a066", "#c8c0b8", "#e6b8a2", "#b8c4a8", "#f0e4cc", "#cf8f6b")
_ROOFS = ("#a23b2a", "#7d3c2e", "#b5533c", "#5d4a45", "#8c2f2f")
_STROKES = (
    *("#12284c", "#1d4e89", "#2f7fb5", "#7fb7d6"),
    *("#f4d35e", "#ee964b", "#f7f0d2", "#0b132b"),
)


def drawn_town(size: int, seed: int = 0) -> np.ndarray:
    """A town between sky and river.

    Args:
        size: Height of the picture; it is four thirds as wide.
        seed: Another one is another town.

    Returns:
        uint8 (size, size * 4 // 3, 3).
    """
    rng = np.random.default_rng([seed, 1])
    height, width = size * _OVERSAMPLING, size * 4 // 3 * _OVERSAMPLING
    horizon = int(height * rng.uniform(0.6, 0.7))
    image = Image.fromarray(_gradient(height, width, (70, 130, 200), (230, 225, 205)))
    draw = ImageDraw.Draw(image)
    _sun_and_clouds(draw, rng, height, width)
    _hills(draw, rng, horizon, width)
    _houses(draw, rng, horizon, height, width)
    _trees(draw, rng, horizon, height, width)
    _river(image, rng, horizon)
    return _reduced(image)


def drawn_strokes(size: int, seed: int = 0) -> np.ndarray:
    """Brush strokes that follow a field of whirls, light ones around the whirls' eyes.

    Args:
        size: Height of the picture; it is four thirds as wide.
        seed: Another one is another picture.

    Returns:
        uint8 (size, size * 4 // 3, 3).
    """
    rng = np.random.default_rng([seed, 2])
    height, width = size * _OVERSAMPLING, size * 4 // 3 * _OVERSAMPLING
    eyes = rng.uniform((0.05, 0.05), (0.95, 0.8), (5, 2)) * (width, height)
    spins = rng.choice((-1.0, 1.0), len(eyes))
    reaches = rng.uniform(0.12, 0.25, len(eyes)) * height
    image = Image.new("RGB", (width, height), _STROKES[0])
    draw = ImageDraw.Draw(image)
    for _ in range(7000):
        point = rng.uniform((0, 0), (width, height))
        distances = np.hypot(*(eyes - point).T)
        nearness = np.exp(-((distances / reaches) ** 2))
        if rng.random() < nearness.max() ** 0.5:
            colour = _STROKES[rng.choice((4, 5, 6, 3))]
        else:
            colour = _STROKES[rng.choice((0, 1, 2, 3, 7), p=(0.2, 0.3, 0.3, 0.15, 0.05))]
        path = _along_field(point, eyes, spins, reaches, rng.uniform(0.02, 0.06) * height)
        thickness = max(2, int(height * rng.uniform(0.006, 0.013)))
        draw.line(path, fill=_varied(colour, rng), width=thickness, joint="curve")
    return _reduced(image)


def _along_field(point, eyes, spins, reaches, length, steps=6) -> list[tuple]:
    """A line from `point` along the whirls."""
    path = [tuple(point)]
    for _ in range(steps):
        offsets = eyes - point
        squared = (offsets**2).sum(axis=1)
        pull = spins * np.exp(-squared / (2 * reaches) ** 2) / (np.sqrt(squared) + 1)
        across = np.stack([-offsets[:, 1], offsets[:, 0]], axis=1)
        # Away from every whirl the strokes run level, a little up and down.
        level = (1.0, 0.35 * math.sin(point[0] / reaches.mean()))
        direction = (across * pull[:, None]).sum(axis=0) + 0.25 * np.array(level)
        point = point + direction / (np.hypot(*direction) + 1e-9) * length / steps
        path.append(tuple(point))
    return path


def _varied(colour: str, rng: np.random.Generator, by: int = 18) -> tuple[int, int, int]:
    channels = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    moved = np.array(channels) + rng.integers(-by, by + 1, 3)
    return tuple(int(v) for v in np.clip(moved, 0, 255))


def _gradient(height: int, width: int, top: tuple, bottom: tuple) -> np.ndarray:
    part = np.linspace(0, 1, height)[:, None, None]
    rows = np.array(top) * (1 - part) + np.array(bottom) * part
    return np.broadcast_to(rows, (height, width, 3)).astype(np.uint8)


def _sun_and_clouds(draw, rng, height, width) -> None:
    radius = height * 0.05
    x, y = rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.25) * height
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill="#fff3c0")
    for _ in range(rng.integers(2, 5)):
        x, y = rng.uniform(0, 1) * width, rng.uniform(0.08, 0.35) * height
        for _ in range(9):
            dx, dy = rng.normal(0, 0.06) * width, rng.normal(0, 0.012) * height
            a, b = rng.uniform(0.03, 0.07) * width, rng.uniform(0.012, 0.025) * height
            box = (x + dx - a, y + dy - b, x + dx + a, y + dy + b)
            draw.ellipse(box, fill="#f2f4f5")


def _hills(draw, rng, horizon, width) -> None:
    for lift, colour in ((0.3, "#7f9d8b"), (0.17, "#5c8161")):
        xs = np.linspace(0, width, 60)
        waves = sum(
            rng.uniform(0.2, 0.5)
            * np.sin(xs / width * rng.uniform(2, 9) + rng.uniform(0, 6))
            for _ in range(3)
        )
        ys = horizon * (1 - lift * (0.7 + 0.3 * waves))
        outline = [*zip(xs, ys, strict=True), (width, horizon), (0, horizon)]
        draw.polygon(outline, fill=colour)


def _houses(draw, rng, horizon, height, width) -> None:
    x = -0.02 * width
    tower = rng.integers(3, 7)
    number = 0
    while x < width:
        wide = rng.uniform(0.07, 0.13) * width
        tall = rng.uniform(0.14, 0.25) * height
        if number == tower:
            wide, tall = 0.06 * width, 0.36 * height
        wall = _varied(rng.choice(_WALLS), rng)
        roof = _varied(rng.choice(_ROOFS), rng)
        top = horizon - tall
        draw.rectangle((x, top, x + wide, horizon), fill=wall, outline="#4a3f35")
        peak = (x + wide / 2, top - wide * (1.6 if number == tower else 0.6))
        draw.polygon([(x - wide * 0.06, top), peak, (x + wide * 1.06, top)], fill=roof)
        _windows(draw, rng, x, top, wide, tall)
        x += wide * rng.uniform(0.95, 1.1)
        number += 1


def _windows(draw, rng, x, top, wide, tall) -> None:
    columns = max(2, round(wide / tall * 4))
    pane_w, pane_h = wide / (columns * 2 + 1), tall / 11
    for row in range(5):
        for column in range(columns):
            left = x + pane_w * (1 + 2 * column)
            upper = top + pane_h * (1 + 2 * row)
            fill = "#f6dd8f" if rng.random() < 0.2 else "#3c4a5a"
            box = (left, upper, left + pane_w, upper + pane_h * 1.1)
            draw.rectangle(box, fill=fill, outline="#efe8da")


def _trees(draw, rng, horizon, height, width) -> None:
    for _ in range(rng.integers(5, 9)):
        x, tall = rng.uniform(0, 1) * width, rng.uniform(0.07, 0.13) * height
        trunk = (x - tall * 0.05, horizon - tall * 0.5, x + tall * 0.05, horizon)
        draw.rectangle(trunk, fill="#5a4330")
        for _ in range(14):
            dx, dy = rng.normal(0, 0.22, 2) * tall
            r = tall * rng.uniform(0.12, 0.25)
            cx, cy = x + dx, horizon - tall * 0.75 + dy
            box = (cx - r, cy - r, cx + r, cy + r)
            draw.ellipse(box, fill=_varied("#3f6b35", rng, 25))


def _river(image, rng, horizon) -> None:
    """The town upside down, shaken by rows and darkened."""
    pixels = np.asarray(image)
    height = pixels.shape[0]
    rows = np.arange(horizon, height)
    # The water is half as deep as the town is high, so that all of it is mirrored.
    mirrored = np.clip(horizon - 1 - (rows - horizon), 0, horizon - 1)
    phase = rng.uniform(0, 6)
    depth = (rows - horizon) / (height - horizon)
    shifts = np.sin((rows - horizon) * 0.35 / (0.3 + depth) + phase) * (1 + 9 * depth)
    water = np.stack(
        [
            np.roll(pixels[m], int(s), axis=0)
            for m, s in zip(mirrored, shifts, strict=True)
        ]
    )
    tinted = 0.62 * water + 0.38 * np.array((38, 66, 84))
    reflected = Image.fromarray(tinted.astype(np.uint8))
    image.paste(reflected.filter(ImageFilter.GaussianBlur(1.5)), (0, horizon))


def _reduced(image: Image.Image) -> np.ndarray:
    return np.asarray(image.reduce(_OVERSAMPLING))
