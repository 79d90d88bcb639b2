"""What a search chooses: ensembles by vote, and points of a learning curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.methods.memory import Entry
from promptclimb.agent.position import Position
from promptclimb.agent.results.details import read_details
from promptclimb.agent.results.run_dir import read_result
from promptclimb.agent.search import measuring
from promptclimb.agent.search.api import search
from promptclimb.agent.search.choice import choose_ensemble, first_templates, select
from promptclimb.agent.search.run import SearchRun
from promptclimb.evaluator.fakes import FakeEvaluator
from promptclimb.evaluator.scoring import Predictions, Score, SplitScores
from promptclimb.prompts.template import Template

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

    ensembles = [["ab", "abc"], ["abc", "ab"], ["abc", "ab", "xy"], ["ab"]]
    assert measuring.predict(Three(), ensembles, "val").predicted == ((2,), (3,), (2,), (2,))


@given(st.lists(st.tuples(*[st.integers(0, 2)] * len(TRUE)), min_size=4, max_size=4), st.data())
def test_ballots_count_as_the_box_is_examined(told: list[tuple[int, ...]], data: st.DataObject) -> None:
    """What decides how an ensemble grows is what the result will say of it."""
    box = Labels(dict(zip(RANKED[:4], told, strict=True)))
    ensemble = data.draw(st.lists(st.sampled_from(RANKED[:4]), min_size=2, max_size=7))
    (counted,) = measuring.Ballots(box, RANKED[:4], box.info.sizes).count([ensemble])
    (examined,) = measuring.examine(box, [ensemble], test=False)
    assert counted == examined


async def test_an_ensemble_that_votes_grows_where_two_more_make_it_better() -> None:
    """Two that err together are outvoted by three that do not; each template is asked about once a split."""
    wrong, otherwise = (1, 1, 2, 0, 1, 2), (0, 1, 2, 1, 1, 2)
    told = dict.fromkeys(RANKED, wrong) | {RANKED[2]: otherwise, RANKED[5]: TRUE}
    box = Labels(told)
    templates, notes = await choose_ensemble(box, RANKED, 3)
    assert templates[:3] == tuple(RANKED[:3])
    assert RANKED[5] in templates[3:]
    assert notes == {}
    (before, after) = measuring.examine(Labels(told), [RANKED[:3], templates], test=False)
    assert before is not None
    assert after is not None
    assert (after.train or 0) > (before.train or 0)
    assert max(box.asked.count(one) for one in RANKED) == len(
        [s for s in ("train", "val") if box.info.sizes[s]]
    )


CURVE = (3, 5, 10, 1000)


def config(run_dir: Path) -> SearchConfig:
    """Two restarts without an LLM."""
    return SearchConfig(
        data="fake", method="random", restarts=2, conversations=1, rounds=2, initial=5, run_dir=run_dir
    )


def scored(text: str, value: float, restart: int, conversation: int, round: int) -> Entry:
    """A template that was scored."""
    where = Position(restart, conversation, round)
    return Entry(candidate=Template.parse(text), score=Score(train=value), value=value, position=where)


def test_restarts_are_taken_in_turn() -> None:
    """First all initial templates, then round by round; one that comes up twice counts once."""
    found = [
        scored("one {}", 0.1, 1, 0, 0),
        scored("three {}", 0.9, 1, 1, 1),
        scored("two {}", 0.2, 2, 0, 0),
        scored("one {}", 0.1, 2, 0, 0),
        scored("four {}", 0.5, 2, 1, 1),
    ]
    firsts = first_templates(found, (1, 2, 3, 4, 5))
    assert {count: select(first, sizes={})[0].text for count, first in firsts.items()} == {
        1: "one {}",
        2: "two {}",
        3: "three {}",
        4: "three {}",
    }


async def test_all_of_it_is_seen_in_one_opening(tmp_path: Path) -> None:
    """The test split is opened once, and the result is that of a search that keeps nothing of it."""
    alone = await search(config(tmp_path / "alone"), evaluator=FakeEvaluator())
    evaluator = FakeEvaluator()
    kept = await SearchRun(config=config(tmp_path / "kept"), evaluator=evaluator, curve=CURVE).start()
    assert evaluator.opened == kept.test_opened == 1
    assert (kept.best, kept.ensemble, kept.leaderboard) == (alone.best, alone.ensemble, alone.leaderboard)
    details = read_details(tmp_path / "kept")
    assert details is not None
    assert details.lineage[0].template == kept.best.template
    assert [pick.after for pick in details.curve] == [3, 5, 10]
    rows = {row.template: row for row in kept.leaderboard}
    trains = [rows[pick.template].train for pick in details.curve]
    assert trains == sorted(trains)
    assert read_details(tmp_path / "alone") == replace(details, curve=())


async def test_a_stopped_search_leaves_the_split_sealed(tmp_path: Path) -> None:
    """Nothing is kept of a split that was not opened."""
    stopped = config(tmp_path / "run").model_copy(update={"max_minutes": 0.0})
    evaluator = FakeEvaluator()
    result = await SearchRun(config=stopped, evaluator=evaluator, curve=CURVE).start()
    assert result.status == "stopped"
    assert evaluator.opened == 0
    details = read_details(tmp_path / "run")
    assert details is not None
    assert (details.curve, details.decisions) == ((), None)


async def test_a_choice_may_be_that_of_the_first_templates(tmp_path: Path) -> None:
    """The last point of a curve over all templates is the choice itself."""
    found = await search(config(tmp_path / "first"), evaluator=FakeEvaluator())
    session = SearchRun(
        config=config(tmp_path / "again"), evaluator=FakeEvaluator(), curve=(found.evaluated,)
    )
    await session.start()
    details = read_details(tmp_path / "again")
    assert details is not None
    (pick,) = details.curve
    result = read_result(tmp_path / "again")
    assert (pick.template, pick.test) == (result.best.template, result.best.test)
