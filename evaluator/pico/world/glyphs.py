"""What numbers, letters and shapes share: text masks, inked figures, and things in many copies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

from PIL import Image

from .art import Art, Font, load_font
from .canvas import BIG, Colour, any_colour, ink, mask, settle
from .scene import Scene

Form = Callable[[Scene, Random, Art], Image.Image]


def text_mask(text: str, font: Font, fill: float = 0.72, high: float = 1) -> Image.Image:
    """Draw the text, as large as fits into ``fill`` of a BIG mask (and ``high`` of its height)."""
    left, top, right, bottom = font.getbbox(text)
    wide, tall = max(1, right - left), max(1, bottom - top)
    scale = min(1.6, fill * BIG / wide, min(fill, high) * BIG / tall)
    if scale < 0.97 or scale > 1.2:
        font = load_font(Path(str(font.path)), max(8, int(font.size * scale)))
    image, draw = mask()
    draw.text((BIG / 2, BIG / 2), text, font=font, fill=255, anchor="mm")
    left, top, right, bottom = image.getbbox() or (0, 0, BIG, BIG)
    shifted = Image.new("L", (BIG, BIG))
    shifted.paste(image, (round((BIG - right - left) / 2), round((BIG - bottom - top) / 2)))
    return shifted


def figure(
    shape: Image.Image,
    rng: Random,
    turn: float = 8,
    scale: tuple[float, float] = (0.8, 1.1),
    colour: Colour | None = None,
) -> Image.Image:
    """Return a BIG mask, settled and inked in some colour: RGBA, SIZE pixels a side."""
    shape = settle(shape, rng, turn=turn, scale=scale) if turn else shape.reduce(2)
    return ink(shape, colour or any_colour(rng))


def grid_of(make: Callable[[], Image.Image], number: int, side: int, rng: Random) -> Image.Image:
    """Draw ``number`` small pictures strewn without overlap over a BIG figure, reduced to SIZE."""
    image = Image.new("RGBA", (BIG, BIG))
    per_row = BIG // side
    cells = rng.sample(range(per_row * per_row), number)
    slack = BIG - per_row * side
    for cell in cells:
        x, y = cell % per_row * side + rng.randint(0, slack), cell // per_row * side + rng.randint(0, slack)
        image.alpha_composite(make(), (x, y))
    return image.reduce(2)


def navon(large: str, small: str, rng: Random, art: Art) -> Image.Image:
    """Draw a large character made of copies of a small one."""
    shape = text_mask(large, art.font("print", 120, rng), fill=0.98)
    glyph = text_mask(small, art.font("print", 60, rng), fill=0.94)
    return tiles(shape, ink(glyph, any_colour(rng)), rng)


def tiles(shape: Image.Image, tile: Image.Image, rng: Random, columns: int = 5, rows: int = 6) -> Image.Image:
    """Draw copies of a picture (RGBA) wherever the mask ``shape`` is filled, on a coarse grid: RGBA, SIZE."""
    box = shape.getbbox() or (0, 0, BIG, BIG)
    coarse = shape.crop(box).resize((columns, rows), Image.Resampling.BOX)
    threshold = sorted(coarse.tobytes())[columns * rows // 2 - 2]
    wide, high = BIG // columns, BIG // rows
    small = tile.resize((wide - 1, high - 1), Image.Resampling.BOX)
    image = Image.new("RGBA", (BIG, BIG))
    for index, filled in enumerate(coarse.tobytes()):
        if filled > max(70, min(110, threshold)):
            image.paste(small, (index % columns * wide + 1, index // columns * high + 1))
    return settle(image, rng, turn=3, scale=(0.97, 1.03), shift=0.02)
