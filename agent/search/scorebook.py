"""The access of all restarts to the scorer: scores are on disk before they are used, and read from there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from weakref import WeakValueDictionary

from ...evaluator.errors import AskingEndedError, CrashingTemplateError, ScoringEndedError, ScoringFailedError
from ...evaluator.scoring import BASELINE_DEFAULT, EvaluatorInfo, Rejection, Score, TemplateScorer, Verdict
from ..errors import BudgetSpentError, EvaluationFailedError, GaveUpError, why_ended
from ..events.types import DefaultTemplateScored, Listener
from ..store.run import Store
from .event_loop import FairScheduler

AT_ONCE = 64
"""Maximum new templates of one restart in the queue: enough for full batches."""
MOST_AT_ONCE = 1024
"""Maximum templates of all restarts in the queue, each with a task; restarts wait in line to add to them."""
SCORER_FAILED = "scorer_failed"
"""Reason of a rejection: the scorer fails repeatedly on this template, and on no other."""


class Scorebook:
    """The access of all restarts to the scorer: each template is scored once for a run, resumes included.

    Scores are kept by exact text: two spellings of a template may score differently. ``scrub`` takes secrets
    out of what the scorer says.
    """

    def __init__(
        self,
        store: Store,
        scorer: TemplateScorer,
        *,
        scrub: Callable[[str], str] = str,
        scheduler: FairScheduler | None = None,
    ) -> None:
        self._store = store
        self._scorer = scorer
        self._scrub = scrub
        self._scheduler = scheduler or FairScheduler()
        self._adding = asyncio.Lock()
        self._room = asyncio.Semaphore(MOST_AT_ONCE)
        self._read: dict[str, Verdict] = {}
        self._lock_by_template: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def has(self, template: str) -> bool:
        """Return whether the score of a template is on disk."""
        return self._known(template) is not None

    async def score(self, template: str) -> Verdict:
        """Return the score of one template, from disk or from the evaluator."""
        if (known := self._known(template)) is not None:
            return known
        # One at a time: a custom scorer may vary between calls, but two restarts must get the same score.
        async with self._lock_by_template.setdefault(template, asyncio.Lock()):
            if (known := self._known(template)) is not None:
                return known
            verdict = await self._ask(template)
            await self._store.put_score(template, template, verdict)
            self._read[template] = verdict
            return verdict

    def known(self, templates: Sequence[str]) -> dict[str, Verdict]:
        """Return the verdicts that are on disk."""
        verdicts = {template: self._known(template) for template in templates}
        return {template: verdict for template, verdict in verdicts.items() if verdict is not None}

    async def score_all(self, templates: Sequence[str]) -> list[Verdict]:
        """Score several templates, in their order; requested together, so that they share batches.

        Raises:
            BudgetSpentError: A scorer behind an API has reached a limit; those that could be scored are.
            GaveUpError: Likewise, it has not answered for too long.
        """
        verdicts = self.known(templates)
        new = [template for template in dict.fromkeys(templates) if template not in verdicts]
        for start in range(0, len(new), AT_ONCE):
            verdicts |= await self._score_together(new[start : start + AT_ONCE])
        await self._scheduler.turn()
        return [verdicts[template] for template in templates]

    async def score_default(self, info: EvaluatorInfo, emit: Listener) -> None:
        """Score the default template, if any, to show gains during the run; no ranking or request has it."""
        templates = info.baselines.get(BASELINE_DEFAULT, ())
        if len(templates) != 1:
            return  # several together are measured at the end
        try:
            verdict = await self.score(templates[0])
        except (EvaluationFailedError, BudgetSpentError, GaveUpError):
            return  # what is broken fails on the starting templates too, and there it ends the search
        if isinstance(verdict, Score):
            emit(DefaultTemplateScored(template=templates[0], train=verdict.train, val=verdict.val))

    async def _score_together(self, templates: Sequence[str]) -> dict[str, Verdict]:
        tasks: dict[str, asyncio.Task[Verdict | BudgetSpentError | GaveUpError]] = {}

        async def verdict_or_limit(template: str) -> Verdict | BudgetSpentError | GaveUpError:
            try:
                return await self.score(template)
            except (BudgetSpentError, GaveUpError) as error:
                return error  # raised once the others are scored

        # One restart after the other, so that the first can continue while the others' templates wait.
        async with asyncio.TaskGroup() as group, self._adding:
            for template in templates:
                await self._room.acquire()
                tasks[template] = group.create_task(verdict_or_limit(template))
                tasks[template].add_done_callback(lambda _done: self._room.release())
        verdicts: dict[str, Verdict] = {}
        for template, task in tasks.items():
            if isinstance(result := task.result(), BudgetSpentError | GaveUpError):
                raise result
            verdicts[template] = result
        return verdicts

    def _known(self, template: str) -> Verdict | None:
        """Return what is on disk, cached: restarts find the same templates all the time."""
        if (verdict := self._read.get(template)) is not None:
            return verdict
        if (stored := self._store.score(template)) is None:
            return None
        return self._read.setdefault(template, stored.verdict)

    async def _ask(self, template: str) -> Verdict:
        try:
            verdict = await self._scorer.score(template)
        except CrashingTemplateError as error:
            # Kept as a rejection of this run only: it must not end the run, nor change what the LLM was
            # shown when the run is resumed.
            return Rejection(SCORER_FAILED, self._scrub(error.explanation))
        except AskingEndedError as error:
            raise why_ended(error) from error
        except (ScoringFailedError, ScoringEndedError) as error:
            raise EvaluationFailedError(self._scrub(f"scoring failed: {error}")) from error
        if isinstance(verdict, Rejection):
            return Rejection(verdict.reason, self._scrub(verdict.message))
        return verdict
