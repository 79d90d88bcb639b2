"""Limits of a suite: they hold over all runs in its folder, whatever became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.errors import UnusableAnswerError
from promptclimb.agent.prices import Bill, Spent, TokenUsage
from promptclimb.agent.results.run_dir import STORE, stored_config
from promptclimb.agent.search.opening import RunRequest
from promptclimb.agent.search.run import resume_run
from promptclimb.agent.store.run import Store
from promptclimb.agent.study.grid import Cell
from promptclimb.agent.study.runs import (
    NotRun,
    SearchEnd,
    SharedLimits,
    Stopped,
    run_search,
    with_limits_of_all,
)
from promptclimb.evaluator.errors import UsageError
from tests.fakes.evaluators import FakeEvaluator
from tests.fakes.small_result import small_result

SMALL: Mapping[str, Any] = {"restarts": 1, "conversations": 1, "rounds": 2, "initial": 5, "concurrency": 1}


class Chat:
    """An LLM that counts how often it is asked."""

    def __init__(self) -> None:
        self.calls = 0

    def chat(self, _messages: Sequence[Mapping[str, str]]) -> str:
        """Another template each time."""
        self.calls += 1
        return f"- picture {self.calls} of a {{}}"


def cells(folder: Path, count: int = 3, **limits: Any) -> list[Cell]:
    """Searches of two calls each."""
    return [
        Cell(
            data="d",
            shots=None,
            seed=seed,
            model="RN-pico",
            method="pn",
            llm="m",
            run_dir=folder / f"s{seed}",
            config=SearchConfig(
                data="d", llm="m", method="pn", seed=seed, run_dir=folder / f"s{seed}", **SMALL, **limits
            ),
        )
        for seed in range(1, count + 1)
    ]


def session(config: SearchConfig, chat: Chat) -> RunRequest:
    """What a suite opens, without a model or an endpoint."""
    return RunRequest(config=config, evaluator=FakeEvaluator(), chat=chat)


def run_suite(folder: Path, chat: Chat, *, jobs: int = 1, **limits: Any) -> list[SearchEnd]:
    """One command of a suite."""

    async def run() -> list[SearchEnd]:
        shared, places = SharedLimits(folder, jobs), asyncio.Semaphore(jobs)

        async def run_one(cell: Cell) -> SearchEnd:
            async with places:
                return await run_search(cell, shared, lambda config: session(config, chat))

        async with asyncio.timeout(60):
            return await asyncio.gather(*map(run_one, cells(folder, **limits)))

    return asyncio.run(run())


def states(results: Sequence[SearchEnd]) -> list[str]:
    """How each search stands."""
    return [end.status for end in results]


def used(folder: Path, *bills: Bill, reserved: Spent | None = None) -> None:
    """A run that was killed: it has a store, and no result."""

    async def write(store: Store) -> None:
        for bill in bills:
            await store.put_usage(bill)
        if reserved is not None:
            await store.put_usage(Bill.reserving(reserved))

    with Store.create(folder, {"identity": {}}) as store:
        asyncio.run(write(store))


@pytest.mark.parametrize("jobs", [1, 3])
def test_calls_are_limited_over_the_whole_suite_and_all_its_sessions(tmp_path: Path, jobs: int) -> None:
    """Three calls of six are made, by the first command; the second makes none, a higher limit the rest."""
    chat = Chat()
    first = run_suite(tmp_path, chat, jobs=jobs, max_calls=3)
    assert (chat.calls, states(first)) == (3, ["finished", "stopped", "not run"])
    assert not (tmp_path / "s3").exists()
    again = run_suite(tmp_path, chat, jobs=jobs, max_calls=3)
    assert (chat.calls, states(again)) == (3, ["finished", "stopped", "not run"])
    reason = "the limit of 3 calls over the whole suite is reached"
    assert (again[1].stop_reason, again[2].reason) == (reason, reason)  # type: ignore[union-attr]
    assert states(run_suite(tmp_path, chat, jobs=jobs, max_calls=6)) == ["finished"] * 3
    assert chat.calls == 6


class Together(Chat):
    """Answers once all searches have asked, and fails at first as often as the test says."""

    def __init__(self, parties: int, failures: int = 0) -> None:
        super().__init__()
        self.first = asyncio.Barrier(parties)
        self.failures = failures

    async def chat(self, messages: Sequence[Mapping[str, str]]) -> str:  # type: ignore[override]
        """Wait for the others at their first request."""
        if self.calls + self.first.n_waiting < self.first.parties:
            await self.first.wait()
        if self.failures:
            self.failures -= 1
            self.calls += 1
            raise UnusableAnswerError("none", reason="no_content", usage=TokenUsage(1, 1))
        return super().chat(messages)


@pytest.mark.parametrize("limits", [{}, {"max_calls": 6}])
def test_searches_run_at_once_if_the_limits_allow_all_of_them(tmp_path: Path, limits: dict[str, int]) -> None:
    """No one waits for another to end."""
    chat = Together(3)
    assert states(run_suite(tmp_path, chat, jobs=3, **limits)) == ["finished"] * 3
    assert chat.calls == 6


def test_a_search_that_takes_more_than_its_bound_has_what_the_others_leave(tmp_path: Path) -> None:
    """A billed answer that cannot be used takes a call; two searches at once are bound to two each."""
    chat = Together(2, failures=1)
    ends = run_suite(tmp_path, chat, jobs=2, max_calls=7)
    assert (states(ends), chat.calls) == (["finished"] * 3, 7)


async def test_searches_at_once_share_what_a_minute_allows(tmp_path: Path) -> None:
    """And the requests in flight; of a limit on time nobody knows its part, so one has all of it."""
    (first, second, _) = (
        cell.config.model_copy(update={"concurrency": 7})
        for cell in cells(tmp_path, rpm=60, tpm=900, max_calls=9)
    )
    shared = SharedLimits(tmp_path, 3)
    async with shared.turn(first, whole=False) as (config, is_part):
        assert (config.rpm, config.tpm, config.concurrency, config.max_calls, is_part) == (
            20,
            300,
            2,
            2,
            True,
        )
        async with shared.turn(second, whole=False) as (config, is_part):
            assert (config.max_calls, is_part) == (2, True)
    async with shared.turn(first.model_copy(update={"max_minutes": 2.0}), whole=False) as (config, is_part):
        assert (config.max_calls, config.max_minutes, is_part) == (9, 2.0, False)


def test_a_search_of_a_suite_can_be_resumed_by_itself(tmp_path: Path) -> None:
    """It keeps to what the suite left for it, and continues with more."""
    chat = Chat()
    run_suite(tmp_path, chat, max_calls=3)
    stored = stored_config(tmp_path / "s2")
    stopped = asyncio.run(resume_run(session(stored, chat), tmp_path / "s2"))
    assert (stopped.status, chat.calls) == ("stopped", 3)
    more = stored_config(tmp_path / "s2", {"max_calls": 2})
    assert asyncio.run(resume_run(session(more, chat), tmp_path / "s2")).status == "finished"
    assert states(run_suite(tmp_path, chat, max_calls=6)) == ["finished"] * 3


def test_once_a_request_finds_no_room_no_other_search_begins(tmp_path: Path) -> None:
    """Some tokens are left, which none of them could use."""
    chat = Chat()
    results = run_suite(tmp_path, chat, max_tokens=10)
    assert (chat.calls, states(results)) == (0, ["stopped", "not run", "not run"])
    assert isinstance(results[1], NotRun)
    assert results[1].reason == "the next request may exceed the limit of 10 tokens over the whole suite"


def test_limits_are_known_by_what_stopped_a_run_and_not_by_its_words(tmp_path: Path) -> None:
    """One call is one call; of several limits each is named."""
    chat = Chat()
    results = run_suite(tmp_path, chat, max_calls=1)
    assert results[0].limits == ("calls",)  # type: ignore[union-attr]  # the first one is run
    assert isinstance(results[1], NotRun)
    assert results[1].reason == "the limit of 1 call over the whole suite is reached"
    odd = small_result(status="stopped", stop_reason="nothing of the kind", limits=("calls", "cost_usd"))
    reason = with_limits_of_all(
        cells(tmp_path, max_calls=1200, max_cost=2.0, price="1/1")[0].config, odd
    ).stop_reason
    assert reason == "the limits of 1,200 calls and 2 US dollars over the whole suite are reached"
    unlimited = with_limits_of_all(cells(tmp_path)[0].config, odd)
    assert unlimited == odd


def test_money_that_is_left_is_not_called_spent(tmp_path: Path) -> None:
    """The next request may exceed the limit on cost; a limit of the run's own keeps its sentence."""
    (cell,) = cells(tmp_path, count=1, max_calls=3, max_cost=1.0, price="1/1")
    left = {"calls": 0, "cost_usd": 0.25}
    near = small_result(status="stopped", stop_reason="", limits=("cost_usd", "calls"), budget=left)
    assert with_limits_of_all(cell.config, near).stop_reason == (
        "the limit of 3 calls over the whole suite is reached, "
        "and the next request may exceed the limit of 1 US dollar over the whole suite"
    )
    own = small_result(status="stopped", stop_reason="the scorer's", limits=("scorer_calls",))
    assert with_limits_of_all(cell.config, own) == own


