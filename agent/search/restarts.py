"""Run all restarts of a session with their shared scorer, LLM, budget and stop."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from ...evaluator.batching import Batch, Consumer
from ...evaluator.errors import PromptclimbError
from ...evaluator.scoring import Evaluator, EvaluatorInfo, NamePredictor, TemplateScorer
from ...evaluator.threads import in_thread
from ...prompts.kinds import Candidate, kind_named
from ...prompts.wording import Wordings
from ..config.schema import SearchConfig
from ..errors import (
    AskingEndedError,
    BudgetSpentError,
    EndpointError,
    FatalChatError,
    GaveUpError,
    InterruptedRunError,
    KeyRejectedError,
    ModelNotFoundError,
    RestartCancelledError,
    why_ended,
)
from ..events.types import BatchScored, Listener, SearchStopped
from ..llm.ask import LLMAsker
from ..llm.budget import Budget, Limits, Purse
from ..llm.chat import Asker, BilledAnswer, ChatAnswer, ChatRequest
from ..llm.pool import Endpoint
from ..llm.retry import RetryPolicy
from ..llm.scorer_calls import ScorerCalls
from ..position import rng_for
from ..stop import Stop
from ..store.run import Store
from ..store.shared import SharedAsker, SharedCache, SharedScorer
from .choice import select
from .event_loop import FairScheduler
from .journal import EmptyAnswers, Journal
from .names import NameSearch
from .racer import racer_of
from .restart import Restart, RestartRecord, Searched
from .scorebook import Scorebook

ALL_RESTARTS_DONE = "all_restarts_done"
"""The note that all rounds are done, and how many there were: what is left needs no LLM."""
NOTHING_MORE = "the search is being concluded"
CANCELLED = 0
"""The signal number of an interruption by the surrounding program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRun:
    """Everything that the restarts of a run work with.

    Attributes:
        endpoints: Empty if every answer is on disk.
        user_objects: Names of the objects that the caller handed in.
        scrub: Takes secrets out of what those objects say.
        scorer: Asks a scorer behind an API; None for any other scorer.
        purse: The money that LLM and scorer share; None without a limit.
        concludes: Whether nothing is asked or drawn any more; candidates in answers on disk are still scored.
    """

    config: SearchConfig
    store: Store
    evaluator: Evaluator
    endpoints: Sequence[Endpoint]
    pool: Sequence[Candidate]
    wordings: Wordings
    user_objects: Mapping[str, str]
    scrub: Callable[[str], str]
    stop: Stop
    emit: Listener
    scorer: ScorerCalls | None = None
    purse: Purse | None = None
    concludes: bool = False

    async def restart_all(self) -> Searched:
        """Run all restarts to their ends, or to what ends them early."""
        config, store, info = self.config, self.store, self.evaluator.info
        budget = Budget(Limits.of(config), spent=store.usage, purse=self.purse)
        begun = next(store.answers(), None) is not None
        proposer: LLMAsker[ChatRequest, ChatAnswer] = LLMAsker(
            self.endpoints,
            budget=budget,
            retry=RetryPolicy.of(config),
            give_up_after_s=60 * config.give_up_after,
            has_answers=begun,
            ledger=store.put_usage,
            emit=self.emit,
            rng=rng_for(config.seed, "jitter"),
        )
        self.emit(budget.usage_changed())

        def check() -> None:
            self.stop.check()
            if self.concludes:
                raise GaveUpError(NOTHING_MORE)
            budget.check_time()

        async with Consumer(self.evaluator, on_batch=self._batch_scored) as consumer:
            with shared_cache(config, info, consumer, proposer, self.user_objects, self.endpoints) as shared:
                scorer, asker = shared
                if self.concludes:
                    asker = NothingMore()
                    if self.scorer is not None:
                        self.scorer.hold(NOTHING_MORE)
                empty = EmptyAnswers(begun=begun, noun=kind_named(config.prompts).words.noun)
                scheduler = FairScheduler()
                scorebook = Scorebook(store, scorer, scrub=self.scrub, scheduler=scheduler)
                racer = racer_of(config, self.evaluator, store, scrub=self.scrub)
                journals = [
                    Journal(store, asker, self.stop, empty, scheduler) for _ in range(config.restarts)
                ]
                with self.stop.watching():
                    await scorebook.score_default(info, self.emit)
                restarts = (
                    Restart(
                        number,
                        config,
                        pool=self.pool,
                        info=info,
                        wordings=self.wordings,
                        answers=journal,
                        scores=scorebook,
                        racer=racer,
                        check=check,
                        emit=self.emit,
                    )
                    for number, journal in enumerate(journals, start=1)
                )
                workers = Workers(restarts, scheduler, stop=self.stop)
                stopped = await workers.run(config.concurrency)
                searched = Searched(records=workers.records, stopped=stopped)
                if stopped is None and config.searches_names:
                    journals.append(Journal(store, asker, self.stop, empty, scheduler))
                    search = await self._name_search(searched, journals[-1], check)
                    workers = Workers([search], scheduler, stop=self.stop)
                    searched = replace(searched, names=search.record, stopped=await workers.run(1))
                if all(record.done for record in searched.everything):
                    for journal in journals:
                        await journal.keep_refused()
        proposer.close()
        if (stopped := searched.stopped) is None:
            await store.put_note(ALL_RESTARTS_DONE, config.all_rounds)
        elif self.concludes:
            searched = replace(searched, stopped=None, concluded=True)
        else:
            self.emit(stopped)
        asked = budget.spent.calls + budget.spent.failed_calls > 0
        return replace(searched, budget=budget.usage_changed().left, asked=asked)

    async def _name_search(
        self, searched: Searched, answers: Journal, check: Callable[[], None]
    ) -> NameSearch:
        """Return the search for class names in the best template."""
        config, info, evaluator = self.config, self.evaluator.info, self.evaluator
        assert isinstance(evaluator, NamePredictor), "checked when it was opened"
        order = await in_thread(
            lambda: select(searched.scored, sizes=info.sizes, objective=config.objective, seed=config.seed)
        )
        return NameSearch(
            order[0].scored_as,
            config,
            evaluator=evaluator,
            info=info,
            store=self.store,
            answers=answers,
            check=check,
            emit=self.emit,
        )

    def _batch_scored(self, batch: Batch) -> None:
        seconds = round(batch.seconds, 3)
        self.emit(BatchScored(templates=batch.templates, seconds=seconds, waiting=batch.waiting))


