"""Train Tags-pico, a CLIP whose captions were written by others: ``python -m training.tags``.

Its pictures are emoji, icons and clip art from npm and Debian packages. Its captions are the names, titles,
descriptions and keywords that came with them: one text, or a name and keywords joined by commas. Neither
pictures nor captions are those of RN-pico and ViT-pico, except emoji cut-outs of four vendors.

``--in-templates 0.5`` puts the picture's name into a general template in half of the captions, as people do
who write about photographs; so were the captions of Captions-pico made. The templates are OpenAI's 80 for
ImageNet, but for every fourth (the 1st, 5th, ...), which no caption has.

A killed run goes on when it is started again. Needs npm, apt-get, dpkg-deb and the extra ``train``.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import subprocess
import sys
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from promptclimb.evaluator.datasets.hand_made import imagenet_templates
from promptclimb.evaluator.errors import UsageError
from promptclimb.evaluator.files import cache_dir
from promptclimb.evaluator.pico.models import CAPTIONS_MODEL, TAGS_MODEL

from .gather_art import (
    SOURCES,
    ArtError,
    Source,
    cache_folder,
    fit,
    iconify_svg,
    package,
    package_json,
    read_member,
    render_svg,
)
from .loop import Recipe, Trainer
from .model import Vocabulary, token_ids

log = structlog.get_logger()

EMOJI_TEXTS = {
    "data": Source("emojibase-data", "17.0.0", "MIT", "json"),
    "keywords": Source("emojilib", "4.0.3", "MIT", "json"),
}
ICONS = {
    "lucide": Source("lucide-static", "1.62.0", "ISC", "lucide"),
    "tabler": Source("@tabler/icons", "3.52.0", "MIT", "tabler"),
    "material": Source("@mdi/svg", "7.4.47", "Apache-2.0", "material"),
    "font-awesome": Source("@fortawesome/fontawesome-free", "7.3.1", "CC-BY-4.0", "font-awesome"),
    "game-icons": Source("@iconify-json/game-icons", "1.2.4", "CC-BY-3.0", "iconify"),
}
CLIP_ART = "openclipart-svg"
STAMPS = "tuxpaint-stamps-default"
HELD_OUT_SHARE = 3
"""One of so many clip-art pictures, by the checksum of its path, is in no training."""
SHARES = {"emoji": 0.45, "clip art": 0.2, "stamps": 0.07, "icons": 0.28}
"""Of a batch, by kind of picture."""
HELD_OUT_TEMPLATES = 4
"""One of so many of OpenAI's templates, in their order, is in no caption."""
COMMON_TITLE = 12
"""A clip-art title of so many pictures names a collection, not a picture."""
MOST_WORDS = 12
PAGE_SIDE = 192
"""Pixels at which clip art is drawn, before the empty page around it is cut off."""
MONITOR = 512
SIDE = 64


class Tagged(NamedTuple):
    """A picture with the texts that came with it.

    Attributes:
        kind: A key of ``SHARES``.
        group: Its package or vendor.
        file: Its name in there.
        picture: RGBA [CUTOUT, CUTOUT, 4].
        names: Its name or titles.
        keywords: Its tags, and what its package says of itself.
        sentences: Descriptions.
        tinted: Whether it has one colour, which any other may replace.
    """

    kind: str
    group: str
    file: str
    picture: NDArray[np.uint8]
    names: Sequence[str]
    keywords: Sequence[str] = ()
    sentences: Sequence[str] = ()
    tinted: bool = False


def _words(text: str) -> str:
    """Return a slug or a title as words, or an empty text if it is neither or is too long."""
    words = re.sub(r"[-_\s]+", " ", text).strip(" .")
    return words if re.search(r"[^\W\d_]{2}", words) and len(words.split()) <= MOST_WORDS else ""


def _texts(*texts: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words for text in texts if (words := _words(text))))


def held_out(path: str) -> bool:
    """Return whether a picture of clip art, by its path in the package, is kept from training."""
    return zlib.crc32(path.encode()) % HELD_OUT_SHARE == 0


