"""One run of a search, new or resumed: settings -> open -> restarts -> choice -> test evaluation -> files."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from ...evaluator.batching import Batch, ScoringQueue
from ...evaluator.errors import AskingEndedError, ConfigError
from ...evaluator.open import check_openable
from ...evaluator.remote.asking import ApiEvaluator
from ...evaluator.scoring import BASELINE_DEFAULT, Evaluator, NamePredictor, Score, TemplateScorer, Verdict
from ...evaluator.threads import in_thread
from ...prompts.kinds import Candidate, kind_named
from ...prompts.wording import Wordings
from ..config.schema import SearchConfig
from ..config.sources import absolute, to_toml
from ..errors import BudgetSpentError, GaveUpError, why_ended
from ..events.sinks import SINKS, Sink
from ..events.trackers.known import check_trackers
from ..events.trackers.metrics import TrackedRun, scored_before, trackers_of
from ..events.types import (
    BatchScored,
    Bus,
    EvaluationStarted,
    Noted,
    RunOpened,
    SearchFinished,
    SearchStarted,
)
from ..llm.ask import EndpointAsker, RetryPolicy
from ..llm.budget import Budget, Limits
from ..llm.chat import Asker, BilledAnswer, ChatAnswer, ChatRequest
from ..llm.cost import NOTHING
from ..llm.endpoints import check_endpoints, open_endpoints, price_notes
from ..llm.pool import Endpoint
from ..llm.scorer_calls import ScorerCalls
from ..llm.scorer_costs import sizes_of
from ..llm.scorer_endpoint import open_scorer
from ..position import NAMES, rng_for
from ..present.sentences import left_of_both
from ..results.details import Details
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
from ..store.shared import SharedAsker, SharedCache, SharedScorer, check_cache
from ..store.trust import OF_EVALUATOR, OF_LLM
from .choice import candidates_at_most, choose, ranked
from .event_loop import FairScheduler, entered, short_collections, to_the_end
from .identity import (
    IMAGE_NAMES,
    LLM_CONTENT,
    check_content,
    extension_of,
    identity_of,
    known_identity,
    with_changes,
)
from .inputs import (
    check_places,
    may_fall_back,
    pinned_evaluator,
    read_pool,
    read_wordings,
    ready_evaluator,
    try_local_llm,
)
from .journal import EmptyAnswers, Journal, NamesRecord, RestartRecord, Searched
from .naming import NOTHING_MORE, NameSearch
from .racing import racer_of
from .restart import Restart
from .restarts import Workers, single, stop_event
from .result_writer import build_result, details_of, reopen, write_files
from .scorebook import Scorebook
from .scorer_bounds import ScorerBounds
from .test_evaluation import evaluate_choice, openings
from .user_objects import UserChat, check_user_objects, name_of, object_names

ALL_RESTARTS_DONE = "all_restarts_done"
"""The note that all rounds are done, and how many there were: what is left needs no LLM."""
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
        config, notes = await self._resolve_config(None)
        resolved = await in_thread(lambda: _read_texts(config, notes))
        check_cache(config.shared_cache)
        run_dir = new_run_dir(config)
        check_run_dir(run_dir)
        had_labels = any((run_dir / name).exists() for name in LABEL_FILES)
        try:
            return await OpenRun(self, run_dir, resolved).complete()
        finally:
            if not had_labels and not (run_dir / STORE).exists():  # nothing was started
                for name in LABEL_FILES:
                    (run_dir / name).unlink(missing_ok=True)
            with suppress(OSError):
                run_dir.rmdir()  # a run's folder is not empty

    async def resume(self, run_dir: Path) -> SearchResult:
        """Continue a run; its config may change what does not decide the result, and ask for more."""
        async with entered(lambda: Store.open(run_dir)) as store:
            config, notes = await self._resolve_config(store.manifest.notes)
            if config.needs_llm and store.unpaid:  # nothing depends on the LLM yet
                store.correct_llm(config.placeless_llm)
            extension = extension_of(config, store.manifest.identity)
            done = None if extension else complete_result(run_dir)
            if done is None:
                check_user_objects(run_dir, store.manifest.given, self.user_objects)
            store.extend(extension)
            # Names that were asked for belong to the template that was chosen.
            named = config.searches_names and store.note(ALL_RESTARTS_DONE) == config.all_rounds
            chosen = not extension and (done is not None or named or openings(store) > 0)
            store.change_identity(with_changes(config, store.manifest.identity, chosen=chosen))
            store.check_identity(known_identity(config, store.manifest.identity))
            if done is not None:
                self.emit(Noted(text=f"{run_dir} had finished; this is its result"))
                return done
            check_places(config, names_only=self.evaluator is not None)
            check_files(run_dir)
            resolved = await in_thread(lambda: _read_texts(config, notes))
            return await OpenRun(self, run_dir, resolved, store).complete()

    @property
    def user_objects(self) -> dict[str, str]:
        return object_names(evaluator=self.evaluator, chat=self.chat)

    async def _resolve_config(
        self, earlier_notes: Mapping[str, Any] | None
    ) -> tuple[SearchConfig, Mapping[str, Any]]:
        """Return absolute settings, without a missing local LLM, and notes beside those of a resumed run."""
        config, notes = self.config, self.notes
        if self.chat is None and config.missing_llm is not None:
            raise ConfigError(config.missing_llm)
        if self.chat is not None and config.llm is None and (config.needs_llm or config.searches_names):
            config = config.model_copy(update={"llm": name_of(self.chat)})
        if self.chat is None:
            with self.stop.watching():
                if earlier_notes is None and self.evaluator is None and may_fall_back(config):
                    await in_thread(lambda: check_openable([self.config]))  # loading on trial takes longer
                config, found = await try_local_llm(config, self.emit, earlier_notes)
                notes = {**notes, **found}
        if note := config.general_words:
            notes = {**notes, GENERAL_WORDS: note}
        return pinned_evaluator(absolute(config, names_only=self.evaluator is not None)), notes


def _read_texts(config: SearchConfig, notes: Mapping[str, Any]) -> Resolved:
    return Resolved(config, notes, read_pool(config), read_wordings(config))


class OpenRun:
    """A run from its opening to its files; what is opened closes with its stack.

    Args:
        run: What the caller asks for.
        earlier: The store of a resumed run.

    Attributes:
        config: With what the opened data decide.
        budget: The limits on the LLM and on time.
        endpoints: Empty if every answer is on disk.
        scorer_calls: Asks a scorer behind an API; None for any other scorer.
    """

    def __init__(
        self, run: SearchRun, run_dir: Path, resolved: Resolved, earlier: Store | None = None
    ) -> None:
        self.config = resolved.config
        self.store: Store
        self.evaluator: Evaluator
        self.budget: Budget
        self.endpoints: Sequence[Endpoint] = ()
        self.scorer_calls: ScorerCalls | None = None
        self._run = run
        self._emit, self._stop = run.emit, run.stop
        self._run_dir = run_dir
        self._resolved = resolved
        self._earlier = earlier
        self._labels: Path | None = None
        # Only the keys in use are taken out of templates, since a short password would change them; every
        # known secret is taken out of what the user's own objects say.
        self._keys_in_use = Scrubber()
        self._all_secrets = Scrubber(secrets_named_in(run.environment))
        self._stack = AsyncExitStack()

    async def complete(self) -> SearchResult:
        """Open everything, run the restarts, choose, evaluate on test, write the files."""
        check_trackers(self.config.track)
        try:
            async with self._stack:
                await self._open()
                self._stack.enter_context(short_collections())
                searched = await self._search()
                try:
                    result, details = await self.choose_and_test(searched)
                except AskingEndedError as error:
                    result, details = await self.choose_and_test(self._stopped(searched, error))
                return await self._write(result, details)
        except BaseExceptionGroup as several:
            raise single(several) from None

    async def _write(self, result: SearchResult, details: Details) -> SearchResult:
        """Write the files of a result and announce it; a stop comes too late from here on."""
        if self.scorer_calls is not None:
            await self.scorer_calls.close()
            left = left_of_both(result.budget, self.scorer_calls.budget.usage_changed().left)
            result = replace(result, budget=left)
        written = await to_the_end(
            lambda: write_files(
                self._run_dir,
                result,
                details,
                keys_in_use=self._keys_in_use,
                all_secrets=self._all_secrets,
            )
        )
        best = written.best
        self._emit(
            SearchFinished(
                status=written.status,
                best=best.template,
                train=best.train,
                test=best.test,
                evaluated=written.evaluated,
            )
        )
        return written

    async def _open(self) -> None:
        """Open sinks, endpoints, evaluator and store, and announce the run."""
        run = self._run
        sinks = await self._open_sinks()
        try:
            with self._stop.watching():
                await self._open_models()
        finally:
            if self._earlier is not None:  # opening is no active time, as it is not where a run starts
                self._earlier.restart_clock()
        self.config = config = self.config.as_opened(self.evaluator.info)
        await self._open_store()
        if self.scorer_calls is not None:
            await self.scorer_calls.write_to(
                partial(self.store.put_usage, account="scorer"), self.store.usage.active_s
            )
            self._stack.push_async_callback(self.scorer_calls.close)  # before the store does
        write_atomically(self._run_dir / CONFIG, to_toml(config))
        done = complete_result(self._run_dir)
        if done is not None:
            reopen(self._run_dir, done, self.store.extension)
        of_llm = OF_LLM if run.chat is not None or not config.needs_llm else frozenset()
        of_evaluator = OF_EVALUATOR if run.evaluator is not None else frozenset()
        await self.store.put_config(config.to_public(), of_llm | of_evaluator)
        for sink in sinks:
            sink.start()
        self._announce()
        if self.scorer_calls is not None:
            self._emit(self.scorer_calls.budget.usage_changed())
        if done is None:  # from here on the run is described by its log, until it has a new result
            put_away(self._run_dir)
        if paid := price_notes(self.endpoints):
            await self.store.put_note(PRICES, paid)

    async def _open_models(self) -> None:
        """Open what scores and what proposes; first that which fails sooner."""
        run, earlier = self._run, self._earlier
        await self._open_scorer_calls()
        if run.chat is not None or not self.config.is_local:
            await self._open_endpoints()
            await self._open_evaluator()
            return
        # To load a local LLM takes longer than to find no images.
        if earlier is None:  # one that has all its answers needs no LLM any more
            check_endpoints(self.config, run.environment)
        await self._open_evaluator()
        if earlier is not None:
            check_content(earlier, self.evaluator.info)
        await self._open_endpoints()

    async def _open_sinks(self) -> Sequence[Sink]:
        """Open the log and the trackers; all get events from now on, and write once they are started."""
        config, scrub = self.config, self._keys_in_use.scrub_value
        sinks: list[Sink] = [self._stack.enter_context(opened(self._run_dir, scrub)) for opened in SINKS]
        if config.track:
            tracked = TrackedRun(
                run_dir=self._run_dir,
                settings=config.to_public(),
                files=FILES,
                earlier=await asyncio.to_thread(scored_before, self._run_dir),
                scrub=scrub,
            )
            for tracker in trackers_of(config.track, tracked, emit=self._emit, scrub=self._all_secrets.scrub):
                await self._stack.enter_async_context(tracker)
                sinks.append(tracker)
        for sink in sinks:
            self._stack.enter_context(self._emit.joined(sink))
        return sinks

    @property
    def _limited(self) -> SearchConfig:
        """The config with the limits that hold: to conclude a search takes time that it no longer has."""
        return self.config.model_copy(update={"max_minutes": None} if self._run.concludes else {})

    async def _open_scorer_calls(self) -> None:
        """Open the endpoint of a scorer behind an API, and make the folder for what it answers."""
        config, earlier = self.config, self._earlier
        if self._run.evaluator is not None or not config.is_api:
            return
        self.scorer_calls = await self._stack.enter_async_context(
            open_scorer(
                self._limited,
                self._run.environment,
                spent=NOTHING if earlier is None else earlier.scorer_usage,
                stop=self._stop,
                scrubber=self._keys_in_use,
                emit=self._emit,
            )
        )
        if earlier is None:  # one that has all its labels needs no scorer any more
            await self.scorer_calls.check_address()
        folder = self._run_dir if config.shared_cache is None else Path(config.shared_cache)
        folder.mkdir(parents=True, exist_ok=True)
        self._labels = folder / LABELS

    async def _open_endpoints(self) -> None:
        run, config, earlier = self._run, self.config, self._earlier
        done = earlier is not None and earlier.note(ALL_RESTARTS_DONE) == config.all_rounds
        if done or run.concludes:
            return  # every answer that is used is on disk
        self.endpoints = await self._stack.enter_async_context(
            open_endpoints(
                config,
                run.environment,
                chat=None if run.chat is None else UserChat(run.chat, scrub=self._all_secrets.scrub),
                scrubber=self._keys_in_use,
                emit=self._emit,
            )
        )

    async def _open_evaluator(self) -> None:
        had_labels = self._labels is not None and await in_thread(self._labels.exists)
        self.evaluator = await ready_evaluator(
            self.config, self._run.evaluator, self._emit, ask=self.scorer_calls, labels=self._labels
        )
        if isinstance(self.evaluator, ApiEvaluator) and self.scorer_calls is not None:
            await self._keep_for_final(self.evaluator, self.scorer_calls, had_labels=had_labels)

    async def _keep_for_final(self, evaluator: ApiEvaluator, calls: ScorerCalls, *, had_labels: bool) -> None:
        """Keep back what the final evaluation may cost, and check that there is room for the start too."""
        config, info = self.config, self.evaluator.info
        candidates = candidates_at_most(config, info, len(self._run.curve))
        tests = await in_thread(lambda: sizes_of(evaluator.test_requests(candidates)))
        start, pays = NOTHING, self._paid_for_labels or not had_labels
        if pays and not self._run.concludes and not self._has_started:
            pool = len(self._resolved.pool)
            start = ScorerBounds(config.as_opened(info), info, evaluator, pool).start.spent
        calls.keep_for_final(tests, start, kind_named(config.search_for).words.noun)

    @property
    def _has_started(self) -> bool:
        """Whether an earlier session has scored a candidate beside the default one."""
        if self._earlier is None:
            return False
        defaults = self.evaluator.info.baselines.get(BASELINE_DEFAULT, ())
        verdicts = (stored for _, stored in self._earlier.scores() if stored.template not in defaults)
        return any(isinstance(one.verdict, Score) for one in verdicts)

    @property
    def _paid_for_labels(self) -> bool:
        """Whether the labels on disk are this run's own; those of other runs cost it nothing."""
        earlier = self._earlier
        return earlier is not None and self.config.shared_cache is None and earlier.scorer_usage.calls > 0

    async def _open_store(self) -> None:
        """Create the store, or check that the run is the one of the earlier session."""
        config, info, earlier = self.config, self.evaluator.info, self._earlier
        content = next((one.content for one in self.endpoints if one.content), None)
        if content is None and earlier is not None:  # no file is asked any more
            content = earlier.manifest.identity.get(LLM_CONTENT)
        identity = identity_of(config, info, self._resolved.pool, self._resolved.wordings, content)
        if earlier is not None:
            check_content(earlier, info)
            earlier.check_identity(identity)
            self.store = earlier
            return
        about = {
            "identity": identity,
            "config": config.to_public(),
            "given": self._run.user_objects,
            "notes": dict(self._resolved.notes),
            "content": dict(info.content),
        }
        self.store = await self._stack.enter_async_context(
            entered(lambda: Store.create(self._run_dir, about))
        )
        await self.store.put_note(IMAGE_NAMES, list(info.files))

    def _announce(self) -> None:
        config, info, run_dir = self.config, self.evaluator.info, str(self._run_dir)
        if (hint := config.description_tip) is not None:
            self._emit(Noted(text=hint))
        self._emit(RunOpened(run_dir=run_dir))
        self._emit(
            SearchStarted(
                run_dir=run_dir,
                dataset=info.dataset,
                classes=info.classes,
                model=f"{info.model} ({info.pretrained})" if info.pretrained else info.model,
                llm=config.llm if config.needs_llm else None,
                method=config.method,
                restarts=config.restarts,
                rounds=config.all_rounds,
                resumed=self._earlier is not None,
                prompts=config.search_for,
            )
        )

    async def _search(self) -> Searched:
        """Run all restarts to their ends, or to what ends them early."""
        config, store = self.config, self.store
        of_scorer = None if self.scorer_calls is None else self.scorer_calls.budget
        self.budget = budget = Budget(Limits.of(self._limited), spent=store.usage, shares_cost_with=of_scorer)
        has_answers = next(store.answers(), None) is not None
        llm: EndpointAsker[ChatRequest, ChatAnswer] = EndpointAsker(
            self.endpoints,
            budget=budget,
            retry=RetryPolicy.of(config, local=config.is_local),
            give_up_after_s=60 * config.give_up_after,
            has_answers=has_answers,
            ledger=store.put_usage,
            stop=self._stop,
            emit=self._emit,
            rng=rng_for(config.seed, "jitter"),
        )
        self._emit(budget.usage_changed())
        async with ScoringQueue(self.evaluator, on_batch=self._batch_scored) as queue:
            if self._run.concludes:
                if self.scorer_calls is not None:
                    self.scorer_calls.refuse_all(NOTHING_MORE)
                searched = await self._run_restarts(NothingMore(), NothingMore(), has_answers=has_answers)
            else:
                with self.with_shared_cache(queue, llm) as (scorer, asker):
                    searched = await self._run_restarts(scorer, asker, has_answers=has_answers)
        llm.close()
        if (stopped := searched.stopped) is None:
            await store.put_note(ALL_RESTARTS_DONE, config.all_rounds)
        elif self._run.concludes:
            searched = replace(searched, stopped=None, concluded=True)
        else:
            self._emit(stopped)
        calls = budget.spent.calls + budget.spent.failed_calls
        return replace(searched, budget=budget.usage_changed().left, asked_llm=calls > 0)

    async def _run_restarts(self, scorer: TemplateScorer, asker: Asker, *, has_answers: bool) -> Searched:
        """Run the restarts, then the search for class names, if there is one.

        ``has_answers``: the run has answers of an earlier session.
        """
        config, info, scrub = self.config, self.evaluator.info, self._all_secrets.scrub
        scheduler = FairScheduler()
        scorebook = Scorebook(self.store, scorer, scrub=scrub, scheduler=scheduler)
        with self._stop.watching():
            await scorebook.score_default(info, self._emit)
        racer = racer_of(config, self.evaluator, self.store, scrub=scrub)
        journal_of = partial(
            Journal,
            config=config,
            store=self.store,
            asker=asker,
            stop=self._stop,
            empty_answers=EmptyAnswers(
                has_answers=has_answers, noun=kind_named(config.search_for).words.noun
            ),
            scheduler=scheduler,
            emit=self._emit,
        )
        journals = [journal_of(RestartRecord(number)) for number in range(1, config.restarts + 1)]
        restarts = (
            Restart(
                config,
                pool=self._resolved.pool,
                info=info,
                wordings=self._resolved.wordings,
                journal=journal,
                scores=scorebook,
                racer=racer,
                check=self._check,
                emit=self._emit,
            )
            for journal in journals
        )
        workers = Workers(restarts, scheduler, stop=self._stop)
        searched = Searched(records=workers.records, stopped=await workers.run(config.concurrency))
        # One that is concluded has the names that were found before it was extended.
        ended = searched.stopped is None or (self._run.concludes and searched.scored)
        if ended and config.searches_names:
            found = await self._templates_found(searched)
            names = NamesRecord(NAMES, template=found[0])
            journals.append(journal_of(names))
            search = self._name_search(names, found, journals[-1])
            stopped = await Workers([search], scheduler, stop=self._stop).run(1)
            searched = replace(searched, names=names, stopped=searched.stopped or stopped)
        if all(record.done for record in searched.all_records):
            for journal in journals:
                await journal.keep_refused()
        return searched

    def _name_search(self, names: NamesRecord, found: Sequence[str], journal: Journal) -> NameSearch:
        assert isinstance(self.evaluator, NamePredictor), "checked when it was opened"
        return NameSearch(
            names,
            self.config,
            found=found,
            evaluator=self.evaluator,
            info=self.evaluator.info,
            store=self.store,
            journal=journal,
            check=self._check,
            concludes=self._run.concludes,
            asks_scorer=self.scorer_calls is not None,
            emit=self._emit,
        )

    def _check(self) -> None:
        self._stop.check()
        self.budget.check_time()

    async def _templates_found(self, searched: Searched) -> list[str]:
        """Return the templates scored on all images, best first."""
        found = await in_thread(lambda: ranked(self.config, self.evaluator.info, searched.scored))
        return [entry.scored_as for entry in found.order if entry.score.whole]

    def _batch_scored(self, batch: Batch) -> None:
        seconds = round(batch.seconds, 3)
        self._emit(BatchScored(templates=batch.templates, seconds=seconds, waiting=batch.waiting))

    @contextmanager
    def with_shared_cache(
        self, scorer: TemplateScorer, asker: Asker
    ) -> Iterator[tuple[TemplateScorer, Asker]]:
        """Yield a scorer and an asker that look into the folder of ``--shared-cache`` first, if any.

        A run still writes all that it uses into its own store, so it can be resumed without that folder.
        Scores are shared by the evaluator's fingerprint, answers by who gives them: a custom chat, an
        address, or the content of a model's file.
        """
        config, info = self.config, self.evaluator.info
        if config.shared_cache is None:
            yield scorer, asker
            return
        with SharedCache(config.shared_cache) as cache:
            space = f"{info.fingerprint}:{info.precision}:{config.objective}"
            if config.cache_answers:
                who = self._run.user_objects.get("chat") or _answering(config, self.endpoints)
                asker = SharedAsker(cache, asker, who)
            yield SharedScorer(cache, scorer, space), asker

    async def choose_and_test(self, searched: Searched) -> tuple[SearchResult, Details]:
        """Choose, evaluate the choice on test if the search was completed, and return the result.

        A stopped search may be resumed, so its test split stays closed. That of a finished one is opened
        once; if that fails, the result has no test accuracies and a note that says why. If the opening cannot
        be stored, the split stays closed, and a StoreError is raised.
        """
        config, evaluator, store = self.config, self.evaluator, self.store
        images = evaluator.info.sizes.get("test", 0)
        if searched.stopped is None and images:
            self._emit(EvaluationStarted(images=images))
        with self._stop.watching():
            choice = await choose(config, evaluator, searched.scored, self._run.curve)
            if self.scorer_calls is not None:
                self.scorer_calls.release()
            evaluated = await evaluate_choice(
                evaluator,
                store,
                choice,
                test=searched.stopped is None,
                prompts=config.search_for,
                names=searched.names,
            )
            best = next((row for row in choice.rows if (row.template,) == evaluated.best.templates), None)
            details = await details_of(evaluator, evaluated.on_test, best, searched.records, evaluated.curve)
            manifest = store.manifest
            result = build_result(
                config,
                evaluator.info,
                store,
                searched,
                choice,
                evaluated,
                notes={**manifest.notes, **self._resolved.notes, **(store.note(PRICES) or {})},
                user_objects={**manifest.given, **self._run.user_objects},
            )
        return result, details

    def _stopped(self, searched: Searched, error: AskingEndedError) -> Searched:
        """Return a search as stopped, because its scorer cannot be asked for the rest of the evaluation."""
        why = why_ended(error)
        if not isinstance(why, BudgetSpentError | GaveUpError):
            raise why from error
        stopped = stop_event(why)
        self._emit(stopped)
        return replace(searched, stopped=stopped, concluded=False)


def _answering(config: SearchConfig, endpoints: Sequence[Endpoint]) -> str:
    """Return who answers: the address, or a model file's content hash; plus the overrides of its settings."""
    file = next((f"local:{one.content}" for one in endpoints if one.content), None)
    place = config.shown_url or file or str(config.llm)
    overrides = config.overrides if config.shown_url else []
    return f"{place} {json.dumps(overrides, sort_keys=True)}" if any(overrides) else place


class NothingMore:
    """The ``Asker`` and ``TemplateScorer`` of a search that is concluded: it ends with what is on disk."""

    async def ask(self, request: ChatRequest) -> BilledAnswer[ChatAnswer]:
        raise GaveUpError(NOTHING_MORE)

    async def score(self, template: str) -> Verdict:
        raise GaveUpError(NOTHING_MORE)
