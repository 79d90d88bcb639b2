"""Make data sets whose class names a CLIP has never read: other languages, Latin, code points.

    python benchmarks/vocabularies.py make FOLDER            # the sets of vocabularies.toml
    python benchmarks/vocabularies.py draw NAME --locale fi  # print a further one, for that file

Each set is 16 things under the names that others gave them: Unicode's annotations of emoji (CLDR), species in
WordNet, code points. The pictures are emoji by vendors that the bundled CLIPs were not trained on, on plain
grounds, at random places and sizes. Few-shot and test images come from different vendors. ``make`` writes
``FOLDER/SET/{train,val,test}/CLASS NAME/*.png``, so that every command reads a set as ``--data FOLDER/SET``;
the art comes by ``npm pack`` and stays in the cache. Needs the extra ``train``.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tarfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from PIL import Image

from promptclimb.evaluator.pico.world.scene import CONCEPTS, CORE, EVERYDAY, codepoint
from training.gather_art import Source, cache_folder, fit, package, read_member, render_icon

SETS = Path(__file__).with_suffix(".toml")
FEW_SHOT_VENDORS: Mapping[str, Source] = {
    "openmoji": Source("@iconify-json/openmoji", "1.2.29", "CC-BY-SA-4.0", "iconify"),
    "emojione-v1": Source("@iconify-json/emojione-v1", "1.2.3", "CC-BY-SA-4.0", "iconify"),
    "fxemoji": Source("@iconify-json/fxemoji", "1.2.2", "Apache-2.0", "iconify"),
}
TEST_VENDORS: Mapping[str, Source] = {
    "twemoji": Source("@iconify-json/twemoji", "1.2.5", "CC-BY-4.0", "iconify"),
    "emojione": Source("@iconify-json/emojione", "1.2.3", "CC-BY-4.0", "iconify"),
}
NAMES = Source("cldr-annotations-full", "48.2.0", "Unicode-3.0", "json")
SIZES = {"train": 20, "val": 5, "test": 60}
"""Pictures per class."""
SIDE = 96


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """A data set in a vocabulary of its own.

    Attributes:
        title: What the names are.
        classes: Class name -> the English name of the thing, as the bundled CLIPs read it.
    """

    title: str
    classes: Mapping[str, str]

    @property
    def names(self) -> list[str]:
        """The class names by label, in the order of class folders."""
        return sorted(self.classes)


def vocabularies() -> dict[str, Vocabulary]:
    """Return the sets of vocabularies.toml by name."""
    tables = tomllib.loads(SETS.read_text("utf-8"))
    return {name: Vocabulary(**table) for name, table in tables.items()}


@lru_cache(maxsize=8)
def _member(source: Source, member: str) -> Any:
    with tarfile.open(package(source.package, source.version, cache_folder())) as tar:
        return json.loads(read_member(tar, member))


def _slugs(code: str, char_names: Mapping[str, str]) -> Iterator[str]:
    """Yield the names that vendors give an emoji."""
    slug = char_names.get(code) or char_names.get(f"{code}-fe0f")
    if slug:
        yield slug
        yield f"{slug}-face"
        yield slug.removesuffix("-face")
        yield slug.replace("-", "")


def cutouts(name: str, vendors: Mapping[str, Source]) -> list[Image.Image]:
    """Return every picture that the vendors have of a thing."""
    char_names = _member(TEST_VENDORS["twemoji"], "package/chars.json")
    pictures = []
    for vendor in vendors.values():
        icons = _member(vendor, "package/icons.json")
        for char in CONCEPTS[name].replace("\N{VARIATION SELECTOR-16}", ""):
            for slug in _slugs(codepoint(char), char_names):
                if icon := icons["icons"].get(slug):
                    width = icon.get("width", icons.get("width", 16))
                    height = icon.get("height", icons.get("height", 16))
                    pictures.append(Image.fromarray(fit(render_icon(icon, width, height))))
                    break
    return pictures


def composed(cutout: Image.Image, rng: random.Random) -> Image.Image:
    """Return a picture of a cut-out on a plain ground, at a random place, size and tilt."""
    if rng.random() < 0.5:
        cutout = cutout.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    side = round(SIDE * rng.uniform(0.6, 0.95))
    cutout = cutout.resize((side, side), Image.Resampling.LANCZOS)
    cutout = cutout.rotate(rng.uniform(-12, 12), Image.Resampling.BICUBIC)
    lightness = rng.uniform(0.6, 1.0)
    ground = tuple(round(255 * lightness * rng.uniform(0.85, 1.0)) for _ in range(3))
    picture = Image.new("RGB", (SIDE, SIDE), ground)
    picture.paste(cutout, (rng.randint(0, SIDE - side), rng.randint(0, SIDE - side)), cutout)
    return picture


def pictures(data: str, vocabulary: Vocabulary, split: str) -> Iterator[tuple[str, Image.Image]]:
    """Yield class names and pictures of one split, class by class."""
    vendors = TEST_VENDORS if split == "test" else FEW_SHOT_VENDORS
    for class_name in vocabulary.names:
        own = cutouts(vocabulary.classes[class_name], vendors)
        for index in range(SIZES[split]):
            rng = random.Random(f"{data}/{split}/{class_name}/{index}")
            yield class_name, composed(own[index % len(own)], rng)


def make(folder: Path) -> None:
    """Write every set as class folders."""
    for data, vocabulary in vocabularies().items():
        for split in SIZES:
            for index, (class_name, picture) in enumerate(pictures(data, vocabulary, split)):
                class_folder = folder / data / split / class_name
                class_folder.mkdir(parents=True, exist_ok=True)
                picture.save(class_folder / f"{index % SIZES[split]:03d}.png")
        print(folder / data)


@lru_cache(maxsize=2)
def drawable(things: str) -> tuple[str, ...]:
    """Return the English names of the things that both groups of vendors have pictures of.

    ``things`` is "common" for those that both bundled CLIPs have seen most, so that chosen names can be
    evaluated on the other one, or "rare" for the rest.
    """
    common = {*CORE, *EVERYDAY}
    names = sorted(name for name in CONCEPTS if (name in common) == (things == "common"))
    return tuple(name for name in names if cutouts(name, FEW_SHOT_VENDORS) and cutouts(name, TEST_VENDORS))


def names_in(locale: str, english: Sequence[str]) -> dict[str, str]:
    """Return the names that Unicode's annotations have for things: English name -> name in the locale."""
    document = _member(NAMES, f"package/annotations/{locale}/annotations.json")
    annotations = document["annotations"]["annotations"]
    name_by_english: dict[str, str] = {}
    for name in english:
        for char in CONCEPTS[name].replace("\N{VARIATION SELECTOR-16}", ""):
            texts = annotations.get(char, {}).get("tts", ())
            if texts and name not in name_by_english:
                name_by_english[name] = texts[0].lower()
    return name_by_english


