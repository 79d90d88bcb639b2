"""What a search chooses: the order of candidates, and what is averaged."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.methods.memory import Entry
from promptclimb.agent.position import Position
from promptclimb.agent.search.choice import ranked, ranking
from promptclimb.agent.search.evidence import pooled
from promptclimb.evaluator.scoring import Objective, Score
from promptclimb.prompts.template import Template

SIZES = {"train": 16, "val": 4}


def scored(text: str, train: int, val: int | None = None, where: tuple[int, int, int] = (1, 0, 0)) -> Entry:
    """A template with its counts of correctly classified images."""
    return Entry(
        candidate=Template.parse(text),
        score=Score(train=train / 16, val=None if val is None else val / 4),
        value=train / 16,
        position=Position(*where),
    )


def order(entries: list[Entry], **more: int) -> list[str]:
    """Templates in the order of the rule."""
    return [entry.text for entry in ranking(entries, sizes=SIZES, **more)]


def test_train_and_val_count_together() -> None:
    """One image is one image, whichever of the two splits it lies in."""
    low, high = scored("a {}", 12, 1), scored("one {}", 11, 3)
    assert order([low, high]) == ["one {}", "a {}"]
    assert pooled(high.score, SIZES) == 14 / 20


@pytest.mark.parametrize("objective", ["class_mean", "logprob", "margin"])
def test_every_objective_counts_on_both_splits(objective: Objective) -> None:
    """As accuracy does: each split with the number of its images."""

    def entry(text: str, train: float, val: float | None) -> Entry:
        values = {objective: train, f"val_{objective}": val}
        score = Score(train=0.5, val=0.5, **values)  # type: ignore[arg-type]
        return Entry(candidate=Template.parse(text), score=score, value=train, position=Position(1))

    low, high = entry("a {}", -1.0, -3.0), entry("one {}", -1.25, -1.0)
    assert [texts.text for texts in ranking([low, high], sizes=SIZES, objective=objective)] == [
        "one {}",
        "a {}",
    ]
    assert pooled(low.score, SIZES, objective) == (-1.0 * 16 - 3.0 * 4) / 20
    # Where one has no value on val, as an older program wrote it, val counts for none.
    old = entry("an old {}", -1.1, None)
    texts = [each.text for each in ranking([low, high, old], sizes=SIZES, objective=objective)]
    assert texts == ["a {}", "an old {}", "one {}"]


def viewed(text: str, train: int, val: int | None, copies: float | None) -> Entry:
    """The same with the share of augmented copies that are right."""
    plain = scored(text, train, val)
    return replace(plain, score=replace(plain.score, copies=copies))


def test_of_two_that_do_equally_well_the_steadier_comes_first() -> None:
    """Views count beside the images, half and half: they break ties, and outweigh a small lead."""
    steady, shaky, lead = (
        viewed("my {}", 10, 2, 0.6),
        viewed("her {}", 10, 2, 0.5),
        viewed("a {}", 11, 2, 0.5),
    )
    assert order([shaky, steady]) == ["my {}", "her {}"]
    assert order([lead, shaky, steady]) == ["my {}", "a {}", "her {}"]  # 0.6 + 0.6 > 0.65 + 0.5
    equal = viewed("her {}", 11, 2, 0.55)  # 0.6 + 0.6 = 0.65 + 0.55
    assert order([steady, equal]) == ["her {}", "my {}"]  # then the training images decide


def test_without_views_of_all_they_count_for_none() -> None:
    """A run whose scores know no copies is ordered as ever, and so is one of which some do not."""
    entries = [viewed("one {}", 10, 2, None), viewed("my {}", 12, 1, None), viewed("her {}", 11, 3, None)]
    as_ever = order(entries)
    assert as_ever == ["her {}", "my {}", "one {}"]
    some = [replace(entry, score=replace(entry.score, copies=0.99)) for entry in entries[:1]]
    assert order([*some, *entries[1:]]) == as_ever


def test_views_count_where_images_are_counted() -> None:
    """With class_mean as with accuracy; not beside what is read from logits."""

    def entry(text: str, value: float, copies: float) -> Entry:
        score = Score(train=0.5, class_mean=value, logprob=value, copies=copies)
        return Entry(candidate=Template.parse(text), score=score, value=value, position=Position(1))

    entries = [entry("low {}", 0.5, 0.9), entry("high {}", 0.6, 0.5)]
    by = {
        objective: ranking(entries, sizes=SIZES, objective=objective)[0].text
        for objective in ("class_mean", "logprob")
    }
    assert by == {"class_mean": "low {}", "logprob": "high {}"}
    # Shown in the leaderboard.
    assert [value for value, _ in ranked(entries, sizes=SIZES, objective="class_mean")] == [0.7, 0.55]


def test_train_decides_where_the_pooled_share_is_equal_and_then_fewer_words() -> None:
    """The second and the third rule."""
    assert order([scored("my {}", 10, 4), scored("her {}", 12, 2)]) == ["her {}", "my {}"]
    assert order([scored("one very old {}", 10, 2), scored("one {}", 10, 2)])[0] == "one {}"


def test_the_coin_depends_on_the_seed_and_not_on_the_alphabet() -> None:
    """The fourth rule: over seeds, each of two tied templates comes first about half the time."""
    entries = [scored("my {}", 10, 2), scored("her {}", 10, 2)]
    first = [order(entries, seed=seed)[0] for seed in range(200)]
    assert 60 < first.count("my {}") < 140
    many = [scored(f"{word} {{}}", 10, 2) for word in ("my", "her", "his", "our", "their", "your")]
    assert order(many) == order(many, seed=0) != order(many, seed=1)


def test_spellings_are_one_entry_with_the_best_of_them() -> None:
    """Two spellings of a template do not fill two places."""
    order = ranking([scored("A photo of a {}.", 12), scored("a photo of {}", 13)], sizes=SIZES)
    assert [entry.text for entry in order] == ["a photo of {}"]


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 16), st.integers(0, 4), st.integers(1, 3)),
        min_size=1,
        max_size=20,
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_arrival_does_not_matter(
    rows: list[tuple[str, int, int, int]], shuffle: random.Random
) -> None:
    """The same finds in any order give the same ranking, places included."""
    # One text has one score in a run, whoever came upon it.
    scores = {word: (train, val) for word, train, val, _ in rows}
    entries = [scored(f"{word} {{}}", *scores[word], where=(restart, 1, 1)) for word, _, _, restart in rows]
    other = list(entries)
    shuffle.shuffle(other)
    assert ranking(entries, sizes=SIZES, seed=3) == ranking(other, sizes=SIZES, seed=3)


@pytest.mark.parametrize(
    ("sizes", "share"),
    [({}, 0.75), ({"train": 16}, 0.75), ({"val": 4}, 0.75), ({"train": 1, "val": 3}, 0.5625), (SIZES, 0.7)],
)
def test_a_split_without_images_does_not_count(sizes: dict[str, int], share: float) -> None:
    """Where one of the two is empty or its size unknown, the accuracy on train stands."""
    assert pooled(Score(train=0.75, val=0.5), sizes) == share
    assert pooled(Score(train=0.75, val=None), sizes) == 0.75


def test_equal_counts_are_equal_shares_whichever_way_they_were_divided() -> None:
    """A third of three and two thirds of three are half of six, as two thirds and a third are."""
    sizes = {"train": 3, "val": 3}
    assert pooled(Score(train=1 / 3, val=2 / 3), sizes) == pooled(Score(train=2 / 3, val=1 / 3), sizes)
    assert pooled(Score(train=0.1 + 0.2, val=0.0), sizes) == pooled(Score(train=0.3, val=0.0), sizes)
    assert pooled(Score(train=0.5, val=0.0), {"train": 10**6, "val": 1}) != 0.5


def test_other_objectives_are_ranked_by_their_own_value() -> None:
    """Accuracy, which such a score has as well, does not decide; what ties goes by words."""

    def entry(text: str, value: float, train: float) -> Entry:
        score = Score(train=train)
        return Entry(candidate=Template.parse(text), score=score, value=value, position=Position(1, 0, 0))

    entries = [entry("low {}", -2.0, 0.9), entry("one very {}", -0.5, 0.1), entry("one {}", -0.5, 0.1)]
    ranked = ranking(entries, sizes=SIZES, objective="logprob")
    assert [each.text for each in ranked] == ["one {}", "one very {}", "low {}"]


def test_of_equal_finds_the_first_place_stands() -> None:
    """Two restarts may come upon one template: it is listed where it came up first."""
    positions = [(2, 1, 1), (1, 2, 3), (1, 2, 1)]
    order = ranking([scored("one {}", 10, 2, position) for position in positions], sizes=SIZES)
    assert [tuple(entry.position[:3]) for entry in order] == [(1, 2, 1)]
