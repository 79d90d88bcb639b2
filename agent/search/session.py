"""One session of a run: from its start, or from where an earlier session ended, to its result."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ...evaluator.open import check_openable
from ...evaluator.scoring import Evaluator
from ...evaluator.threads import in_thread
from ...prompts.kinds import Candidate
from ...prompts.wording import Wordings
from ..config.schema import SearchConfig
from ..config.sources import absolute, to_toml
from ..events import Bus, SearchFinished
from ..events.trackers.known import check_trackers
from ..llm.endpoints import check_endpoints, open_endpoints, price_notes
from ..llm.pool import Endpoint
from ..results.details import Details
from ..results.result import SearchResult
from ..results.run_dir import (
    CONFIG,
    check_files,
    check_run_dir,
    complete_result,
    new_run_dir,
    put_away,
    write_atomically,
)
from ..secrets import Scrubber, secrets_named_in
from ..stop import Stop
from ..store import Store
from ..store.shared import check_cache
from .adapters import GivenChat
from .collecting import short_collections
from .extending import growth, reopen
from .failures import single
from .finish import Ended, finish
from .given import check_given, names_of
from .inputs import (
    LLM_CONTENT,
    check_places,
    identity_of,
    known_identity,
    may_fall_back,
    pinned_evaluator,
    read_pool,
    read_wordings,
    ready_evaluator,
    with_fallback,
)
from .listening import announce, open_sinks
from .restarts import ALL_RESTARTS_DONE, RunningRestarts
from .same_content import CONTENT
from .written_down import entered, to_the_end, write_down

PRICES = "prices"
"""The note of the prices that were paid, for a session that needs no endpoint any more."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """What a session is given.

    Attributes:
        config: What to search.
        evaluator: Scores templates; None to open the one that the config names.
        chat: Answers requests; None to open the endpoints that the config names.
        environment: Where keys are.
        emit: Hears of everything that happens.
        stop: Asks for a stop.
        notes: Facts that belong beside the figures.
        curve: Numbers of templates after which the choice of that moment is looked at too when the test
            split is opened, and kept with the details.
    """

    config: SearchConfig
    evaluator: object | None = None
    chat: object | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    emit: Bus = field(default_factory=Bus)
    stop: Stop = field(default_factory=Stop)
    notes: Mapping[str, Any] = field(default_factory=dict)
    curve: tuple[int, ...] = ()

    @cached_property
    def _private(self) -> Scrubber:
        """Knows every secret around, for what the user's own objects say.

        Not for templates: of those only the keys in use are taken out, or a short password would change them.
        """
        return Scrubber(secrets_named_in(self.environment))

    @cached_property
    def _wordings(self) -> Wordings:
        return read_wordings(self.config)

    @property
    def given(self) -> dict[str, str]:
        """What came from Python in place of what the config names."""
        return names_of(evaluator=self.evaluator, chat=self.chat)

    async def start(self) -> SearchResult:
        """Start a new run.

        Raises:
            UsageError: Something that was given cannot be worked with; nothing was paid, nothing is left
                behind.
            PromptclimbError: The run failed on its way; what it has is kept.
        """
        session = await self._settled()
        pool, _ = await in_thread(lambda: (read_pool(session.config), session._wordings))
        check_cache(session.config.shared_cache)
        run_dir = new_run_dir(session.config)
        check_run_dir(run_dir)
        try:
            return await session._run(run_dir, pool, None)
        finally:
            with suppress(OSError):
                run_dir.rmdir()  # only where nothing was started: a run's folder is not empty

    async def resume(self, run_dir: Path) -> SearchResult:
        """Go on with a run; its config may be changed in what does not decide the result, and ask for more.

        Raises:
            UsageError: The folder holds no run, is in use, or the config differs in what decides the result.
            PromptclimbError: The run failed on its way; what it has is kept.
        """
        async with entered(lambda: Store.open(run_dir)) as store:
            session = await self._settled(store.manifest.get("notes", {}))
            grown = growth(session.config, store.manifest["identity"])
            if (done := None if grown else complete_result(run_dir)) is None:
                check_given(run_dir, store.manifest.get("given", {}), session.given)
            store.grow(grown)
            store.check_identity(known_identity(session.config, store.manifest["identity"]))
            if done is not None:
                return done
            check_places(session.config, labels=self.evaluator is not None)
            check_files(run_dir)
            return await session._run(run_dir, await in_thread(lambda: read_pool(session.config)), store)

    async def _settled(self, begun: Mapping[str, Any] | None = None) -> Session:
        """Return the session with absolute paths, and a method in place of a local LLM that is not there."""
        config, notes = self.config, self.notes
        if self.chat is None:
            with self.stop.watching():
                if begun is None and self.evaluator is None and may_fall_back(config):
                    await in_thread(lambda: check_openable([self.config]))  # loading on trial takes longer
                config, found = await with_fallback(config, self.emit, begun)
                notes = {**notes, **found}
        config = pinned_evaluator(absolute(config, labels=self.evaluator is not None))
        return replace(self, config=config, notes=notes)

    async def _run(self, run_dir: Path, pool: list[Candidate], opened: Store | None) -> SearchResult:
        """Open everything, let the workers work, conclude."""
        check_trackers(self.config.track)
        scrubber = Scrubber()
        try:
            async with AsyncExitStack() as stack:
                sinks = await stack.enter_async_context(
                    open_sinks(self.config, run_dir, self.emit, scrubber, self._private)
                )
                with self.stop.watching():
                    endpoints, evaluator = await self._opened(stack, scrubber, opened)
                session = replace(self, config=self.config.as_opened(evaluator.info))
                stored = session._stored(run_dir, opened, evaluator, pool, endpoints)
                store = await stack.enter_async_context(stored)
                done = complete_result(run_dir)
                if opened is not None and done is not None:
                    reopen(run_dir, done, opened.grown)
                await store.put_config(session.config.to_public())
                for sink in sinks:
                    sink.start()
                announce(session.config, evaluator.info, run_dir, self.emit, resumed=opened is not None)
                if done is None:  # from here on the run is told by its log, until it has a new result
                    put_away(run_dir)
                stack.enter_context(short_collections())
                ended = await session._restart_all(pool, store, endpoints, evaluator)
                return await session._conclude(run_dir, evaluator, store, ended, scrubber)
        except BaseExceptionGroup as several:
            raise single(several) from None

    async def _opened(
        self, stack: AsyncExitStack, scrubber: Scrubber, opened: Store | None
    ) -> tuple[list[Endpoint], Evaluator]:
        """Open the endpoints and the evaluator, first what shows a mistake sooner."""
        if self.chat is None and self.config.is_local:  # loading it takes longer than finding no images
            if opened is None:  # one that has all its answers needs no LLM any more
                check_endpoints(self.config, self.environment)
            evaluator = await ready_evaluator(self.config, self.evaluator, self.emit)
            return await self._endpoints(stack, scrubber, opened), evaluator
        endpoints = await self._endpoints(stack, scrubber, opened)
        return endpoints, await ready_evaluator(self.config, self.evaluator, self.emit)

    async def _endpoints(
        self, stack: AsyncExitStack, scrubber: Scrubber, opened: Store | None
    ) -> list[Endpoint]:
        """Open the endpoints, which close with the stack; none where no answer is wanted any more."""
        config = self.config
        if opened is not None and opened.note(ALL_RESTARTS_DONE) == config.all_rounds:
            return []
        return await stack.enter_async_context(
            open_endpoints(
                config,
                self.environment,
                chat=None if self.chat is None else GivenChat(self.chat, scrub=self._private.scrub),
                stop=self.stop,
                scrubber=scrubber,
                emit=self.emit,
            )
        )

    @asynccontextmanager
    async def _stored(
        self,
        run_dir: Path,
        opened: Store | None,
        evaluator: Evaluator,
        pool: list[Candidate],
        endpoints: Sequence[Endpoint],
    ) -> AsyncIterator[Store]:
        """Return the run on disk: the one that was opened, or a new one; the config's file beside it."""
        config = self.config
        content = next((one.content for one in endpoints if one.content), None)
        if content is None and opened is not None:  # no file is asked any more
            content = opened.manifest["identity"].get(LLM_CONTENT)
        identity = identity_of(config, evaluator.info, pool, self._wordings, content)
        about = {
            "identity": identity,
            "config": config.to_public(),
            "given": self.given,
            "notes": dict(self.notes),
            CONTENT: dict(evaluator.info.content),
        }
        if opened is not None:
            opened.check_identity(identity)
        held = nullcontext(opened) if opened is not None else entered(lambda: Store.create(run_dir, about))
        async with held as store:
            write_atomically(run_dir / CONFIG, to_toml(config))
            yield store

    async def _restart_all(
        self, pool: Sequence[Candidate], store: Store, endpoints: list[Endpoint], evaluator: Evaluator
    ) -> Ended:
        """Run all restarts to their ends, or to what ends them early."""
        running = RunningRestarts(
            config=self.config,
            pool=pool,
            wordings=self._wordings,
            given=self.given,
            scrub=self._private.scrub,
            stop=self.stop,
            emit=self.emit,
        )
        if paid := price_notes(endpoints):
            await store.put_note(PRICES, paid)
        prices = paid or store.note(PRICES) or {}
        searched = await running.run(store, endpoints, evaluator)
        return Ended(
            records=searched.records,
            stop_reason=None if searched.stopped is None else searched.stopped.reason,
            limits=() if searched.stopped is None else searched.stopped.limits,
            budget=searched.left,
            notes={**store.manifest.get("notes", {}), **self.notes, **prices},
            given={**store.manifest.get("given", {}), **self.given},
        )

    async def _conclude(
        self, run_dir: Path, evaluator: Evaluator, store: Store, ended: Ended, scrubber: Scrubber
    ) -> SearchResult:
        """Choose, open the test split, and write everything down."""
        kept = list[Details]()
        with self.stop.watching():
            found = await finish(self.config, evaluator, store, ended, kept.append, self.curve)
        # Whoever stops the search from here on has its result.
        result = await to_the_end(
            lambda: write_down(run_dir, found, kept, used=scrubber, private=self._private)
        )
        self.emit(
            SearchFinished(
                status=result.status,
                best=result.best.template,
                train=result.best.train,
                test=result.best.test,
                evaluated=result.evaluated,
            )
        )
        return result
