"""The scorebook: each template is scored once for a whole run, and on disk before anything uses it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from promptclimb import SearchConfig, resume, search
from promptclimb.agent.errors import EvaluationFailedError
from promptclimb.agent.events.types import DefaultTemplateScored, Event, StartingTemplatesDrawn
from promptclimb.agent.search import scorebook
from promptclimb.agent.search.scorebook import Scorebook
from promptclimb.evaluator.errors import CrashingTemplateError, ScoringFailedError
from promptclimb.evaluator.scoring import Rejection, Score, Verdict
from tests.fakes.clock import run_virtual
from tests.fakes.evaluators import FakeEvaluator


class Shelf:
    """A store of scores in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, Verdict] = {}
        self.read: list[str] = []

    def score(self, template: str) -> Verdict | None:
        """What is known."""
        if template in self.kept:
            self.read.append(template)
        return self.kept.get(template)

    async def put_score(self, template: str, verdict: Verdict) -> None:
        """Keeps it."""
        await asyncio.sleep(0)
        self.kept[template] = verdict


class Scripted:
    """A scorer that fails on some templates, and on all that ask for it."""

    def __init__(self, shelf: Shelf) -> None:
        self.asked: list[str] = []
        self._shelf = shelf

    async def score(self, template: str) -> Verdict:
        """Scores by length."""
        self.asked.append(template)
        assert template not in self._shelf.kept
        if template.startswith("x"):
            raise CrashingTemplateError(template, "the scorer failed on it 3 times")
        if template.startswith("broken"):
            raise ScoringFailedError("device lost")
        if template.startswith("long"):
            return Rejection("too_many_tokens", "99 tokens")
        return Score(train=len(template) / 100)


async def test_a_score_is_on_disk_before_anybody_has_it() -> None:
    """And it is asked for once, rejections too."""
    shelf = Shelf()
    scorer = Scripted(shelf)
    book = Scorebook(shelf, scorer)
    verdicts = await book.score_all(["a {}", "long {}", "bb {}"])
    assert verdicts == shelf.kept
    assert list(verdicts.values()) == [
        Score(train=0.04), Rejection("too_many_tokens", "99 tokens"), Score(train=0.05),
    ]  # fmt: skip
    assert await book.score_all(["a {}", "long {}", "bb {}"]) == verdicts
    assert len(scorer.asked) == 3


async def test_what_is_known_is_read_once_and_takes_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand restarts find the same templates: looking them up must not cost what scoring them did."""
    shelf = Shelf()
    texts = [f"a {number} {{}}" for number in range(5)]
    await Scorebook(shelf, Scripted(shelf)).score_all(texts)
    assert shelf.read == []
    book = Scorebook(shelf, Scripted(shelf))
    tasks: list[str] = []
    create = asyncio.TaskGroup.create_task

    def counted(group: asyncio.TaskGroup, *args: Any, **more: Any) -> asyncio.Task[Any]:
        tasks.append("one")
        return create(group, *args, **more)

    monkeypatch.setattr(asyncio.TaskGroup, "create_task", counted)
    for _ in range(3):
        assert list(book.known(texts)) == texts
        assert len(await book.score_all([*texts, *texts])) == 5
    assert shelf.read == texts
    assert tasks == []
    await book.score_all([*texts, "new {}", "new {}"])
    assert len(tasks) == 1


async def test_however_many_restarts_there_are_few_templates_have_a_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those of the first restarts: they can ask on while the others wait, and memory stays what it is."""
    monkeypatch.setattr(scorebook, "MOST_AT_ONCE", 10)
    go, full = asyncio.Event(), asyncio.Event()
    asked: list[str] = []

    class Slow:
        """Scores when it is let."""

        async def score(self, template: str) -> Verdict:
            """Scores all alike."""
            asked.append(template)
            if len(asked) == 10:
                full.set()
            await go.wait()
            return Score(train=0.5)

    book = Scorebook(Shelf(), Slow())
    restarts = [
        asyncio.create_task(book.score_all([f"a {restart} {number} {{}}" for number in range(4)]))
        for restart in range(50)
    ]
    await full.wait()
    assert len(asyncio.all_tasks()) == 1 + 50 + 10
    restarts[1].cancel()
    restarts[2].cancel()
    go.set()
    done = await asyncio.gather(*restarts, return_exceptions=True)
    assert [len(verdicts) for verdicts in done if isinstance(verdicts, dict)] == [4] * 48
    restart_of = [int(template.split()[1]) for template in asked]
    assert restart_of == sorted(restart_of)