class NothingMore:
    """An ``Asker`` that asks nothing: a search that is concluded ends where its answers on disk end."""

    async def ask(self, request: ChatRequest) -> BilledAnswer[ChatAnswer]:
        """Raise GaveUpError."""
        raise GaveUpError(NOTHING_MORE)


class Work(Protocol):
    """A restart, or the search for class names."""

    @property
    def record(self) -> RestartRecord:
        """What it has done so far."""
        ...

    @property
    def begun(self) -> bool:
        """Whether an earlier session has begun it."""
        ...

    async def run(self) -> None:
        """Do all of it."""
        ...


class Workers:
    """Work on restarts, several at a time; a worker never fails, it asks the stop to end the others.

    After a limit, restarts already begun continue until they reach it too. An error or a signal ends the
    others without losing what is paid for. Only the record of an ended restart is kept.
    """

    def __init__(self, restarts: Iterable[Work], scheduler: FairScheduler, *, stop: Stop) -> None:
        self._waiting = deque(restarts)
        self.records = tuple(restart.record for restart in self._waiting)
        self._scheduler = scheduler
        self._stop = stop
        self._limits: list[BudgetSpentError | GaveUpError] = []

    async def run(self, at_once: int) -> SearchStopped | None:
        """Run the restarts, ``at_once`` at a time; return what stopped the search, if anything.

        Raises:
            PromptclimbError: A signal, or an error of one restart.
            asyncio.CancelledError: The surrounding program cancelled it; what was paid for is on disk.
        """
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._work()) for _ in range(min(at_once, len(self._waiting)))]
            try:
                await asyncio.wait(tasks)
            except asyncio.CancelledError:
                self._stop.ask(InterruptedRunError(CANCELLED))
                await asyncio.wait(tasks)
                raise
        if self._stop.cause is not None:
            raise self._explained(self._stop.cause)
        # An unfinished search must not pass for a finished one: its test split would be opened.
        if not self._limits and not all(record.done for record in self.records):
            raise RestartCancelledError()
        return self._stopped()

    async def _work(self) -> None:
        while self._waiting:
            restart = self._waiting.popleft()
            try:
                with self._stop.watching():
                    await self._scheduler.turn()
                    if self._limits and not restart.begun:
                        continue
                    await _run(restart)
            except (BudgetSpentError, GaveUpError) as limit:
                # Restarts of an earlier session are still replayed: answers on disk cost nothing, and without
                # them the result would be poorer than the earlier one.
                self._limits.append(limit)
            except InterruptedRunError:
                return
            except asyncio.CancelledError:
                # Not from the stop or the caller: those arrive as an interruption.
                self._stop.ask(RestartCancelledError())
                return
            except Exception as error:  # noqa: BLE001 - handed on by the stop, once the others are safe
                self._stop.ask(single(error))
                return

    def _stopped(self) -> SearchStopped | None:
        """Return what stopped the search: the first restart's reason, and every limit that any reached."""
        if self._limits:
            return stopped_by(*self._limits)
        # An outage at the very end does not finish the search: a resume asks for the last rounds again.
        records = [record for record in self.records if record.unanswered]
        if not records:
            return None
        count = sum(record.unanswered for record in records)
        last = "the last round" if count == 1 else f"the last {count:,} rounds"
        return SearchStopped(reason=f"no answer in {last} ({records[-1].last_skip}); resume asks again")

    def _explained(self, cause: Exception) -> Exception:
        """Return the cause, as the user's to fix if an endpoint refused before any answer was paid for."""
        answered = any(record.answers or record.unusable for record in self.records)
        if not isinstance(cause, FatalChatError) or answered:
            return cause
        remedy = ""
        if isinstance(cause, KeyRejectedError):
            remedy = (
                "; check the key in OPENAI_API_KEY, or in the variable that `key_env` names "
                "in the --config file"
            )
        elif isinstance(cause, ModelNotFoundError):
            remedy = (
                "; check the model's name in --llm, and --base-url: is the address right? "
                "It usually ends in /v1"
            )
        error = EndpointError(f"{cause}{remedy}")
        error.__cause__ = cause
        return error


