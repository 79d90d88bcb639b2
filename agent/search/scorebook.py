"""The access of all restarts to the scorer: scores are on disk before they are used, and read from there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias
from weakref import WeakValueDictionary

from ...evaluator.batching import ScoringQueue
from ...evaluator.errors import CrashingTemplateError, ScoringEndedError, ScoringFailedError
from ...evaluator.scoring import BASELINE_DEFAULT, EvaluatorInfo, Rejection, Score, Verdict
from ..errors import BudgetSpentError, EvaluationFailedError, GaveUpError, asking_errors_as_causes
from ..events.types import DefaultTemplateScored, Listener
from ..store.run import Store
from .event_loop import FairScheduler

AT_ONCE = 64
"""Maximum new templates of one restart in the queue: enough for full batches."""
MOST_AT_ONCE = 1024
"""Maximum templates of all restarts in the queue, each with a task; restarts wait in line to add to them."""
AskingEnd: TypeAlias = BudgetSpentError | GaveUpError
"""Why a scorer behind an API is asked for no more."""
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
        scorer: ScoringQueue,
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

    def known(self, templates: Iterable[str]) -> dict[str, Verdict]:
        """Return the verdicts that are on disk, cached: restarts find the same templates all the time."""
        verdicts: dict[str, Verdict] = {}
        for template in templates:
            if (verdict := self._read.get(template)) is None:
                if (verdict := self._store.score(template)) is None:
                    continue
                self._read[template] = verdict
            verdicts[template] = verdict
        return verdicts

    async def score_all(self, templates: Sequence[str]) -> dict[str, Verdict]:
        """Score several templates; those that are new are requested together, so that they share batches.

        Raises:
            BudgetSpentError: A scorer behind an API has reached a limit; those that could be scored are.
            GaveUpError: Likewise, it has not answered for too long.
        """
        verdicts = self.known(templates)
        new = [template for template in dict.fromkeys(templates) if template not in verdicts]
        for start in range(0, len(new), AT_ONCE):
            tasks: dict[str, asyncio.Task[Verdict | AskingEnd]] = {}
            # One restart after the other, so that the first can continue while the others' templates wait.
            async with asyncio.TaskGroup() as group, self._adding:
                for template in new[start : start + AT_ONCE]:
                    await self._room.acquire()
                    tasks[template] = group.create_task(self._score(template))
                    tasks[template].add_done_callback(lambda _done: self._room.release())
            for template, task in tasks.items():
                if isinstance(result := task.result(), AskingEnd):
                    raise result
                verdicts[template] = result
        await self._scheduler.turn()
        return verdicts

    async def score_default(self, info: EvaluatorInfo, emit: Listener) -> Mapping[str, Score]:
        """Score the default template, if any, to show gains during the run; no ranking or request has it."""
        templates = info.baselines.get(BASELINE_DEFAULT, ())
        if len(templates) != 1:
            return {}  # several together are measured at the end
        try:
            verdict = await self._score(templates[0])
        except EvaluationFailedError:
            return {}  # what is broken fails on the starting templates too, and there it ends the search
        if not isinstance(verdict, Score):
            return {}
        emit(DefaultTemplateScored(template=templates[0], train=verdict.train, val=verdict.val))
        return {templates[0]: verdict}

    async def _score(self, template: str) -> Verdict | AskingEnd:
        """Return a verdict, on disk before it is used; or why the scorer is asked for no more."""
        # One at a time: a custom scorer may vary between calls, but two restarts must get the same score.
        async with self._lock_by_template.setdefault(template, asyncio.Lock()):
            if known := self.known([template]):
                return known[template]
            try:
                with asking_errors_as_causes():
                    verdict = await self._scorer.score(template)
            except CrashingTemplateError as error:
                # Kept as a rejection of this run only: it must not end the run, nor change what the LLM was
                # shown when the run is resumed.
                verdict = Rejection(SCORER_FAILED, error.explanation)
            except (BudgetSpentError, GaveUpError) as limit:
                return limit
            except (ScoringFailedError, ScoringEndedError) as error:
                raise EvaluationFailedError(self._scrub(f"scoring failed: {error}")) from error
            if isinstance(verdict, Rejection):
                verdict = Rejection(verdict.reason, self._scrub(verdict.message))
            await self._store.put_score(template, verdict)
            self._read[template] = verdict
            return verdict