async def test_a_restart_whose_scores_are_known_lets_others_have_their_turn() -> None:
    """Else a resumed run would go through a whole restart, or all of them, in one turn of the loop."""
    book = Scorebook(shelf := Shelf(), Scripted(shelf))
    await book.score_all(["a {}"])
    turns: list[str] = []
    asyncio.get_running_loop().call_soon(turns.append, "another's")
    await book.score_all(["a {}"])
    assert turns == ["another's"]


async def test_spellings_are_scored_apart() -> None:
    """Which spelling came first must not decide what another one scores."""
    shelf = Shelf()
    book = Scorebook(shelf, Scripted(shelf))
    first, second = (await book.score_all(["a {}", "a {}."])).values()
    assert first != second


async def test_a_scorer_that_fails_ends_the_run_and_nothing_is_kept() -> None:
    """A broken evaluator must not poison the templates that it was asked for."""
    shelf = Shelf()
    with pytest.RaisesGroup(pytest.RaisesExc(EvaluationFailedError, match="device lost")):
        await Scorebook(shelf, Scripted(shelf)).score_all(["broken {}"])
    assert not shelf.kept


async def test_restarts_that_score_one_template_at_once_get_the_same() -> None:
    """A black box that never says the same twice is asked once, whoever asks and whoever leaves first."""

    class Restless:
        """Never says the same twice."""

        asked = 0

        async def score(self, template: str) -> Verdict:
            """Scores by how often it was asked."""
            self.asked += 1
            score = Score(train=self.asked / 100)
            await asyncio.sleep(0)
            return score

    scorer = Restless()
    book = Scorebook(Shelf(), scorer)
    leaver, *others = [asyncio.create_task(book.score_all(["a {}"])) for _ in range(4)]
    await asyncio.sleep(0)
    leaver.cancel()
    verdicts = await asyncio.gather(*others)
    assert verdicts[0] == verdicts[1] == verdicts[2] == await book.score_all(["a {}"])
    assert scorer.asked == 2


PLAIN = "a photo of a {}"


def config(run_dir: Path, **more: Any) -> SearchConfig:
    """A small search without an LLM."""
    settings = {
        "data": "fake", "method": "random", "restarts": 2, "conversations": 1, "rounds": 3, "initial": 6,
    }  # fmt: skip
    return SearchConfig(**settings, run_dir=run_dir, **more)


def test_plain_is_reported_first_and_ranked_nowhere(tmp_path: Path) -> None:
    """With the score that the result has for it; it is no initial template and counts as none."""
    feedback: list[Event] = []
    evaluator = FakeEvaluator()
    result = run_virtual(search(config(tmp_path / "r"), custom_scorer=evaluator, on_event=feedback.append))
    (plain,) = [event for event in feedback if isinstance(event, DefaultTemplateScored)]
    assert feedback.index(plain) < min(
        feedback.index(event) for event in feedback if isinstance(event, StartingTemplatesDrawn)
    )
    known = result.baselines["default template"]
    assert (plain.template, plain.train, plain.val) == (PLAIN, known.train, known.val)
    assert evaluator.batches[0] == (PLAIN,)
    assert PLAIN not in {row.template for row in result.leaderboard}
    assert result.evaluated == len(result.leaderboard)


def test_a_session_that_goes_on_looks_it_up(tmp_path: Path) -> None:
    """It is reported again and scored once."""
    run_virtual(search(config(tmp_path / "r"), custom_scorer=FakeEvaluator()))
    again, feedback = FakeEvaluator(), list[Event]()
    run_virtual(
        resume(tmp_path / "r", custom_scorer=again, changes={"restarts": 3}, on_event=feedback.append)
    )
    assert [event.template for event in feedback if isinstance(event, DefaultTemplateScored)] == [PLAIN]
    assert again.batches
    assert PLAIN not in {template for batch in again.batches for template in batch}


def test_a_default_template_that_cannot_be_read_is_no_obstacle(tmp_path: Path) -> None:
    """No event says that it was scored, and the search goes on."""
    feedback: list[Event] = []
    evaluator = FakeEvaluator(max_words=4)
    run_virtual(search(config(tmp_path / "r"), custom_scorer=evaluator, on_event=feedback.append))
    assert not [event for event in feedback if isinstance(event, DefaultTemplateScored)]
