"""The art that the pico CLIPs' world is drawn from: emoji cut-outs and fonts from npm packages.

Training draws from every source but the held-out one, and from the training fonts. The bundled sets draw from
the held-out source and fonts, which no training image shows; they are shipped (``training/assets``).

    python -m training.gather_art         # all art into the cache by ``npm pack``
    python -m training.gather_art --ship    # the shipped art from it
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from promptclimb.evaluator.counts import how_to_install
from promptclimb.evaluator.errors import UsageError
from promptclimb.evaluator.files import cache_dir

from .world.art import ASSETS, CUTOUT, Art
from .world.scene import CONCEPTS, CORE, EVERYDAY, SENSES, codepoint


@dataclass(frozen=True)
class Source:
    """One package of cut-outs: its npm name, version and licence, and the form that its pictures come in."""

    package: str
    version: str
    licence: str
    form: str
    held_out: bool = False


SOURCES: dict[str, Source] = {
    "noto": Source("emoji-datasource-google", "16.0.0", "Apache-2.0 (pictures), MIT (data)", "png"),
    "fluent-3d": Source("@lobehub/fluent-emoji-3d", "1.1.0", "MIT", "webp"),
    "fluent-flat": Source("@iconify-json/fluent-emoji-flat", "1.2.6", "MIT", "iconify"),
    "fluent-line": Source("@iconify-json/fluent-emoji-high-contrast", "1.2.6", "MIT", "iconify"),
    "noto-v1": Source("@iconify-json/noto-v1", "1.2.5", "Apache-2.0", "iconify", held_out=True),
}
PRINT_FONTS = [
    "roboto",
    "lato",
    "open-sans",
    "merriweather",
    "playfair-display",
    "oswald",
    "roboto-slab",
    "courier-prime",
    "montserrat",
    "bitter",
    "special-elite",
    "rubik",
    "comfortaa",
    "libre-baskerville",
    "anton",
    "titillium-web",
    "crimson-text",
    "abril-fatface",
]
HAND_FONTS = [
    "caveat",
    "patrick-hand",
    "indie-flower",
    "shadows-into-light",
    "permanent-marker",
    "gloria-hallelujah",
    "architects-daughter",
    "kalam",
    "reenie-beanie",
    "covered-by-your-grace",
    "coming-soon",
    "handlee",
    "schoolbell",
    "amatic-sc",
    "gochi-hand",
    "neucha",
    "the-girl-next-door",
    "pangolin",
    "walter-turncoat",
    "just-another-hand",
]
HELD_OUT_PRINT = ["work-sans", "arvo", "karla"]
# The names that the bundled sets draw: their held-out pictures are shipped.
SHIPPED = (*CORE, *EVERYDAY)
HELD_OUT_HAND = ["short-stack", "delius", "sue-ellen-francisco"]


def cache_folder() -> Path:
    """Return where gathered art is kept: in the cache folder of the program.

    Raises:
        UsageError: The folder cannot be made.
    """
    return cache_dir() / "pico-art"


class ArtError(RuntimeError):
    """Art could not be gathered; the message says what failed and what to do."""


def package(name: str, version: str, folder: Path) -> Path:
    """Return the package's tarball, fetched by ``npm pack`` unless it is there already."""
    stem = name.lstrip("@").replace("/", "-")
    if tarballs := sorted(folder.glob(f"{stem}-[0-9]*.tgz")):
        return tarballs[-1]
    npm = shutil.which("npm")
    if npm is None:
        raise ArtError(
            "npm is needed to gather the training art: install Node.js, or train where it is installed"
        )
    spec = f"{name}@{version}" if version else name
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([npm, "pack", spec], cwd=folder, capture_output=True, text=True, check=False)
    tarballs = sorted(folder.glob(f"{stem}-[0-9]*.tgz"))
    if done.returncode or not tarballs:
        raise ArtError(f"npm pack {spec} failed: {done.stderr.strip()[-300:]}")
    return tarballs[-1]


@cache
def package_json(source: Source, member: str, folder: Path) -> Any:
    """Return what a JSON file of an npm package holds."""
    with tarfile.open(package(source.package, source.version, folder)) as tar:
        return json.loads(read_member(tar, member))


