"""The choice of class names by paired counts, with and without held-out folds and augmented copies."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.search.name_choice import Predicted, choose_names, paired_counts


class World:
    """Images of some classes, whose predictions follow from the names."""

    def __init__(self, classes: int, shots: int, gains: Mapping[tuple[int, str], tuple[int, int]]) -> None:
        """Let each name put images of its class right, and images of the next class wrong."""
        self.labels = [place % classes for place in range(classes * shots)]
        self.base = [label if place % 2 else (label + 1) % classes for place, label in enumerate(self.labels)]
        self._gains = gains
        self._classes = classes
        self.asked: list[dict[int, str]] = []

    def predicted(self, renaming: Mapping[int, str]) -> Predicted:
        found = list(self.base)
        for label, name in renaming.items():
            right, wrong = self._gains[label, name]
            mine = [place for place, true in enumerate(self.labels) if true == label and found[place] != true]
            for place in mine[:right]:
                found[place] = label
            others = (label + 1) % self._classes
            theirs = [place for place, true in enumerate(self.labels) if true == others == found[place]]
            for place in theirs[:wrong]:
                found[place] = label
        return found

    def choose(self, *, final: bool = True) -> dict[int, str]:
        async def predict(renaming: Mapping[int, str]) -> Predicted:
            self.asked.append(dict(renaming))
            return self.predicted(renaming)

        tried: dict[int, dict[str, Predicted]] = {}
        for label, name in self._gains:
            tried.setdefault(label, {})[name] = self.predicted({label: name})
        return asyncio.run(choose_names(self.labels, self.base, tried, predict, final=final))


def test_counts_compare_the_same_images() -> None:
    """Gained and lost are counted apart; copies weigh together as much as the images."""
    labels = [0, 0, 1, 1]
    counts = paired_counts(labels, [0, 0, 0, 1], [1, 0, 1, 1])
    assert (counts.gained, counts.lost, counts.net, counts.holds) == (1, 1, 0, False)
    with_copies = paired_counts([*labels, *labels * 2], [0] * 12, [1] * 12, copies=8)
    assert (with_copies.gained, with_copies.lost) == (2, 2)


def test_names_that_gain_are_accepted_and_others_are_not() -> None:
    """The best name of a class wins; one that loses as much as it gains does not."""
    world = World(4, 8, {(0, "good"): (4, 0), (0, "fair"): (3, 0), (1, "even"): (3, 3), (2, "bad"): (0, 2)})
    assert world.choose() == {0: "good"}


def test_a_gain_of_one_image_is_chance() -> None:
    """A name needs two images and more than a standard error."""
    assert World(4, 8, {(0, "lucky"): (1, 0)}).choose() == {}
    assert World(4, 8, {(0, "noisy"): (4, 3)}).choose() == {}


def test_nothing_tried_is_nothing_chosen() -> None:
    """No name, no scoring."""
    world = World(3, 4, {})
    assert world.choose() == {}
    assert world.asked == []


def test_a_name_that_fits_single_images_does_not_hold_out_of_fold() -> None:
    """With folds, a renaming whose gain is in no held-out image is refused as a whole."""
    world = World(4, 8, {(0, "lucky"): (2, 0)})
    assert world.choose(final=False) == {0: "lucky"}
    assert world.choose() == {}


def test_no_two_classes_get_the_same_name() -> None:
    """Also if both tried it."""
    chosen = World(4, 8, {(0, "same"): (4, 0), (2, "same"): (4, 0)}).choose()
    assert list(chosen.values()) == ["same"]


@given(st.integers(0, 2**32))
def test_the_whole_is_never_worse_on_the_few_shot_images(seed: int) -> None:
    """Every acceptance raised the total, so the renaming as a whole does."""
    rng = random.Random(seed)
    gains = {
        (label, f"{label} {number}"): (rng.randrange(5), rng.randrange(4))
        for label in range(5)
        for number in range(3)
    }
    world = World(5, rng.choice([1, 4, 8]), gains)
    chosen = world.choose()
    assert paired_counts(world.labels, world.predicted(chosen), world.base).net >= 0
