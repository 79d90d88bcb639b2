"""Forms of pictures that only training shows: no bundled set has them, so they are not installed.

``FORMS`` of ``training.world.scenes`` gets them when this module is imported.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .world import scenes
from .world.art import Art, figure, grid_of, text_mask, tiles
from .world.canvas import (
    BIG,
    SIZE,
    Point,
    any_colour,
    contrast,
    disc,
    ground,
    ink,
    jitter,
    mask,
    paste,
    polygon,
    settle,
    star,
    stroke,
)
from .world.media import AFTER, chalk, sketch
from .world.scene import DRAWINGS, Scene, value
from .world.signs import pip_face, random_case
from .world.things import SHAPES, colour_of, cutout_of, put, shape_mask, side


def smooth(points: list[Point], steps: int = 6) -> list[Point]:
    """Return a Catmull-Rom curve through the points."""
    if len(points) < 3:
        return points
    path = np.array([points[0], *points, points[-1]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    curve = []
    for p0, p1, p2, p3 in zip(path, path[1:], path[2:], path[3:], strict=False):
        curve.append(
            0.5
            * (
                2 * p1
                + (p2 - p0) * t
                + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
                + (3 * p1 - p0 - 3 * p2 + p3) * t**3
            )
        )
    dense = np.concatenate([*curve, path[-1:]])
    return [(float(x), float(y)) for x, y in dense]


def navon(large: str, small: str, rng: Random, art: Art) -> Image.Image:
    """Draw a large character made of copies of a small one."""
    shape = text_mask(large, art.font("print", 120, rng), fill=0.98)
    glyph = text_mask(small, art.font("print", 60, rng), fill=0.94)
    return tiles(shape, ink(glyph, any_colour(rng)), rng)


# Strokes in a unit square, y downwards; a digit is written in several ways of several strokes.
_Way = list[list[Point]]


def _arc(x: float, y: float, rx: float, ry: float, start: float, end: float, n: int) -> list[Point]:
    angles = [math.radians(start + (end - start) * i / (n - 1)) for i in range(n)]
    return [(x + rx * math.cos(a), y + ry * math.sin(a)) for a in angles]


def _points(drawn: Any) -> list[Point]:
    return _arc(*drawn["arc"]) if isinstance(drawn, dict) else [(x, y) for x, y in drawn]


DIGITS: dict[int, list[_Way]] = {
    int(digit): [[_points(drawn) for drawn in way] for way in ways]
    for digit, ways in DRAWINGS["digits"].items()
}


def draw_digit(
    draw: ImageDraw.ImageDraw, digit: int, box: tuple[float, float, float, float], rng: Random, width: float
) -> None:
    """Draw one handwritten digit into a box (left, top, right, bottom), ``width`` pixels a stroke."""
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
    """Draw a hand-drawn digit that fills most of a BIG mask; ``widths`` and ``strokes`` are ranges."""
    image, draw = mask()
    half = rng.uniform(*widths) * BIG * 0.8 / 2
    box = (BIG / 2 - half, BIG * 0.1, BIG / 2 + half, BIG * 0.9)
    draw_digit(draw, digit, box, rng, BIG * rng.uniform(*strokes))
    return image


def scan(digit: int, rng: Random) -> Image.Image:
    """Draw a digit as a coarse scan: 8x8 counts of 4x4 blocks of a 32x32 bitmap, ink white."""
    image = digit_mask(digit, rng, widths=(0.55, 1.0), strokes=(0.08, 0.17))
    if rng.random() < 0.5:
        image = image.rotate(rng.uniform(-12, 12), Image.Resampling.BILINEAR)
    cut = image.crop(image.getbbox())
    width = min(32, max(6, round(32 * cut.width / cut.height * rng.uniform(0.85, 1.15))))
    bitmap = Image.new("L", (32, 32))
    ink = cut.resize((width, 32), Image.Resampling.BOX).point(lambda v: 255 if v > 100 else 0)
    bitmap.paste(ink, ((32 - width) // 2 + rng.randint(-1, 1), 0))
    return bitmap.reduce(4)


def _domino(scene: Scene, rng: Random, art: Art) -> Image.Image:
    """Draw the first name's pips above the second's."""
    image = Image.new("RGBA", (BIG, BIG))
    draw = ImageDraw.Draw(image)
    body = jitter(rng.choice(((240, 238, 228), (30, 30, 32), (120, 30, 30))), rng, 10)
    pip = contrast(body, rng)
    draw.rounded_rectangle((34, 4, 94, 124), radius=8, fill=body, outline=(110, 110, 110), width=2)
    draw.line((40, 64, 88, 64), fill=pip, width=3)
    pip_face(draw, 64, 34, 54, value(scene.name), pip)
    pip_face(draw, 64, 94, 54, value(scene.other), pip)
    return settle(image, rng, turn=8)


def _frame(scene: Scene, rng: Random, art: Art) -> Image.Image:
    """Draw counters in a frame of ten."""
    image = Image.new("RGBA", (BIG, BIG))
    draw = ImageDraw.Draw(image)
    paper, counter = jitter((250, 248, 240), rng, 8), any_colour(rng)
    draw.rectangle((4, 36, 124, 92), fill=paper)
    for i in range(10):
        x, y = 4 + 24 * (i % 5), 36 + 28 * (i // 5)
        draw.rectangle((x, y, x + 24, y + 28), outline=(40, 40, 40), width=2)
        if i < value(scene.name):
            disc(draw, x + 12, y + 14, 9, counter)
    return settle(image, rng, turn=6, scale=(0.92, 1.04))


def _card(scene: Scene, rng: Random, art: Art) -> Image.Image:
    """Draw a playing card."""
    image = Image.new("RGBA", (BIG, BIG))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle(
        (24, 2, 104, 126), radius=8, fill=(250, 250, 248), outline=(120, 120, 120), width=2
    )
    red = rng.random() < 0.5
    colour = (200, 20, 30) if red else (20, 20, 24)
    number = value(scene.name)
    left = number if number <= 3 else 0
    columns = [(64, left)] if left else [(46, number // 2), (82, number // 2), (64, number % 2)]
    for x, count in columns:
        for i in range(count):
            y = 64 if count == 1 else 24 + 80 * i / (count - 1)
            if red:
                draw.polygon(polygon(x, y, 11, 4), fill=colour)
            else:
                draw.polygon(star(x, y, 12, 3, 0.45), fill=colour)
    font = art.font("print", 24, rng)
    label = "A" if number == 1 else str(number)
    draw.text((27, 2), label, font=font, fill=colour)
    draw.text((101, 126), label, font=font, fill=colour, anchor="rb")
    return settle(image, rng, turn=14, scale=(0.9, 1.02))


def _number(scene: Scene, rng: Random, art: Art) -> Image.Image:
    return figure(text_mask(str(value(scene.name)), art.font("print", 100, rng)), rng)


def _handwritten(scene: Scene, rng: Random, art: Art) -> Image.Image:
    number = value(scene.name)
    if number < 10 and rng.random() < 0.7:
        return figure(digit_mask(number, rng), rng, turn=12)
    if rng.random() < 0.4:
        return figure(text_mask(str(number), art.font("hand", 110, rng)), rng, turn=12)
    image, draw = mask()
    digits = [int(char) for char in str(number)]
    wide = 100 / len(digits)
    size = rng.uniform(7, 14)
    for i, digit in enumerate(digits):
        left = 14 + i * wide
        draw_digit(
            draw,
            digit,
            (left, 20 + rng.randint(-6, 6), left + wide * 0.9, 108 + rng.randint(-6, 6)),
            rng,
            size,
        )
    return figure(image, rng, turn=12)


def _scanned(scene: Scene, rng: Random, art: Art) -> Image.Image:
    way = rng.choice(
        (
            Image.Resampling.NEAREST,
            Image.Resampling.BILINEAR,
            Image.Resampling.BICUBIC,
            Image.Resampling.LANCZOS,
        )
    )
    picture = scan(value(scene.name), rng).resize((BIG // 2, BIG // 2), way)
    if rng.random() < 0.35:
        picture = Image.eval(picture, lambda v: 255 - v)
    return Image.merge("RGB", (picture, picture, picture))


def _word(scene: Scene, rng: Random, art: Art) -> Image.Image:
    text = rng.choice((scene.name, scene.name.upper(), scene.name.title()))
    return figure(
        text_mask(text, art.font(rng.choice(("print", "print", "hand")), 60, rng), fill=0.94),
        rng,
        turn=5,
        scale=(0.95, 1.05),
    )


def _repeat(scene: Scene, rng: Random, art: Art) -> Image.Image:
    number = value(scene.name)
    side = 46 if number <= 2 else 36 if number <= 4 else 32 if number <= 9 else 27
    font = art.font("print", 90, rng)
    colour = any_colour(rng)
    glyph = (
        figure(text_mask(str(value(scene.other)), font), rng, turn=0, colour=colour)
        .crop((8, 8, 56, 56))
        .resize((side, side), Image.Resampling.BILINEAR)
    )
    return grid_of(lambda: glyph, number, side, rng)


def _pair(scene: Scene, rng: Random, art: Art) -> Image.Image:
    text = f"{value(scene.name)}{value(scene.other)}"
    return figure(text_mask(text, art.font("print", 90, rng), fill=0.92), rng)


def _letter(scene: Scene, rng: Random, art: Art) -> Image.Image:
    return figure(text_mask(random_case(scene.name, rng), art.font("print", 100, rng)), rng)


def _cases(scene: Scene, rng: Random, art: Art) -> Image.Image:
    return figure(text_mask(scene.name.upper() + scene.other, art.font("print", 90, rng), fill=0.92), rng)


def _thing_of_letter(scene: Scene, rng: Random, art: Art) -> Image.Image:
    return art.cutout(scene.detail, rng).resize((BIG // 2, BIG // 2), Image.Resampling.BILINEAR)


def _outlined(scene: Scene, rng: Random, art: Art) -> Image.Image:
    return figure(shape_mask(scene.name, rng.uniform(38, 52), rng.randint(5, 10)), rng, turn=10)


def _patch(scene: Scene, rng: Random, art: Art) -> Image.Image:
    shape = settle(shape_mask(rng.choice(SHAPES[:10]), rng.uniform(40, 56)), rng, turn=30)
    return paste(ground(scene.ground, rng), ink(shape, colour_of(scene.name, rng)), shadow=0.4)


def _distance(scene: Scene, rng: Random, art: Art) -> Image.Image:
    base = ground(scene.ground, rng)
    x = rng.choice((13, 51))
    base = put(base, cutout_of(scene.other, rng.randint(19, 23), rng, art), (x, rng.randint(12, 18)))
    return put(
        base,
        cutout_of(scene.name, rng.randint(42, 48), rng, art),
        (64 - x + (6 if x > 32 else -6) * 1.3, rng.randint(38, 42)),
        0.4,
    )


def _shadow(scene: Scene, rng: Random, art: Art) -> Image.Image:
    wall = ground(rng.choice(("paper", "sand", "snow", "stone", "plain")), rng)
    wall = Image.eval(wall, lambda v: 110 + v * 145 // 255)
    dark = cutout_of(scene.other, rng.randint(40, 46), rng, art)
    layer = Image.new("RGBA", dark.size, (16, 14, 20, 0))
    layer.putalpha(dark.getchannel("A").point(lambda a: int(a * 0.85)).filter(ImageFilter.BoxBlur(0.7)))
    x = rng.choice((22, 42))
    wall = put(wall, layer, (x, rng.randint(22, 26)))
    return put(
        wall,
        cutout_of(scene.name, rng.randint(25, 30), rng, art),
        (64 - x + (8 if x < 32 else -8), rng.randint(46, 49)),
    )


def _reflection(scene: Scene, rng: Random, art: Art) -> Image.Image:
    base = ground(rng.choice(("sky", "leaves", "snow", "scenery")), rng)
    water = ground("water", rng)
    base.paste(water.crop((0, 32, 64, 64)), (0, 32))
    above = cutout_of(scene.name, rng.randint(29, 32), rng, art)
    below = cutout_of(scene.other, above.width, rng, art).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    wavy = np.asarray(below).copy()
    for row in range(0, wavy.shape[0], 2):
        wavy[row] = np.roll(wavy[row], rng.choice((-1, 0, 1)), 0)
    wavy[..., 3] = wavy[..., 3] * 0.72
    wavy[..., 0] = wavy[..., 0] * 0.75
    x = rng.randint(18, 46)
    base = put(base, Image.fromarray(wavy), (x, 48))
    return put(base, above, (x, 16))


def _beside(scene: Scene, rng: Random, art: Art, change: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Draw both things side by side in random order, the second one changed."""
    base = ground(scene.ground, rng)
    side = rng.randint(29, 34)
    x = rng.choice((17, 47))
    first = cutout_of(scene.name, side, rng, art)
    second = change(cutout_of(scene.other, side, rng, art))
    base = put(base, first, (x + rng.randint(-1, 1), rng.randint(20, 44)))
    return put(base, second, (64 - x + rng.randint(-1, 1), rng.randint(20, 44)))


