"""The ``ApiAsk`` of scorers behind an API: answers as they arrive, limits, refusals, the end, no secrets."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.errors import (
    BudgetSpentError,
    EndpointError,
    EvaluationFailedError,
    TransientChatError,
)
from promptclimb.agent.events.types import ChatFailed, Event, Noted
from promptclimb.agent.llm.ask import Endpoint, EndpointAsker
from promptclimb.agent.llm.budget import Budget, Limits, ScorerBudget
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest, JsonAnswer
from promptclimb.agent.llm.scorer import ScorerCalls, open_scorer, scorer_key
from promptclimb.agent.prices import NOTHING, Bill, CallPrice, Price, Spent, TokenUsage
from promptclimb.evaluator.errors import AskingEndedError, ConfigError, UsageError
from promptclimb.evaluator.remote.asking import ApiEstimate, ApiRefusal, ApiReply, ApiRequest
from tests.fakes.clock import run_virtual
from tests.fakes.scorer_server import ScorerOptions, ScorerServer

pytestmark = pytest.mark.usefixtures("short_waits")

KEY = "vnd-4f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c"
T = TypeVar("T")


def question(text: object, **more: Any) -> ApiRequest:
    """One of many different requests."""
    return ApiRequest(path="embeddings", body={"input": [str(text)], "model": "m"}, **more)


def config(url: str, **more: Any) -> SearchConfig:
    """What scores, at an address."""
    return SearchConfig(scorer="embeddings", scorer_url=url, model="m", method="combine", **more)


@asynccontextmanager
async def asking(server: ScorerServer, **more: Any) -> Any:
    """An ``ApiAsk`` of a server."""
    about = {name: more.pop(name) for name in ("emit", "spent") if name in more}
    async with open_scorer(config(server.url, **more), {"SCORER_API_KEY": KEY}, **about) as calls:
        yield calls


async def answers(calls: ScorerCalls, requests: Iterable[ApiRequest]) -> tuple[list[tuple[int, Any]], Any]:
    """All answers, each with its place, and why there were no more; asked as an evaluator asks."""
    left, answered = enumerate(requests), list[tuple[int, Any]]()
    errors: list[AskingEndedError] = []

    async def work() -> None:
        try:
            while not errors:
                async with calls.place():
                    if errors or (numbered := next(left, None)) is None:
                        return
                    answered.append((numbered[0], await calls(numbered[1])))
        except AskingEndedError as error:
            errors.append(error)

    await asyncio.wait([asyncio.create_task(work()) for _ in range(calls.concurrency)])
    return answered, errors[0].__cause__ if errors else None


async def test_callers_share_the_requests_in_flight() -> None:
    """However many templates are scored, as many requests are under way as are allowed."""
    async with ScorerServer(ScorerOptions(latency_s=0.005)) as server:
        async with asking(server, scorer_concurrency=3) as calls:
            work = [
                answers(calls, [question(f"{caller} {number}") for number in range(6)]) for caller in range(4)
            ]
            assert [len(answered) for answered, _why in await asyncio.gather(*work)] == [6] * 4
        assert server.most_in_flight == 3


async def test_an_answer_that_is_not_on_disk_holds_its_place() -> None:
    """What is in flight and what was not written to disk yet are as many together as are allowed."""
    async with ScorerServer() as server, asking(server, scorer_concurrency=1) as calls:
        async with calls.place():
            await calls(question(0))
            others = asyncio.create_task(answers(calls, [question(1)]))
            await asyncio.sleep(0.02)
            assert server.requests == 1
        await others
        assert server.requests == 2


@pytest.mark.parametrize(
    ("fault", "at_once"),
    [("500", 1), ("500", 40), *((f, 8) for f in ("filter", "too_large", "context", "500", "429", "garbage"))],
)
async def test_refused_requests_count_too(fault: str, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most so many are sent, whatever becomes of them; all but a 429 may be billed."""
    monkeypatch.setattr("promptclimb.agent.llm.ask.WaitAsAsked.__call__", lambda *_: 0.0)
    monkeypatch.setattr("promptclimb.agent.llm.limiter.RateLimiter.pause", lambda *_given: None)
    options = ScorerOptions(faults={f"no {number}": fault for number in range(1, 90, 2)})
    async with (
        ScorerServer(options) as server,
        asking(server, scorer_concurrency=at_once, max_scorer_calls=50, scorer_price="1/0") as calls,
    ):
        _answered, why = await answers(
            calls, [question(f"no {number}", prompt_tokens=1000) for number in range(90)]
        )
        spent = calls.budget.spent
    assert isinstance(why, BudgetSpentError)
    assert server.requests == spent.calls == 50
    billed = spent.calls - spent.failed_calls * (fault == "429")
    assert spent.estimated_tokens == billed * 1000
    assert spent.estimated_usd == pytest.approx(billed / 1000)


