"""Scores on the way from the evaluator to the restarts: looked up first, on disk before anybody sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol
from weakref import WeakValueDictionary

from ...evaluator.errors import ConsumerError, CrashingTemplateError, ScoringFailedError
from ...evaluator.scoring import Rejection, TemplateScorer, Verdict
from ..errors import EvaluationFailedError
from ..store import StoredScore
from .turns import Turns

AT_ONCE = 64
"""New templates of one restart in the queue together: enough for full batches, and not a task for each of a "
"large pool."""
MOST_AT_ONCE = 1024
"""Templates of all restarts in the queue together, each with a task; restarts wait in line to add to them."""
SCORER_FAILED = "scorer_failed"
"""Reason of a rejection: the scorer fails on this template again and again, and on no other."""


class ScoreStore(Protocol):
    """Where scores are kept, by exact text: two spellings of a template may score differently."""

    def score(self, key: str) -> StoredScore | None:
        """Return what is known of a template."""
        ...

    async def put_score(self, key: str, template: str, verdict: Verdict) -> None:
        """Keep what the evaluator said; on disk when this returns."""
        ...


class Scorebook:
    """Scores templates once for a whole run, resumes included.

    Args:
        store: What keeps the scores.
        scorer: What computes them.
        scrub: Takes secrets out of what the scorer says.
        turns: Keeps restarts that have their scores from going on all at once.
    """

    def __init__(
        self,
        store: ScoreStore,
        scorer: TemplateScorer,
        *,
        scrub: Callable[[str], str] = str,
        turns: Turns | None = None,
    ) -> None:
        self._store = store
        self._scorer = scorer
        self._scrub = scrub
        self._turns = turns or Turns()
        self._door = asyncio.Lock()
        self._room = asyncio.Semaphore(MOST_AT_ONCE)
        self._read: dict[str, Verdict] = {}
        self._asking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def has(self, template: str) -> bool:
        """Return whether the score of a template is on disk."""
        return self._known(template) is not None

    async def score(self, template: str) -> Verdict:
        """Return the score of one template, from disk or from the evaluator.

        Raises:
            EvaluationFailedError: The evaluator is broken; nothing wrong is kept.
        """
        if (known := self._known(template)) is not None:
            return known
        # One at a time: a black box need not say the same twice, and two restarts must hear the same.
        asking = self._asking.setdefault(template, asyncio.Lock())
        async with asking:
            if (known := self._known(template)) is not None:
                return known
            verdict = await self._ask(template)
            await self._store.put_score(template, template, verdict)
            self._read[template] = verdict
            return verdict

    async def score_all(self, templates: Sequence[str]) -> list[Verdict]:
        """Scores of several templates, in their order; asked for together, so that they share batches.

        Raises:
            EvaluationFailedError: See ``score``.
        """
        found = {text: known for text in templates if (known := self._known(text)) is not None}
        new = [text for text in dict.fromkeys(templates) if text not in found]
        for start in range(0, len(new), AT_ONCE):
            found |= await self._score_together(new[start : start + AT_ONCE])
        await self._turns.mine()
        return [found[text] for text in templates]

    async def _score_together(self, texts: Sequence[str]) -> dict[str, Verdict]:
        tasks: dict[str, asyncio.Task[Verdict]] = {}
        # One restart after the other, so that the first can go on while the others' templates wait.
        async with asyncio.TaskGroup() as group, self._door:
            for text in texts:
                await self._room.acquire()
                tasks[text] = group.create_task(self.score(text))
                tasks[text].add_done_callback(lambda _done: self._room.release())
        return {text: task.result() for text, task in tasks.items()}

    def _known(self, template: str) -> Verdict | None:
        """Return what is on disk; it is read once, as restarts come upon the same templates all the time."""
        if (verdict := self._read.get(template)) is not None:
            return verdict
        if (stored := self._store.score(template)) is None:
            return None
        return self._read.setdefault(template, stored.verdict)

    async def _ask(self, template: str) -> Verdict:
        try:
            verdict = await self._scorer.score(template)
        except CrashingTemplateError as error:
            # Written down as a rejection of this run, so that it neither ends the run nor, when the run is
            # resumed, changes what the LLM was told; other runs do not hear of it.
            return Rejection(SCORER_FAILED, self._scrub(error.message))
        except (ScoringFailedError, ConsumerError) as error:
            raise EvaluationFailedError(self._scrub(f"the evaluator failed: {error}")) from error
        if isinstance(verdict, Rejection):
            return Rejection(verdict.reason, self._scrub(verdict.message))
        return verdict