def drawn(locale: str, things: str, count: int = 16) -> dict[str, str]:
    """Draw the classes of a further set: name in the locale -> English name.

    A name that is the English one, or contains it, is left out: there is nothing to be known.
    """
    names = names_in(locale, drawable(things))
    usable = [
        (text, name)
        for name, text in sorted(names.items())
        if name not in text and text not in name and len(text.split()) <= 3
    ]
    random.Random(f"{locale}/{things}").shuffle(usable)
    return dict(usable[:count])


def code_points(things: str, count: int = 16) -> dict[str, str]:
    """Draw the classes of a set whose names are the code points of its emoji."""
    names = list(drawable(things))
    random.Random(f"code points/{things}").shuffle(names)
    return {codepoint(CONCEPTS[name][0]): name for name in names[:count]}


def main() -> None:
    """Make the sets, or draw a further one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("make", help="write every set as class folders").add_argument("folder", type=Path)
    draw = actions.add_parser("draw", help="print a further set, for vocabularies.toml")
    draw.add_argument("name")
    draw.add_argument("--locale", help="a locale of CLDR, such as fi; without it, names are code points")
    draw.add_argument("--title", default="")
    draw.add_argument("--things", choices=("common", "rare"), default="common")
    options = parser.parse_args()
    if options.action == "make":
        make(options.folder)
        return
    classes = drawn(options.locale, options.things) if options.locale else code_points(options.things)
    print(
        f"[{options.name}]\ntitle = {json.dumps(options.title, ensure_ascii=False)}\n[{options.name}.classes]"
    )
    for text, name in sorted(classes.items()):
        print(f"{json.dumps(text, ensure_ascii=False)} = {json.dumps(name)}")
    print()


if __name__ == "__main__":
    main()
