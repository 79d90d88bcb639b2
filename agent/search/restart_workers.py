"""Run all restarts, several at a time, and then the search for class names, to what ends them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from ...evaluator.batching import ScoringQueue
from ...evaluator.errors import PromptclimbError
from ...evaluator.scoring import NamePredictor, Score
from ...evaluator.threads import in_thread
from ..errors import (
    BudgetSpentError,
    ChatError,
    EndpointError,
    GaveUpError,
    InterruptedRunError,
    KeyRejectedError,
    ModelNotFoundError,
    RestartCancelledError,
    asking_errors_as_causes,
)
from ..events.types import BatchScored, SearchStopped
from ..methods.memory import Entry
from ..position import NAMES
from ..stop import Stop
from .choice import entry_of, ranking
from .event_loop import FairScheduler
from .evidence import pooled
from .journal import EmptyAnswers, Journal, NamesRecord, RestartRecord, SearchOutcome
from .name_search import FirstLook, NameSearch
from .opening import ALL_RESTARTS_DONE, RunSession
from .racing import racer_of
from .restart import Restart
from .scorebook import Scorebook

CANCELLED = 0
"""The signal number of an interruption by the surrounding program."""
N = TypeVar("N", bound=NameSearch)


async def run_restarts(session: RunSession) -> SearchOutcome:
    """Run all restarts, and the search for class names, to their ends or to what ends them early."""
    emit = session.request.emit

    def batch_scored(templates: int, seconds: float, waiting: int) -> None:
        emit(BatchScored(templates=templates, seconds=round(seconds, 3), waiting=waiting))

    async with ScoringQueue(session.evaluator, on_batch=batch_scored) as queue:
        records, names, stopped = await _WholeSearch(session, queue).run()
    if stopped is None:
        await session.store.put_value(ALL_RESTARTS_DONE, session.config.all_rounds)
    else:
        emit(stopped)
    spent = session.budget.spent
    return SearchOutcome(
        records=records,
        names=names,
        stopped=stopped,
        budget=session.budget.left(),
        asked_llm=session.config.needs_llm and spent.calls + spent.failed_calls > 0,
    )


class _WholeSearch:
    """One after the other: the default template, the LLM's first look, all restarts, and class names."""

    def __init__(self, session: RunSession, queue: ScoringQueue) -> None:
        self._session, self._config = session, session.config
        self._info = session.evaluator.info
        self._scheduler = FairScheduler()
        self._scorebook = Scorebook(
            session.store, queue, scrub=session.all_secrets.scrub, scheduler=self._scheduler
        )
        self._empty_answers = EmptyAnswers(
            has_answers=session.store.has_answers, noun=session.config.kind.words.noun
        )

    async def run(self) -> tuple[Sequence[RestartRecord], NamesRecord | None, SearchStopped | None]:
        """Return what all restarts did, and the search for class names, and what stopped them."""
        config = self._config
        default = await self._score_default()
        look, ended = await self._look()
        journals = [
            self._journal(RestartRecord(number))
            for number in (() if config.unchecked else range(1, config.restarts + 1))
        ]
        workers = Workers(
            self._restarts(journals), self._scheduler, stop=self._session.request.stop, ended=ended
        )
        stopped = await workers.run(config.concurrency) if workers.records else None
        if stopped is not None and not any(record.scored for record in workers.records):
            # Of a search that ends before, the default template is the result.
            first = workers.records[0]
            first.scored += [entry_of(text, score, config, first.number) for text, score in default.items()]
        names: NamesRecord | None = None
        if config.kind.renames_classes and (stopped is None or look is not None):
            whole = await self._ranked(workers.records)
            if stopped is None:
                search = self._search_for_names(NameSearch, [entry.scored_as for entry in whole])
                names = search.record
                journals.append(search.journal)
                stopped = await self._work_on(search).run(1)
            if stopped is not None and look is not None:
                names = self._names_so_far(names, look, whole)
        if all(journal.record.done for journal in journals):
            for journal in journals:
                await journal.keep_refused()
        return workers.records, names, stopped

    async def _score_default(self) -> Mapping[str, Score]:
        if self._config.unchecked:
            return {}
        with self._session.request.stop.watching():
            return await self._scorebook.score_default(self._info, self._session.request.emit)

    async def _look(self) -> tuple[FirstLook | None, Sequence[BudgetSpentError | GaveUpError]]:
        """Ask the LLM first what the classes are, where each score costs requests.

        Returns:
            What it found, None if it was not asked, and what ended it early.
        """
        config = self._config
        if (
            self._session.llm is None
            or not config.kind.renames_classes
            or not self._info.paid
            or config.unchecked
        ):
            return None, ()
        look = self._search_for_names(FirstLook, ())
        looking = self._work_on(look)
        await looking.run(1)
        return look, looking.ended

    def _restarts(self, journals: Sequence[Journal]) -> Iterator[Restart]:
        session = self._session
        racer = racer_of(self._config, session.evaluator, session.store, scrub=session.all_secrets.scrub)
        for journal in journals:
            yield Restart(
                journal,
                pool=session.pool,
                info=self._info,
                scorebook=self._scorebook,
                racer=racer,
                check=session.check,
            )

    async def _ranked(self, records: Sequence[RestartRecord]) -> list[Entry]:
        """Return the templates that were scored on all images, best first."""
        scored = [entry for record in records for entry in record.scored]
        sizes, objective, seed = self._info.sizes, self._config.objective, self._config.seed
        order = await in_thread(lambda: ranking(scored, sizes=sizes, objective=objective, seed=seed))
        return [entry for entry in order if entry.score.whole]

    def _names_so_far(
        self, names: NamesRecord | None, look: FirstLook, whole: Sequence[Entry]
    ) -> NamesRecord | None:
        """Return the names of a search that was stopped: those of the first look, if no others are in use."""
        if names is not None and names.named_template is not None:
            return names
        if look.share > (pooled(whole[0].score, self._info.sizes) if whole else 0.0):
            return look.record
        if names is None:
            look.record.named_template = None
            return look.record
        return names

    def _search_for_names(self, kind: type[N], templates: Sequence[str]) -> N:
        assert isinstance(self._session.evaluator, NamePredictor), "checked when it was opened"
        return kind(
            record := NamesRecord(NAMES),
            self._journal(record),
            templates=templates,
            evaluator=self._session.evaluator,
            info=self._info,
            check=self._session.check,
        )

    def _work_on(self, search: NameSearch) -> Workers:
        return Workers([search], self._scheduler, stop=self._session.request.stop)

    def _journal(self, record: RestartRecord) -> Journal:
        session = self._session
        return Journal(
            record,
            config=self._config,
            store=session.store,
            asker=session.llm,
            stop=session.request.stop,
            empty_answers=self._empty_answers,
            scheduler=self._scheduler,
            emit=session.request.emit,
        )


