"""Intervals by a paired bootstrap: of what is drawn again, and of nothing else."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from promptclimb.agent.results.gain import paired
from promptclimb.agent.study.tables import SetDifferences, interval_of


def differences(
    rng: np.random.Generator, seeds: int = 1, images: int = 500, gain: float = 0.1
) -> SetDifferences:
    """Images on which the first is better, or the second, by chance."""
    by_image = rng.choice([1, 0, -1], p=[0.1 + gain, 0.8 - gain, 0.1], size=(seeds, images)).astype(np.int8)
    return SetDifferences([float(each.mean()) for each in by_image], list(by_image))


def test_of_one_run_it_is_about_the_interval_of_pairs() -> None:
    """The bootstrap of images agrees with Tango's interval, where there are many."""
    run = differences(np.random.default_rng(1), images=2000)
    interval, drawn = interval_of([run], ["images", "seeds"])
    assert drawn == ("images",)
    assert interval is not None
    (images,) = run.images
    assert images is not None
    better, worse = int((images > 0).sum()), int((images < 0).sum())
    assert interval == pytest.approx(paired(better, worse, 2000), abs=0.002)


def test_images_are_drawn_once_for_all_seeds() -> None:
    """Seeds that agree on every image are no more evidence than one of them."""
    run = differences(np.random.default_rng(2))
    three = SetDifferences(run.means * 3, list(run.images) * 3)
    alone, together = (interval_of([each], ["images"])[0] for each in (run, three))
    assert alone is not None
    assert together == pytest.approx(alone, abs=0.004)


def test_independent_seeds_and_sets_narrow_it() -> None:
    """The width falls with the square root of how many there are."""
    rng = np.random.default_rng(3)
    many = [differences(rng, seeds=1) for _ in range(16)]
    wide, narrow = interval_of(many[:1], ["images"])[0], interval_of(many, ["images"])[0]
    assert wide is not None
    assert narrow is not None
    ratio = (wide[1] - wide[0]) / (narrow[1] - narrow[0])
    assert ratio == pytest.approx(4, rel=0.2)


def test_what_is_not_drawn_gives_no_width() -> None:
    """Of seeds alone, only the spread between seeds counts; of sets alone, only that between sets."""
    rng = np.random.default_rng(4)
    alike = [SetDifferences([0.1, 0.1], differences(rng, seeds=2).images) for _ in range(2)]
    assert interval_of(alike, ["seeds"])[0] == pytest.approx((0.1, 0.1))
    apart = [SetDifferences([0.0], [None]), SetDifferences([0.2], [None])]
    assert interval_of(apart, ["sets"])[0] == pytest.approx((0.0, 0.2))


def test_where_nothing_can_be_drawn_there_is_no_interval() -> None:
    """One seed, and a scorer that does not report image by image."""
    assert interval_of([SetDifferences([0.1], [None])], ["images", "seeds"]) == (None, ())


def test_runs_on_different_images_are_drawn_apart() -> None:
    """Each of its own images."""
    rng = np.random.default_rng(5)
    small, large = differences(rng, images=100), differences(rng, images=400)
    mixed = SetDifferences([*small.means, *large.means], [*small.images, *large.images])
    interval, drawn = interval_of([mixed], ["images"])
    assert drawn == ("images",)
    assert interval is not None
    assert interval[0] < statistics.fmean(mixed.means) < interval[1]


def test_images_are_drawn_only_where_all_are_known() -> None:
    """An interval of some of the runs would be too narrow for the mean over all of them."""
    run = differences(np.random.default_rng(8), seeds=3)
    partly = SetDifferences(run.means, [run.images[0], None, None])
    assert interval_of([run, partly], ["images"]) == (None, ())
    interval, drawn = interval_of([run, partly], ["images", "seeds"])
    assert drawn == ("seeds",)
    assert interval == interval_of([run, run], ["seeds"])[0]


def test_the_same_differences_have_the_same_interval() -> None:
    """The draws are seeded."""
    run = [differences(np.random.default_rng(6), seeds=3)]
    assert interval_of(run, ["images", "seeds"]) == interval_of(run, ["images", "seeds"])


def test_it_covers_what_it_should() -> None:
    """Of 200 studies of three sets, some 95 % of the intervals hold the true mean difference."""
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(200):
        sets = [differences(rng, seeds=1, images=200) for _ in range(3)]
        interval, _drawn = interval_of(sets, ["images"], times=1000)
        assert interval is not None
        held += interval[0] <= 0.1 <= interval[1]
    assert 180 <= held <= 199