async def _run(restart: Work) -> None:
    try:
        await restart.run()
    except AskingEndedError as error:
        raise why_ended(error) from error


def stopped_by(first: BudgetSpentError | GaveUpError, *more: BudgetSpentError | GaveUpError) -> SearchStopped:
    """Return what stopped a search: the first reason, and every limit that was reached."""
    if isinstance(first, GaveUpError):
        return SearchStopped(reason=str(first))
    reached = [name for each in (first, *more) if isinstance(each, BudgetSpentError) for name in each.limits]
    return SearchStopped(reason=str(first), limit=first.limit, limits=tuple(dict.fromkeys(reached)))


def single(error: BaseException) -> Exception:
    """Return the main error of a group, ours before foreign ones; a lone error is itself."""
    found = error
    if isinstance(error, BaseExceptionGroup):
        found = error.subgroup(PromptclimbError) or error
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found if isinstance(found, Exception) else RuntimeError(repr(found))


@contextmanager
def shared_cache(
    config: SearchConfig,
    info: EvaluatorInfo,
    scorer: TemplateScorer,
    asker: Asker,
    user_objects: Mapping[str, str],
    endpoints: Sequence[Endpoint],
) -> Iterator[tuple[TemplateScorer, Asker]]:
    """Yield a scorer and an asker that look into the folder of ``--shared-cache`` first, if there is one.

    A run still writes all that it uses into its own store, so it can be resumed without the shared folder.
    Scores are shared by the evaluator's fingerprint, answers by who gives them: a custom chat, an address, or
    the content of a model's file.
    """
    if config.shared_cache is None:
        yield scorer, asker
        return
    with SharedCache(config.shared_cache) as cache:
        space = f"{info.fingerprint}:{info.precision}:{config.objective}"
        if config.cache_answers:
            asker = SharedAsker(cache, asker, user_objects.get("chat") or _answering(config, endpoints))
        yield SharedScorer(cache, scorer, space), asker


def _answering(config: SearchConfig, endpoints: Sequence[Endpoint]) -> str:
    """Return who answers: the address, or a model file's content hash; plus the overrides of its settings."""
    file = next((f"local:{one.content}" for one in endpoints if one.content), None)
    place = config.shown_url or file or str(config.llm)
    overrides = config.overrides if config.shown_url else []
    return f"{place} {json.dumps(overrides, sort_keys=True)}" if any(overrides) else place
