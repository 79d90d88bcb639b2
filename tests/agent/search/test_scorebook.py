"""The scorebook: each template is scored once for a whole run, and on disk before anybody sees it."""

from __future__ import annotations

import asyncio

import pytest

from promptclimb.agent.errors import EvaluationFailedError
from promptclimb.agent.search.scorebook import MAX_FAILURES, Scorebook
from promptclimb.agent.store import StoredScore, Verdict
from promptclimb.evaluator.errors import TemplateRejectedError
from promptclimb.evaluator.scoring import Rejection, Score


class Shelf:
    """A store of scores in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, StoredScore] = {}

    def score(self, key: str) -> StoredScore | None:
        """What is known."""
        return self.kept.get(key)

    async def put_score(self, key: str, template: str, verdict: Verdict) -> None:
        """Keeps it."""
        await asyncio.sleep(0)
        self.kept[key] = StoredScore(template, verdict)


class Scripted:
    """A scorer that fails on templates of one letter."""

    def __init__(self, shelf: Shelf) -> None:
        self.asked: list[str] = []
        self._shelf = shelf

    async def score(self, template: str) -> Score:
        """Scores by length."""
        self.asked.append(template)
        assert template not in self._shelf.kept
        if template.startswith("x"):
            raise TemplateRejectedError(template, "failed", "the scorer failed")
        if template.startswith("long"):
            raise TemplateRejectedError(template, "too_many_tokens", "99 tokens")
        return Score(train=len(template) / 100)


async def test_a_score_is_on_disk_before_anybody_has_it() -> None:
    """And it is asked for once, rejections too."""
    shelf = Shelf()
    scorer = Scripted(shelf)
    book = Scorebook(shelf, scorer)
    found = await book.score_all(["a {}", "long {}", "bb {}"])
    assert found == [Score(train=0.04), Rejection("too_many_tokens", "99 tokens"), Score(train=0.05)]
    assert [stored.verdict for stored in shelf.kept.values()] == found
    assert await book.score_all(["a {}", "long {}", "bb {}"]) == found
    assert len(scorer.asked) == 3


async def test_spellings_are_scored_apart() -> None:
    """Which spelling came first must not decide what another one scores."""
    shelf = Shelf()
    book = Scorebook(shelf, Scripted(shelf))
    one, other = await book.score_all(["a {}", "a {}."])
    assert one != other


async def test_one_failure_is_a_rejection_and_several_in_a_row_end_the_run() -> None:
    """A template may be at fault; three one after another are not."""
    shelf = Shelf()
    book = Scorebook(shelf, Scripted(shelf))
    for number in range(10):
        assert isinstance(await book.score(f"x{number} {{}}"), Rejection)
        assert isinstance(await book.score(f"a{number} {{}}"), Score)
    with pytest.raises(EvaluationFailedError, match="3 templates in a row"):
        await _one_by_one(book, [f"xx{number} {{}}" for number in range(MAX_FAILURES)])


async def _one_by_one(book: Scorebook, templates: list[str]) -> None:
    for template in templates:
        await book.score(template)
