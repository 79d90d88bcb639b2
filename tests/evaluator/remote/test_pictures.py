from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from promptclimb.evaluator.errors import DataError
from promptclimb.evaluator.remote import pictures
from promptclimb.evaluator.remote.pictures import PictureReader, SentPicture, encode


def noise(width: int, height: int) -> Image.Image:
    """An image of as many colours as a photograph."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def decoded(picture: SentPicture) -> Image.Image:
    assert picture.data_url == f"data:{picture.media_type};base64,{picture.base64}"
    image = Image.open(io.BytesIO(base64.b64decode(picture.base64, validate=True)))
    image.load()
    return image


def test_small_images_are_sent_as_they_are() -> None:
    """As PNG, not scaled up."""
    picture = encode(noise(20, 10), 512)
    assert (picture.media_type, picture.width, picture.height) == ("image/png", 20, 10)
    assert np.array_equal(np.asarray(decoded(picture)), np.asarray(noise(20, 10)))


@pytest.mark.parametrize(
    ("image", "kind"), [(noise(900, 300), "JPEG"), (Image.new("RGB", (900, 300), "red"), "PNG")]
)
def test_large_images_are_scaled_down(image: Image.Image, kind: str) -> None:
    """To the longest side asked for; drawings stay sharp as PNG, and photographs small as JPEG."""
    sent = decoded(encode(image, 300))
    assert (sent.size, sent.format) == ((300, 100), kind)
    assert encode(image, 300) == encode(image, 300)


def test_tags_are_not_sent() -> None:
    """Where and with what a photograph was taken is nobody's business."""
    image = noise(200, 200)
    image.info["icc_profile"] = b"secret"
    image.info["exif"] = b"Exif\x00\x00secret"
    assert b"secret" not in base64.b64decode(encode(image, 200).base64)
    assert b"secret" not in base64.b64decode(encode(image, 100).base64)


def test_few_images_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of images take a bounded memory; one that is used again is not read again."""
    for number in range(20):
        noise(16 + number, 16).save(tmp_path / f"{number}.png")
    monkeypatch.setattr(pictures, "MOST_HELD", 5)
    reader = PictureReader(64)
    for number in range(20):
        reader.picture(tmp_path / f"{number}.png")
    last = reader.picture(tmp_path / "19.png")
    (tmp_path / "19.png").unlink()
    (tmp_path / "0.png").unlink()
    assert reader.picture(tmp_path / "19.png") is last
    with pytest.raises(DataError, match="does not exist"):
        reader.picture(tmp_path / "0.png")


def test_content_is_the_file_and_the_size_sent(tmp_path: Path) -> None:
    """The same file under another name is the same image; in another size it is another."""
    noise(8, 8).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    (tmp_path / "c.png").write_bytes(b"no image")
    reader, other = PictureReader(64), PictureReader(65)
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    first, same, third = (reader.content(digest) for digest in reader.digests(paths))
    assert first == same != third
    assert first != other.content(other.digests(paths)[0])
    assert [bool(complaint) for complaint in reader.complaints(paths)] == [False, False, True]
