"""One run of a search, new or resumed: settings -> open -> restarts -> choice -> test evaluation -> files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from ...evaluator.errors import AskingEndedError, ConfigError
from ...evaluator.open import check_openable
from ...evaluator.remote.asking import KeepsForTest
from ...evaluator.scoring import Evaluator, EvaluatorInfo
from ...evaluator.settings import as_argument, with_settings
from ...evaluator.threads import in_thread
from ...prompts.kinds import Candidate
from ...prompts.wording import Wordings
from ..config.schema import SearchConfig
from ..config.sources import absolute, to_toml
from ..errors import BudgetSpentError, GaveUpError, why_ended
from ..events.sinks import SINKS, Sink
from ..events.trackers.figures import Tracked, scored_before, trackers_of
from ..events.trackers.known import check_trackers
from ..events.types import Bus, EvaluationStarted, Noted, RunOpened, SearchFinished, SearchStarted
from ..llm.budget import Purse
from ..llm.cost import NOTHING
from ..llm.endpoints import check_endpoints, open_endpoints, price_notes
from ..llm.pool import Endpoint
from ..llm.scorer_calls import ScorerCalls
from ..llm.scorer_endpoint import open_scorer
from ..results.details import Details
from ..results.figures import left_of_both
from ..results.result import GENERAL_WORDS, SearchResult
from ..results.run_dir import (
    CONFIG,
    FILES,
    LABEL_FILES,
    LABELS,
    STORE,
    check_files,
    check_run_dir,
    complete_result,
    new_run_dir,
    put_away,
    write_atomically,
)
from ..secrets import Scrubber, secrets_named_in
from ..stop import Stop
from ..store.run import Store
from ..store.shared import check_cache
from ..store.trust import OF_EVALUATOR, OF_LLM
from .choice import candidates_at_most, choose
from .event_loop import entered, short_collections, to_the_end
from .inputs import (
    CONTENT,
    IMAGE_NAMES,
    LLM_CONTENT,
    check_content,
    check_places,
    growth,
    identity_of,
    known_identity,
    may_fall_back,
    pinned_evaluator,
    read_pool,
    read_wordings,
    ready_evaluator,
    with_fallback,
)
from .restart import Searched
from .restarts import ALL_RESTARTS_DONE, OpenRun, single, stopped_by
from .result_writer import build_result, details_of, reopen, write_files
from .scorer_needs import ScorerNeeds
from .test_evaluation import evaluate_choice
from .user_objects import UserChat, check_user_objects, name_of, names_of

PRICES = "prices"
"""The note of the prices that were paid, for a session that no longer needs an endpoint."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings and texts of a run, resolved before anything is opened; ``notes`` belong in its result."""

    config: SearchConfig
    notes: Mapping[str, Any]
    pool: list[Candidate]
    wordings: Wordings


