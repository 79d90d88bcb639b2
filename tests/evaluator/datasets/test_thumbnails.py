"""Images made small for a page."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from promptclimb.evaluator.datasets.pictures import SIDE, thumbnail


def test_a_thumbnail_is_a_small_jpeg_of_the_whole_image(tmp_path: Path) -> None:
    """Its sides keep their proportion, and it is small."""
    Image.new("RGB", (1600, 800), "red").save(tmp_path / "wide.png")
    found = thumbnail(tmp_path / "wide.png")
    assert found is not None
    assert found.name == "wide.png"
    picture = Image.open(io.BytesIO(found.jpeg))
    assert (picture.format, picture.size) == ("JPEG", (SIDE, SIDE // 2))
    assert len(found.jpeg) < 3000


def test_nothing_of_a_photograph_but_its_pixels_is_kept(tmp_path: Path) -> None:
    """Its tags may say where it was taken, or hold the whole picture once more; it is turned as they say."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "at home"
    Image.new("RGB", (40, 20)).save(tmp_path / "a.jpg", exif=exif, comment=b"at home", icc_profile=b"at home")
    found = thumbnail(tmp_path / "a.jpg")
    assert found is not None
    assert b"at home" not in found.jpeg
    assert Image.open(io.BytesIO(found.jpeg)).size == (20, 40)


def test_an_image_that_is_gone_or_torn_has_none(tmp_path: Path) -> None:
    """The page does without."""
    (tmp_path / "torn.png").write_bytes(b"\x89PNG")
    assert thumbnail(tmp_path / "torn.png") is None
    assert thumbnail(tmp_path / "gone.png") is None
