"""Drawn scenes as pixels.

Shapes are drawn at `SUPERSAMPLING` times their size and averaged down, which gives
smooth edges. Averages, blends and gradients are in whole numbers, so that the pixels do
not depend on the machine; the bytes of the PNG depend on the build of zlib as well.
"""

from __future__ import annotations

import functools
import io
import math

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from kerasdl.data.drawn.scene_content import Scene, SceneObject

SUPERSAMPLING = 4

# The lighter and the darker end of each shape's shading.
PAINTS = {
    "red": ((235, 64, 52), (190, 24, 30)),
    "orange": ((255, 158, 44), (236, 116, 8)),
    "yellow": ((255, 228, 76), (240, 196, 20)),
    "green": ((70, 186, 88), (24, 134, 56)),
    "blue": ((66, 134, 244), (20, 76, 196)),
    "purple": ((164, 84, 208), (110, 36, 152)),
    "black": ((70, 70, 78), (18, 18, 24)),
}
# The two ends of each background.
GROUNDS = {
    "cream": ((253, 249, 238), (240, 230, 208)),
    "sky": ((236, 245, 252), (206, 224, 238)),
    "mint": ((238, 248, 240), (210, 230, 216)),
    "sand": ((246, 240, 230), (224, 212, 194)),
    "lilac": ((244, 240, 250), (222, 214, 234)),
    "mist": ((246, 247, 249), (218, 222, 228)),
    "rose": ((252, 242, 242), (236, 216, 216)),
    "stone": ((238, 237, 233), (208, 206, 200)),
}
# The shadow below a shape, as shares of its diameter, and its darkness of 255.
SHADOW_OFFSET = 0.045
SHADOW_BLUR = 0.05
SHADOW_STRENGTH = 70
# The edge of a shape is its darker end at this share of its brightness.
EDGE_SHADE = 0.78
EDGE_WIDTH = 0.03


def draw(scene: Scene, side: int) -> Image.Image:
    """Draws a scene.

    Args:
        scene: What the picture shows.
        side: Height and width, in pixels.

    Returns:
        An RGB picture of (side, side).

    Raises:
        ValueError: `side` is below 32, where shapes cannot be told apart.
    """
    if side < 32:
        raise ValueError(
            "Received an invalid value for argument `side`, expected at least 32 pixels, "
            f"got {side}."
        )
    picture = _background(scene.background, scene.gradient, side).copy()
    for shape in scene.objects:
        _paint(picture, shape, side)
    return picture


def draw_png(scene: Scene, side: int) -> bytes:
    """Draws a scene as the bytes of a PNG file. See `draw`."""
    buffer = io.BytesIO()
    # Level 1 writes these pictures three times as fast as 6 and hardly larger.
    draw(scene, side).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _shades(low: tuple[int, ...], high: tuple[int, ...], count: int) -> np.ndarray:
    """Blends two colours in even steps: uint8 (count, 3), `low` first."""
    weights = np.arange(count, dtype=np.int32)[:, None]
    last = count - 1
    blend = np.array(low, np.int32) * (last - weights) + np.array(high) * weights
    return ((blend + last // 2) // last).astype(np.uint8)


@functools.cache
def _background(background: str, gradient: str, side: int) -> Image.Image:
    down = np.arange(side)[:, None]
    across = np.arange(side)[None, :]
    along = {"down": 2 * down + 0 * across, "across": 0 * down + 2 * across}
    along["diagonal"] = down + across
    shades = _shades(*GROUNDS[background], 2 * side - 1)
    return Image.fromarray(shades[along[gradient]])


def _paint(picture: Image.Image, shape: SceneObject, side: int) -> None:
    pad = math.ceil(shape.diameter * side * (SHADOW_OFFSET + 3 * SHADOW_BLUR)) + 1
    left = math.floor((shape.x - shape.diameter / 2) * side) - pad
    top = math.floor((shape.y - shape.diameter / 2) * side) - pad
    tile = math.ceil(shape.diameter * side) + 1 + 2 * pad
    centre = (shape.x * side - left, shape.y * side - top)

    outer = _mask(shape, tile, centre, shape.diameter * side)
    inner = _mask(shape, tile, centre, shape.diameter * side * (1 - 2 * EDGE_WIDTH))
    offset = max(1, round(shape.diameter * side * SHADOW_OFFSET))
    shadow = ImageChops.offset(outer, 0, offset)
    shadow = shadow.filter(ImageFilter.BoxBlur(shape.diameter * side * SHADOW_BLUR))
    shadow = shadow.point([value * SHADOW_STRENGTH // 255 for value in range(256)])

    light, dark = PAINTS[shape.colour]
    edge = tuple(int(channel * EDGE_SHADE) for channel in dark)
    column = Image.fromarray(_shades(light, dark, tile)[:, None])  # (tile, 1, 3)
    fill = column.resize((tile, tile), Image.Resampling.NEAREST)
    picture.paste((40, 40, 60), (left, top), shadow)
    picture.paste(edge, (left, top), outer)
    picture.paste(fill, (left, top), inner)


def _mask(
    shape: SceneObject, tile: int, centre: tuple[float, float], diameter: float
) -> Image.Image:
    """How much of each pixel of a (tile, tile) square the shape covers, 0 to 255."""
    mask = Image.new("L", (tile * SUPERSAMPLING, tile * SUPERSAMPLING))
    points = [
        (
            round((centre[0] + x * diameter / 2) * SUPERSAMPLING),
            round((centre[1] + y * diameter / 2) * SUPERSAMPLING),
        )
        for x, y in _turned(OUTLINES[shape.shape], shape.angle)
    ]
    ImageDraw.Draw(mask).polygon(points, fill=255)
    return mask.reduce(SUPERSAMPLING)


def _turned(
    points: list[tuple[float, float]], degrees: float
) -> list[tuple[float, float]]:
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [(x * cosine - y * sine, x * sine + y * cosine) for x, y in points]


def _round_the_circle(
    count: int, start: float, radii: tuple[float, ...]
) -> list[tuple[float, float]]:
    angles = (start + 2 * math.pi * index / count for index in range(count))
    return [
        (radius * math.cos(angle), radius * math.sin(angle))
        for angle, radius in zip(angles, radii * (count // len(radii)), strict=True)
    ]


def _heart() -> list[tuple[float, float]]:
    """The curve x = 16 sin³t, y = 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t."""
    points = []
    for step in range(72):
        t = 2 * math.pi * step / 72
        x = 16 * math.sin(t) ** 3
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((x / 16.5, -(y + 2.5) / 16.5))
    return points


def _cross(arm: float = 0.34) -> list[tuple[float, float]]:
    reach = 0.95
    quarter = [(arm, -arm), (arm, -reach), (-arm, -reach)]
    return [point for turn in (0, -90, -180, -270) for point in _turned(quarter, turn)]


# Outlines in the unit circle, y downwards.
OUTLINES = {
    "circle": _round_the_circle(72, 0.0, (0.92,)),
    "square": _round_the_circle(4, math.pi / 4, (1.12,)),
    "triangle": [(x, y + 0.14) for x, y in _round_the_circle(3, -math.pi / 2, (1.1,))],
    "star": [(x, y + 0.05) for x, y in _round_the_circle(10, -math.pi / 2, (1.06, 0.46))],
    "heart": _heart(),
    "cross": _cross(),
}
