"""Draw few-shot samples and make splits.

The published rule (of cross_modal_adaptation, after CoOp's protocol): one ``random.Random(seed)``; for each
label in order of first appearance in the training list, ``sample(items, shots)``, or all if there are fewer;
then the same over the validation list with ``min(4, shots)``.

Data without splits is divided in CoOp's proportions: half of each class to train, 20 % to val, 30 % to test.
That depends on file names only, so every seed has the same test images.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from ..counts import counted
from ..errors import DataError
from ..scoring import ALL, Shots
from ..spec import DEFAULT_SHOTS
from .values import UNUSED_IMAGES, Item, Splits, count_by_label

MAX_VAL_SHOTS = 4
LEAST_USED = 0.8
"""With a smaller share of the training images in use, a line says how to use all."""


def sample(items: Sequence[Item], shots: int, rng: random.Random) -> tuple[Item, ...]:
    """Return at most ``shots`` items of each label, in order of first appearance of the labels."""
    drawn: list[Item] = []
    for of_class in by_label(items).values():
        drawn.extend(rng.sample(of_class, shots) if len(of_class) >= shots else of_class)
    return tuple(drawn)


def draw(splits: Splits, *, shots: Shots, seed: int) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Return the few-shot training and validation items; the published seeds are 1, 2 and 3."""
    if shots == ALL:
        return splits.train, splits.val
    if not splits.train:
        return (), ()
    check_shots(splits, shots)
    rng = random.Random(seed)
    train = sample(splits.train, shots, rng)
    return train, sample(splits.val, min(MAX_VAL_SHOTS, shots), rng)


def part_of_test(items: Sequence[Item], *, images: int, seed: int) -> tuple[Item, ...]:
    """Return a stratified part of the test images, in their order.

    Each class has its share of ``images``, rounded so that they add up: the accuracy on the part estimates
    that on the whole. A smaller part is not always within a larger one.
    """
    rng = random.Random(f"test/{seed}")
    indices: dict[int, list[int]] = {}
    for index, item in enumerate(items):
        indices.setdefault(item.label, []).append(index)
    shares = {
        label: divmod(len(of_class) * images, len(items)) for label, of_class in sorted(indices.items())
    }
    counts = {label: whole for label, (whole, _rest) in shares.items()}
    # The largest remainders get what is left; of equal ones, chance decides.
    by_rest = sorted(shares, key=lambda label: (-shares[label][1], rng.random()))
    for label in by_rest[: images - sum(counts.values())]:
        counts[label] += 1
    drawn = {index for label, count in counts.items() for index in rng.sample(indices[label], count)}
    return tuple(items[index] for index in sorted(drawn))


def check_shots(splits: Splits, shots: int) -> None:
    """Refuse a number of shots that cannot be drawn."""
    if shots < 1:
        raise DataError(f"shots must be at least 1, not {shots}")
    most = max(count_by_label(splits.train, len(splits.classes)), default=0)
    if shots > most:
        images = counted(most, "training image")
        raise DataError(
            f"{splits.name}: the largest class has {images}, too few for {shots} shots; give `shots "
            f'= {most}`{" or fewer" if most > 1 else ""}, `shots = "{ALL}"` for every image, or leave it out '
            "for as many as the smallest class has",
        )


def default_shots(splits: Splits) -> tuple[int, str | None]:
    """Return the default number of shots, and a line about it if they are few or leave many images unused."""
    counts = count_by_label(splits.train, len(splits.classes))
    shots, images = min(DEFAULT_SHOTS, *counts), sum(counts)
    if not images:
        return 0, None
    used = shots * len(counts)
    if used == images or (shots == DEFAULT_SHOTS and used >= LEAST_USED * images):
        return shots, None
    name = splits.classes[counts.index(min(counts))]
    why = "" if shots == DEFAULT_SHOTS else f", as the smallest, {name!r}, has no more"
    using = f"using {used:,} of {counted(images, 'training image')}: {shots} of each class{why}"
    return shots, f"{using}; {UNUSED_IMAGES}, and more labelled images usually help most"


VAL_SHARE = 0.2
TEST_SHARE = 0.3
SPLIT_SEED = 0
RULE = (
    "the data have no train/test split, so train, val and test were made: of each class "
    f"{1 - VAL_SHARE - TEST_SHARE:.0%}, {VAL_SHARE:.0%} and {TEST_SHARE:.0%} of the images, with a fixed seed"
)
HALF_RULE = "there is no test split, so it was made from half of the val images of each class"
VAL_RULE = (
    f"there is no val split, so it was made from {VAL_SHARE:.0%} of the training images of each class, with "
    "a fixed seed"
)

ThreeSplits = tuple[tuple[Item, ...], tuple[Item, ...], tuple[Item, ...]]


def divide(items: Iterable[Item], *, val: float = VAL_SHARE, test: float = TEST_SHARE) -> ThreeSplits:
    """Divide one list, in a stable order, by shares of each class.

    At least one image of each class goes to test, unless its share is 0 or the class has a single one.
    """
    rng = random.Random(SPLIT_SEED)
    splits: tuple[list[Item], list[Item], list[Item]] = ([], [], [])
    for _label, of_class in sorted(by_label(items).items()):
        count = len(of_class)
        shuffled = rng.sample(of_class, count)
        n_test = max(1, round(count * test)) if test and count > 1 else 0
        n_val = min(round(count * val), count - n_test - 1)
        n_train = count - n_val - n_test
        splits[0].extend(shuffled[:n_train])
        splits[1].extend(shuffled[n_train : n_train + n_val])
        splits[2].extend(shuffled[n_train + n_val :])
    return tuple(splits[0]), tuple(splits[1]), tuple(splits[2])


def halve(items: Iterable[Item]) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Return two halves of a list, class by class; the second gets the odd one."""
    rng = random.Random(SPLIT_SEED)
    first: list[Item] = []
    second: list[Item] = []
    for _label, of_class in sorted(by_label(items).items()):
        shuffled = rng.sample(of_class, len(of_class))
        first.extend(shuffled[: len(of_class) // 2])
        second.extend(shuffled[len(of_class) // 2 :])
    return tuple(first), tuple(second)


def complete(
    train: Sequence[Item], val: Sequence[Item], test: Sequence[Item]
) -> tuple[ThreeSplits, list[str]]:
    """Return the three splits, made by rule if there is no test split, and a note on that."""
    if test:
        return (tuple(train), tuple(val), tuple(test)), []
    if val:
        return (tuple(train), *halve(val)), [HALF_RULE]
    return divide(train), [RULE]


def by_label(items: Iterable[Item]) -> dict[int, list[Item]]:
    """Return items by label, in the order given."""
    groups: dict[int, list[Item]] = {}
    for item in items:
        groups.setdefault(item.label, []).append(item)
    return groups