class Workers:
    """Work on restarts, several at a time; a worker never fails, it asks the stop to end the others.

    After a limit, restarts already begun continue until they reach it too. An error or a signal ends the
    others without losing what is paid for. Only the record of an ended restart is kept.

    Attributes:
        ended: The limits and outages that ended restarts, or something before.
    """

    def __init__(
        self,
        restarts: Iterable[Restart | NameSearch],
        scheduler: FairScheduler,
        *,
        stop: Stop,
        ended: Iterable[BudgetSpentError | GaveUpError] = (),
    ) -> None:
        self._waiting = deque(restarts)
        self.records = tuple(restart.record for restart in self._waiting)
        self._scheduler = scheduler
        self._stop = stop
        self.ended = list(ended)

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
                self._stop.request(InterruptedRunError(CANCELLED))
                await asyncio.wait(tasks)
                raise
        if self._stop.cause is not None:
            raise self._with_remedy(self._stop.cause)
        # An unfinished search must not pass for a finished one: its test split would be opened.
        if not self.ended and not all(record.done for record in self.records):
            raise RestartCancelledError()
        if self.ended:
            return stop_event(*self.ended)
        # An outage at the very end does not finish the search: a resume asks for the last rounds again.
        records = [record for record in self.records if record.unanswered]
        if not records:
            return None
        rounds = sum(record.unanswered for record in records)
        last = "the last round" if rounds == 1 else f"the last {rounds:,} rounds"
        return SearchStopped(reason=f"no answer in {last} ({records[-1].last_skip}); resume asks again")

    async def _work(self) -> None:
        while self._waiting:
            restart = self._waiting.popleft()
            try:
                with self._stop.watching():
                    await self._scheduler.turn()
                    if self.ended and not restart.begun:
                        continue
                    with asking_errors_as_causes():
                        await restart.run()
            except (BudgetSpentError, GaveUpError) as limit:
                # Restarts of an earlier session are still replayed: answers on disk cost nothing, and without
                # them the result would be poorer than the earlier one.
                self.ended.append(limit)
            except InterruptedRunError:
                return
            except asyncio.CancelledError:
                # Not from the stop or the caller: those arrive as an interruption.
                self._stop.request(RestartCancelledError())
                return
            except Exception as error:  # noqa: BLE001 - handed on by the stop, once the others are safe
                self._stop.request(main_error(error))
                return

    def _with_remedy(self, cause: Exception) -> Exception:
        """Return the cause; an EndpointError with the remedy if an endpoint refused before any answer."""
        answered = any(record.answers or record.unusable for record in self.records)
        if not isinstance(cause, ChatError) or answered:
            return cause
        remedy = ""
        if isinstance(cause, KeyRejectedError):
            remedy = "; check the key in OPENAI_API_KEY"
        elif isinstance(cause, ModelNotFoundError):
            remedy = (
                "; check the model's name in `llm`, and `base_url`: is the address right? "
                "It usually ends in /v1"
            )
        error = EndpointError(f"{cause}{remedy}")
        error.__cause__ = cause
        return error


def stop_event(first: BudgetSpentError | GaveUpError, *more: BudgetSpentError | GaveUpError) -> SearchStopped:
    """Return what stopped a search: the first reason, and every limit that was reached."""
    if isinstance(first, GaveUpError):
        return SearchStopped(reason=first.message)
    limits = [
        name for error in (first, *more) if isinstance(error, BudgetSpentError) for name in error.limits
    ]
    return SearchStopped(reason=first.message, limits=tuple(dict.fromkeys(limits)))


def main_error(error: BaseException) -> Exception:
    """Return the main error of a group, ours before foreign ones; a lone error is itself."""
    main = error
    if isinstance(error, BaseExceptionGroup):
        main = error.subgroup(PromptclimbError) or error
    while isinstance(main, BaseExceptionGroup):
        main = main.exceptions[0]
    return main if isinstance(main, Exception) else RuntimeError(repr(main))
