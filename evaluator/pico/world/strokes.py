"""Hand-drawn digits: stroke models of several ways of writing each digit, with a writer's jitter."""

from __future__ import annotations

import math
from random import Random

from PIL import Image, ImageDraw

from .canvas import BIG, Point, mask, smooth, stroke

# Strokes in a unit square, y downwards; a digit has several ways, a way several strokes.
_Way = list[list[Point]]


def _arc(x: float, y: float, rx: float, ry: float, start: float, end: float, n: int = 7) -> list[Point]:
    angles = [math.radians(start + (end - start) * i / (n - 1)) for i in range(n)]
    return [(x + rx * math.cos(a), y + ry * math.sin(a)) for a in angles]


DIGITS: dict[int, list[_Way]] = {
    0: [
        [_arc(0.5, 0.5, 0.3, 0.45, -100, 262, 10)],
        [_arc(0.5, 0.5, 0.36, 0.44, -60, 300, 10)],
        [_arc(0.5, 0.5, 0.22, 0.46, -120, 250, 10)],
    ],
    1: [
        [[(0.5, 0.05), (0.5, 0.95)]],
        [[(0.3, 0.28), (0.54, 0.06)], [(0.54, 0.06), (0.54, 0.95)]],
        [[(0.3, 0.26), (0.52, 0.06)], [(0.52, 0.06), (0.52, 0.94)], [(0.28, 0.95), (0.76, 0.95)]],
        [[(0.62, 0.05), (0.4, 0.95)]],
        [[(0.22, 0.42), (0.58, 0.06)], [(0.58, 0.06), (0.54, 0.95)]],
    ],
    2: [
        [
            [(0.2, 0.28), (0.32, 0.08), (0.58, 0.05), (0.76, 0.22), (0.68, 0.46), (0.42, 0.74), (0.18, 0.94)],
            [(0.18, 0.94), (0.84, 0.92)],
        ],
        [
            [
                (0.22, 0.22),
                (0.45, 0.05),
                (0.72, 0.16),
                (0.7, 0.4),
                (0.45, 0.7),
                (0.2, 0.88),
                (0.26, 0.7),
                (0.44, 0.78),
                (0.6, 0.92),
                (0.86, 0.88),
            ]
        ],
        [[(0.2, 0.1), (0.6, 0.07), (0.78, 0.2), (0.66, 0.5), (0.2, 0.93)], [(0.2, 0.93), (0.8, 0.93)]],
    ],
    3: [
        [
            [(0.22, 0.14), (0.5, 0.04), (0.74, 0.18), (0.66, 0.38), (0.42, 0.47)],
            [(0.42, 0.47), (0.72, 0.55), (0.8, 0.76), (0.56, 0.95), (0.2, 0.86)],
        ],
        [
            [(0.22, 0.07), (0.76, 0.07)],
            [(0.76, 0.07), (0.46, 0.42)],
            [(0.46, 0.42), (0.76, 0.54), (0.76, 0.8), (0.5, 0.95), (0.2, 0.86)],
        ],
    ],
    4: [
        [
            [(0.6, 0.05), (0.38, 0.34), (0.16, 0.64)],
            [(0.16, 0.64), (0.86, 0.62)],
            [(0.64, 0.4), (0.62, 0.96)],
        ],
        [[(0.26, 0.06), (0.22, 0.48)], [(0.22, 0.48), (0.8, 0.48)], [(0.76, 0.06), (0.74, 0.96)]],
        [[(0.66, 0.05), (0.16, 0.66)], [(0.16, 0.66), (0.88, 0.66)], [(0.66, 0.05), (0.66, 0.96)]],
        [[(0.34, 0.05), (0.2, 0.5), (0.5, 0.54), (0.82, 0.48)], [(0.66, 0.28), (0.56, 0.96)]],
    ],
    5: [
        [
            [(0.78, 0.07), (0.3, 0.07)],
            [(0.3, 0.07), (0.26, 0.44)],
            [(0.26, 0.44), (0.56, 0.38), (0.8, 0.58), (0.72, 0.84), (0.44, 0.95), (0.18, 0.86)],
        ],
        [
            [
                (0.8, 0.08),
                (0.34, 0.08),
                (0.3, 0.4),
                (0.58, 0.42),
                (0.76, 0.62),
                (0.66, 0.88),
                (0.4, 0.95),
                (0.18, 0.88),
            ]
        ],
        [
            [(0.82, 0.05), (0.4, 0.07)],
            [(0.4, 0.07), (0.3, 0.42), (0.6, 0.5), (0.7, 0.72), (0.5, 0.92), (0.2, 0.94)],
        ],
    ],
    6: [
        [
            [
                (0.68, 0.06),
                (0.4, 0.26),
                (0.24, 0.62),
                (0.36, 0.9),
                (0.6, 0.94),
                (0.76, 0.74),
                (0.62, 0.54),
                (0.38, 0.58),
                (0.27, 0.74),
            ]
        ],
        [
            [
                (0.54, 0.05),
                (0.3, 0.4),
                (0.24, 0.74),
                (0.46, 0.95),
                (0.72, 0.84),
                (0.7, 0.62),
                (0.48, 0.52),
                (0.26, 0.66),
            ]
        ],
        [
            [
                (0.4, 0.05),
                (0.26, 0.5),
                (0.3, 0.84),
                (0.54, 0.95),
                (0.76, 0.8),
                (0.66, 0.58),
                (0.4, 0.56),
                (0.27, 0.72),
            ]
        ],
    ],
    7: [
        [[(0.18, 0.1), (0.8, 0.08)], [(0.8, 0.08), (0.56, 0.5), (0.44, 0.95)]],
        [[(0.2, 0.1), (0.8, 0.08)], [(0.8, 0.08), (0.54, 0.5), (0.42, 0.95)], [(0.32, 0.52), (0.74, 0.48)]],
        [[(0.2, 0.26), (0.22, 0.1)], [(0.22, 0.1), (0.8, 0.1)], [(0.8, 0.1), (0.5, 0.95)]],
    ],
    8: [
        [
            [
                (0.7, 0.2),
                (0.5, 0.05),
                (0.28, 0.18),
                (0.36, 0.38),
                (0.64, 0.56),
                (0.76, 0.78),
                (0.5, 0.95),
                (0.24, 0.78),
                (0.38, 0.56),
                (0.64, 0.38),
                (0.72, 0.2),
            ]
        ],
        [_arc(0.5, 0.27, 0.22, 0.21, -90, 270, 9), _arc(0.5, 0.71, 0.27, 0.24, -90, 270, 9)],
    ],
    9: [
        [
            [(0.74, 0.26), (0.56, 0.06), (0.3, 0.14), (0.26, 0.4), (0.48, 0.52), (0.72, 0.34), (0.74, 0.26)],
            [(0.74, 0.26), (0.72, 0.6), (0.62, 0.95)],
        ],
        [
            [
                (0.72, 0.22),
                (0.48, 0.06),
                (0.26, 0.24),
                (0.36, 0.46),
                (0.6, 0.44),
                (0.73, 0.24),
                (0.72, 0.66),
                (0.54, 0.92),
                (0.26, 0.9),
            ]
        ],
        [_arc(0.48, 0.28, 0.24, 0.22, -40, 320, 9), [(0.7, 0.2), (0.7, 0.95)]],
    ],
}


