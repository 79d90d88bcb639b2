"""Features: their files, the cache, and augmented copies."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from promptclimb.evaluator.clip import images as image_encoder
from promptclimb.evaluator.clip.images import ImageEncoder, augmented_copies
from promptclimb.evaluator.clip.models import LoadedModel, load_model
from promptclimb.evaluator.clip.open_clip_evaluator import KeptTexts
from promptclimb.evaluator.errors import DataError
from promptclimb.evaluator.files import SETTLED_NS, SeenFiles
from tests.fakes.tiny_clip import save_weights


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    weights = save_weights("resnet", tmp_path_factory.mktemp("weights") / "resnet.safetensors")
    return load_model("tiny-resnet", str(weights), torch.device("cpu"))


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(1)
    paths = []
    for number in range(10):
        path = tmp_path / f"{number}.png"
        Image.fromarray(rng.integers(0, 255, (40, 48, 3), dtype=np.uint8)).save(path)
        paths.append(path)
    return paths


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, loaded: LoadedModel) -> list[int]:
    """Sizes of the batches that went through the image tower."""
    sizes: list[int] = []
    model: Any = loaded.model
    encode = model.encode_image

    def counting(batch: torch.Tensor) -> torch.Tensor:
        sizes.append(len(batch))
        return encode(batch)

    monkeypatch.setattr(model, "encode_image", counting)
    return sizes


def encoder(loaded: LoadedModel, tmp_path: Path, **settings: Any) -> ImageEncoder:
    return ImageEncoder(
        facts=loaded,
        load=lambda: loaded,
        folder=tmp_path / "features",
        **({"batch": 4, "workers": 2} | settings),
    )


def test_features_are_the_models_own_and_encoded_once(
    loaded: LoadedModel, pictures: list[Path], tmp_path: Path, calls: list[int]
) -> None:
    """In the order of the paths, bit for bit the same alone and from the disk; batches have one size."""
    features = encoder(loaded, tmp_path).features(pictures)
    assert calls == [4, 4, 4]
    again = encoder(loaded, tmp_path).features(pictures)
    assert calls == [4, 4, 4]
    assert torch.equal(features.vectors, again.vectors)
    alone = encoder(loaded, tmp_path).features(pictures[3:4])
    assert torch.equal(features.vectors[3], alone.vectors[0])
    model: Any = loaded.model
    for path, vector in zip(pictures, features.vectors, strict=True):
        own = model.encode_image(loaded.preprocess(Image.open(path).convert("RGB"))[None])[0]
        assert (own / own.norm() - vector).abs().max() < 1e-6
    assert features.kept == tuple(range(10))


def test_a_changed_image_is_another_set(
    loaded: LoadedModel, pictures: list[Path], tmp_path: Path, calls: list[int]
) -> None:
    """One byte of one image decides; the file's name and place do not."""
    first = encoder(loaded, tmp_path).features(pictures)
    moved = tmp_path / "moved"
    moved.mkdir()
    copies = [moved / f"copy-{path.name}" for path in pictures]
    for path, copy in zip(pictures, copies, strict=True):
        copy.write_bytes(path.read_bytes())
    encoder(loaded, tmp_path).features(copies)
    assert len(calls) == 3
    Image.new("RGB", (20, 20), "red").save(copies[0])
    changed = encoder(loaded, tmp_path).features(copies)
    assert len(calls) == 6
    assert not torch.equal(first.vectors[0], changed.vectors[0])
    assert torch.equal(first.vectors[1], changed.vectors[1])


