"""Altered views: the same in every session, all different, and never mirrored."""

from __future__ import annotations

import numpy as np
from PIL import Image

from promptclimb.evaluator.clip.images import augmented_copies


def noisy(width: int = 40, height: int = 48) -> Image.Image:
    """A picture in which every cut differs from every other."""
    return Image.fromarray(np.random.default_rng(2).integers(0, 255, (height, width, 3), dtype=np.uint8))


def pixels(picture: Image.Image, count: int, mark: str = "a file") -> list[bytes]:
    """The views as bytes."""
    return [view.tobytes() for view in augmented_copies(picture, count, mark)]


def test_an_image_has_the_same_views_every_time_and_no_two_are_alike() -> None:
    """Its content decides; of a smaller number there are the first ones."""
    eight = pixels(noisy(), 8)
    assert pixels(noisy(), 8) == eight
    assert len({*eight, noisy().tobytes()}) == 9
    assert pixels(noisy(), 3) == eight[:3]
    assert not set(pixels(noisy(), 8, "another file")) & set(eight)


def test_views_have_the_size_of_the_picture() -> None:
    """So that the model's own preprocessing sees nothing unusual, whatever the shape."""
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