def _tone(scene: Scene, rng: Random, art: Art) -> Image.Image:
    def grey(thing: Image.Image) -> Image.Image:
        return thing.convert("LA").convert("RGBA")

    return _beside(scene, rng, art, grey)


def _sketched(scene: Scene, rng: Random, art: Art) -> Image.Image:
    base = ground(scene.ground, rng)
    half = Image.new("RGBA", (SIZE, SIZE))
    side = rng.randint(28, 31)
    half.paste(
        art.cutout(scene.other, rng, line=rng.random() < 0.3).resize(
            (2 * side, 2 * side), Image.Resampling.BILINEAR
        ),
        (32 - side, 32 - side),
    )
    drawing = rng.choice((sketch, sketch, chalk))(half, "paper", rng).resize((34, 34), Image.Resampling.BOX)
    x = rng.choice((17, 47))
    base.paste(drawing, (64 - x - 17, rng.randint(2, 28)))
    return put(base, cutout_of(scene.name, rng.randint(28, 32), rng, art), (x, rng.randint(20, 44)), 0.4)


def _upside_down(scene: Scene, rng: Random, art: Art) -> Image.Image:
    return _beside(scene, rng, art, lambda thing: thing.transpose(Image.Transpose.ROTATE_180))


def _blurred(scene: Scene, rng: Random, art: Art) -> Image.Image:
    def soft(thing: Image.Image) -> Image.Image:
        red, green, blue, _ = thing.resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
        room = Image.new("RGBA", (thing.width + 6, thing.height + 6), (red, green, blue, 0))
        room.paste(thing, (3, 3), thing)
        return room.filter(ImageFilter.BoxBlur(rng.uniform(1.8, 2.6)))

    return _beside(scene, rng, art, soft)


