"""The maritime signal flags of letters."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from PIL import Image, ImageDraw

from .canvas import BIG, Colour, jitter

_SIDE = 96
_Colours = tuple[Colour, ...]
_W, _K, _B, _R, _Y = (245, 245, 245), (20, 20, 24), (30, 60, 160), (210, 30, 40), (245, 210, 40)
# Layout and colours of each letter's flag, outermost or topmost first.
_FLAGS: dict[str, tuple[str, _Colours]] = {
    "b": ("plain", (_R,)),
    "c": ("rows", (_B, _W, _R, _W, _B)),
    "d": ("rows", (_Y, _B, _B, _Y)),
    "e": ("rows", (_B, _R)),
    "f": ("diamond", (_W, _R)),
    "g": ("columns", (_Y, _B, _Y, _B, _Y, _B)),
    "h": ("columns", (_W, _R)),
    "j": ("rows", (_B, _W, _B)),
    "k": ("columns", (_Y, _B)),
    "l": ("quarters", (_Y, _K)),
    "m": ("saltire", (_B, _W)),
    "n": ("checks", (_B, _W)),
    "p": ("inset", (_B, _W)),
    "r": ("cross", (_R, _Y)),
    "s": ("inset", (_W, _B)),
    "t": ("columns", (_R, _W, _B)),
    "v": ("saltire", (_W, _R)),
    "w": ("nest", (_B, _W, _R)),
    "y": ("stripes", (_Y, _R)),
    "z": ("gores", (_Y, _B, _R, _K)),
}


def _rows(draw: ImageDraw.ImageDraw, colours: _Colours) -> None:
    step = _SIDE / len(colours)
    for i, colour in enumerate(colours):
        draw.rectangle((0, i * step, _SIDE, (i + 1) * step), fill=colour)


def _columns(draw: ImageDraw.ImageDraw, colours: _Colours) -> None:
    step = _SIDE / len(colours)
    for i, colour in enumerate(colours):
        draw.rectangle((i * step, 0, (i + 1) * step, _SIDE), fill=colour)


def _diamond(draw: ImageDraw.ImageDraw, colours: _Colours) -> None:
    draw.polygon([(48, 4), (92, 48), (48, 92), (4, 48)], fill=colours[-1])


def _quarters(draw: ImageDraw.ImageDraw, colours: _Colours) -> None:
    draw.rectangle((48, 0, 96, 48), fill=colours[-1])
    draw.rectangle((0, 48, 48, 96), fill=colours[-1])


def _checks(draw: ImageDraw.ImageDraw, colours: _Colours) -> None:
    for i in range(16):
        if (i + i // 4) % 2:
            x, y = i % 4 * 24, i // 4 * 24
            draw.rectangle((x, y, x + 23, y + 23), fill=colours[-1])


def _saltire(draw: ImageDraw.ImageDraw, colours: _Colours) -> None:
    draw.line((0, 0, 96, 96), fill=colours[-1], width=18)
    draw.line((96, 0, 0, 96), fill=colours[-1], width=18)


def _cross(draw: ImageDraw.ImageDraw, colours: _Colours) -> None:
    draw.rectangle((0, 38, 96, 58), fill=colours[-1])
    draw.rectangle((38, 0, 58, 96), fill=colours[-1])


def _inset(draw: ImageDraw.ImageDraw, colours: _Colours) -> None:
    draw.rectangle((30, 30, 65, 65), fill=colours[-1])


def _nest(draw: ImageDraw.ImageDraw, colours: _Colours) -> None:
    for i, colour in enumerate(colours[1:]):
        edge = 18 * (i + 1)
        draw.rectangle((edge, edge, 95 - edge, 95 - edge), fill=colour)


def _stripes(draw: ImageDraw.ImageDraw, colours: _Colours) -> None:
    for i in range(-96, 96, 32):
        draw.polygon([(i, 96), (i + 16, 96), (i + 112, 0), (i + 96, 0)], fill=colours[-1])


def _gores(draw: ImageDraw.ImageDraw, colours: _Colours) -> None:
    sides = (((0, 0), (96, 0)), ((96, 0), (96, 96)), ((0, 96), (96, 96)), ((0, 0), (0, 96)))
    for colour, side in zip(colours, sides, strict=True):
        draw.polygon([*side, (48, 48)], fill=colour)


_LAYOUTS: dict[str, Callable[[ImageDraw.ImageDraw, _Colours], None]] = {
    "rows": _rows,
    "columns": _columns,
    "diamond": _diamond,
    "quarters": _quarters,
    "checks": _checks,
    "saltire": _saltire,
    "cross": _cross,
    "inset": _inset,
    "nest": _nest,
    "stripes": _stripes,
    "gores": _gores,
}


def signal_flag(letter: str, rng: Random) -> Image.Image:
    """Draw the flag of a letter at its pole: RGBA, BIG pixels a side."""
    layout, colours = _FLAGS[letter]
    flag = Image.new("RGBA", (_SIDE, _SIDE), (*jitter(colours[0], rng, 8), 255))
    if layout in _LAYOUTS:
        _LAYOUTS[layout](ImageDraw.Draw(flag), colours)
    image = Image.new("RGBA", (BIG, BIG))
    image.paste(flag, (18, 14))
    ImageDraw.Draw(image).line((14, 6, 14, 128), fill=jitter((90, 70, 50), rng), width=5)
    return image