@dataclass(frozen=True, kw_only=True)
class SearchRun:
    """A run as the caller asks for it; ``start`` begins it, ``resume`` continues it.

    Attributes:
        evaluator: None to open the one that the config names.
        chat: None to open the endpoints that the config names.
        environment: Where API keys are.
        notes: Facts to add to the result's notes.
        curve: Numbers of templates after which the choice at that point is evaluated on test too, in the same
            opening of the test split.
        concludes: Whether a resumed run asks for nothing more, and finishes with what is scored.
    """

    config: SearchConfig
    evaluator: object | None = None
    chat: object | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    emit: Bus = field(default_factory=Bus)
    stop: Stop = field(default_factory=Stop)
    notes: Mapping[str, Any] = field(default_factory=dict)
    curve: tuple[int, ...] = ()
    concludes: bool = False

    async def start(self) -> SearchResult:
        """Start a new run; on a UsageError nothing was paid and nothing is left behind."""
        config, notes = await self._resolve(None)
        resolved = await in_thread(lambda: _read(config, notes))
        check_cache(config.shared_cache)
        run_dir = new_run_dir(config)
        check_run_dir(run_dir)
        left = any((run_dir / name).exists() for name in LABEL_FILES)
        try:
            return await self._run(run_dir, resolved, None)
        finally:
            if not left and not (run_dir / STORE).exists():  # nothing was started
                for name in LABEL_FILES:
                    (run_dir / name).unlink(missing_ok=True)
            with suppress(OSError):
                run_dir.rmdir()  # a run's folder is not empty

    async def resume(self, run_dir: Path) -> SearchResult:
        """Continue a run; its config may change what does not decide the result, and ask for more."""
        async with entered(lambda: Store.open(run_dir)) as store:
            config, notes = await self._resolve(store.manifest.get("notes", {}))
            if config.needs_llm and store.unpaid:
                store.correct(config.placeless_llm)
            grown = growth(config, store.manifest["identity"])
            done = None if grown else complete_result(run_dir)
            if done is None:
                check_user_objects(run_dir, store.manifest.get("given", {}), self._user_objects)
            store.grow(grown)
            store.check_identity(known_identity(config, store.manifest["identity"]))
            if done is not None:
                self.emit(Noted(text=f"{run_dir} had finished; this is its result"))
                return done
            check_places(config, labels=self.evaluator is not None)
            check_files(run_dir)
            return await self._run(run_dir, await in_thread(lambda: _read(config, notes)), store)

    @cached_property
    def _private(self) -> Scrubber:
        """Scrubs every known secret from what the user's own objects say.

        Not for templates: from those only the keys in use are removed, since a short password would change
        them.
        """
        return Scrubber(secrets_named_in(self.environment))

    @property
    def _user_objects(self) -> dict[str, str]:
        return names_of(evaluator=self.evaluator, chat=self.chat)

    def _unused(self, config: SearchConfig) -> frozenset[str]:
        """Return the settings that name code or addresses which this session does not use."""
        of_llm = OF_LLM if self.chat is not None or not config.needs_llm else frozenset()
        return of_llm | (OF_EVALUATOR if self.evaluator is not None else frozenset())

    async def _resolve(self, earlier: Mapping[str, Any] | None) -> tuple[SearchConfig, Mapping[str, Any]]:
        """Return absolute settings, without a missing local LLM, and notes; resumed runs have ``earlier``."""
        config, notes = self.config, self.notes
        if self.chat is None and config.missing_llm is not None:
            raise ConfigError(with_settings(config.missing_llm, as_argument))
        if self.chat is not None and config.llm is None and (config.needs_llm or config.searches_names):
            config = config.model_copy(update={"llm": name_of(self.chat)})
        if self.chat is None:
            with self.stop.watching():
                if earlier is None and self.evaluator is None and may_fall_back(config):
                    await in_thread(lambda: check_openable([self.config]))  # loading on trial takes longer
                config, found = await with_fallback(config, self.emit, earlier)
                notes = {**notes, **found}
        if note := config.general_words:
            notes = {**notes, GENERAL_WORDS: note}
        return pinned_evaluator(absolute(config, labels=self.evaluator is not None)), notes

    async def _run(self, run_dir: Path, resolved: Resolved, earlier: Store | None) -> SearchResult:
        """Open everything, run the restarts, choose, evaluate on test, write the files."""
        check_trackers(resolved.config.track)
        used = Scrubber()
        try:
            async with AsyncExitStack() as stack:
                run = await self._open(stack, used, run_dir, resolved, earlier)
                stack.enter_context(short_collections())
                searched = await run.restart_all()
                manifest = run.store.manifest
                prices: Mapping[str, Any] = run.store.note(PRICES) or {}

                async def concluded(searched: Searched) -> tuple[SearchResult, Details]:
                    images = run.evaluator.info.sizes.get("test", 0)
                    if searched.stopped is None and images:
                        self.emit(EvaluationStarted(images=images))
                    with self.stop.watching():
                        return await conclude(
                            run.config,
                            run.evaluator,
                            run.store,
                            searched,
                            notes={**manifest.get("notes", {}), **resolved.notes, **prices},
                            user_objects={**manifest.get("given", {}), **self._user_objects},
                            curve=self.curve,
                            chosen=(lambda: None) if run.scorer is None else run.scorer.release,
                        )

                try:
                    found, details = await concluded(searched)
                except AskingEndedError as error:
                    found, details = await concluded(self._stopped(searched, error))
                if run.scorer is not None:
                    await run.scorer.close()
                    left = left_of_both(found.budget, run.scorer.budget.usage_changed().left)
                    found = replace(found, budget=left)
                # A stop comes too late from here on: the search has its result.
                result = await to_the_end(
                    lambda: write_files(run_dir, found, details, used=used, private=self._private)
                )
                best = result.best
                self.emit(
                    SearchFinished(
                        status=result.status,
                        best=best.template,
                        train=best.train,
                        test=best.test,
                        evaluated=result.evaluated,
                    )
                )
                return result
        except BaseExceptionGroup as several:
            raise single(several) from None

    def _stopped(self, searched: Searched, error: AskingEndedError) -> Searched:
        """Return a search as stopped, because its scorer cannot be asked for the rest of the evaluation."""
        why = why_ended(error)
        if not isinstance(why, BudgetSpentError | GaveUpError):
            raise why from error
        stopped = stopped_by(why)
        self.emit(stopped)
        return replace(searched, stopped=stopped)

    async def _open(
        self, stack: AsyncExitStack, used: Scrubber, run_dir: Path, resolved: Resolved, earlier: Store | None
    ) -> OpenRun:
        """Open sinks, endpoints, evaluator and store, and announce the run; all close with the stack."""
        sinks = await stack.enter_async_context(self._sinks(resolved.config, run_dir, used))
        purse = None if resolved.config.max_cost is None else Purse(resolved.config.max_cost)
        try:
            with self.stop.watching():
                scorer = await self._scorer(stack, used, resolved.config, earlier, purse)
                labels = self._labels(resolved.config, run_dir) if scorer else None
                endpoints, evaluator = await self._services(
                    stack, used, resolved.config, earlier, scorer, labels, len(resolved.pool)
                )
        finally:
            if earlier is not None:  # opening is no active time, as it is not where a run starts
                earlier.restart_clock()
        config = resolved.config.as_opened(evaluator.info)
        content = next((one.content for one in endpoints if one.content), None)
        if content is None and earlier is not None:  # no file is asked any more
            content = earlier.manifest["identity"].get(LLM_CONTENT)
        identity = identity_of(config, evaluator.info, resolved.pool, resolved.wordings, content)
        if earlier is None:
            about = {
                "identity": identity,
                "config": config.to_public(),
                "given": self._user_objects,
                "notes": dict(resolved.notes),
                CONTENT: dict(evaluator.info.content),
            }
            store = await stack.enter_async_context(entered(lambda: Store.create(run_dir, about)))
            await store.put_note(IMAGE_NAMES, list(evaluator.info.files))
        else:
            check_content(earlier, evaluator.info)
            earlier.check_identity(identity)
            store = earlier
        if scorer is not None:
            await scorer.write_to(partial(store.put_usage, account="scorer"), store.usage.active_s)
            stack.push_async_callback(scorer.close)  # before the store does
        write_atomically(run_dir / CONFIG, to_toml(config))
        done = complete_result(run_dir)
        if done is not None:
            reopen(run_dir, done, store.grown)
        await store.put_config(config.to_public(), self._unused(config))
        for sink in sinks:
            sink.start()
        self._announce(config, evaluator.info, run_dir, resumed=earlier is not None)
        if scorer is not None:
            self.emit(scorer.budget.usage_changed())
        if done is None:  # from here on the run is described by its log, until it has a new result
            put_away(run_dir)
        if paid := price_notes(endpoints):
            await store.put_note(PRICES, paid)
        return OpenRun(
            config=config,
            store=store,
            evaluator=evaluator,
            endpoints=endpoints,
            pool=resolved.pool,
            wordings=resolved.wordings,
            user_objects=self._user_objects,
            scrub=self._private.scrub,
            stop=self.stop,
            emit=self.emit,
            scorer=scorer,
            purse=purse,
            concludes=self.concludes,
        )

    async def _scorer(
        self,
        stack: AsyncExitStack,
        used: Scrubber,
        config: SearchConfig,
        earlier: Store | None,
        purse: Purse | None,
    ) -> ScorerCalls | None:
        """Open the endpoint of a scorer behind an API; None for any other scorer."""
        if self.evaluator is not None or not config.is_api:
            return None
        scorer = await stack.enter_async_context(
            open_scorer(
                config,
                self.environment,
                purse=purse,
                spent=NOTHING if earlier is None else earlier.scorer_usage,
                stop=self.stop,
                scrubber=used,
                emit=self.emit,
            )
        )
        if earlier is None:  # one that has all its labels needs no scorer any more
            await scorer.look()
        return scorer

    def _labels(self, config: SearchConfig, run_dir: Path) -> Path:
        """Return the file for what a scorer behind an API answers, in a folder that exists."""
        folder = run_dir if config.shared_cache is None else Path(config.shared_cache)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / LABELS

    @asynccontextmanager
    async def _sinks(
        self, config: SearchConfig, run_dir: Path, used: Scrubber
    ) -> AsyncIterator[Sequence[Sink]]:
        """Open the log and the trackers; all get events from now on, and write once they are started."""
        async with AsyncExitStack() as stack:
            sinks: list[Sink] = [stack.enter_context(opened(run_dir, used.scrub_value)) for opened in SINKS]
            if config.track:
                tracked = Tracked(
                    run_dir=run_dir,
                    settings=config.to_public(),
                    files=FILES,
                    earlier=await asyncio.to_thread(scored_before, run_dir),
                    scrub=used.scrub_value,
                )
                for tracker in trackers_of(config.track, tracked, emit=self.emit, scrub=self._private.scrub):
                    await stack.enter_async_context(tracker)
                    sinks.append(tracker)
            for sink in sinks:
                stack.enter_context(self.emit.joined(sink))
            yield sinks

    async def _services(
        self,
        stack: AsyncExitStack,
        used: Scrubber,
        config: SearchConfig,
        earlier: Store | None,
        ask: ScorerCalls | None,
        labels: Path | None,
        pool: int,
    ) -> tuple[list[Endpoint], Evaluator]:
        """Open the endpoints and the evaluator, first what shows a mistake sooner."""
        known = labels is not None and await in_thread(
            labels.exists
        )  # what earlier runs asked for costs nothing

        async def ready() -> Evaluator:
            evaluator = await ready_evaluator(config, self.evaluator, self.emit, ask=ask, labels=labels)
            if isinstance(evaluator, KeepsForTest) and ask is not None:
                most = candidates_at_most(config, evaluator.info, len(self.curve))
                await in_thread(lambda: evaluator.keep_for_test(most))
                if earlier is None and not known:
                    opened = config.as_opened(evaluator.info)
                    needs = ScorerNeeds(opened, evaluator.info, evaluator, pool)
                    ask.check_start(needs.start.spent)
            return evaluator

        async def endpoints() -> list[Endpoint]:
            done = earlier is not None and earlier.note(ALL_RESTARTS_DONE) == config.all_rounds
            if done or self.concludes:
                return []  # every answer that is used is on disk
            return await stack.enter_async_context(
                open_endpoints(
                    config,
                    self.environment,
                    chat=None if self.chat is None else UserChat(self.chat, scrub=self._private.scrub),
                    stop=self.stop,
                    scrubber=used,
                    emit=self.emit,
                )
            )

        if self.chat is None and config.is_local:  # loading it takes longer than finding no images
            if earlier is None:  # one that has all its answers needs no LLM any more
                check_endpoints(config, self.environment)
            evaluator = await ready()
            if earlier is not None:
                check_content(earlier, evaluator.info)
            return await endpoints(), evaluator
        return await endpoints(), await ready()

    def _announce(self, config: SearchConfig, info: EvaluatorInfo, run_dir: Path, *, resumed: bool) -> None:
        if (hint := config.description_tip) is not None:
            self.emit(Noted(text=hint))
        self.emit(RunOpened(run_dir=str(run_dir)))
        self.emit(
            SearchStarted(
                run_dir=str(run_dir),
                dataset=info.dataset,
                classes=info.classes,
                model=f"{info.model} ({info.pretrained})" if info.pretrained else info.model,
                llm=config.llm if config.needs_llm else None,
                method=config.method,
                restarts=config.restarts,
                rounds=config.all_rounds,
                resumed=resumed,
                prompts=config.prompts,
            )
        )