def test_what_needs_no_llm_waits_for_time_alone(tmp_path: Path) -> None:
    """A limit on calls does not keep method random from running."""
    chat = Chat()
    (first, *_) = cells(tmp_path, max_calls=0)
    shared = SharedLimits(tmp_path)
    assert shared.reached(first.config) == ["calls"]
    assert shared.reached(first.config.model_copy(update={"method": "random"})) == []
    timed = first.config.model_copy(update={"method": "random", "max_minutes": 0.0})
    assert shared.reached(timed) == ["minutes"]
    assert chat.calls == 0


def test_interrupted_runs_and_estimated_costs_count(tmp_path: Path) -> None:
    """What a killed run had in flight may have been billed; each run gets what the others leave."""
    used(
        tmp_path / "s1",
        Bill(Spent(calls=2, prompt_tokens=100, completion_tokens=20, picodollars=3 * 10**11, active_s=30.0)),
        Bill(Spent(calls=1, estimated_tokens=50, estimated_picodollars=10**11)),
        reserved=Spent(calls=1, estimated_tokens=30, estimated_picodollars=10**11),
    )
    limits = {"max_calls": 10, "max_tokens": 1000, "max_cost": 2.0, "max_minutes": 9.0, "price": "1/2"}
    first, second, _ = cells(tmp_path, **limits)
    shared = SharedLimits(tmp_path)
    assert shared.share(first.config) == first.config
    share = shared.share(second.config)
    assert (share.max_calls, share.max_tokens, share.max_cost) == (6, 800, 1.5)
    assert share.max_minutes == pytest.approx(8.5, abs=0.1)


