"""The choice of class names by paired counts: alone, together, and in context."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Container, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.search.name_choice import (
    FewShotImages,
    NamesTried,
    Predicted,
    choose_names,
)


class World:
    """Images of some classes, whose predictions follow from the names.

    Args:
        gains: By label and name, how many wrong images of the class it puts right, and how many of the next
            class it takes over.
    """

    def __init__(
        self, classes: int, shots: int, gains: Mapping[tuple[int, str], tuple[int, int]], copies: int = 0
    ) -> None:
        self.images = classes * shots
        self.copies = copies
        self.true = [image % classes for image in range(self.images)]
        # Half of the images of each class are wrong.
        self.before = [
            (label + 1) % classes if image // classes % 2 == 0 else label
            for image, label in enumerate(self.true)
        ]
        self._gains = gains
        self._classes = classes
        self.asked: list[dict[int, str]] = []
        self.labels, self.base = self._with_copies(self.true), self._with_copies(self.before)

    def _with_copies(self, whole: list[int]) -> list[int]:
        return [*whole, *(label for label in whole for _ in range(self.copies))]

    def predicted(self, renaming: Mapping[int, str]) -> Predicted:
        predicted = list(self.before)
        for label, name in renaming.items():
            right, wrong = self._gains[label, name]
            own = [image for image, true in enumerate(self.true) if true == label != self.before[image]]
            for image in own[:right]:
                predicted[image] = label
            following = (label + 1) % self._classes
            theirs = [
                image for image, true in enumerate(self.true) if true == following == self.before[image]
            ]
            for image in theirs[:wrong]:
                predicted[image] = label
        return self._with_copies(predicted)

    def choose(
        self, *, final: bool = True, names_per_class: float | None = None, doubted: Container[str] = ()
    ) -> dict[int, str]:
        async def predict(renaming: Mapping[int, str]) -> Predicted:
            self.asked.append(dict(renaming))
            return self.predicted(renaming)

        tried: dict[int, dict[str, Predicted]] = {}
        for label, name in self._gains:
            tried.setdefault(label, {})[name] = self.predicted({label: name})
        few_shot = FewShotImages(self.labels, self.copies)
        if not final:
            names = NamesTried("abc", (), few_shot, self.base)
            names.tried |= tried
            return dict(names.sure(()))
        if names_per_class is None:
            names_per_class = len(self._gains) / max(1, len(tried))
        return asyncio.run(
            choose_names(
                few_shot, self.base, tried, predict, names_per_class=names_per_class, doubted=doubted
            )
        )


def test_counts_compare_the_same_images() -> None:
    """Gained and lost are counted apart, without augmented copies."""
    labels = [0, 0, 1, 1]
    assert FewShotImages(labels).gained_and_lost([0, 0, 0, 1], [1, 0, 1, 1]) == (1, 1)
    assert FewShotImages(labels, copies=1).gained_and_lost([0, 0, 0, 1], [1, 0, 1, 1]) == (1, 0)


@pytest.mark.parametrize(
    ("now", "taken"),
    [
        ([0, 1, 0, 0, 0, 0, 0, 0], False),  # one image is lost
        ([0, 0, 1, 0, 0, 0, 0, 0], False),  # one is gained, as by half of all false readings
        ([0, 0, 1, 0, 2, 0, 0, 0], True),
    ],
)
def test_a_reading_must_gain_for_sure_at_chance_level_too(now: Sequence[int], taken: bool) -> None:
    """A true one gains far more there than one standard error."""
    few_shot, original = FewShotImages([0, 0, 1, 1, 2, 2, 3, 3]), [0] * 8
    names = NamesTried(("a", "b", "c", "d"), range(4), few_shot, original)
    assert names.start_from({0: "x"}, few_shot, now, original) is taken


@pytest.mark.parametrize("copies", [0, 8])
def test_the_name_that_gains_most_is_accepted(copies: int) -> None:
    """One that loses as much as it gains is not, with augmented copies and without."""
    gains = {(0, "fair"): (6, 0), (0, "good"): (8, 0), (1, "even"): (3, 3), (2, "bad"): (0, 2)}
    assert World(4, 16, gains, copies).choose() == {0: "good"}


@pytest.mark.parametrize("copies", [0, 3, 8])
def test_a_single_image_never_decides(copies: int) -> None:
    """All its copies together are one image; two images that agree decide."""
    assert World(2, 4, {(0, "lucky"): (1, 0)}, copies).choose(final=False) == {}
    assert World(2, 4, {(0, "noisy"): (2, 1)}, copies).choose(final=False) == {}
    assert World(2, 4, {(0, "better"): (2, 0)}, copies).choose(final=False) == {0: "better"}


def test_a_whole_that_repairs_a_small_share_of_the_errors_is_refused() -> None:
    """Some name always fits few images better: 2 of 32 errors are chance, 8 of 32 are not."""
    lucky = World(4, 16, {(0, "lucky"): (2, 0)})
    assert lucky.choose(final=False) == {0: "lucky"}
    assert lucky.choose() == {}
    assert lucky.asked == [{0: "lucky"}]
    right = World(4, 16, {(0, "right"): (8, 0)})
    assert right.choose() == {0: "right"}
    assert {} not in right.asked


def test_fewer_images_must_repair_a_larger_share() -> None:
    """A quarter of the errors is enough at 16 images per class, and not at 2."""
    assert World(4, 16, {(0, "x"): (8, 0)}).choose() == {0: "x"}
    # At 2 per class, 2 of 8 errors; the share asked for is 26 %.
    two = {(0, "x"): (1, 0), (1, "y"): (1, 0)}
    assert World(8, 2, two).choose() == {}


def test_more_names_must_repair_a_larger_share() -> None:
    """Five of 32 errors are enough for a few names of a class, and not for the best of a hundred."""
    world = World(4, 16, {(0, "x"): (5, 0)})
    assert world.choose() == world.choose(names_per_class=3) == {0: "x"}
    assert world.choose(names_per_class=100) == {}
    assert World(4, 16, {(0, "x"): (7, 0)}).choose(names_per_class=100) == {0: "x"}


@pytest.mark.parametrize(("true", "lucky", "chosen"), [(6, 7, "true"), (6, 8, "lucky"), (0, 8, "lucky")])
def test_a_doubted_name_must_be_better_than_the_others(true: int, lucky: int, chosen: str) -> None:
    """By more than one image, which is one standard error; one more may be luck."""
    gains = {(0, "true"): (true, 0), (0, "lucky"): (lucky, 0)}
    assert World(4, 16, gains).choose(doubted={"lucky"}) == {0: chosen}
    assert World(4, 16, gains).choose() == {0: "lucky"}


def test_in_several_templates_an_image_counts_once() -> None:
    """One image that changes in all of them is one; names that gain in one template alone gain little."""
    labels, before = [0, 0, 1, 1], [1, 1, 1, 1]
    images = FewShotImages(labels * 3, templates=3)
    everywhere = images.compare([0, 1, 1, 1] * 3, before * 3)
    assert (everywhere.gain, everywhere.sure) == (pytest.approx(1), False)
    once = images.compare([0, 0, 1, 1] + before * 2, before * 3)
    assert once.gain == pytest.approx(2 / 3)
    assert images.wrong(before * 3) == pytest.approx(2)
    # With two copies of each image, template after template.
    copied = FewShotImages([*labels, 0, 0, 0, 0, 1, 1, 1, 1] * 2, copies=2, templates=2)
    right = [0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1] * 2
    assert copied.compare(right, [1] * 24).gain == pytest.approx(1)
    assert not copied.compare(right, [1] * 24).sure


def test_in_context_a_name_without_use_goes_and_one_with_use_comes() -> None:
    """Class 1 gains by a name that loses what class 0's name has gained; class 2 by one that was not sure."""
    labels = [0] * 8 + [1] * 8 + [2] * 8
    base = [1] * 8 + [0] * 8 + [0] * 8

    def predicted(renaming: Mapping[int, str]) -> Predicted:
        predicted = list(base)
        if 0 in renaming:
            predicted[:8] = [0] * 8
        if 1 in renaming:
            predicted[8:10] = [1, 1]
            predicted[:4] = [1] * 4  # what class 0 has gained
        if 2 in renaming:
            predicted[16] = 2
        return predicted

    async def predict(renaming: Mapping[int, str]) -> Predicted:
        return predicted(renaming)

    tried = {label: {name: predicted({label: name})} for label, name in enumerate("abc")}
    few_shot = FewShotImages(labels)
    assert asyncio.run(choose_names(few_shot, base, tried, predict, names_per_class=1)) == {0: "a", 2: "c"}