def test_images_that_are_as_they_were_are_not_read_again(
    loaded: LoadedModel, pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their hash is known, for features in the cache; those of a set that changed are made anew."""
    seen = SeenFiles(tmp_path / "seen", clock=lambda: time.time_ns() + 2 * SETTLED_NS)
    read: list[Path] = []
    digest = image_encoder.file_digest
    monkeypatch.setattr(image_encoder, "file_digest", lambda path: (read.append(path), digest(path))[1])
    first = encoder(loaded, tmp_path, seen=seen).features(pictures)
    assert read == pictures
    second = encoder(loaded, tmp_path, seen=seen).features(pictures)
    assert (second.images, read) == (first.images, pictures)
    Image.new("RGB", (20, 20), "red").save(pictures[0])
    changed = encoder(loaded, tmp_path, seen=seen).features(pictures)
    assert read == pictures * 2
    assert changed.images != first.images
    assert not torch.equal(changed.vectors[0], first.vectors[0])


def of_other_images(content: bytes) -> bytes:
    """Change a digit of the hash of the images in the header."""
    start = content.index(b"images") + len(rb"images\":\"")
    return content[:start] + (b"1" if content[start : start + 1] == b"0" else b"0") + content[start + 1 :]


SPOILED: list[Callable[[bytes], bytes]] = [
    lambda content: content[:-3] + bytes([content[-3] ^ 1]) + content[-2:],
    lambda content: content[:-7],
    lambda content: content.replace(b"manifest", b"manifesx"),
    of_other_images,
]


@pytest.mark.parametrize("spoil", SPOILED)
def test_broken_features_are_made_again(
    spoil: Callable[[bytes], bytes], loaded: LoadedModel, pictures: list[Path], tmp_path: Path,
    calls: list[int],
) -> None:  # fmt: skip
    """A file that is not what was written is noticed, reported and rebuilt."""
    expected = encoder(loaded, tmp_path).features(pictures).vectors.clone()
    (path,) = (tmp_path / "features").glob("*.safetensors")
    path.write_bytes(spoil(path.read_bytes()))
    lines: list[str] = []
    second = encoder(loaded, tmp_path, report=lines.append).features(pictures)
    assert lines[0].startswith("image features are made again: ")
    assert torch.equal(second.vectors, expected)
    assert len(calls) == 6
    encoder(loaded, tmp_path).features(pictures)
    assert len(calls) == 6


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file, whole: file.write_bytes(whole[:-1]),
        lambda file, whole: file.write_bytes(whole[:-5] + bytes([whole[-5] ^ 0x40]) + whole[-4:]),
        lambda file, _whole: file.symlink_to("/dev/zero"),
        lambda file, _whole: os.mkfifo(file),
    ],
)
def test_broken_vectors_of_texts_are_made_again(
    spoil: Callable[[Path, bytes], object], tmp_path: Path
) -> None:
    """As features are; what is no regular file is not read."""
    vectors, lines = torch.eye(3), list[str]()
    texts = KeptTexts(tmp_path, "model", ["a", "b", "c"], lines.append)
    assert texts.known(["{}"], lambda: vectors) is vectors
    (file,) = tmp_path.glob("texts-*")
    whole = file.read_bytes()
    file.unlink()
    spoil(file, whole)
    assert texts.known(["{}"], lambda: vectors) is vectors
    assert [line for line in lines if line.startswith(f"text vectors are made again: {file} ")] == lines != []
    assert file.read_bytes() == whole
    assert torch.equal(texts.known(["{}"], lambda: vectors + 1), vectors)


def test_a_bad_image_is_left_out_when_asked(
    loaded: LoadedModel, pictures: list[Path], tmp_path: Path
) -> None:
    """With skip the others keep their places, now and when they come from the disk; else it is named."""
    whole = encoder(loaded, tmp_path).features(pictures)
    pictures[6].write_text("no image")
    for _ in range(2):
        lines: list[str] = []
        features = encoder(loaded, tmp_path, on_bad_image="skip", report=lines.append).features(pictures)
        assert features.kept == (0, 1, 2, 3, 4, 5, 7, 8, 9)
        assert torch.equal(features.vectors, whole.vectors[list(features.kept)])
        assert "6.png" in features.bad[0]
        assert any("6.png" in line for line in lines)
    with pytest.raises(DataError, match=r"6\.png.*PROMPTCLIMB_ON_BAD_IMAGE=skip"):
        encoder(loaded, tmp_path).features(pictures)


def test_progress_reaches_the_end_where_the_last_image_is_bad(
    loaded: LoadedModel, pictures: list[Path], tmp_path: Path
) -> None:
    """Also where the last batch was full before it."""
    pictures[8].write_text("no image")
    seen: list[int] = []
    for _ in ("encoded", "kept"):
        encoder(loaded, tmp_path, on_bad_image="skip", progress=seen.append).features(pictures[:9])
        assert sum(seen) == 9
        seen.clear()


def test_nothing_but_bad_images_is_an_error(loaded: LoadedModel, tmp_path: Path) -> None:
    """A set of which nothing can be read cannot be scored on."""
    (tmp_path / "a.png").write_text("no")
    with pytest.raises(DataError, match="none of the 2 images can be read"):
        encoder(loaded, tmp_path, on_bad_image="skip").features(
            [tmp_path / "a.png", tmp_path / "missing.png"]
        )


def test_views_are_the_models_own_in_the_order_of_the_images(
    loaded: LoadedModel, pictures: list[Path], tmp_path: Path
) -> None:
    """So many rows an image, each the embedding of one view; the images' own features are another set."""
    paths = pictures[:3]
    features = encoder(loaded, tmp_path).features(paths, 5)
    assert features.kept == (0,) * 5 + (1,) * 5 + (2,) * 5
    model: Any = loaded.model
    for index, path in enumerate(paths):
        mark = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
        views = augmented_copies(Image.open(path).convert("RGB"), 5, mark)
        for view, vector in zip(views, features.vectors[5 * index : 5 * index + 5], strict=True):
            own = model.encode_image(loaded.preprocess(view)[None], normalize=True)[0]
            assert (own - vector).abs().max() < 1e-6
    assert len(encoder(loaded, tmp_path).features(paths).vectors) == 3


def test_views_are_encoded_once_for_a_number_of_them(
    loaded: LoadedModel, pictures: list[Path], tmp_path: Path, calls: list[int]
) -> None:
    """Another session takes them from the disk; of an image elsewhere, among others, they are the same."""
    first = encoder(loaded, tmp_path).features(pictures, 3)
    assert calls == [4] * 8
    seen: list[int] = []
    again = encoder(loaded, tmp_path, progress=seen.append).features(pictures, 3)
    assert torch.equal(first.vectors, again.vectors)
    assert (len(calls), seen) == (8, [30])
    copy = tmp_path / "copy.png"
    copy.write_bytes(pictures[4].read_bytes())
    alone = encoder(loaded, tmp_path, progress=seen.append).features([copy], 6)
    assert torch.equal(alone.vectors[:3], first.vectors[12:15])
    assert seen == [30, 4, 2]


def test_views_of_a_bad_image_are_left_out_with_it(
    loaded: LoadedModel, pictures: list[Path], tmp_path: Path
) -> None:
    """The others keep their places."""
    pictures[1].write_text("no image")
    assert encoder(loaded, tmp_path, on_bad_image="skip").features(pictures[:3], 2).kept == (0, 0, 2, 2)
    with pytest.raises(DataError, match=r"1\.png"):
        encoder(loaded, tmp_path).features(pictures[:3], 2)


def test_few_decoded_images_of_a_large_set_stand_in_memory(
    loaded: LoadedModel, pictures: list[Path], tmp_path: Path
) -> None:
    """No more than a batch and those begun."""
    alive: weakref.WeakSet[torch.Tensor] = weakref.WeakSet()
    most = 0

    def preprocess(image: Image.Image) -> torch.Tensor:
        nonlocal most
        decoded = loaded.preprocess(image).detach()
        alive.add(decoded)
        most = max(most, len(alive))
        return decoded

    features = encoder(replace(loaded, preprocess=preprocess), tmp_path).features(pictures * 10)
    assert most <= 4 + 4 + 2  # a batch, the window, and one more of each decoder
    assert torch.equal(features.vectors[:10], features.vectors[90:])


def test_what_a_killed_process_left_is_cleared_away(
    loaded: LoadedModel, pictures: list[Path], tmp_path: Path
) -> None:
    """After an hour; what another process may be at work on stays."""
    folder = tmp_path / "features"
    folder.mkdir()
    left, alive, other = folder / "a.safetensors1.part", folder / "b.safetensors2.part", folder / "c.json"
    for path in (left, alive, other):
        path.touch()
    for path in (left, other):
        os.utime(path, (0, 0))
    encoder(loaded, tmp_path).features(pictures)
    assert not left.exists()
    assert alive.exists()
    assert other.exists()


@pytest.mark.parametrize("trouble", ["a file in place of the folder", "a folder in place of it", "full"])
def test_a_cache_that_cannot_be_written_costs_only_the_cache(
    trouble: str, loaded: LoadedModel, pictures: list[Path], tmp_path: Path
) -> None:
    """Nothing is encoded twice or left lying about, and a line says so."""
    expected = encoder(loaded, tmp_path).features(pictures).vectors.clone()
    (file,) = (tmp_path / "features").glob("*.safetensors")
    before = limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    file.unlink()
    if trouble == "full":
        limit = (600, before[1])
    elif trouble == "a folder in place of it":
        file.mkdir()
    else:
        shutil.rmtree(tmp_path / "features")
        (tmp_path / "features").write_text("a file")
    lines: list[str] = []
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    try:
        features = encoder(loaded, tmp_path, report=lines.append).features(pictures)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert torch.equal(features.vectors, expected)
    assert "not kept" in lines[-1]
    assert not list(tmp_path.glob("features/*.part"))


def noisy(width: int = 40, height: int = 48) -> Image.Image:
    """A picture in which every cut differs from every other."""
    return Image.fromarray(np.random.default_rng(2).integers(0, 255, (height, width, 3), dtype=np.uint8))


def pixels(picture: Image.Image, count: int, mark: str = "a file") -> list[bytes]:
    return [view.tobytes() for view in augmented_copies(picture, count, mark)]


def test_an_image_has_the_same_views_every_time_and_no_two_are_alike() -> None:
    """Its content decides; of a smaller number there are the first ones; each has the picture's size."""
    eight = pixels(noisy(), 8)
    assert pixels(noisy(), 8) == eight
    assert len({*eight, noisy().tobytes()}) == 9
    assert pixels(noisy(), 3) == eight[:3]
    assert not set(pixels(noisy(), 8, "another file")) & set(eight)
    for size in ((40, 48), (1, 1), (300, 2)):
        assert {view.size for view in augmented_copies(noisy(*size), 8, "a file")} == {size}


def test_nothing_is_mirrored_or_turned() -> None:
    """What is bright in its first corner alone stays so: a letter is the same letter."""
    picture = np.full((64, 64, 3), 90, np.uint8)
    picture[:22, :22] = 220
    for view in augmented_copies(Image.fromarray(picture), 32, "a letter"):
        grey = np.asarray(view.convert("L"), dtype=float)
        corners = [grey[:32, :32].mean(), grey[:32, 32:].mean(), grey[32:, :32].mean(), grey[32:, 32:].mean()]
        assert corners[0] > max(corners[1:]) + 1


def test_a_large_picture_is_worked_on_in_a_smaller_size() -> None:
    """A photograph of twelve megapixels costs no more than what a model can see of it."""
    (view,) = augmented_copies(noisy(1000, 3000), 1, "a photograph")
    assert view.size == (512, 1536)


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1), (3, 301)])
def test_of_a_slender_image_the_middle_counts(
    loaded: LoadedModel, tmp_path: Path, size: tuple[int, int]
) -> None:
    """Scaling its shorter side up would take gigabytes; the file is named."""
    width, height = size
    noise = np.random.default_rng(2).integers(0, 255, (height, width, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "slender.png")
    top, left = (max(0, (side - 100 * min(size)) // 2) for side in (height, width))
    middle = noise[top : height - top or None, left : width - left or None]
    Image.fromarray(middle[: 100 * min(size), : 100 * min(size)]).save(tmp_path / "middle.png")
    lines: list[str] = []
    seen: list[tuple[int, int]] = []

    def preprocess(picture: Image.Image) -> torch.Tensor:
        seen.append(picture.size)
        return loaded.preprocess(picture)

    box = encoder(replace(loaded, preprocess=preprocess), tmp_path, report=lines.append)
    slender, cut = box.features([tmp_path / "slender.png"]), box.features([tmp_path / "middle.png"])
    assert torch.equal(slender.vectors, cut.vectors)
    box.features([tmp_path / "slender.png"], 2)
    assert all(max(size) <= 100 * min(size) for size in seen)
    (line,) = lines
    assert f"{tmp_path / 'slender.png'} counts, {width} x {height} pixels" in line
