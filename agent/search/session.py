"""A search from its beginning to its result: opens what it needs, owns the tasks, keeps everything."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...evaluator.batching import Consumer
from ...evaluator.scoring import Evaluator
from ...prompts.conversation import PROMPTS_VERSION
from ...prompts.template import Template
from ..climb.climb import Climb
from ..climb.seeds import rng_for
from ..config.schema import LOCAL_LLM, SearchConfig
from ..config.sources import absolute, to_toml
from ..events.kinds import ChatNoted, Listener, Noted, SearchFinished, SearchStarted, to_all
from ..events.log import EventLog
from ..llm.budget import NOTHING, Budget, Limits, Usage
from ..llm.endpoints import open_endpoints
from ..llm.proposer import Endpoint, Proposer, RetryPolicy
from ..results.page import write_report
from ..results.result import SearchResult
from ..results.run_dir import (
    CONFIG,
    EVENTS,
    check_run_dir,
    new_run_dir,
    read_result,
    write_atomically,
    write_result,
)
from ..secrets import Scrubber
from ..stop import Halt
from ..store import Store
from .adapters import as_chat, as_evaluator
from .failures import single
from .finish import Ended, finish
from .given import check_given, names_of
from .inputs import open_from_config, pool_hash, read_pool
from .journal import Journal
from .scorebook import Scorebook
from .sharing import shared
from .workers import Crew, left_of, unanswered


def ignore(_event: object) -> None:
    """A listener that does nothing."""


class Search:
    """One stretch of a run: from its start, or from where an earlier stretch ended.

    Args:
        config: What to search.
        evaluator: Scores templates; None to open the one that the config names.
        chat: Answers requests; None to open the endpoints that the config names.
        on_event: Hears of everything that happens.
        environment: Where keys are; None for the process's own.
        halt: Asks for a stop; None for one that never does.
    """

    def __init__(
        self,
        config: SearchConfig,
        *,
        evaluator: object | None = None,
        chat: object | None = None,
        on_event: Listener | None = None,
        environment: Mapping[str, str] | None = None,
        halt: Halt | None = None,
    ) -> None:
        self._given = names_of(evaluator=evaluator, chat=chat)
        # With a black box of the user's own, data and model are names that no folder stands for.
        self._config = absolute(config, only_paths="evaluator" in self._given)
        self._given_evaluator = evaluator
        self._given_chat = None if chat is None else as_chat(chat)
        self._tell: Listener = on_event or ignore
        self._environment = os.environ if environment is None else environment
        self._halt = halt or Halt()
        self._scrubber = Scrubber()
        self._notes: dict[str, Any] = {}
        self._gauge: Callable[[], tuple[Usage, Mapping[str, float]]] = lambda: (NOTHING, {})
        self.run_dir: Path | None = None

    def gauge(self) -> tuple[Usage, Mapping[str, float]]:
        """What the run has used up to now, and what is left of each limit."""
        return self._gauge()

    async def start(self) -> SearchResult:
        """Starts a new run.

        Raises:
            UsageError: Something that was given cannot be worked with; nothing was paid, nothing is left
                behind.
            PromptclimbError: The run failed on its way; what it has is kept.
        """
        self._fall_back()
        run_dir = new_run_dir(self._config)
        pool = read_pool(self._config)
        check_run_dir(run_dir)
        try:
            return await self._guarded(run_dir, pool, None)
        finally:
            with suppress(OSError):
                run_dir.rmdir()  # only where nothing was started: a run's folder is not empty

    async def resume(self, run_dir: Path) -> SearchResult:
        """Goes on with a run; the config is the run's own, changed only in what does not decide the result.

        Raises:
            UsageError: The folder holds no run, is in use, or the config differs in what decides the result.
            PromptclimbError: The run failed on its way; what it has is kept.
        """
        with Store.open(run_dir) as store:
            if (done := _finished(run_dir)) is None:
                check_given(run_dir, store.manifest.get("given", {}), self._given)
            store.check_identity({**store.manifest["identity"], **self._config.identity()})
            if done is not None:
                return done
            return await self._guarded(run_dir, read_pool(self._config), store)

    def _fall_back(self) -> None:
        config = self._config
        if config.llm != LOCAL_LLM or config.llm_fallback is None or not config.needs_llm:
            return
        from ..llm.local import is_available

        if self._given_chat is None and (reason := is_available()) is not None:
            method = config.llm_fallback
            self._config = config.model_copy(update={"method": method, "llm": None})
            text = f"the local LLM cannot be used ({reason}): searching without an LLM, by method {method}"
            self._notes["llm_fallback"] = text
            self._tell(Noted(text=text))

    async def _guarded(self, run_dir: Path, pool: list[Template], store: Store | None) -> SearchResult:
        """Runs with the halt in force from the first moment."""
        self.run_dir = run_dir
        main = asyncio.current_task()
        assert main is not None
        try:
            async with asyncio.TaskGroup() as group:
                guard = group.create_task(self._halt.enforce())
                self._halt.watch(main)
                try:
                    return await self._open_all(run_dir, pool, store, group)
                finally:
                    self._halt.release(main)
                    guard.cancel()
        except asyncio.CancelledError:
            if self._halt.cause is None:
                raise
            main.uncancel()
            raise self._halt.cause from None
        except BaseExceptionGroup as several:
            raise single(several) from None

    async def _open_all(
        self, run_dir: Path, pool: list[Template], store: Store | None, group: asyncio.TaskGroup
    ) -> SearchResult:
        config = self._config
        async with open_endpoints(
            config,
            self._environment,
            chat=self._given_chat,
            halt=self._halt,
            scrubber=self._scrubber,
            tell=self._tell,
        ) as endpoints:
            if self._given_evaluator is not None:
                evaluator = as_evaluator(self._given_evaluator, config)
            else:
                evaluator = await open_from_config(config, lambda event: self._tell(event))
            identity = {
                **config.identity(),
                "evaluator": evaluator.info.fingerprint,
                "pool": pool_hash(pool),
                "prompts_version": PROMPTS_VERSION,
            }
            scrub = self._scrubber.scrub_value
            with (
                self._opened_store(run_dir, store, identity) as opened,
                EventLog(run_dir / EVENTS, scrub=scrub) as log,
            ):
                self._tell = to_all(log, self._tell)
                self._announce(run_dir, evaluator, resumed=store is not None)
                ended = await self._climb_all(pool, opened, endpoints, evaluator, group)
                return await self._conclude(run_dir, evaluator, opened, ended)

    @contextmanager
    def _opened_store(
        self, run_dir: Path, store: Store | None, identity: Mapping[str, Any]
    ) -> Iterator[Store]:
        if store is not None:
            store.check_identity(identity)
            write_atomically(run_dir / CONFIG, to_toml(self._config))
            self._notes.update(store.manifest.get("notes", {}))
            yield store
            return
        about = {"identity": identity, "config": self._config.to_public()}
        about |= {"given": self._given, "notes": self._notes}
        with Store.create(run_dir, about) as created:
            write_atomically(run_dir / CONFIG, to_toml(self._config))
            yield created

    async def _climb_all(
        self,
        pool: Sequence[Template],
        store: Store,
        endpoints: list[Endpoint],
        evaluator: Evaluator,
        group: asyncio.TaskGroup,
    ) -> Ended:
        """Runs all climbs to their ends, or to what ends them early."""
        config = self._config
        budget = self._budget(store)
        proposer = self._proposer(endpoints, budget, store)
        async with Consumer(evaluator) as consumer:
            with shared(config, evaluator.info, consumer, proposer, self._given) as (scorer, asker):
                scorebook = Scorebook(store, scorer)
                climbs = [
                    Climb(
                        number,
                        config,
                        pool=pool,
                        scorebook=scorebook,
                        journal=Journal(store, asker, self._halt),
                        halt=self._halt,
                        budget=budget,
                        tell=self._tell,
                    )
                    for number in range(1, config.restarts + 1)
                ]
                crew = Crew(climbs, halt=self._halt, tell=self._tell)
                stop_reason = await crew.run(group, workers=config.concurrency) or unanswered(climbs)
        return Ended(
            records=[climb.record for climb in climbs],
            stop_reason=stop_reason,
            budget=left_of(budget),
            notes=self._notes,
            given={**store.manifest.get("given", {}), **self._given},
        )

    async def _conclude(
        self, run_dir: Path, evaluator: Evaluator, store: Store, ended: Ended
    ) -> SearchResult:
        """Chooses, opens the test split, and writes everything down."""
        result = self._cleaned(await finish(self._config, evaluator, store, ended))
        write_report(run_dir, result, to_toml(self._config))
        write_result(run_dir, result)
        self._tell(
            SearchFinished(
                status=result.status,
                best=result.best.template,
                train=result.best.train,
                test=result.best.test,
                evaluated=result.evaluated,
            )
        )
        return result

    def _budget(self, store: Store) -> Budget:
        config = self._config
        limits = Limits(
            calls=config.max_calls,
            tokens=config.max_tokens,
            cost_usd=config.max_cost,
            minutes=config.max_minutes,
        )
        budget = Budget(limits, spent=store.usage)
        self._gauge = lambda: (store.usage, left_of(budget))
        return budget

    def _proposer(self, endpoints: list[Endpoint], budget: Budget, store: Store) -> Proposer:
        config = self._config
        return Proposer(
            endpoints,
            budget=budget,
            retry=RetryPolicy(
                attempts=config.retry_attempts,
                total_s=config.retry_seconds,
                attempt_s=config.request_timeout,
            ),
            give_up_after_s=60 * config.give_up_after,
            ledger=store,
            on_event=lambda notice: self._tell(ChatNoted(what=notice.name, details=asdict(notice))),
            rng=rng_for(config.seed, "jitter"),
        )

    def _announce(self, run_dir: Path, evaluator: Evaluator, *, resumed: bool) -> None:
        config = self._config
        self._tell(
            SearchStarted(
                run_dir=str(run_dir),
                dataset=evaluator.info.dataset,
                classes=evaluator.info.classes,
                model=f"{evaluator.info.model} ({evaluator.info.pretrained})",
                llm=config.llm if config.needs_llm else None,
                method=config.method,
                climbs=config.restarts,
                steps=config.steps,
                resumed=resumed,
            )
        )

    def _cleaned(self, result: SearchResult) -> SearchResult:
        return SearchResult.from_json(self._scrubber.scrub_value(result.to_json()))


def _finished(run_dir: Path) -> SearchResult | None:
    try:
        result = read_result(run_dir)
    except (OSError, ValueError):
        return None  # missing or torn: the journal has all that it takes to make it again
    return result if result.complete else None