def _darkened(scene: Scene, rng: Random, art: Art) -> Image.Image:
    picture = side(scene, rng, art)
    night = AFTER["dark"](picture, rng)
    flip = rng.random() < 0.5
    picture.paste(night.crop((32, 0, 64, 64)), (32, 0))
    if not flip:
        return picture
    left = picture.crop((0, 0, 32, 64))
    picture.paste(picture.crop((32, 0, 64, 64)), (0, 0))
    picture.paste(left, (32, 0))
    return picture


def _labelled(scene: Scene, rng: Random, art: Art) -> Image.Image:
    text = rng.choice((scene.other, scene.other.upper(), scene.other.title()))
    font = art.font(rng.choice(("print", "print", "print", "hand")), 46, rng)
    word = ink(
        settle(text_mask(text, font, fill=0.96, high=0.34), rng, turn=2, shift=0.01, scale=(0.97, 1.03)),
        rng.choice(((20, 20, 24), (160, 20, 30), (20, 50, 140))),
    )
    base = ground(scene.ground, rng)
    top = rng.random() < 0.5
    draw = ImageDraw.Draw(base)
    edge = 11 if top else 53
    draw.rectangle((0, edge - 11, 63, edge + 11), fill=jitter((244, 242, 232), rng, 10))
    base.paste(word, (0, edge - 32), word)
    return put(
        base, cutout_of(scene.name, rng.randint(36, 40), rng, art), (rng.randint(22, 42), 43 if top else 21)
    )


