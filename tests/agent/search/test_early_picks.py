"""What a search would have chosen earlier: looked at in the one opening, and told to nobody."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.methods.memory import Entry
from promptclimb.agent.position import Position
from promptclimb.agent.results.details import read_details
from promptclimb.agent.results.run_dir import read_result
from promptclimb.agent.search.api import search
from promptclimb.agent.search.choice import select
from promptclimb.agent.search.early_picks import early_picks
from promptclimb.agent.search.session import Session
from promptclimb.evaluator.fakes import FakeEvaluator
from promptclimb.evaluator.scoring import Score
from promptclimb.prompts.template import Template

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
    picks = early_picks(found, (1, 2, 3, 4, 5), lambda some: select(some, sizes={}))
    assert {count: one.text for count, one in picks.items()} == {
        1: "one {}",
        2: "two {}",
        3: "three {}",
        4: "three {}",
    }


async def test_all_of_it_is_seen_in_one_opening(tmp_path: Path) -> None:
    """The test split is opened once, and the result is that of a search that keeps nothing of it."""
    alone = await search(config(tmp_path / "alone"), evaluator=FakeEvaluator())
    evaluator = FakeEvaluator()
    kept = await Session(config=config(tmp_path / "kept"), evaluator=evaluator, curve=CURVE).start()
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
    result = await Session(config=stopped, evaluator=evaluator, curve=CURVE).start()
    assert result.status == "stopped"
    assert evaluator.opened == 0
    details = read_details(tmp_path / "run")
    assert details is not None
    assert (details.curve, details.decisions) == ((), None)


async def test_a_choice_may_be_that_of_the_first_templates(tmp_path: Path) -> None:
    """The last point of a curve over all templates is the choice itself."""
    found = await search(config(tmp_path / "first"), evaluator=FakeEvaluator())
    session = Session(config=config(tmp_path / "again"), evaluator=FakeEvaluator(), curve=(found.evaluated,))
    await session.start()
    details = read_details(tmp_path / "again")
    assert details is not None
    (pick,) = details.curve
    result = read_result(tmp_path / "again")
    assert (pick.template, pick.test) == (result.best.template, result.best.test)