def draw_digit(
    draw: ImageDraw.ImageDraw, digit: int, box: tuple[float, float, float, float], rng: Random, width: float
) -> None:
    """Draw one digit by one writer into a box (left, top, right, bottom), strokes ``width`` pixels wide."""
    left, top, right, bottom = box
    slant, wobble = rng.uniform(-0.25, 0.25), rng.uniform(0.01, 0.05)
    for path in rng.choice(DIGITS[digit]):
        points = [(x + rng.gauss(0, wobble), y + rng.gauss(0, wobble)) for x, y in path]
        placed = [
            (left + (x + slant * (0.5 - y)) * (right - left), top + y * (bottom - top)) for x, y in points
        ]
        stroke(draw, smooth(placed), width)


def digit_mask(
    digit: int,
    rng: Random,
    *,
    widths: tuple[float, float] = (0.6, 0.95),
    strokes: tuple[float, float] = (0.06, 0.15),
) -> Image.Image:
    """Draw one hand-drawn digit that fills most of a BIG mask; widths are drawn by chance."""
    image, draw = mask()
    half = rng.uniform(*widths) * BIG * 0.8 / 2
    box = (BIG / 2 - half, BIG * 0.1, BIG / 2 + half, BIG * 0.9)
    draw_digit(draw, digit, box, rng, BIG * rng.uniform(*strokes))
    return image


def scan(digit: int, rng: Random) -> Image.Image:
    """Draw a digit as a coarse scan: a 32x32 bitmap of the strokes, counted in 4x4 blocks: 8x8, ink white."""
    image = digit_mask(digit, rng, widths=(0.55, 1.0), strokes=(0.08, 0.17))
    if rng.random() < 0.5:
        image = image.rotate(rng.uniform(-12, 12), Image.Resampling.BILINEAR)
    cut = image.crop(image.getbbox())
    width = min(32, max(6, round(32 * cut.width / cut.height * rng.uniform(0.85, 1.15))))
    bitmap = Image.new("L", (32, 32))
    ink = cut.resize((width, 32), Image.Resampling.BOX).point(lambda v: 255 if v > 100 else 0)
    bitmap.paste(ink, ((32 - width) // 2 + rng.randint(-1, 1), 0))
    return bitmap.reduce(4)
