"""Draw colours, shapes and things, two of them in two roles: a star in a moon, a cat that dreams of a dog."""

from __future__ import annotations

import math
from random import Random

from PIL import Image, ImageDraw

from .art import Art, Form, figure, text_mask, tiles
from .canvas import (
    BIG,
    SIZE,
    Colour,
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
)
from .scene import DRAWINGS, Scene


def _heart(x: float, y: float, r: float) -> list[Point]:
    out = []
    for i in range(40):
        t = 2 * math.pi * i / 40
        across = 16 * math.sin(t) ** 3
        down = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        out.append((x + across * r / 17, y - down * r / 17))
    return out


def _corners(x: float, y: float, r: float) -> dict[str, list[Point]]:
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


COLOURS: dict[str, Colour] = {name: (r, g, b) for name, (r, g, b) in DRAWINGS["colours"].items()}
SHAPES: list[str] = DRAWINGS["shapes"]


def colour_of(name: str, rng: Random) -> Colour:
    """Return one shade of a named colour."""
    return jitter(COLOURS[name], rng, 16)


def shape_mask(name: str, r: float, width: int = 0, x: float = 64, y: float = 64) -> Image.Image:
    """Return a BIG mask of a named shape, filled, or outlined ``width`` pixels wide."""
    image, draw = mask()
    draw_shape(draw, name, x, y, r, width)
    return image


def _nested(scene: Scene, rng: Random, art: Art) -> Image.Image:
    outer = any_colour(rng)
    image = ink(shape_mask(scene.other, 56), outer)
    lower = 10 if scene.other == "triangle" else 0
    size = (
        15
        if scene.other in ("moon", "star", "cross", "arrow")
        else 19
        if scene.other in ("triangle", "diamond", "oval", "ring")
        else 23
    )
    x = 34 if scene.other == "moon" else 64
    image.alpha_composite(ink(shape_mask(scene.name, size, x=x, y=64 + lower), contrast(outer, rng)))
    return settle(image, rng, turn=6, scale=(0.95, 1.05))


def _navon(scene: Scene, rng: Random, art: Art) -> Image.Image:
    tile = ink(shape_mask(scene.other, 54), any_colour(rng))
    return tiles(shape_mask(scene.name, 60), tile, rng, columns=6, rows=6)


def _drawn(scene: Scene, rng: Random, art: Art) -> Image.Image:
    image, draw = mask()
    x = rng.choice((34, 94))
    draw_shape(draw, scene.name, x, 64 + rng.uniform(-24, 24), 27)
    draw_shape(draw, scene.other, 128 - x, 64 + rng.uniform(-24, 24), 25, 5)
    return figure(image, rng, turn=5, scale=(0.95, 1.05))


def _stroop(scene: Scene, rng: Random, art: Art) -> Image.Image:
    text = rng.choice((scene.name, scene.name.upper(), scene.name.title()))
    shape = text_mask(text, art.font(rng.choice(("print", "print", "hand")), 60, rng), fill=0.95)
    word = ink(settle(shape, rng, turn=5, scale=(0.95, 1.05)), colour_of(scene.other, rng))
    level = rng.randint(60, 200)
    backing = Image.new("RGB", (SIZE, SIZE), jitter((level, level, level), rng, 14))
    return paste(backing, word)


def _field(scene: Scene, rng: Random, art: Art) -> Image.Image:
    backing = Image.new("RGB", (SIZE, SIZE), colour_of(scene.other, rng))
    kind = rng.choice(SHAPES[:10])
    thing = settle(shape_mask(kind, rng.uniform(32, 52)), rng, turn=25)
    if rng.random() < 0.4:
        thing = settle(
            art.cutout(scene.detail, rng).getchannel("A").resize((BIG, BIG)), rng, scale=(0.6, 0.8)
        )
    return paste(backing, ink(thing, colour_of(scene.name, rng)), shadow=rng.choice((0, 0.4)))