def _read(config: SearchConfig, notes: Mapping[str, Any]) -> Resolved:
    return Resolved(config, notes, read_pool(config), read_wordings(config))


async def conclude(
    config: SearchConfig,
    evaluator: Evaluator,
    store: Store,
    searched: Searched,
    *,
    notes: Mapping[str, Any] | None = None,
    user_objects: Mapping[str, str] | None = None,
    curve: Sequence[int] = (),
    chosen: Callable[[], None] = lambda: None,
) -> tuple[SearchResult, Details]:
    """Choose, evaluate the choice on test if the search was completed, and return the result.

    A stopped search may be resumed, so its test split stays closed. That of a finished one is opened once; if
    that fails, the result has no test accuracies and a note that says why. If the opening cannot be stored,
    the split stays closed, and a StoreError is raised. ``chosen`` is called before the final evaluation.
    """
    choice = await choose(config, evaluator, searched.scored, curve)
    chosen()
    found = await evaluate_choice(
        evaluator,
        store,
        choice,
        test=searched.stopped is None,
        prompts=config.prompts,
        renaming=None if searched.names is None else searched.names.renaming,
    )
    details = await details_of(evaluator, found.images, choice.best, searched.records, found.picks)
    result = build_result(
        config,
        evaluator.info,
        store,
        searched,
        choice,
        found,
        notes=notes or {},
        user_objects=user_objects or {},
    )
    return result, details
