"""Open all that a run works with, first that which fails sooner; everything closes with the session."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ...evaluator.remote.asking import NO_REQUESTS
from ...evaluator.scoring import CHOSEN, Evaluator, EvaluatorInfo
from ...prompts.kinds import Candidate
from ..config.schema import SearchConfig
from ..config.sources import to_toml
from ..errors import asking_errors_as_causes
from ..events.sinks import WRITERS, ThreadedSink
from ..events.trackers.known import check_trackers
from ..events.trackers.metrics import TrackedRun, trackers_of
from ..events.types import Bus, Noted, SearchStarted
from ..llm.ask import Endpoint, EndpointAsker
from ..llm.budget import Budget, Limits
from ..llm.chat import ChatAnswer, ChatRequest
from ..llm.endpoints import check_endpoint, open_endpoint, price_notes
from ..llm.scorer import ScorerCalls, open_scorer
from ..prices import NOTHING
from ..results.history import PageWriter
from ..results.run_dir import CONFIG, FILES, labels_in, put_away, write_atomically
from ..secrets import Scrubber, secrets_named_in
from ..stop import Stop
from ..store.records import check_identity
from ..store.run import Store
from ..store.trust import OF_EVALUATOR, OF_LLM
from .bound import evaluations_at_most, first_score, scorer_bound
from .choice import candidates_at_most
from .event_loop import entered, without_old_objects
from .identity import IMAGE_NAMES, LABELLED_NAMES, LLM_CONTENT, check_content, identity_of
from .inputs import UserChat, name_of, ready_evaluator

ALL_RESTARTS_DONE = "all_restarts_done"
"""The note that all rounds are done, and how many there were: what is left needs no LLM."""
PRICES = "prices"
"""The note of the prices that were paid, for a session that no longer needs an endpoint."""


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """A run as the caller asks for it; see ``run.start_run`` and ``run.resume_run``.

    Attributes:
        config: A session works with one: from the caller's it is resolved before anything is opened (absolute
            paths, the LLM that will be asked), and completed by what the opened data decide.
        evaluator: None to open the one that the config names.
        chat: None to open the endpoints that the config names.
        environment: Where API keys are.
        write_page: Writes the report page into the run's folder.
    """

    config: SearchConfig
    evaluator: object | None = None
    chat: object | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    emit: Bus = field(default_factory=Bus)
    stop: Stop = field(default_factory=Stop)
    write_page: PageWriter = lambda _view: None

    @property
    def user_objects(self) -> dict[str, str]:
        """The class names of the objects from Python by what they stand for."""
        objects = {"evaluator": self.evaluator, "chat": self.chat}
        return {
            role: name_of(user_object) for role, user_object in objects.items() if user_object is not None
        }


@dataclass(frozen=True, kw_only=True)
class RunSession:
    """All that is open while a run is worked on.

    Attributes:
        scorer_calls: Asks a scorer behind an API; None for any other scorer.
        budget: The limits on the LLM and on time.
        llm: None if no LLM is asked, or all its answers are on disk.
        keys_in_use: Taken out of templates; only these, since a short password would change them.
        all_secrets: Every known secret, taken out of what the user's own objects say.
        written_here: Hand events to what writes them into the run's folder.
    """

    request: RunRequest
    pool: Sequence[Candidate]
    run_dir: Path
    store: Store
    evaluator: Evaluator
    scorer_calls: ScorerCalls | None
    budget: Budget
    llm: EndpointAsker[ChatRequest, ChatAnswer] | None
    keys_in_use: Scrubber
    all_secrets: Scrubber
    written_here: Sequence[ThreadedSink]

    @property
    def config(self) -> SearchConfig:
        return self.request.config

    def check(self) -> None:
        """Raise if a stop was asked for, or no time is left."""
        self.request.stop.check()
        self.budget.check_time()


@asynccontextmanager
async def open_session(
    request: RunRequest, run_dir: Path, pool: list[Candidate], earlier: Store | None = None
) -> AsyncIterator[RunSession]:
    """Open sinks, endpoint, evaluator and store, and announce the run; ``earlier``: of a resumed run."""
    check_trackers(request.config.track)
    async with AsyncExitStack() as stack:
        opener = _Opener(
            request=request,
            run_dir=run_dir,
            pool=pool,
            earlier=earlier,
            stack=stack,
            keys_in_use=Scrubber(),
            all_secrets=Scrubber(secrets_named_in(request.environment)),
        )
        sinks = await opener.open_sinks()
        try:
            with request.stop.watching():
                evaluator, endpoint, calls = await opener.open_models()
        finally:
            if earlier is not None:  # opening is no active time, as it is not where a run starts
                earlier.restart_clock()
        config = request.config.as_opened(evaluator.info)
        request = replace(request, config=config)
        store = await opener.open_store(config, evaluator.info, endpoint)
        if calls is not None:
            await calls.write_to(partial(store.put_usage, account="scorer"), store.usage.active_s)
            stack.push_async_callback(calls.close)  # before the store does
        # The log describes the run from now on.
        write_atomically(run_dir / CONFIG, to_toml(config))
        of_llm = OF_LLM if request.chat is not None or not config.needs_llm else frozenset()
        of_evaluator = OF_EVALUATOR if request.evaluator is not None else frozenset()
        put_away(run_dir)  # an earlier result is out of date, before settings that ask for more are on disk
        await store.put_config(config.to_public(), of_llm | of_evaluator)
        for sink in sinks:
            sink.start()
        _announce(request, run_dir, evaluator, pool=len(pool), resumed=earlier is not None)
        if calls is not None:
            request.emit(calls.budget.usage_changed())
        if paid := price_notes(endpoint):
            await store.put_value(PRICES, paid)
        stack.enter_context(without_old_objects())
        # The clock of the budget starts here: all that follows is active time.
        budget = Budget(
            Limits.of(config), spent=store.usage, shares_cost_with=None if calls is None else calls.budget
        )
        llm: EndpointAsker[ChatRequest, ChatAnswer] | None = None
        if endpoint is not None:
            llm = EndpointAsker(
                endpoint,
                budget=budget,
                attempts=config.retry_attempts,
                attempt_s=config.request_timeout,
                give_up_after_s=60 * config.give_up_after,
                has_answers=store.has_answers,
                ledger=store.put_usage,
                stop=request.stop,
                emit=request.emit,
            )
        request.emit(budget.usage_changed())
        yield RunSession(
            request=request,
            pool=pool,
            run_dir=run_dir,
            store=store,
            evaluator=evaluator,
            scorer_calls=calls,
            budget=budget,
            llm=llm,
            keys_in_use=opener.keys_in_use,
            all_secrets=opener.all_secrets,
            written_here=sinks[: len(WRITERS)],
        )


def _announce(request: RunRequest, run_dir: Path, evaluator: Evaluator, *, pool: int, resumed: bool) -> None:
    from ...evaluator.remote.evaluator import RemoteEvaluator  # NumPy takes a while to import

    config, emit, info = request.config, request.emit, evaluator.info
    most_calls = scorer_bound(config, evaluator).total.calls if isinstance(evaluator, RemoteEvaluator) else 0
    if (hint := config.description_tip) is not None:
        emit(Noted(text=hint))
    emit(
        SearchStarted(
            run_dir=str(run_dir),
            dataset=info.dataset,
            classes=info.classes,
            model=f"{info.model} ({info.pretrained})" if info.pretrained else info.model,
            llm=config.llm if config.needs_llm else None,
            method=config.method,
            restarts=0 if config.unchecked else config.restarts,
            rounds=config.all_rounds,
            resumed=resumed,
            prompts=config.search_for,
            most_templates=evaluations_at_most(config, pool),
            most_scorer_calls=most_calls,
        )
    )


@dataclass(frozen=True, kw_only=True)
class _Opener:
    """Opens the parts of a session; what it opens closes with ``stack``."""

    request: RunRequest
    run_dir: Path
    pool: list[Candidate]
    earlier: Store | None
    stack: AsyncExitStack
    keys_in_use: Scrubber
    all_secrets: Scrubber

    async def open_sinks(self) -> Sequence[ThreadedSink]:
        """Open the log and the trackers; all get events from now on, and write once they are started."""
        config, emit, scrub = self.request.config, self.request.emit, self.keys_in_use.scrub_value
        hide = self.all_secrets.scrub
        sinks = [
            ThreadedSink(make.__name__, partial(make, self.run_dir, scrub), emit=emit, scrub=hide)
            for make in WRITERS
        ]
        if config.track:
            tracked = TrackedRun(
                run_dir=self.run_dir,
                settings=config.to_public(),
                files=FILES,
                scrub=scrub,
            )
            sinks += trackers_of(config.track, tracked, emit=emit, scrub=hide)
        for sink in sinks:
            await self.stack.enter_async_context(sink)
            self.stack.enter_context(emit.joined(sink))
        return sinks

    async def open_models(self) -> tuple[Evaluator, Endpoint | None, ScorerCalls | None]:
        """Open what scores and what proposes; first that which fails sooner."""
        request, config, earlier = self.request, self.request.config, self.earlier
        calls: ScorerCalls | None = None
        if request.evaluator is None and config.is_api:
            calls = await self.stack.enter_async_context(
                open_scorer(
                    config,
                    request.environment,
                    spent=NOTHING if earlier is None else earlier.scorer_usage,
                    stop=request.stop,
                    scrubber=self.keys_in_use,
                    emit=request.emit,
                    look=not self._is_searched,  # else it may have all its labels, and need no scorer
                )
            )
        if request.chat is not None or not config.is_local:
            endpoint = await self._open_endpoint()
            evaluator = await self._open_evaluator(calls)
        else:
            # To load a local LLM takes longer than to find no images.
            if earlier is None:  # one that has all its answers needs no LLM any more
                check_endpoint(config, request.environment)
            evaluator = await self._open_evaluator(calls)
            if earlier is not None:
                check_content(earlier, evaluator.info)
            endpoint = await self._open_endpoint()
        return evaluator, endpoint, calls

    @property
    def _is_searched(self) -> bool:
        """True if an earlier session went through all restarts."""
        earlier = self.earlier
        return earlier is not None and earlier.value(ALL_RESTARTS_DONE) == self.request.config.all_rounds

    async def _open_endpoint(self) -> Endpoint | None:
        request, config = self.request, self.request.config
        if self._is_searched:
            return None  # every answer that is used is on disk
        return await self.stack.enter_async_context(
            open_endpoint(
                config,
                request.environment,
                chat=None if request.chat is None else UserChat(request.chat, scrub=self.all_secrets.scrub),
                scrubber=self.keys_in_use,
                emit=request.emit,
            )
        )

    async def _open_evaluator(self, calls: ScorerCalls | None) -> Evaluator:
        request, config = self.request, self.request.config
        labels = None if calls is None else labels_in(config.shared_cache or self.run_dir)
        evaluator = await ready_evaluator(config, request.evaluator, request.emit, ask=calls, labels=labels)
        if calls is not None:
            from ...evaluator.remote.evaluator import RemoteEvaluator  # NumPy takes a while to import

            assert isinstance(evaluator, RemoteEvaluator), "it is asked by these calls"
            self.stack.callback(evaluator.close)
            with asking_errors_as_causes():
                await evaluator.prepare()
            final = candidates_at_most(config, info := evaluator.info), info.sizes["test"]
            # A resumed run may have all its labels.
            first = first_score(evaluator) if self.earlier is None else NO_REQUESTS
            calls.keep_for_final(lambda: evaluator.estimate(*final), first)
            evaluator.on_more_requests = calls.keep_more
        return evaluator

    async def open_store(self, config: SearchConfig, info: EvaluatorInfo, endpoint: Endpoint | None) -> Store:
        """Create the store, or check that the run is the one of the earlier session."""
        earlier, request = self.earlier, self.request
        content = None if endpoint is None else endpoint.content
        if content is None and earlier is not None:  # no file is asked any more
            content = earlier.manifest.identity.get(LLM_CONTENT)
        identity = identity_of(config, info, self.pool, content)
        if earlier is not None:
            check_content(earlier, info)
            check_identity(earlier.manifest.identity, identity)
            return earlier
        # A resumed run has them as settings, so nothing is chosen then.
        lines = info.notes.get(CHOSEN)
        chosen = {CHOSEN: lines} if isinstance(lines, list) else {}
        about = {
            "identity": identity,
            "config": config.to_public(),
            "given": request.user_objects,
            "notes": chosen,
            "content": dict(info.content),
        }
        store = await self.stack.enter_async_context(entered(lambda: Store.create(self.run_dir, about)))
        names = {IMAGE_NAMES: list(info.files), LABELLED_NAMES: list(info.labelled_files)}
        await store.put_values(names)
        return store