scenes.FORMS["numbers"] |= {
    "print": _number,
    "hand": _handwritten,
    "scan": _scanned,
    "word": _word,
    "domino": _domino,
    "frame": _frame,
    "repeat": _repeat,
    "pair": _pair,
    "navon": lambda scene, rng, art: navon(str(value(scene.name)), str(value(scene.other)), rng, art),
    "card": _card,
}
scenes.FORMS["letters"] |= {
    "print": _letter,
    "mirror": lambda scene, rng, art: _letter(scene, rng, art).transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned": lambda scene, rng, art: _letter(scene, rng, art).transpose(Image.Transpose.ROTATE_180),
    "navon": lambda scene, rng, art: navon(scene.name.upper(), scene.other.upper(), rng, art),
    "cases": _cases,
    "picture": _thing_of_letter,
}
scenes.FORMS["colours"] |= {"patch": _patch}
scenes.FORMS["shapes"] |= {
    "filled": lambda scene, rng, _art: figure(shape_mask(scene.name, rng.uniform(38, 52)), rng, turn=10),
    "outline": _outlined,
}
scenes.FORMS["duo"] |= {
    "distance": _distance,
    "shadow": _shadow,
    "reflection": _reflection,
    "tone": _tone,
    "sketch": _sketched,
    "turned": _upside_down,
    "blur": _blurred,
    "dark": _darkened,
    "label": _labelled,
}
scenes.FORMS["words"] = {"written": _word}
