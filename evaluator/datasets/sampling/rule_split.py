"""Splits made by rule, for data that comes without them.

The proportions are CoOp's for such data: half of each class to train, 20 % to val, 30 % to test. Which image
goes where depends on the names of the files and on nothing else: not on the seed of the few-shot draw, so
that every seed is judged on the same test images.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from ...errors import DataError
from ..values import Item

VAL_SHARE = 0.2
TEST_SHARE = 0.3
SPLIT_SEED = 0
RULE = (
    f"train, val and test were made by rule: of each class {1 - VAL_SHARE - TEST_SHARE:.0%}, {VAL_SHARE:.0%} "
    f"and {TEST_SHARE:.0%} of the images, shuffled with a fixed seed"
)
HALF_RULE = "there is no test split: it was made by rule from half of the val images of each class"

Parts = tuple[tuple[Item, ...], tuple[Item, ...], tuple[Item, ...]]


def divide(
    items: Iterable[Item], classes: Sequence[str], *, val: float = VAL_SHARE, test: float = TEST_SHARE
) -> Parts:
    """Return train, val and test items out of one list, class by class.

    Args:
        items: All items, in an order that does not change from one day to the next.
        classes: Class names by label, for messages.
        val: Share of each class that becomes val.
        test: Share of each class that becomes test; at least one image does.

    Raises:
        DataError: A class has a single image.
    """
    rng = random.Random(SPLIT_SEED)
    parts: tuple[list[Item], list[Item], list[Item]] = ([], [], [])
    for label, found in sorted(by_label(items).items()):
        if len(found) < 2:
            raise DataError(
                f"class {classes[label]!r} has a single image ({found[0].path}); "
                "a class needs one to learn from and one to test on"
            )
        shuffled = rng.sample(found, len(found))
        n_test = max(1, round(len(found) * test))
        n_val = min(round(len(found) * val), len(found) - n_test - 1)
        for part, end in zip(parts, _cut(shuffled, n_test, n_val), strict=True):
            part.extend(end)
    return tuple(parts[0]), tuple(parts[1]), tuple(parts[2])


def halve(items: Iterable[Item]) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Return two halves of a list, class by class; the second gets the odd one."""
    rng = random.Random(SPLIT_SEED)
    first: list[Item] = []
    second: list[Item] = []
    for _label, found in sorted(by_label(items).items()):
        shuffled = rng.sample(found, len(found))
        first.extend(shuffled[: len(found) // 2])
        second.extend(shuffled[len(found) // 2 :])
    return tuple(first), tuple(second)


def by_label(items: Iterable[Item]) -> dict[int, list[Item]]:
    """Return items of each label, in the order given."""
    groups: dict[int, list[Item]] = {}
    for item in items:
        groups.setdefault(item.label, []).append(item)
    return groups


def _cut(shuffled: list[Item], n_test: int, n_val: int) -> tuple[list[Item], list[Item], list[Item]]:
    n_train = len(shuffled) - n_val - n_test
    return shuffled[:n_train], shuffled[n_train : n_train + n_val], shuffled[n_train + n_val :]
