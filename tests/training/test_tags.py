"""Captions by others: packages are read with their texts, and pictures and captions drawn from them."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from training import tags

SVG = '<svg xmlns="http://www.w3.org/2000/svg" fill="currentColor"/>'


def tarball(files: dict[str, Any]) -> tarfile.TarFile:
    """Return a package of these files, JSON where a value is no text."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, value in files.items():
            data = (value if isinstance(value, str) else json.dumps(value)).encode()
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    content.seek(0)
    return tarfile.open(fileobj=content)


@pytest.mark.parametrize(
    ("form", "files", "names", "keywords"),
    [
        (
            "lucide",
            {"tags.json": {"a-key": ["door", "lock"]}, "icons/a-key.svg": SVG},
            ["a-key"],
            ["door", "lock"],
        ),
        (
            "tabler",
            {
                "icons.json": {"a-key": {"category": "Home", "tags": ["door", 7], "styles": {"filled": {}}}},
                "icons/filled/a-key.svg": SVG,
            },
            ["a-key"],
            ["Home", "door", "7", "filled"],
        ),
        (
            "material",
            {
                "meta.json": [{"name": "key", "aliases": ["opener"], "tags": ["Home / Door"]}],
                "svg/key.svg": SVG,
            },
            ["key", "opener"],
            ["Home", "Door"],
        ),
        (
            "font-awesome",
            {
                "metadata/icon-families.json": {
                    "key": {
                        "label": "Key",
                        "search": {"terms": ["door"]},
                        "svgs": {"classic": {"solid": {"raw": SVG}}},
                    }
                }
            },
            ["key", "Key"],
            ["door", "solid"],
        ),
        ("iconify", {"icons.json": {"icons": {"a-key": {"body": "<path/>"}}, "width": 8}}, ["a-key"], []),
    ],
)
def test_each_package_gives_its_icons_with_their_texts(
    form: str, files: dict[str, Any], names: list[str], keywords: list[str]
) -> None:
    """Its SVG, names and keywords."""
    ((_, svg, found, words),) = tags._ICON_READERS[form](tarball(files))
    assert svg.startswith("<svg")
    assert (list(found), list(words)) == (names, keywords)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a-red_key", "a red key"),
        (" Key. ", "Key"),
        ("7", ""),
        ("x", ""),
        ("word " * 13, ""),
        ("鍵鍵", "鍵鍵"),
    ],
)
def test_texts_are_words(text: str, words: str) -> None:
    """Slugs become words; what is no word or too long is left out."""
    assert tags._words(text) == words


def test_clip_art_is_read_with_its_metadata(tmp_path: Path) -> None:
    """The picture's own title, not its author's; what is no XML has none."""
    file = tmp_path / "key.svg"
    file.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg"><metadata xmlns:cc="http://web.resource.org/cc/" '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        "<cc:Work><dc:creator><cc:Agent><dc:title>Someone</dc:title></cc:Agent></dc:creator>"
        "<dc:title> A key </dc:title><dc:description>Opens a door.</dc:description>"
        "<dc:subject><rdf:Bag><rdf:li>door</rdf:li><rdf:li/></rdf:Bag></dc:subject></cc:Work></metadata></svg>"
    )
    assert tags._titles(file) == ("A key", "Opens a door.", ["door", ""])
    file.write_text("<svg>")
    assert tags._titles(file) == ("", "", [])


def test_a_third_of_the_clip_art_is_held_out() -> None:
    """By its path alone, so that every maker of sets agrees."""
    paths = [f"animals/{number}.svg" for number in range(3000)]
    assert 900 < sum(map(tags.held_out, paths)) < 1100
    assert tags.held_out("animals/1.svg") == tags.held_out("animals/1.svg")


@pytest.fixture
def gathered(tmp_path: Path) -> tags.TaggedPictures:
    """A red emoji with keywords and a description, and a black icon that has a name alone."""
    red = np.zeros((72, 72, 4), np.uint8)
    red[16:56, 16:56] = (255, 0, 0, 255)
    black = np.zeros_like(red)
    black[16:56, 16:56, 3] = 255
    entries = [
        tags.Tagged("emoji", "vendor", "1f511", red, ("key",), ("door", "lock"), ("A key for a door",)),
        tags.Tagged("icons", "package", "key-left", black, ("key left",), tinted=True),
    ]
    tags.gather(tmp_path, lambda _folder: iter(entries))
    return tags.TaggedPictures(tmp_path)


def test_a_caption_is_made_of_the_texts_that_came_with_the_picture(gathered: tags.TaggedPictures) -> None:
    """A description, or names and keywords in any order."""
    captions = {gathered.caption(0, Random(seed)) for seed in range(200)}
    assert {"key", "A key for a door", "key, door"} < captions
    texts = {"key", "door", "lock", "A key for a door"}
    assert {part for caption in captions for part in caption.split(", ")} == texts
    assert {gathered.caption(1, Random(seed)) for seed in range(20)} == {"key left"}
    assert set(gathered.texts()) == {*texts, "key left"}


def test_pictures_are_composed_anew_for_each_draw(gathered: tags.TaggedPictures) -> None:
    """An emoji keeps its colour; an icon takes any, on a ground that differs."""
    both = np.array([0, 1])
    first, again, other = (gathered.composed(both, Random(seed)) for seed in (1, 1, 2))
    assert first.shape == (2, tags.SIDE, tags.SIDE, 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    for seed in range(30):
        emoji, icon = gathered.composed(both, Random(seed))
        assert (emoji == (255, 0, 0)).all(axis=-1).sum() > 200
        lightness = icon.astype(int).sum(axis=-1)
        assert lightness.max() - lightness.min() > 60


def test_a_batch_holds_every_kind_by_its_share(gathered: tags.TaggedPictures) -> None:
    """However many pictures a kind has."""
    indices = gathered.batch(1000, np.random.default_rng(1))
    share = tags.SHARES["emoji"] / (tags.SHARES["emoji"] + tags.SHARES["icons"])
    assert abs((indices == 0).mean() - share) < 0.05


def test_gathering_without_debian_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where apt-get is missing, the error says so."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(tags.ArtError, match="apt-get is needed"):
        tags.debian_folder("openclipart-svg", tmp_path)
