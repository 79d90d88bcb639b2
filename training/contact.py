"""A contact sheet: ``python -m training.contact FILE`` draws every form."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw, ImageFont

from promptclimb.evaluator.errors import UsageError

from .batches import WEIGHTS
from .gather_art import ArtError, training_art
from .world.art import Art
from .world.media import MEDIA
from .world.scene import CORE, SENSES, Scene
from .world.scenes import TWO, compose, draw, names_of

PICTURES, SIDE, COLUMNS = 5, 48, 4
_LABEL = 13


def _scene(family: str, form: str, rng: Random) -> Scene:
    """Return a scene of one form; of the everyday family, ``form`` is a medium."""
    if family == "everyday":
        return compose(family, "thing", rng.choice(CORE), "", rng, form, "plain")
    if family == "senses":
        return compose(family, form, rng.choice(list(SENSES)), "", rng, "photo", "plain")
    first, second = names_of(family, form)
    name = rng.choice(first)
    second_name = rng.choice([own for own in second if own != name]) if form in TWO.get(family, ()) else ""
    return compose(family, form, name, second_name, rng, condition="plain")


def sheet(art: Art, seed: int = 1) -> Image.Image:
    """Draw PICTURES pictures of each form and of each medium, labelled."""
    cells = [(family, form) for family, forms in WEIGHTS.items() for form in forms if family != "everyday"]
    cells += [("everyday", medium) for medium in MEDIA]
    wide, high = PICTURES * SIDE + 8, SIDE + _LABEL + 4
    rows = -(-len(cells) // COLUMNS)
    image = Image.new("RGB", (COLUMNS * wide, rows * high), "white")
    pen, font, rng = ImageDraw.Draw(image), ImageFont.load_default(11), Random(seed)
    for i, (family, form) in enumerate(cells):
        left, top = i % COLUMNS * wide, i // COLUMNS * high
        pen.text((left, top), f"{family}: {form}", fill="black", font=font)
        for k in range(PICTURES):
            picture = Image.fromarray(draw(_scene(family, form, rng), rng, art))
            image.paste(
                picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (left + k * SIDE, top + _LABEL)
            )
    return image


def main() -> int:
    """Write the contact sheet; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m training.contact", description="Draw a contact sheet.")
    parser.add_argument("file", type=Path, help="the PNG to write")
    options = parser.parse_args()
    try:
        art = training_art()
    except (ArtError, UsageError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sheet(art).quantize(160).save(options.file, optimize=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
