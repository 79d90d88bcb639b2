"""Opening images, and thumbnails."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image
from torchvision.datasets import ImageFolder

from promptclimb.evaluator.datasets.pictures import SIDE, open_rgb, thumbnail
from promptclimb.evaluator.datasets.readers import hugging_face
from promptclimb.evaluator.errors import DataError
from tests.evaluator.datasets.conftest import unless_refused

RED = (255, 0, 0)


def pixel(path: Path, position: tuple[int, int] = (0, 0)) -> tuple[int, ...]:
    image = open_rgb(path)
    assert image.mode == "RGB"
    return image.getpixel(position)


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp", "gif", "tiff", "ppm", "jpg"])
def test_common_formats(tmp_path: Path, suffix: str) -> None:
    """A red picture is red in every format."""
    Image.new("RGB", (8, 8), RED).save(tmp_path / f"a.{suffix}")
    assert np.abs(np.subtract(pixel(tmp_path / f"a.{suffix}"), RED)).max() < 4


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("CMYK", (4, 4), (0, 255, 255, 0)), RED),
        (Image.new("L", (4, 4), 100), (100, 100, 100)),
        (Image.new("1", (4, 4), 1), (255, 255, 255)),
        (Image.new("RGBA", (4, 4), (0, 0, 0, 0)), (255, 255, 255)),
        (Image.new("RGBA", (4, 4), (255, 0, 0, 255)), RED),
        (Image.new("LA", (4, 4), (0, 0)), (255, 255, 255)),
        (Image.fromarray(np.full((4, 4), 100 * 257, np.uint16)), (100, 100, 100)),
        (Image.fromarray(np.full((4, 4), 65535, np.int32)), (255, 255, 255)),
        (Image.fromarray(np.full((4, 4), 0.5, np.float32)), (128, 128, 128)),
    ],
    ids=["cmyk", "grey", "bilevel", "clear", "opaque", "grey alpha", "16 bit", "32 bit", "float"],
)
def test_every_mode_becomes_rgb(tmp_path: Path, image: Image.Image, expected: tuple[int, ...]) -> None:
    """Wide values are scaled, not cut; what is transparent is white."""
    path = tmp_path / "a.tiff"
    image.save(path)
    assert pixel(path) == expected


def test_a_palette_with_a_clear_colour(tmp_path: Path) -> None:
    """A GIF's transparent index is white, the others are their colours."""
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.gif", transparency=1)
    assert pixel(tmp_path / "a.gif") == RED
    assert pixel(tmp_path / "a.gif", (1, 0)) == (255, 255, 255)


@pytest.mark.parametrize("name", ["a.jpg", "a.eps"])
def test_no_other_decoder_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """An EPS file, whatever its name, would run Ghostscript: it is no image here, nor in rows of a table."""
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_args, **_more: pytest.fail("it ran"))
    Image.new("RGB", (4, 4)).save(tmp_path / name, "EPS")
    with pytest.raises(DataError, match="not an image that can be read"):
        open_rgb(tmp_path / name)
    with pytest.raises(DataError, match="row 7 of the data set holds no image that can be read"):
        hugging_face._save({"bytes": (tmp_path / name).read_bytes()}, (), tmp_path / "0000007")


def test_of_an_animation_the_first_frame(tmp_path: Path) -> None:
    """Red first, then blue: red."""
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, (0, 0, 255))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert pixel(tmp_path / "a.gif") == RED


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_no_picture(tmp_path: Path, bad: float) -> None:
    """Infinity made all of it black, and NaN a part; without them it is scaled."""
    values = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
    assert open_rgb(Image.fromarray(values)).getpixel((3, 3)) == (255, 255, 255)
    values[0, 1] = bad
    Image.fromarray(values).save(tmp_path / "a.tiff")
    for image in (tmp_path / "a.tiff", Image.fromarray(values)):
        with pytest.raises(DataError, match=r"cannot be read \(1 of 16 values are NaN or infinite\)"):
            open_rgb(image)


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's limit is kept, its warning is taken as seriously as its error."""
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    for limit in (1000, 100):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(DataError, match=r"a\.png is too large"):
            open_rgb(tmp_path / "a.png")


