"""Cut-outs and fonts, loaded: what the world draws with."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageFont

from .concepts import CONCEPTS, SENSES, codepoint

ASSETS = Path(__file__).resolve().parent.parent / "assets"
CUTOUT = 72
Font = ImageFont.FreeTypeFont


@lru_cache(maxsize=4096)
def load_font(path: Path, size: int) -> Font:
    """Load a font file at a size in pixels, kept."""
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
        """Return the art that the package brings, none of which is in a training picture."""
        return cls.load(sorted(ASSETS.glob("cutouts-*.npz")), ASSETS / "fonts")

    def part(self, half: int, fonts: Iterable[str]) -> Art:
        """Return every second picture of a name that has several, from number ``half`` on, and some fonts."""
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
        """Return one of the pictures of ``name``; with ``line``, from a line drawing where there is one.

        Raises:
            KeyError: this art has no picture of that name.
        """
        if line and self._line.get(name):
            return rng.choice(self._line[name])
        if not self._cutouts.get(name):
            raise KeyError(f"no picture of {name!r} in this art")
        return rng.choice(self._cutouts[name])

    def font(self, kind: str, size: int, rng: Random) -> Font:
        """Return one of the fonts of a kind, at a size in pixels."""
        return load_font(rng.choice(self._fonts[kind]), size)


def _named_characters() -> dict[str, str]:
    shared = {f"{name}/{kind}": chars for name, kinds in SENSES.items() for kind, chars in kinds.items()}
    return {**CONCEPTS, **shared}