def emoji_texts(folder: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return code point -> Unicode's English name and the keywords of two packages; no skin tones."""
    further = package_json(EMOJI_TEXTS["keywords"], "package/dist/emoji-en-US.json", folder)
    texts = {}
    for entry in package_json(EMOJI_TEXTS["data"], "package/en/data.json", folder):
        code = entry["hexcode"].lower().replace("-fe0f", "")
        keywords = _texts(*entry.get("tags", ()), *further.get(entry["emoji"], ()))
        texts[code] = (entry["label"], keywords)
    return texts


def _emoji(folder: Path) -> Iterator[Tagged]:
    texts = emoji_texts(folder)
    for vendor, source in SOURCES.items():
        if source.held_out:
            continue
        for code, picture in emoji_pictures(source, folder, texts):
            name, keywords = texts[code]
            own = (*keywords, *_package_words(source, folder))
            yield Tagged("emoji", vendor, code, picture, (name,), own, tinted=vendor.endswith("-line"))


def emoji_pictures(
    source: Source, folder: Path, codes: Mapping[str, object]
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield code points and cut-outs of a vendor, for the codes that it has."""
    with tarfile.open(package(source.package, source.version, folder)) as tar:
        if source.form == "iconify":
            icons = json.loads(read_member(tar, "package/icons.json"))
            # A package without a list of characters names its icons as the others do.
            characters: dict[str, str] = json.loads(read_member(tar, "package/chars.json"))
            if not characters:
                characters = package_json(SOURCES["fluent-flat"], "package/chars.json", folder)
            for raw, slug in characters.items():
                code = raw.replace("-fe0f", "")
                if code in codes and (icon := icons["icons"].get(slug)):
                    yield code, fit(render_svg(_iconify_svg(icon, icons)))
            return
        for member in tar.getmembers():
            path = Path(member.name)
            code = path.stem.lower().replace("-fe0f", "")
            if code in codes and path.suffix in (".png", ".webp") and "sheets" not in path.parts:
                yield (
                    code,
                    fit(Image.open(io.BytesIO(read_member(tar, member.name)), formats=["PNG", "WEBP"])),
                )


def _iconify_svg(icon: Mapping[str, Any], icons: Mapping[str, Any]) -> str:
    width, height = (icon.get(side, icons.get(side, 16)) for side in ("width", "height"))
    return iconify_svg(icon, width, height)


def _package_words(source: Source, folder: Path) -> tuple[str, ...]:
    """Return the package's title and keywords, as it gives them."""
    about = package_json(source, "package/package.json", folder)
    title = ""
    if "iconSet" in about:
        title = package_json(source, "package/info.json", folder)["name"]
    return _texts(title, *about.get("keywords", ()))[:3]


def _icons(folder: Path) -> Iterator[Tagged]:
    for name, source in ICONS.items():
        own = _package_words(source, folder)
        with tarfile.open(package(source.package, source.version, folder)) as tar:
            for file, svg, texts, keywords in _ICON_READERS[source.form](tar):
                try:
                    picture = fit(render_svg(svg))
                except ValueError:
                    continue
                if names := _texts(*texts):
                    yield Tagged("icons", name, file, picture, names, (*_texts(*keywords), *own), tinted=True)


Icon = tuple[str, str, Sequence[str], Sequence[str]]
"""File, SVG, names, keywords."""


def _svg(tar: tarfile.TarFile, member: str) -> str:
    return read_member(tar, member).decode("utf-8")


def _lucide(tar: tarfile.TarFile) -> Iterator[Icon]:
    for name, tags in json.loads(read_member(tar, "package/tags.json")).items():
        yield name, _svg(tar, f"package/icons/{name}.svg"), [name], tags


def _tabler(tar: tarfile.TarFile) -> Iterator[Icon]:
    for name, about in json.loads(read_member(tar, "package/icons.json")).items():
        keywords = [about["category"], *map(str, about["tags"])]
        for style in about["styles"]:
            yield (
                f"{style}/{name}",
                _svg(tar, f"package/icons/{style}/{name}.svg"),
                [name],
                [*keywords, style],
            )


def _material(tar: tarfile.TarFile) -> Iterator[Icon]:
    for about in json.loads(read_member(tar, "package/meta.json")):
        keywords = [word for tag in about["tags"] for word in tag.split(" / ")]
        names = [about["name"], *about["aliases"]]
        yield about["name"], _svg(tar, f"package/svg/{about['name']}.svg"), names, keywords


def _font_awesome(tar: tarfile.TarFile) -> Iterator[Icon]:
    for name, about in json.loads(read_member(tar, "package/metadata/icon-families.json")).items():
        terms = [str(term) for term in about["search"].get("terms", ())]
        for style, svg in about["svgs"]["classic"].items():
            yield f"{style}/{name}", svg["raw"], [name, about["label"]], [*terms, style]


def _iconify(tar: tarfile.TarFile) -> Iterator[Icon]:
    icons = json.loads(read_member(tar, "package/icons.json"))
    for name, icon in icons["icons"].items():
        yield name, _iconify_svg(icon, icons), [name], []


_ICON_READERS: Mapping[str, Callable[[tarfile.TarFile], Iterator[Icon]]] = {
    "lucide": _lucide,
    "tabler": _tabler,
    "material": _material,
    "font-awesome": _font_awesome,
    "iconify": _iconify,
}


def debian_folder(name: str, folder: Path) -> Path:
    """Return the files of a Debian package, fetched by ``apt-get download`` unless they are there already.

    Raises:
        ArtError: A program is missing, or the package could not be fetched.
    """
    files = folder / name
    if files.is_dir():
        return files
    partial = folder / f"{name}.partial"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if not list(folder.glob(f"{name}_*.deb")):
            subprocess.run(
                ["apt-get", "download", name], cwd=folder, check=True, capture_output=True, text=True
            )
        (archive,) = folder.glob(f"{name}_*.deb")
        subprocess.run(
            ["dpkg-deb", "-x", str(archive), str(partial)], check=True, capture_output=True, text=True
        )
    except FileNotFoundError as error:
        raise ArtError(f"{error.filename} is needed for {name}: gather on Debian or Ubuntu") from error
    except subprocess.CalledProcessError as error:
        raise ArtError(f"{name} could not be fetched: {error.stderr.strip()[-300:]}") from error
    partial.rename(files)
    return files


def clip_art(folder: Path, *, tested: bool) -> Iterator[Tagged]:
    """Yield clip art with its titles, descriptions and keywords: held out, or for training."""
    root = debian_folder(CLIP_ART, folder) / "usr/share/openclipart/svg"
    found = [(path, _titles(path)) for path in sorted(root.rglob("*.svg")) if not path.is_symlink()]
    titles = Counter(about[0] for _, about in found)
    for path, (title, description, keywords) in found:
        file = path.relative_to(root).as_posix()
        if held_out(file) != tested:
            continue
        names = _texts(title) if titles[title] < COMMON_TITLE else ()
        tags = _texts(*keywords, *path.relative_to(root).parts[:-1])
        sentences = _texts(description)
        if not names and not tags:
            continue
        try:
            picture = fit(render_svg(path.read_text("utf-8", errors="replace"), PAGE_SIDE))
        except ValueError:
            continue
        yield Tagged("clip art", CLIP_ART, file, picture, names, tags, sentences)


_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_DUBLIN = "{http://purl.org/dc/elements/1.1/}"


def _titles(path: Path) -> tuple[str, str, list[str]]:
    """Return title, description and keywords in the metadata of an SVG."""
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except ElementTree.ParseError:
        return "", "", []
    work = next((element for element in root.iter() if element.tag.endswith("}Work")), None)
    if work is None:
        return "", "", []
    title, description = (work.findtext(f"{_DUBLIN}{name}") or "" for name in ("title", "description"))
    keywords = [element.text or "" for element in work.findall(f"{_DUBLIN}subject//{_RDF}li")]
    return title.strip(), description.strip(), keywords


def _stamps(folder: Path) -> Iterator[Tagged]:
    root = debian_folder(STAMPS, folder) / "usr/share/tuxpaint/stamps"
    for path in sorted(root.rglob("*.txt")):
        pictures = [
            path.with_suffix(suffix) for suffix in (".png", ".svg") if path.with_suffix(suffix).is_file()
        ]
        sentences = _texts(path.read_text("utf-8", errors="replace").split("\n", 1)[0])
        if not pictures or not sentences:
            continue
        picture = pictures[0]
        if picture.suffix == ".png":
            cutout = fit(Image.open(picture, formats=["PNG"]))
        else:
            cutout = fit(render_svg(picture.read_text("utf-8", errors="replace")))
        file = path.relative_to(root)
        yield Tagged("stamps", STAMPS, file.as_posix(), cutout, sentences, _texts(*file.parts[:-1]))


def gather(out: Path, sources: Callable[[Path], Iterator[Tagged]]) -> None:
    """Write pictures.npy, uint8 [N, CUTOUT, CUTOUT, 4], and their texts, texts.jsonl, into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    lines, pictures = [], []
    for entry in sources(cache_folder()):
        pictures.append(entry.picture)
        lines.append(json.dumps({key: value for key, value in entry._asdict().items() if key != "picture"}))
        if len(lines) % 2000 == 0:
            log.info("pictures.gathered", count=len(lines), of=entry.group)
    (out / "texts.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    partial = out / "pictures.partial"
    with partial.open("wb") as file:
        np.save(file, np.stack(pictures))
    partial.replace(out / "pictures.npy")


def training_sources(folder: Path) -> Iterator[Tagged]:
    """Yield all that Tags-pico is trained on."""
    yield from _emoji(folder)
    yield from clip_art(folder, tested=False)
    yield from _stamps(folder)
    yield from _icons(folder)


def monitor_sources(folder: Path) -> Iterator[Tagged]:
    """Yield emoji of the vendor that the bundled sets use, to follow the training."""
    texts = emoji_texts(folder)
    (source,) = (source for source in SOURCES.values() if source.held_out)
    pictures = list(emoji_pictures(source, folder, texts))
    for code, picture in Random(1).sample(pictures, MONITOR):
        yield Tagged("emoji", source.package, code, picture, (texts[code][0],))


def composed(cutout: Image.Image, rng: Random, *, tinted: bool, side: int = SIDE) -> Image.Image:
    """Return a cut-out on a plain ground at a random place, size and tilt; a tinted one in any colour."""
    size = round(side * rng.uniform(0.6, 1.0))
    cutout = cutout.resize((size, size), Image.Resampling.BILINEAR)
    if rng.random() < 0.7:
        cutout = cutout.rotate(rng.uniform(-12, 12), Image.Resampling.BILINEAR)
    dark = tinted and rng.random() < 0.3
    lightness = rng.uniform(0.0, 0.35) if dark else rng.uniform(0.6, 1.0)
    ground = tuple(round(255 * lightness * rng.uniform(0.85, 1.0)) for _ in range(3))
    picture = Image.new("RGB", (side, side), ground)
    place = rng.randint(0, side - size), rng.randint(0, side - size)
    if tinted and (dark or rng.random() < 0.5):
        low, high = (150, 255) if dark else (0, 140)
        ink = Image.new("RGB", cutout.size, tuple(rng.randint(low, high) for _ in range(3)))
        picture.paste(ink, place, cutout.getchannel("A"))
    else:
        picture.paste(cutout, place, cutout)
    return picture


def templates_in_captions() -> list[str]:
    """Return the general templates that captions may have, with and without their full stop."""
    templates = [text for i, text in enumerate(imagenet_templates()) if i % HELD_OUT_TEMPLATES]
    return sorted({spelling for text in templates for spelling in (text, text.removesuffix("."))})


class TaggedPictures:
    """The gathered pictures as ``Trainer`` needs them: indices of a batch, pixels, captions.

    Args:
        folder: Where they were gathered.
        in_templates: The share of captions that are a name in a general template.
    """

    def __init__(self, folder: Path, in_templates: float = 0.0) -> None:
        self._in_templates = in_templates
        self._templates = templates_in_captions() if in_templates else []
        self._pictures = np.load(folder / "pictures.npy", mmap_mode="r")
        lines = (folder / "texts.jsonl").read_text("utf-8").splitlines()
        self._entries = [json.loads(line) for line in lines]
        kinds = np.array([entry["kind"] for entry in self._entries])
        self._members = {kind: np.flatnonzero(kinds == kind) for kind in SHARES if (kinds == kind).any()}

    def __len__(self) -> int:
        return len(self._entries)

    def texts(self) -> Iterator[str]:
        """Yield every text once for each picture, and every template twice."""
        yield from (template.format("") for template in self._templates * 2)
        for entry in self._entries:
            yield from (*entry["names"], *entry["keywords"], *entry["sentences"])

    def caption(self, index: int, rng: Random) -> str:
        """Return a name in a template or alone, a description, or names and keywords joined by commas."""
        entry = self._entries[index]
        names: list[str] = entry["names"]
        keywords: list[str] = entry["keywords"]
        sentences: list[str] = entry["sentences"]
        if names and self._templates and rng.random() < self._in_templates:
            return rng.choice(self._templates).format(rng.choice(names))
        if sentences and rng.random() < 0.4:
            return rng.choice(sentences)
        named = bool(names) and rng.random() < 0.85
        luck = rng.random()
        count = 0 if luck < 0.45 and named else 1 if luck < 0.75 else rng.randint(2, 4)
        texts = [rng.choice(names)] if named else []
        texts += rng.sample(keywords, min(count, len(keywords)))
        if rng.random() < 0.3:
            rng.shuffle(texts)
        return ", ".join(texts) or rng.choice(names or keywords)

    def pixels(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the same composed pictures for the same indices: uint8 [indices, SIDE, SIDE, 3]."""
        return self.composed(indices, Random(0))

    def composed(self, indices: NDArray[np.int64], rng: Random) -> NDArray[np.uint8]:
        """Return pictures composed at random: uint8 [indices, SIDE, SIDE, 3]."""
        pixels = np.empty((len(indices), SIDE, SIDE, 3), dtype=np.uint8)
        for row, index in enumerate(indices):
            entry = self._entries[index]
            cutout = Image.fromarray(self._pictures[index])
            sided = re.search(r"left|right|clockwise", " ".join(entry["names"])) is not None
            if not sided and rng.random() < 0.3:
                cutout = cutout.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            pixels[row] = np.asarray(composed(cutout, rng, tinted=entry["tinted"]))
        return pixels

    def batch(self, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return indices of one training batch, by ``SHARES``."""
        shares = np.array([SHARES[kind] for kind in self._members])
        counts = rng.multinomial(size, shares / shares.sum())
        drawn = [
            rng.choice(members, count) for members, count in zip(self._members.values(), counts, strict=True)
        ]
        return np.concatenate(drawn)


class TagTrainer(Trainer):
    """Train on pictures that are composed anew at each step."""

    pictures: TaggedPictures

    def _seen(self, indices: NDArray[np.int64], order: np.random.Generator) -> Tensor:
        return torch.from_numpy(self.pictures.composed(indices, Random(int(order.integers(1 << 62)))))


def _vocabulary(pictures: TaggedPictures) -> Vocabulary:
    """Return the tokens of all texts that stand with at least two pictures."""
    counts = Counter(token for text in pictures.texts() for token in set(token_ids(text)))
    return Vocabulary(token for token, count in counts.items() if count > 1)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.tags",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", type=Path, help="folder for all that is made (default: tags/ in the cache folder)"
    )
    parser.add_argument("--minutes", type=float, default=75, help="of training (default: 75)")
    parser.add_argument(
        "--in-templates", type=float, default=0.0, metavar="SHARE", help="of captions (default: 0)"
    )
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    out = options.out or cache_dir() / "tags"
    try:
        for name, sources in (("train", training_sources), ("monitor", monitor_sources)):
            if not (out / name / "pictures.npy").exists():
                gather(out / name, sources)
        pictures = TaggedPictures(out / "train", options.in_templates)
        name = CAPTIONS_MODEL if options.in_templates else TAGS_MODEL
        recipe = Recipe(name=name, steps=0, minutes=options.minutes)
        vocabulary = _vocabulary(pictures)
        log.info("training.started", pictures=len(pictures), tokens=vocabulary.size)
        TagTrainer(
            recipe, pictures, TaggedPictures(out / "monitor"), vocabulary, out / "state", out / "export"
        ).run()
    except KeyboardInterrupt:
        log.warning("training.interrupted", hint="the same command goes on from the last saved state")
        return 130
    except (ArtError, UsageError, OSError) as error:
        log.error("training.failed", reason=str(error))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