def jpeg() -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "raw", [b"", b"no image", jpeg()[:200], jpeg()[:-200]], ids=["empty", "text", "head", "cut"]
)
def test_a_torn_file_is_named(tmp_path: Path, raw: bytes) -> None:
    """Empty, not an image, cut in its head, cut in its body."""
    (tmp_path / "a.jpg").write_bytes(raw)
    with pytest.raises(DataError, match=r"a\.jpg"):
        open_rgb(tmp_path / "a.jpg")


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    """Both say which path it was."""
    for path in (tmp_path / "absent.jpg", tmp_path):
        with pytest.raises(DataError, match=str(path)):
            open_rgb(path)


@given(
    st.binary(max_size=200)
    | st.tuples(st.sampled_from(["PNG", "GIF", "BMP", "TIFF", "JPEG", "PPM", "WEBP"]), st.data())
)
def test_any_bytes_give_an_image_or_a_clear_error(tmp_path: Path, raw: object) -> None:
    """Noise, and real files with bytes changed or cut off: never anything but DataError."""
    path = tmp_path / "any.img"
    path.write_bytes(raw if isinstance(raw, bytes) else damaged(*raw))
    unless_refused(lambda: open_rgb(path), str(path))


def damaged(kind: str, data: st.DataObject) -> bytes:
    """A real file of a kind with a few bytes changed, and perhaps its end missing."""
    buffer = io.BytesIO()
    Image.new("RGB", (9, 7), RED).save(buffer, kind)
    raw = bytearray(buffer.getvalue())
    for _change in range(data.draw(st.integers(0, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    return bytes(raw[: data.draw(st.integers(0, len(raw)))])


def test_open_clip_agrees_on_transparent_pictures_by_the_line_of_the_exports_page(tmp_path: Path) -> None:
    """Left alone it shows what lies beneath; with our way to open a picture it sees white, as we do."""
    (tmp_path / "a").mkdir()
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "a" / "clear.png")
    preprocess = open_clip.image_transform(8, is_train=False)
    white = preprocess(Image.new("RGB", (8, 8), "white"))
    assert torch.equal(ImageFolder(str(tmp_path), preprocess, loader=open_rgb)[0][0], white)
    assert not torch.equal(ImageFolder(str(tmp_path), preprocess)[0][0], white)


def test_a_thumbnail_is_a_small_jpeg_of_the_whole_image(tmp_path: Path) -> None:
    """Its sides keep their proportion, and it is small."""
    Image.new("RGB", (1600, 800), "red").save(tmp_path / "wide.png")
    small = thumbnail(tmp_path / "wide.png")
    assert small is not None
    assert small.name == "wide.png"
    picture = Image.open(io.BytesIO(small.jpeg))
    assert (picture.format, picture.size) == ("JPEG", (SIDE, SIDE // 2))
    assert len(small.jpeg) < 3000


def test_nothing_of_a_photograph_but_its_pixels_is_kept(tmp_path: Path) -> None:
    """Its tags may say where it was taken, or hold the whole picture once more; it is turned as they say."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "at home"
    Image.new("RGB", (40, 20)).save(tmp_path / "a.jpg", exif=exif, comment=b"at home", icc_profile=b"at home")
    small = thumbnail(tmp_path / "a.jpg")
    assert small is not None
    assert b"at home" not in small.jpeg
    assert Image.open(io.BytesIO(small.jpeg)).size == (20, 40)


def test_an_image_that_is_gone_or_torn_has_none(tmp_path: Path) -> None:
    """The page does without."""
    (tmp_path / "torn.png").write_bytes(b"\x89PNG")
    assert thumbnail(tmp_path / "torn.png") is None
    assert thumbnail(tmp_path / "gone.png") is None