async def test_money_for_refused_requests_is_limited(tmp_path: Any) -> None:
    """They count as an estimate, in this session and the next."""
    from promptclimb.agent.store.run import Store

    refused = [question(number, prompt_tokens=1000) for number in range(40)]
    async with ScorerServer(ScorerOptions(always="filter", script=("ok",))) as server:
        async with asking(server, scorer_price="1/0", max_cost=0.02, scorer_concurrency=1) as calls:
            with Store.create(tmp_path / "run", {"identity": {}, "config": {}}) as store:
                await calls.write_to(partial(store.put_usage, account="scorer"), 0.0)
                await answers(calls, refused[:10])
        with Store.open(tmp_path / "run") as store:
            spent = store.scorer_usage
        async with asking(
            server, scorer_price="1/0", max_cost=0.02, scorer_concurrency=1, spent=spent
        ) as calls:
            _answered, why = await answers(calls, refused[10:])
            assert why is not None
            assert why.limits == ("cost_usd",)
    assert server.requests == 20


async def test_a_member_that_the_endpoint_refuses_is_left_out() -> None:
    """Also after it was taken before; a bound of the answer is sent under its other name."""
    body = {"model": "m", "max_tokens": 5, "response_format": {"type": "json_object"}, "input": []}
    request = ApiRequest(path="embeddings", body=body, optional=frozenset({"max_tokens", "response_format"}))
    options = ScorerOptions(script=("no_max_tokens", "ok"), faults={"response_format": "no_format"})
    events: list[Event] = []
    async with ScorerServer(options) as server, asking(server, emit=events.append) as calls:
        for _ in range(3):
            async with calls.place():
                assert isinstance(await calls(request), ApiReply)
        assert (server.requests, calls.budget.spent.calls) == (5, 5)
    notes = [event.text for event in events if isinstance(event, Noted)]
    assert any("it refuses response_format, which is left out" in note for note in notes)
    assert any("max_tokens is sent as max_completion_tokens" in note for note in notes)


async def test_what_is_kept_for_the_test_is_left_for_it() -> None:
    """A search stops before it, the final evaluation uses it, and too little is refused at once."""
    tests = [question(f"test {number}") for number in range(10)]
    async with ScorerServer() as server, asking(server, max_scorer_calls=15) as calls:
        with pytest.raises(
            UsageError,
            match=r"`max_scorer_calls = 15` must be at least 22, which the final evaluation may take",
        ):
            calls.keep_for_final(lambda: ApiEstimate(20, 0, 0))
        calls.keep_for_final(lambda: ApiEstimate(10, 0, 0))
        answered, why = await answers(calls, [question(number) for number in range(40)])
        assert (len(answered), type(why)) == (4, BudgetSpentError)
        calls.release()
        answered, why = await answers(calls, tests)
        assert (len(answered), why) == (10, None)
    assert server.requests == 14


async def test_more_is_kept_once_the_test_takes_more_requests() -> None:
    """And nothing any more when the search has chosen."""
    final = [10]
    async with ScorerServer() as server, asking(server, max_scorer_calls=15) as calls:
        calls.keep_for_final(lambda: ApiEstimate(final[0], 0, 0))
        final[0] = 12
        calls.keep_more()
        answered, _why = await answers(calls, [question(number) for number in range(40)])
        assert len(answered) == 2
        calls.release()
        calls.keep_more()
        answered, _why = await answers(calls, [question(f"test {number}") for number in range(40)])
        assert len(answered) == 13


