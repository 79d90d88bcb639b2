"""What guessing gives: to be better than a template that fails is no success yet."""

from __future__ import annotations

from .figures import has_accuracies
from .intervals import wilson
from .result import SearchResult

GUESSED = "†"
"""Stands in tables beside the accuracy of what may be no better than guessing."""
_OF_IMAGES = ("accuracy", "class_mean")
"""Objectives that are shares of images; others may lie between 0 and 1 all the same."""


def by_guessing(result: SearchResult) -> float | None:
    """Return the share of images that naming a class at random gets right; None where nobody knows."""
    classes = result.dataset.classes
    if classes < 1 or result.objective not in _OF_IMAGES or not has_accuracies(result):
        return None
    return 1 / classes


def by_most_frequent(result: SearchResult) -> float | None:
    """Return the share of test images that always naming their most frequent class gets right.

    None where that is no more than naming a class at random, or where nobody knows the images of each class.
    """
    share, look = by_guessing(result), result.inspection
    if share is None or look is None or look.split != "test":
        return None
    images = [one.images for one in look.classes]
    most = max(images, default=0) / (sum(images) or 1)
    return most if most > share else None


def no_better_than_guessing(result: SearchResult) -> str:
    """Return a sentence where the best template may be no better on test than guessing, else nothing."""
    test = result.best.test
    if test is None or not may_be_guessed(result, test):
        return ""
    low, high = wilson(test, result.dataset.sizes.test)
    return f"{100 * test:.1f} % on test ({100 * low:.1f} to {100 * high:.1f}) may be {about_guessing(result)}"


def may_be_guessed(result: SearchResult, test: float) -> bool:
    """Return whether an accuracy on the test images of a result may be no better than guessing."""
    share, images = _without_looking(result), result.dataset.sizes.test
    return share is not None and is_no_better(test, images, share)


def is_no_better(test: float, images: int, share: float) -> bool:
    """Return whether an accuracy may be no better than a share of so many images; not where it is none."""
    return images > 0 and 0.0 <= test <= 1.0 and wilson(test, images)[0] <= share


def about_guessing(result: SearchResult) -> str:
    """Return in words what guessing comes to, of a result that may be no better."""
    percent, classes = 100 * (_without_looking(result) or 0.0), result.dataset.classes
    if by_most_frequent(result) is None:
        return f"no better than guessing among {classes} classes, which comes to {percent:.1f} %"
    return (
        f"no better than guessing, as always naming the most frequent of {classes} classes comes to "
        f"{percent:.1f} %"
    )


def _without_looking(result: SearchResult) -> float | None:
    """Return what a template must be better than, the higher of both; None where nobody knows."""
    return by_most_frequent(result) or by_guessing(result)


def verdict_on(result: SearchResult) -> str:
    """Return in one sentence what came of a search on test: its gain, and whether it beats guessing at all.

    Empty where nothing is known of it.
    """
    parts = ["" if result.gain is None else result.gain.told, no_better_than_guessing(result)]
    return "; ".join(part for part in parts if part)
