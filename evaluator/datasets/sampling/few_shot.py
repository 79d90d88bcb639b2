"""Few-shot samples by the published rule, or from a file of published indices.

The rule (cross_modal_adaptation's, of which CoOp's protocol is the ancestor): one ``random.Random(seed)``;
for each label in the order in which it first appears in the training list, ``sample(items, shots)``, or all
of them where there are fewer; then the same over the validation list with ``min(4, shots)``.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from ...counts import counted
from ...errors import DataError
from ...spec import DEFAULT_SHOTS
from ..values import Item, Splits, count_by_label

MAX_VAL_SHOTS = 4


def sample(items: Sequence[Item], shots: int, rng: random.Random) -> tuple[Item, ...]:
    """Return at most ``shots`` items of each label, in the order in which labels first appear."""
    by_label: dict[int, list[Item]] = {}
    for item in items:
        by_label.setdefault(item.label, []).append(item)
    drawn: list[Item] = []
    for found in by_label.values():
        drawn.extend(rng.sample(found, shots) if len(found) >= shots else found)
    return tuple(drawn)


def draw(splits: Splits, *, shots: int, seed: int) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Return the few-shot training and validation items of a data set.

    Args:
        splits: The whole data set.
        shots: Training images a class, at least 1.
        seed: Seed of the draw; the published ones are 1, 2 and 3.

    Raises:
        DataError: ``shots`` is not positive, or no class has so many training images.
    """
    check_shots(splits, shots)
    rng = random.Random(seed)
    train = sample(splits.train, shots, rng)
    return train, sample(splits.val, min(MAX_VAL_SHOTS, shots), rng)


def check_shots(splits: Splits, shots: int) -> None:
    """Refuse a number of shots that cannot be drawn.

    Raises:
        DataError: ``shots`` is not positive, or no class has so many training images.
    """
    if shots < 1:
        raise DataError(f"shots must be at least 1, not {shots}")
    most = max(count_by_label(splits.train, len(splits.classes)), default=0)
    if shots > most:
        images = counted(most, "training image")
        raise DataError(
            f"{splits.name}: the largest class has {images}, too few for {shots} shots; give --shots {most}"
            f"{' or fewer' if most > 1 else ''}, or leave it out for as many as the smallest class has"
        )


def default_shots(splits: Splits) -> tuple[int, str | None]:
    """Return the shots of a data set where nothing is said, and a line that says so where they are few.

    Args:
        splits: The whole data set; each class has a training image.
    """
    counts = count_by_label(splits.train, len(splits.classes))
    least = min(counts)
    if least >= DEFAULT_SHOTS:
        return DEFAULT_SHOTS, None
    name = splits.classes[counts.index(least)]
    return least, (
        f"{counted(least, 'shot')} a class, as many as the smallest class, {name!r}, has "
        f"(--shots gives another number; {DEFAULT_SHOTS} where all classes have so many)"
    )
