"""Load cut-outs and fonts, and draw text, figures and tiles with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageFont

from .canvas import BIG, Colour, any_colour, ink, mask, settle
from .scene import CONCEPTS, SENSES, Scene, codepoint

ASSETS = Path(__file__).resolve().parent.parent / "assets"
CUTOUT = 72
Font = ImageFont.FreeTypeFont


@lru_cache(maxsize=4096)
def load_font(path: Path, size: int) -> Font:
    """Load a font file at a size in pixels, cached."""
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


class Art:
    """Cut-outs by name, RGBA of CUTOUT pixels a side, and fonts by kind ("print", "hand")."""

    def __init__(
        self,
        cutouts: dict[str, list[Image.Image]],
        line: dict[str, list[Image.Image]],
        fonts: dict[str, list[Path]],
    ) -> None:
        self._cutouts = cutouts
        self._line = line
        self._fonts = fonts

    @classmethod
    def load(cls, files: Iterable[Path], fonts: Path) -> Art:
        """Read cutouts-SOURCE.npz files and a folder of print-*.woff and hand-*.woff fonts."""
        colour: dict[str, list[Image.Image]] = {}
        line: dict[str, list[Image.Image]] = {}
        for file in files:
            table = line if file.stem.endswith("-line") else colour
            with np.load(file) as cut:
                pictures = {code: Image.fromarray(cut[code]) for code in cut.files}
            for name, chars in _named_characters().items():
                table.setdefault(name, []).extend(
                    pictures[code] for char in chars if (code := codepoint(char)) in pictures
                )
        kinds = {kind: sorted(fonts.glob(f"{kind}-*.woff")) for kind in ("print", "hand")}
        return cls(colour, line, kinds)

    @classmethod
    def shipped(cls) -> Art:
        """Return the art in the package, none of which is in a training picture."""
        return cls.load(sorted(ASSETS.glob("cutouts-*.npz")), ASSETS / "fonts")

    def part(self, half: int, fonts: Iterable[str]) -> Art:
        """Return every second picture of each name that has several, from number ``half``, and some fonts."""
        cutouts = {name: pictures[half::2] or pictures for name, pictures in self._cutouts.items()}
        wanted = tuple(fonts)
        kinds = {
            kind: [path for path in paths if path.stem.removeprefix(f"{kind}-") in wanted]
            for kind, paths in self._fonts.items()
        }
        return Art(cutouts, self._line, kinds)

    def has(self, name: str) -> bool:
        """Return whether there is a picture of ``name``: "cat", or "mouse/animal" for one sense of it."""
        return bool(self._cutouts.get(name))

    def cutout(self, name: str, rng: Random, line: bool = False) -> Image.Image:
        """Return a picture of ``name``; with ``line``, from a line drawing if there is one."""
        if line and self._line.get(name):
            return rng.choice(self._line[name])
        if not self._cutouts.get(name):
            raise KeyError(f"no picture of {name!r} in this art")
        return rng.choice(self._cutouts[name])

    def font(self, kind: str, size: int, rng: Random) -> Font:
        return load_font(rng.choice(self._fonts[kind]), size)


def _named_characters() -> dict[str, str]:
    shared = {f"{name}/{kind}": chars for name, kinds in SENSES.items() for kind, chars in kinds.items()}
    return {**CONCEPTS, **shared}


Form = Callable[[Scene, Random, Art], Image.Image]


def text_mask(text: str, font: Font, fill: float = 0.72, high: float = 1) -> Image.Image:
    """Draw the text as large as fits into ``fill`` of a BIG mask (and ``high`` of its height)."""
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
    """Return a BIG mask, settled and coloured: RGBA, SIZE pixels a side."""
    shape = settle(shape, rng, turn=turn, scale=scale) if turn else shape.reduce(2)
    return ink(shape, colour or any_colour(rng))


def grid_of(make: Callable[[], Image.Image], number: int, side: int, rng: Random) -> Image.Image:
    """Draw ``number`` small pictures scattered without overlap over a BIG figure, reduced to SIZE."""
    image = Image.new("RGBA", (BIG, BIG))
    per_row = BIG // side
    cells = rng.sample(range(per_row * per_row), number)
    slack = BIG - per_row * side
    for cell in cells:
        x, y = cell % per_row * side + rng.randint(0, slack), cell // per_row * side + rng.randint(0, slack)
        image.alpha_composite(make(), (x, y))
    return image.reduce(2)


def tiles(shape: Image.Image, tile: Image.Image, rng: Random, columns: int = 5, rows: int = 6) -> Image.Image:
    """Draw copies of a picture (RGBA) where the mask ``shape`` is filled, on a coarse grid: RGBA, SIZE."""
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