def _border(scene: Scene, rng: Random, art: Art) -> Image.Image:
    picture = Image.new("RGB", (SIZE, SIZE), colour_of(scene.other, rng))
    edge = rng.randint(7, 13)
    inside = Image.new("RGB", (SIZE - 2 * edge, SIZE - 2 * edge), colour_of(scene.name, rng))
    picture.paste(inside, (edge, edge))
    return picture


COLOUR_FORMS: dict[str, Form] = {"stroop": _stroop, "field": _field, "border": _border}
SHAPE_FORMS: dict[str, Form] = {"nested": _nested, "navon": _navon, "drawn": _drawn}


_Spot = tuple[float, float]
_FLIP = Image.Transpose.FLIP_LEFT_RIGHT


def cutout_of(name: str, side: int, rng: Random, art: Art) -> Image.Image:
    """Return a picture of a thing, ``side`` pixels a side, a little turned and tinted, perhaps mirrored."""
    picture = art.cutout(name, rng)
    if rng.random() < 0.5:
        picture = picture.transpose(_FLIP)
    picture = picture.rotate(rng.uniform(-12, 12), Image.Resampling.BILINEAR)
    picture = picture.resize((side, side), Image.Resampling.BOX)
    return tint(picture, rng)


def tint(picture: Image.Image, rng: Random) -> Image.Image:
    """Return the picture with its channels randomly scaled a little."""
    table = [
        min(255, int(v * share)) for share in [rng.uniform(0.75, 1.2) for _ in range(3)] for v in range(256)
    ]
    return picture.point(table + list(range(256)))


def put(base: Image.Image, thing: Image.Image, at: _Spot, shadow: float = 0) -> Image.Image:
    """Return the base with a thing at a point of it."""
    layer = Image.new("RGBA", base.size)
    layer.paste(thing, (round(at[0] - thing.width / 2), round(at[1] - thing.height / 2)))
    return paste(base, layer, shadow)


def side(scene: Scene, rng: Random, art: Art) -> Image.Image:
    """Draw both things side by side."""
    base = ground(scene.ground, rng)
    for name, x in ((scene.name, 17), (scene.other, 47)):
        thing = cutout_of(name, rng.randint(27, 33), rng, art)
        base = put(base, thing, (x + rng.randint(-1, 1), rng.randint(20, 44)), 0.4)
    return base


def _dream(scene: Scene, rng: Random, art: Art) -> Image.Image:
    base = ground(scene.ground, rng)
    bubble = Image.new("L", (BIG, BIG))
    draw = ImageDraw.Draw(bubble)
    cloud = ((64, 36, 34), (90, 40, 32), (78, 26, 26), (76, 52, 28), (104, 34, 22), (36, 78, 8), (26, 92, 5))
    for x, y, r in cloud:
        disc(draw, x + 4, y, r)
    flip = rng.random() < 0.5
    bubble = bubble.transpose(_FLIP) if flip else bubble
    base = paste(base, ink(bubble.reduce(2), jitter((246, 246, 250), rng, 8)), 0.3)
    x = 64 - 41 if flip else 41
    base = put(base, cutout_of(scene.other, rng.randint(27, 31), rng, art), (x, 20))
    dreamer = cutout_of(scene.name, rng.randint(26, 30), rng, art)
    return put(base, dreamer, (64 - x - (7 if not flip else -7), 48), 0.3)


def _wallpaper(scene: Scene, rng: Random, art: Art) -> Image.Image:
    base = Image.new("RGB", (SIZE, SIZE), jitter((200, 196, 190), rng, 50))
    tile = cutout_of(scene.other, 15, rng, art)
    for row in range(4):
        for column in range(-1, 5):
            base.paste(tile, (column * 16 + (8 if row % 2 else 0), row * 16), tile)
    thing = cutout_of(scene.name, rng.randint(33, 38), rng, art)
    return put(base, thing, (rng.randint(22, 42), rng.randint(24, 42)), 0.6)


DUO_FORMS: dict[str, Form] = {"side": side, "dream": _dream, "wallpaper": _wallpaper}