def test_no_two_classes_get_the_same_name() -> None:
    """Also if both tried it: the one that gains more has it, the other takes its second."""
    gains = {(0, "same"): (8, 0), (2, "same"): (7, 0), (2, "other"): (6, 0)}
    assert World(4, 16, gains).choose() == {0: "same", 2: "other"}


def test_nothing_tried_scores_nothing() -> None:
    """No name, no request."""
    world = World(3, 4, {})
    assert world.choose() == {}
    assert world.asked == []


@given(st.integers(0, 2**32))
def test_a_renaming_is_better_on_the_few_shot_images_or_empty(seed: int) -> None:
    """And renamings are scored once, or at most once more for each class and each accepted name."""
    rng = random.Random(seed)
    gains = {
        (label, f"{label} {number}"): (rng.randrange(5), rng.randrange(4))
        for label in range(5)
        for number in range(3)
    }
    world = World(5, rng.choice([1, 4, 8]), gains, rng.choice([0, 4]))
    chosen = world.choose()
    few_shot = FewShotImages(world.labels, world.copies)
    gained, lost = few_shot.gained_and_lost(world.predicted(chosen), world.base)
    assert gained > lost or not chosen
    assert len(world.asked) <= 1 + 5 + 5


def test_names_that_may_be_lucky_count_for_whether_names_help_at_all() -> None:
    """The true name of a class repairs too little alone; the lucky one shows that its own name is poor."""
    gains = {(0, "true"): (2, 0), (0, "lucky"): (3, 0), (1, "lucky too"): (2, 0)}
    world = World(4, 16, gains)
    assert World(4, 16, {(0, "true"): (2, 0), (1, "lucky too"): (2, 0)}).choose(names_per_class=1) == {}
    chosen = world.choose(doubted={"lucky", "lucky too"}, names_per_class=1)
    assert chosen == {0: "true", 1: "lucky too"}


def test_of_few_errors_a_large_share_must_be_repaired() -> None:
    """Nearly all images are right: what puts two of four errors right may be luck."""
    labels = [image % 4 for image in range(32)]
    base = [(true + 1) % 4 if image < 4 else true for image, true in enumerate(labels)]
    now = [true if image < 2 else label for image, (true, label) in enumerate(zip(labels, base, strict=True))]
    few_shot = FewShotImages(labels)
    assert not few_shot.holds(now, base, 1.0)
    assert few_shot.holds(labels, base, 1.0)