@pytest.mark.parametrize(("is_trial", "attempts"), [(True, 2), (False, 8)])
async def test_a_form_that_is_not_known_gets_two_attempts(
    is_trial: bool, attempts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that then answers 500 does not take it; at one that it takes, it failed. All may be billed."""
    monkeypatch.setattr("promptclimb.agent.llm.ask.WaitAsAsked.__call__", lambda *_: 0.0)
    async with ScorerServer(ScorerOptions(always="500")) as server, asking(server) as calls:
        async with calls.place():
            answer = await calls(question(0, is_trial=is_trial, prompt_tokens=1000))
        assert isinstance(answer, ApiRefusal)
        assert answer.failed is not is_trial
        assert server.requests == attempts
        assert calls.budget.spent.estimated_tokens == 1000 * attempts


@pytest.mark.parametrize("fault", ["filter", "too_large", "context"])
async def test_a_request_that_is_refused_for_what_it_holds_is_an_answer(fault: str) -> None:
    """Even the very first one; the others are answered."""
    options = ScorerOptions(faults={"no 0": fault})
    async with ScorerServer(options) as server, asking(server, scorer_concurrency=1) as calls:
        answered, why = await answers(calls, [question(f"no {number}") for number in range(4)])
    assert why is None
    assert [type(answer) for _place, answer in sorted(answered)] == [ApiRefusal] + [ApiReply] * 3
    refusal = dict(answered)[0]
    assert isinstance(refusal, ApiRefusal)
    assert not refusal.failed
    assert ("scorer_image_size" in refusal.message) == (fault == "too_large")
    assert server.requests == 4


async def test_what_passes_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits with a wait, broken connections, pages, broken JSON, errors in a 200, bodies without end."""
    monkeypatch.setattr("promptclimb.agent.llm.ask.WaitAsAsked.__call__", lambda *_: 0.0)
    faults = ("429", "ok", "cut_off", "html", "garbage", "error_in_200", "503", "500", "huge", "deep")
    async with ScorerServer(ScorerOptions(script=faults)) as server, asking(server) as calls:
        answered, why = await answers(calls, [question(number) for number in range(12)])
        assert (len(answered), why) == (12, None)
        assert all(isinstance(answer, ApiReply) for _place, answer in answered)
        spent = calls.budget.spent
    assert server.requests == 21
    assert (spent.failed_calls, spent.retries) == (9, 9)


async def test_a_request_that_always_fails_is_handed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """One image that crashes the server ends nothing; the evaluator judges it."""
    monkeypatch.setattr("promptclimb.agent.llm.ask.WaitAsAsked.__call__", lambda *_: 0.0)
    monkeypatch.setattr("promptclimb.agent.llm.limiter.RateLimiter.pause", lambda *_given: None)
    options = ScorerOptions(faults={"bad": "500"}, latency_s=0.001)
    async with ScorerServer(options) as server, asking(server, scorer_concurrency=4) as calls:
        answered, why = await answers(calls, [question("bad"), *(question(number) for number in range(200))])
    assert why is None
    assert dict(answered)[0] == ApiRefusal(dict(answered)[0].message, failed=True)
    assert sum(isinstance(answer, ApiReply) for _place, answer in answered) == 200
    assert KEY not in dict(answered)[0].message


@pytest.mark.parametrize(
    ("fault", "advice"), [("wrong_key", "SCORER_API_KEY"), ("no_model", "check `model` and `scorer_url`")]
)
async def test_an_endpoint_that_refuses_everything_is_the_users_to_fix(fault: str, advice: str) -> None:
    """With the options of the scorer, not the LLM's."""
    async with ScorerServer(ScorerOptions(always=fault)) as server, asking(server) as calls:
        answered, why = await answers(calls, [question(number) for number in range(20)])
    assert (answered, type(why)) == ([], EndpointError)
    assert advice in str(why)
    assert "llm" not in str(why)
    assert "OPENAI" not in str(why)


@pytest.mark.parametrize(
    ("fault", "advice"), [("wrong_key", "set SCORER_API_KEY to a key"), ("no_model", "check `model`")]
)
async def test_a_refused_key_later_on_leaves_the_run_to_be_resumed(fault: str, advice: str) -> None:
    """It was right before; its variable is named, not the key."""
    script = ("ok",) * 3
    async with (
        ScorerServer(ScorerOptions(script=script, always=fault)) as server,
        asking(server, scorer_concurrency=1) as calls,
    ):
        answered, why = await answers(calls, [question(number) for number in range(20)])
    assert (len(answered), type(why)) == (3, EvaluationFailedError)
    assert advice in str(why)
    assert KEY not in str(why)


async def test_an_address_where_nothing_listens_is_named() -> None:
    """After a few attempts, which are enough for all requests."""
    events: list[Event] = []
    async with ScorerServer() as server:
        gone = server.url
    async with open_scorer(config(gone), {}, emit=events.append) as calls:
        answered, why = await answers(calls, [question(number) for number in range(20)])
        assert calls.budget.spent.calls == 0
    assert (answered, type(why)) == ([], EndpointError)
    assert "Connection refused" in str(why)
    assert "scorer_url" in str(why)
    assert sum(isinstance(event, ChatFailed) for event in events) <= 8


async def test_closing_ends_what_still_asks() -> None:
    """Requests under way are answered; nothing more is sent."""
    async with ScorerServer(ScorerOptions(latency_s=0.01)) as server:
        async with asking(server) as calls:
            work = asyncio.create_task(answers(calls, [question(number) for number in range(1000)]))
            await server.until(lambda: server.answered >= 10)
        answered, _why = await work
        assert len(answered) == server.answered
        with pytest.raises(AskingEndedError, match="closed"):
            async with calls.place():
                pass


def test_an_address_of_the_llm_that_cannot_be_used_is_named() -> None:
    """Its variable too: nothing has checked it where there is no search."""
    both = {"OPENAI_API_KEY": "of-the-llm", "OPENAI_BASE_URL": "http://h:99999/v1"}
    with pytest.raises(ConfigError, match="OPENAI_BASE_URL: its port must be"):
        scorer_key("http://h/v1", None, both)


def test_the_llms_key_goes_only_where_the_llm_is() -> None:
    """To its host and port."""
    both = {"OPENAI_API_KEY": "of-the-llm"}
    cases = {
        "http://127.0.0.1:8000/v1": ("http://127.0.0.1:8000/other", True),
        "http://127.0.0.1:8001/v1": ("http://127.0.0.1:8000/v1", False),
        "https://api.openai.com/v1": (None, True),
        "http://api.openai.com/v1": (None, False),
        "https://api.openai.com.evil.example/v1": (None, False),
    }
    for url, (base_url, goes) in cases.items():
        assert (scorer_key(url, base_url, both).secret is not None) == goes, url
        assert scorer_key(url, base_url, {**both, "SCORER_API_KEY": "own"}).variable == "SCORER_API_KEY"


async def test_usage_is_read_and_charged() -> None:
    """A total alone belongs to the prompt; without usage, what was declared; a price may be per call."""
    requests = [question(number, prompt_tokens=50) for number in range(4)]
    async with (
        ScorerServer(ScorerOptions(usage={"total_tokens": 7})) as server,
        asking(server, scorer_price="1/100") as calls,
    ):
        await answers(calls, requests)
        spent = calls.budget.spent
    assert (spent.calls, spent.prompt_tokens, spent.completion_tokens, spent.cost_usd) == (4, 28, 0, 28e-6)
    async with ScorerServer() as server, asking(server, scorer_price="1/100") as calls:
        await answers(calls, requests)
        assert calls.budget.spent.estimated_tokens >= 200
    async with ScorerServer() as server, asking(server, scorer_price="0.002/call") as calls:
        await answers(calls, [question(number) for number in range(4)])
        assert calls.budget.spent.cost_usd == 0.008
        assert calls.budget.spent.estimated_tokens == 0


@dataclass
class Charging:
    """A client of either kind that charges as it likes, fails now and then, and remembers what it charged."""

    answer: Callable[[TokenUsage], Any]
    price: Any
    rng: random.Random
    fails: float
    most_tokens: int
    calls: int = 0
    charged: int = 0
    bills: list[int] = field(default_factory=list)

    async def chat(self, request: Any) -> Any:
        await asyncio.sleep(self.rng.uniform(0.01, 3))
        if self.rng.random() < self.fails:
            raise TransientChatError("down", status=503)
        usage = TokenUsage(self.rng.randint(1, self.most_tokens), self.rng.randint(0, self.most_tokens))
        self.calls += 1
        bill = self.price.charge(usage)
        self.charged += bill
        self.bills.append(bill)
        return self.answer(usage)


def json_answer(usage: TokenUsage) -> JsonAnswer:
    """An answer of a scorer."""
    return JsonAnswer(
        body=[], prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens, billed=usage
    )


def chat_answer(usage: TokenUsage) -> ChatAnswer:
    """An answer of an LLM."""
    return ChatAnswer(
        text="x", prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens, billed=usage
    )


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    scorer_price=st.one_of(
        st.builds(CallPrice, call=st.floats(1e-6, 0.01)),
        st.builds(Price, prompt=st.floats(0, 50), completion=st.floats(0, 50)),
    ),
    llm_price=st.builds(Price, prompt=st.floats(0, 50), completion=st.floats(0, 50)),
    dollars=st.floats(0.0005, 0.05),
    most_calls=st.one_of(st.none(), st.integers(1, 60)),
    at_once=st.integers(1, 12),
    fails=st.sampled_from([0.0, 0.2]),
)
def test_llm_and_scorer_together_keep_to_one_limit_of_money(
    seed: int, scorer_price: Any, llm_price: Price, dollars: float, most_calls: int | None, at_once: int,
    fails: float,
) -> None:  # fmt: skip
    """Exceeded by one answer at most; calls never."""

    async def run() -> tuple[Charging, Charging, ScorerBudget]:
        rng = random.Random(seed)
        scorer = Charging(json_answer, scorer_price, rng, fails, most_tokens=100)
        llm = Charging(chat_answer, llm_price, rng, fails, most_tokens=100)
        of_scorer = ScorerBudget(Limits(calls=most_calls, cost_usd=dollars))
        of_llm = Budget(Limits(cost_usd=dollars), shares_cost_with=of_scorer)
        asks: EndpointAsker[ApiRequest, JsonAnswer] = EndpointAsker(
            Endpoint(name="s", client=scorer, price=scorer_price), budget=of_scorer, attempts=50
        )
        chats: EndpointAsker[ChatRequest, ChatAnswer] = EndpointAsker(
            Endpoint(name="l", client=llm, price=llm_price), budget=of_llm, attempts=50
        )
        post = ApiRequest(path="", body={}, prompt_tokens=100, max_tokens=100)

        async def until_spent(ask: Callable[[], Any]) -> None:
            for _ in range(80):
                try:
                    await ask()
                except BudgetSpentError:
                    return

        chat = ChatRequest(messages=({"role": "user", "content": "x" * 300},), model="m", max_tokens=100)
        await asyncio.gather(
            *(until_spent(lambda: asks.ask(post)) for _ in range(at_once)),
            *(until_spent(lambda: chats.ask(chat)) for _ in range(2)),
        )
        assert (of_scorer.reserved, of_llm.reserved) == (NOTHING, NOTHING)
        return scorer, llm, of_scorer

    scorer, llm, budget = run_virtual(run())
    assert most_calls is None or scorer.calls <= most_calls
    total, limit = scorer.charged + llm.charged, round(dollars * 10**12)
    assert total <= limit + max([0, *scorer.bills, *llm.bills])
    assert budget.spent.calls == scorer.calls


async def test_what_a_scorer_costs_before_there_is_a_store_is_written_once_there_is(tmp_path: Any) -> None:
    """A reservation that is open then is written too."""
    from promptclimb.agent.store.run import Store

    async with (
        ScorerServer(ScorerOptions(latency_s=0.01)) as server,
        asking(server, max_scorer_calls=100) as calls,
    ):
        await answers(calls, [question(number) for number in range(5)])
        work = asyncio.create_task(answers(calls, [question(f"later {number}") for number in range(8)]))
        await server.until(lambda: server.requests >= 8)
        with Store.create(tmp_path / "run", {"identity": {}, "config": {}}) as store:
            await calls.write_to(partial(store.put_usage, account="scorer"), 0.0)
            assert store.scorer_usage.calls >= 5
            await work
            assert (store.scorer_usage.calls, store.usage.calls) == (13, 0)
            await store.put_usage(Bill(Spent(calls=1)))
    with Store.open(tmp_path / "run") as store:
        assert (store.scorer_usage.calls, store.usage.calls) == (13, 1)