def test_without_limits_no_other_run_is_looked_at(tmp_path: Path) -> None:
    """A search of the suite is then one like any other, whatever lies beside it."""
    (tmp_path / "old" / STORE).mkdir(parents=True)
    for cell in cells(tmp_path):
        assert SharedLimits(tmp_path).share(cell.config) == cell.config
        assert SharedLimits(tmp_path).reached(cell.config) == []
    with pytest.raises(UsageError, match="old"):
        SharedLimits(tmp_path).reached(cells(tmp_path, max_calls=1)[0].config)


def test_what_a_failed_run_has_used_counts(tmp_path: Path) -> None:
    """Its calls are taken from what the next ones may make, in the same command too."""

    class Fails(FakeEvaluator):
        """Scores the initial templates, and nothing once the LLM has said something."""

        def score(self, templates: Sequence[str]) -> Any:
            """Fail at an answer."""
            if any("picture" in template for template in (*sum(self.batches, ()), *templates)):
                self.batches.append(tuple(templates))
                raise RuntimeError("boom")
            return super().score(templates)

    async def run() -> list[SearchEnd]:
        shared, chat = SharedLimits(tmp_path), Chat()
        return [
            await run_search(
                cell, shared, lambda config: RunRequest(config=config, evaluator=Fails(), chat=chat)
            )
            for cell in cells(tmp_path, max_calls=1)
        ]

    failed, *others = asyncio.run(run())
    assert isinstance(failed, Stopped)
    assert (failed.usage.calls, "boom" in failed.reason) == (1, True)
    assert [end.status for end in others] == ["not run", "not run"]
