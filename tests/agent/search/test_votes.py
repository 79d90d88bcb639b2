"""Votes of a black box that tells labels: how they are counted, and how an ensemble of them grows."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.search import votes
from promptclimb.agent.search.last_look import ensemble_of
from promptclimb.evaluator.fakes import FakeEvaluator
from promptclimb.evaluator.scoring import Predictions, SplitScores

TRUE = (0, 1, 2, 0, 1, 2)
RANKED = [f"{letter} {{}}" for letter in "abcdefghijkl"]


class Labels(FakeEvaluator):
    """Tells for each single template what it was given, and cannot average; counts what it is asked."""

    def __init__(self, told: dict[str, tuple[int, ...]]) -> None:
        super().__init__()
        self._told = told
        self.asked: list[str] = []

    def examine(self, ensembles: Sequence[Sequence[str]], *, test: bool = True) -> list[SplitScores | None]:
        """Score single ones alone."""
        return [self._alone(one[0]) if len(one) == 1 else None for one in ensembles]

    def _alone(self, template: str) -> SplitScores:
        right = sum(one == true for one, true in zip(self._told[template], TRUE, strict=True)) / len(TRUE)
        return SplitScores(right, right, None)

    def predict(self, ensembles: Sequence[Sequence[str]], *, split: str) -> Predictions:
        """Tell what single templates take the images for."""
        self.asked += [one[0] for one in ensembles if len(one) == 1]
        return Predictions(TRUE, tuple(self._told[one[0]] if len(one) == 1 else None for one in ensembles))


def test_the_first_of_several_labels_that_are_level_wins() -> None:
    """So that the order of the templates, and nothing else, decides."""

    class Three(FakeEvaluator):
        def predict(self, ensembles: Sequence[Sequence[str]], *, split: str) -> Predictions:
            return Predictions((2,), tuple(None if len(one) > 1 else (len(one[0]),) for one in ensembles))

    assert votes.hits(Three(), [["ab", "abc"], ["abc", "ab"], ["abc", "ab", "xy"], ["ab"]], "val") == [
        [True],
        [False],
        [True],
        [True],
    ]


@given(st.lists(st.tuples(*[st.integers(0, 2)] * len(TRUE)), min_size=4, max_size=4), st.data())
def test_ballots_count_as_the_box_is_examined(told: list[tuple[int, ...]], data: st.DataObject) -> None:
    """What decides how an ensemble grows is what the result will say of it."""
    box = Labels(dict(zip(RANKED[:4], told, strict=True)))
    ensemble = data.draw(st.lists(st.sampled_from(RANKED[:4]), min_size=2, max_size=7))
    (counted,) = votes.Ballots(box, RANKED[:4], box.info.sizes).count([ensemble])
    (examined,) = votes.examine(box, [ensemble], test=False)
    assert counted == examined


async def test_an_ensemble_that_votes_grows_where_two_more_make_it_better() -> None:
    """Two that err together are outvoted by three that do not; each template is asked about once a split."""
    wrong, otherwise = (1, 1, 2, 0, 1, 2), (0, 1, 2, 1, 1, 2)
    told = dict.fromkeys(RANKED, wrong) | {RANKED[2]: otherwise, RANKED[5]: TRUE}
    box = Labels(told)
    templates, notes = await ensemble_of(box, RANKED, 3)
    assert templates[:3] == tuple(RANKED[:3])
    assert RANKED[5] in templates[3:]
    assert notes == {}
    (before, after) = votes.examine(Labels(told), [RANKED[:3], templates], test=False)
    assert before is not None
    assert after is not None
    assert (after.train or 0) > (before.train or 0)
    assert max(box.asked.count(one) for one in RANKED) == len(
        [s for s in ("train", "val") if box.info.sizes[s]]
    )