def fit(picture: Image.Image) -> NDArray[np.uint8]:
    """Return the opaque part of the picture, fitted into a CUTOUT square: uint8 [CUTOUT, CUTOUT, 4]."""
    picture = picture.convert("RGBA")
    box = picture.getchannel("A").getbbox()
    if box:
        picture = picture.crop(box)
    scale = CUTOUT / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    square = Image.new("RGBA", (CUTOUT, CUTOUT))
    square.paste(
        picture.resize((width, height), Image.Resampling.LANCZOS),
        ((CUTOUT - width) // 2, (CUTOUT - height) // 2),
    )
    return np.asarray(square)


def render_icon(icon: dict[str, Any], width: int, height: int) -> Image.Image:
    """Draw an icon of an iconify package at the size of a cut-out."""
    return render_svg(iconify_svg(icon, width, height))


def iconify_svg(icon: Mapping[str, Any], width: int, height: int) -> str:
    """Return an icon of an iconify package as an SVG."""
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">{icon["body"]}</svg>'


def render_svg(text: str, side: int = 96) -> Image.Image:
    """Draw an SVG into a square of ``side`` pixels.

    Raises:
        ArtError: The program that draws is not installed.
        ValueError: The text is not an SVG that can be drawn.
    """
    # Imported here: only gathering needs it, and only the extra `train` brings it.
    try:
        import resvg_py
    except ImportError as error:
        raise ArtError(f"resvg-py is needed to draw the cut-outs: {how_to_install('train')}") from error

    png = resvg_py.svg_to_bytes(
        svg_string=text.replace("currentColor", "#000"), width=side, height=side, dpi=96
    )
    return Image.open(io.BytesIO(bytes(png)), formats=["PNG"])


def _slugs(folder: Path) -> dict[str, str]:
    """Return Unicode code point -> CLDR slug, as the iconify packages name their icons."""
    return dict(package_json(SOURCES["fluent-flat"], "package/chars.json", folder))


def read_member(tar: tarfile.TarFile, member: str) -> bytes:
    """Return the bytes of a file in a tarball."""
    file = tar.extractfile(member)
    if file is None:
        raise ArtError(f"{tar.name!r} has no {member}")
    return file.read()


def _pictures(source: Source, folder: Path, wanted: set[str]) -> dict[str, NDArray[np.uint8]]:
    """Return code point -> cut-out, for the wanted code points that this source has."""
    cut: dict[str, NDArray[np.uint8]] = {}
    with tarfile.open(package(source.package, source.version, folder)) as tar:
        if source.form == "iconify":
            icons = json.loads(read_member(tar, "package/icons.json"))
            width, height = icons.get("width", 16), icons.get("height", 16)
            slugs = _slugs(folder)
            for code in sorted(wanted):
                icon = icons["icons"].get(slugs.get(code, ""))
                if icon:
                    cut[code] = fit(render_icon(icon, icon.get("width", width), icon.get("height", height)))
            return cut
        names = {
            Path(name).stem: name
            for name in tar.getnames()
            if "sheets" not in name and name.endswith((".png", ".webp"))
        }
        for code in sorted(wanted):
            member = names.get(code) or names.get(f"{code}-fe0f")
            if member:
                cut[code] = fit(Image.open(io.BytesIO(read_member(tar, member))))
    return cut


def _font(name: str, folder: Path) -> bytes:
    """Return the font's Latin subset in its regular weight, as the package brings it (WOFF)."""
    with tarfile.open(package(f"@fontsource/{name}", "", folder)) as tar:
        return read_member(tar, f"package/files/{name}-latin-400-normal.woff")


def _save(file: Path, cut: dict[str, Any]) -> None:
    """Write cut-outs (uint8 [CUTOUT, CUTOUT, 4]) by code point."""
    np.savez_compressed(file, **{code: cut[code] for code in sorted(cut)})


def _codepoints(names: Iterable[str]) -> set[str]:
    """Return the code points of some concepts, and of every sense of the shared names."""
    chars = [CONCEPTS[name] for name in names]
    chars += [sense for kinds in SENSES.values() for sense in kinds.values()]
    return {codepoint(char) for word in chars for char in word}


def gather(folder: Path | None = None) -> Path:
    """Fetch every package and write cutouts-SOURCE.npz and fonts/ into the cache folder.

    Raises:
        ArtError: npm is missing, or a package could not be fetched.
    """
    folder = folder or cache_folder()
    (folder / "fonts").mkdir(parents=True, exist_ok=True)
    wanted = _codepoints(CONCEPTS)
    for name, source in SOURCES.items():
        cut = _pictures(source, folder, wanted)
        _save(folder / f"cutouts-{name}.npz", cut)
    for kind, fonts in (("print", PRINT_FONTS), ("hand", HAND_FONTS)):
        for font in fonts:
            (folder / "fonts" / f"{kind}-{font}.woff").write_bytes(_font(font, folder))
    return folder


def training_art(folder: Path | None = None) -> Art:
    """Return the art that training images are drawn from; gather it first if it is not in the cache."""
    folder = folder or cache_folder()
    names = [name for name, source in SOURCES.items() if not source.held_out]
    if not all((folder / f"cutouts-{name}.npz").exists() for name in names):
        gather(folder)
    return Art.load([folder / f"cutouts-{name}.npz" for name in names], folder / "fonts")


def ship(folder: Path | None = None) -> None:
    """Write the art that the bundled sets need into the assets folder."""
    folder = gather(folder)
    wanted = _codepoints(SHIPPED)
    for name, source in SOURCES.items():
        if source.held_out:
            with np.load(folder / f"cutouts-{name}.npz") as cut:
                _save(ASSETS / f"cutouts-{name}.npz", {code: cut[code] for code in wanted & set(cut.files)})
    for kind, fonts in (("print", HELD_OUT_PRINT), ("hand", HELD_OUT_HAND)):
        for font in fonts:
            (ASSETS / "fonts" / f"{kind}-{font}.woff").write_bytes(_font(font, folder))


def main() -> int:
    """Gather the art, or ship it; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m training.gather_art",
        description="Gather the art of the bundled sets.",
    )
    parser.add_argument(
        "--ship", action="store_true", help="write the art of the bundled sets into training/assets"
    )
    options = parser.parse_args()
    try:
        folder = gather()
        if options.ship:
            ship()
    except (ArtError, UsageError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(f"{folder}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
