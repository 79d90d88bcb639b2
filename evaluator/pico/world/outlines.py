"""Named shapes: their corners, and how they are filled or outlined."""

from __future__ import annotations

import math

from PIL import ImageDraw

from .canvas import Point, polygon, star


def _heart(x: float, y: float, r: float) -> list[Point]:
    out = []
    for i in range(40):
        t = 2 * math.pi * i / 40
        across = 16 * math.sin(t) ** 3
        down = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        out.append((x + across * r / 17, y - down * r / 17))
    return out


def _corners(x: float, y: float, r: float) -> dict[str, list[Point]]:
    """Draw the corners of every shape that has some, about a point."""
    return {
        "square": polygon(x, y, r * 1.15, 4, -45),
        "triangle": polygon(x, y + r * 0.2, r * 1.15, 3),
        "star": star(x, y, r * 1.1, 5, 0.42),
        "heart": _heart(x, y, r),
        "hexagon": polygon(x, y, r, 6, 0),
        "diamond": [(x, y - r * 1.15), (x + r * 0.75, y), (x, y + r * 1.15), (x - r * 0.75, y)],
        "cross": [
            (x + sx * r * a, y + sy * r * b)
            for sx, sy, pairs in (
                (1, -1, ((0.33, 1), (0.33, 0.33), (1, 0.33))),
                (1, 1, ((1, 0.33), (0.33, 0.33), (0.33, 1))),
                (-1, 1, ((0.33, 1), (0.33, 0.33), (1, 0.33))),
                (-1, -1, ((1, 0.33), (0.33, 0.33), (0.33, 1))),
            )
            for a, b in pairs
        ],
        "arrow": [
            (x - r, y - r * 0.3),
            (x + r * 0.1, y - r * 0.3),
            (x + r * 0.1, y - r * 0.8),
            (x + r, y),
            (x + r * 0.1, y + r * 0.8),
            (x + r * 0.1, y + r * 0.3),
            (x - r, y + r * 0.3),
        ],
    }


def _moon(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, width: int) -> None:
    if width:
        draw.arc((x - r, y - r, x + r, y + r), 40, 320, fill=255, width=width)
        draw.arc((x - r * 0.35, y - r * 0.8, x + r * 1.25, y + r * 0.8), 75, 285, fill=255, width=width)
    else:
        draw.ellipse((x - r, y - r, x + r, y + r), fill=255)
        draw.ellipse((x - r * 0.4, y - r * 0.9, x + r * 1.4, y + r * 0.9), fill=0)


def _ring(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, width: int) -> None:
    draw.ellipse((x - r, y - r, x + r, y + r), outline=255, width=width or max(3, round(r * 0.32)))
    if width:
        draw.ellipse((x - r * 0.55, y - r * 0.55, x + r * 0.55, y + r * 0.55), outline=255, width=width)


def _round(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, down: float, width: int) -> None:
    box = (x - r, y - r * down, x + r, y + r * down)
    if width:
        draw.ellipse(box, outline=255, width=width)
    else:
        draw.ellipse(box, fill=255)


def draw_shape(draw: ImageDraw.ImageDraw, name: str, x: float, y: float, r: float, width: int = 0) -> None:
    """Draw a named shape about a point, filled, or outlined ``width`` pixels wide."""
    if name == "moon":
        _moon(draw, x, y, r, width)
    elif name == "ring":
        _ring(draw, x, y, r, width)
    elif name in ("circle", "oval"):
        _round(draw, x, y, r, 0.6 if name == "oval" else 1, width)
    else:
        corners = _corners(x, y, r)[name]
        if width:
            draw.line([*corners, *corners[:2]], fill=255, width=width, joint="curve")
        else:
            draw.polygon(corners, fill=255)
