"""Which templates are averaged: greedy selection over what was scored."""

from __future__ import annotations

from collections.abc import Sequence

from promptclimb.agent.search.choice import CANDIDATES, MOST, grown
from promptclimb.evaluator.scoring import SplitScores

SIZES = {"train": 100, "val": 100}
RANKED = [f"{number} {{}}" for number in range(30)]


class Judge:
    """Scores ensembles by a sum of what each template brings, and keeps what it was asked."""

    def __init__(self, **worth: float) -> None:
        self.worth = {f"{name.removeprefix('t')} {{}}": value for name, value in worth.items()}
        self.asked: list[list[tuple[str, ...]]] = []

    async def __call__(self, ensembles: Sequence[tuple[str, ...]]) -> list[SplitScores | None]:
        """Score them."""
        self.asked.append(list(ensembles))
        found = [0.5 + sum(self.worth.get(one, 0.0) for one in dict.fromkeys(each)) for each in ensembles]
        return [SplitScores(train=value, val=value, test=None) for value in found]


async def test_what_makes_the_average_better_joins_until_nothing_does() -> None:
    """The best first; what makes no difference stays out."""
    judge = Judge(t7=0.1, t9=0.2)
    assert await grown(RANKED, judge, start=3, sizes=SIZES) == (*RANKED[:3], RANKED[9], RANKED[7])
    assert [len(one) for one in judge.asked] == [1, CANDIDATES, CANDIDATES, CANDIDATES]


async def test_a_template_may_join_again() -> None:
    """It weighs twice then."""

    async def twice(ensembles: Sequence[tuple[str, ...]]) -> list[SplitScores | None]:
        return [SplitScores(train=min(one.count(RANKED[0]), 2) / 4, val=0.5, test=None) for one in ensembles]

    assert await grown(RANKED, twice, start=2, sizes=SIZES) == (*RANKED[:2], RANKED[0])


async def test_an_ensemble_does_not_grow_without_bound() -> None:
    """Nor does one that was asked to be larger shrink."""
    judge = Judge(**{f"t{number}": 0.01 for number in range(30)})
    assert len(await grown(RANKED, judge, start=3, sizes=SIZES) or ()) == MOST
    assert await grown(RANKED, judge, start=12, sizes=SIZES) == tuple(RANKED[:12])


async def test_training_accuracy_decides_where_the_pooled_share_is_equal() -> None:
    """As in the ranking of templates."""

    async def level(ensembles: Sequence[tuple[str, ...]]) -> list[SplitScores | None]:
        joined = [0.1 * (RANKED[4] in one) for one in ensembles]
        return [SplitScores(train=0.5 + more, val=0.5 - more, test=None) for more in joined]

    assert await grown(RANKED, level, start=2, sizes=SIZES) == (*RANKED[:2], RANKED[4])


async def test_what_cannot_be_averaged_is_none() -> None:
    """A black box answers None for several templates, or without numbers; a single one is never measured."""

    async def nothing(ensembles: Sequence[tuple[str, ...]]) -> list[SplitScores | None]:
        return [None for _ in ensembles]

    async def unknown(ensembles: Sequence[tuple[str, ...]]) -> list[SplitScores | None]:
        return [SplitScores(None, None, None) for _ in ensembles]

    for measure in (nothing, unknown):
        assert await grown(RANKED, measure, start=3, sizes=SIZES) is None
    judge = Judge()
    assert await grown(RANKED, judge, start=1, sizes=SIZES) == (RANKED[0],)
    assert judge.asked == []


async def test_voters_join_in_pairs() -> None:
    """One alone turns no decision here, two do; never beyond the most."""

    async def turned_by_two(ensembles: Sequence[tuple[str, ...]]) -> list[SplitScores | None]:
        joined = [min(one.count(RANKED[4]) // 2, 2) / 4 for one in ensembles]
        return [SplitScores(train=share, val=share, test=None) for share in joined]

    alone = await grown(RANKED, turned_by_two, start=3, sizes=SIZES)
    pairs = await grown(RANKED, turned_by_two, start=3, sizes=SIZES, in_pairs=True)
    assert alone == tuple(RANKED[:3])
    assert pairs == (*RANKED[:3], *[RANKED[4]] * 4)
