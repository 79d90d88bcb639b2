"""What a reply holds: the answer, in one piece or streamed, and what the vendor says that it billed."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import pairwise
from typing import Any

import httpx2
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.errors import RateLimitedError, TransientChatError, UnusableAnswerError
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.llm.client import OpenAIChat
from promptclimb.agent.llm.replies import billed, joined_stream, read_answer
from promptclimb.agent.prices import TokenUsage
from promptclimb.agent.secrets import Scrubber
from tests.fakes.served import served

SUMS = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (SUMS, TokenUsage(100, 20)),
        (
            SUMS
            | {
                "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30, "audio_tokens": 7},
                "completion_tokens_details": {"reasoning_tokens": 15, "audio_tokens": 0},
            },
            TokenUsage(100, 20, cached_tokens=60, cache_written_tokens=30, reasoning_tokens=15),
        ),
        (
            SUMS | {"total_tokens": 150, "completion_tokens_details": {"reasoning_tokens": 30}},
            TokenUsage(100, 50, reasoning_tokens=30),
        ),
        ({**SUMS, "total_tokens": 150}, TokenUsage(100, 50)),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 5,
                "completion_tokens_details": {"reasoning_tokens": 30},
            },
            TokenUsage(9, 35, reasoning_tokens=30),
        ),
        (
            SUMS | {"prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36},
            TokenUsage(100, 20, cached_tokens=64),
        ),
        (SUMS | {"cached_tokens": 50}, TokenUsage(100, 20, cached_tokens=50)),
        (
            {
                "input_tokens": 4,
                "output_tokens": 20,
                "cache_read_input_tokens": 70,
                "cache_creation_input_tokens": 26,
                "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 6},
            },
            TokenUsage(100, 20, cached_tokens=70, cache_written_tokens=26, cache_1h_tokens=6),
        ),
        (
            SUMS | {"cache_read_input_tokens": 70, "cache_creation_input_tokens": 26},
            TokenUsage(100, 20, cached_tokens=70, cache_written_tokens=26),
        ),
        (
            {"prompt_tokens": 4, "completion_tokens": 20, "total_tokens": 24, "cache_read_input_tokens": 96},
            TokenUsage(100, 20, cached_tokens=96),
        ),
        (
            {"prompt_tokens": 40, "completion_tokens": 20, "total_tokens": 90, "cache_read_input_tokens": 30},
            TokenUsage(70, 20, cached_tokens=30),
        ),
        (
            {"prompt_tokens": 40, "completion_tokens": 20, "cache_read_input_tokens": 30},
            TokenUsage(70, 20, cached_tokens=30),
        ),
        (SUMS | {"cost": 0.00014}, TokenUsage(100, 20, vendor_picodollars=140_000_000)),
        (SUMS | {"cost": 0}, TokenUsage(100, 20, vendor_picodollars=0)),
        (
            SUMS | {"cost": 0.95, "cost_details": {"upstream_inference_cost": 19}},
            TokenUsage(100, 20, vendor_picodollars=19_950_000_000_000),
        ),
        (
            SUMS | {"cost": 0.02, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.02}},
            TokenUsage(100, 20, vendor_picodollars=20_000_000_000),
        ),
        (SUMS | {"cost_in_usd_ticks": 37_756_000}, TokenUsage(100, 20, vendor_picodollars=3_775_600_000)),
        (
            SUMS | {"cost": 0.5, "cost_in_usd_ticks": 0},
            TokenUsage(100, 20, vendor_picodollars=500_000_000_000),
        ),
        (SUMS | {"cost": 0.01, "is_byok": True}, TokenUsage(100, 20, vendor_picodollars=10**10, is_fee=True)),
        (
            SUMS | {"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": None}},
            TokenUsage(100, 20, vendor_picodollars=0, is_fee=True),
        ),
        (
            SUMS
            | {
                "cost": 0.01,
                "is_byok": True,
                "cost_details": {
                    "upstream_inference_cost": None,
                    "upstream_inference_prompt_cost": 0.01,
                    "upstream_inference_completions_cost": 0.02,
                },
            },
            TokenUsage(100, 20, vendor_picodollars=4 * 10**10),
        ),
        (
            {"prompt_tokens": "100", "completion_tokens": 20, "cost": "0.002"},
            TokenUsage(100, 20, vendor_picodollars=2 * 10**9),
        ),
        ({"prompt_tokens": 0, "input_tokens": 100, "output_tokens": 20}, TokenUsage(100, 20)),
        (SUMS | {"cost": -1, "cost_in_usd_ticks": float("nan")}, TokenUsage(100, 20)),
        ({"cost": 1.0}, TokenUsage(vendor_picodollars=10**12, is_part=True)),
        *(
            (
                SUMS | {"cost": 0.01, "is_byok": flag, "cost_details": {"upstream_inference_cost": upstream}},
                TokenUsage(100, 20, vendor_picodollars=picodollars),
            )
            for flag, upstream, picodollars in (
                ("true", 0.005, 15 * 10**9),
                (1, 0.005, 15 * 10**9),
                (False, 0.03, 3 * 10**10),
                ("0", 0.03, 3 * 10**10),
                ("?", 0.03, 4 * 10**10),
            )
        ),
        (
            SUMS | {"cost": {"request_cost": 0.012, "output_tokens_cost": 0.001, "total_cost": 0.013}},
            TokenUsage(100, 20, vendor_picodollars=13 * 10**9),
        ),
        (
            SUMS | {"cost": {"request_cost": 0.012, "output_tokens_cost": "0.001", "context": "low"}},
            TokenUsage(100, 20, vendor_picodollars=13 * 10**9),
        ),
        (SUMS | {"cost": {"context": "low"}}, TokenUsage(100, 20)),
    ],
    ids=[
        *("OpenAI", "OpenAI, all kinds", "xAI", "Gemini", "no total", "DeepSeek", "Moonshot", "Anthropic"),
        *("LiteLLM", "beside: too many", "beside: the total", "beside: nobody says", "OpenRouter"),
        *("OpenRouter, free", "OpenRouter, own key", "OpenRouter, not own key", "xAI, ticks"),
        *("two reports", "a fee alone", "no cost of the own key's", "its cost in parts", "texts"),
        *("two names", "impossible costs", "a cost alone", "own key, a text", "own key, a number"),
        *("dearer, though not own key", "not own key, a text", "own key, a riddle"),
        *("Perplexity", "parts without a total", "no sum"),
    ],
)
def test_each_vendor_is_understood(usage: dict[str, Any], expected: TokenUsage) -> None:
    """Cached and thought tokens are parts of the sums, wherever the vendor counts them; costs are exact."""
    assert billed({"usage": usage}) == expected


@pytest.mark.parametrize(
    "usage", [None, [], "12", {}, {"prompt_tokens": 0}, {"cost": 0}, {"prompt_tokens": True}]
)
def test_what_says_nothing_is_no_bill(usage: object) -> None:
    """The reservation is billed instead: no answer is made of no tokens."""
    assert billed({"usage": usage}) is None


def test_the_service_tier_is_read_from_either_place() -> None:
    """OpenAI says it of the reply, Anthropic of the usage."""
    replies = [{"usage": SUMS, "service_tier": "flex"}, {"usage": SUMS | {"service_tier": "priority"}}]
    usages = [billed(reply) for reply in replies]
    assert [usage and usage.service_tier for usage in usages] == ["flex", "priority"]


NAMES = (
    *("prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens", "cached_tokens"),
    *("cache_read_input_tokens", "cache_creation_input_tokens", "prompt_cache_hit_tokens", "cost"),
    *("reasoning_tokens", "prompt_tokens_details", "completion_tokens_details", "cost_in_usd_ticks"),
    *("cost_details", "upstream_inference_cost", "cache_write_tokens", "is_byok"),
)
ODD = st.sampled_from([10**400, True, None, "7", []])
USAGE = st.recursive(
    st.integers(-5, 10**6) | st.floats() | ODD,
    lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=8),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(NAMES), USAGE))
def test_whatever_comes_is_read_and_its_parts_are_parts(usage: dict[str, Any]) -> None:
    """Nothing raises; kinds are never more than what they are kinds of, and no sum is below a vendor's."""
    bill = billed({"usage": usage})
    if bill is None:
        return
    assert bill.possible
    total = usage.get("total_tokens")
    if isinstance(total, int) and not isinstance(total, bool):
        assert bill.total >= min(total, 10**15)


ANSWER = "- a photo of a {}\n- the {}, seen\u2028twice"
BILLED = {"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14}
EVENT_STREAM = {"content-type": "text/event-stream; charset=utf-8"}


def event(delta: dict[str, Any] | None = None, reason: str | None = None, **more: Any) -> str:
    """One event of a stream."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": reason}]
    return f"data: {json.dumps({'choices': choices, **more}, ensure_ascii=False)}\n\n"


def stream(*events: str) -> bytes:
    """A stream with the mark of its end."""
    return "".join([*events, "data: [DONE]\n\n"]).encode()


def read(body: bytes, headers: dict[str, str] | None = None) -> ChatAnswer:
    """The answer in a reply of these bytes."""
    return read_answer(httpx2.Response(200, headers=headers or EVENT_STREAM, content=body), Scrubber())


@given(st.lists(st.integers(1, len(ANSWER) - 1), max_size=6))
def test_however_an_answer_is_cut_into_pieces_it_is_whole(cuts: list[int]) -> None:
    """Text, reason, model and usage."""
    places = sorted({0, *cuts, len(ANSWER)})
    pieces = [event({"content": ANSWER[start:end]}) for start, end in pairwise(places)]
    answer = read(
        stream(
            ": wait\n\n", *pieces, event({}, "stop", model="m", usage=None), event(usage=BILLED, model="m")
        )
    )
    assert (answer.text, answer.finish_reason, answer.model) == (ANSWER, "stop", "m")
    assert answer.billed == TokenUsage(5, 9)


@pytest.mark.parametrize(
    "thoughts",
    [
        [{"reasoning_content": "h"}, {"reasoning_content": "m", "content": None}],
        [{"content": "<think>h"}, {"content": "m</think>"}],
        [{"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}],
    ],
)
def test_thoughts_in_pieces_are_no_part_of_the_answer(thoughts: list[dict[str, Any]]) -> None:
    """Beside the content, in it, and as parts."""
    answer = read(stream(*map(event, thoughts), event({"content": "- the {}"}), event({}, "stop")))
    assert answer.text == "- the {}"


def test_an_answer_that_was_cut_in_its_stream_is_unusable() -> None:
    """The connection may be closed as if all had come."""
    cut = event({"content": "- a {}\n- the"}).encode()
    assert joined_stream(cut) is None
    with pytest.raises(UnusableAnswerError, match="cut short"):
        read(cut)


@pytest.mark.parametrize(
    ("usages", "expected"),
    [
        ([{"prompt_tokens": 50, "completion_tokens": 1}, {"completion_tokens": 30}], TokenUsage(50, 30)),
        (
            [SUMS, None, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, {}],
            TokenUsage(100, 20),
        ),
        (
            [SUMS | {"cost": 0.02}, SUMS | {"cost": 0}, SUMS],
            TokenUsage(100, 20, vendor_picodollars=2 * 10**10),
        ),
        (
            [
                SUMS | {"completion_tokens_details": {"reasoning_tokens": 9}},
                {"completion_tokens_details": {}},
            ],
            TokenUsage(100, 20, reasoning_tokens=9),
        ),
        ([SUMS, [], False, "none", 7], TokenUsage(100, 20)),
        (
            [
                SUMS | {"cost": 0.01, "is_byok": "true", "cost_details": {"upstream_inference_cost": 0.005}},
                {"is_byok": False, "cost_details": []},
            ],
            TokenUsage(100, 20, vendor_picodollars=15 * 10**9),
        ),
        (
            [SUMS | {"cost": 0.01, "is_byok": 0}, {"is_byok": True}],
            TokenUsage(100, 20, vendor_picodollars=10**10, is_fee=True),
        ),
    ],
    ids=[
        *("as Anthropic counts", "zeros at the end", "a cost before", "parts", "no objects at the end"),
        *("a flag before", "a flag at the end"),
    ],
)
def test_the_highest_count_of_a_stream_is_billed(usages: list[object], expected: TokenUsage) -> None:
    """Each for its own: what an earlier event reported is not taken back by a later one."""
    pieces = [event({"content": "- a {}"}, "stop", usage=usages[0])]
    answer = read(stream(*pieces, *(event(usage=usage) for usage in usages[1:])))
    assert answer.billed == expected


def test_what_was_written_before_an_answer_broke_off_is_estimated() -> None:
    """Without usage it may have been billed; an error in place of an answer was not."""
    broken = f"data: {json.dumps({'error': {'code': 502, 'message': 'provider failed'}})}\n\n"
    for before, written in ((event({"content": "- a {}, " * 400}), 800), ("", 0)):
        with pytest.raises(TransientChatError) as failed:
            read((before + broken).encode())
        assert failed.value.perhaps_billed == bool(written)
        assert failed.value.written >= written


@pytest.mark.parametrize("before", [(), (event({"content": "- a {}"}),)])
def test_an_error_in_a_stream_is_that_error(before: tuple[str, ...]) -> None:
    """At once, or after half an answer."""
    refused = f"data: {json.dumps({'error': {'code': 429, 'message': 'slow down'}})}\n\n"
    with pytest.raises(RateLimitedError):
        read(stream(*before, refused))


@given(st.binary(max_size=60), st.sampled_from([b"data:", b"data: {}\n", b'data: {"choices": [{"delta":']))
def test_whatever_a_stream_holds_it_is_read(body: bytes, opening: bytes) -> None:
    """There is an answer, or a reason for its absence."""
    with suppress(UnusableAnswerError):
        assert read(opening + body).text


async def test_a_server_that_streams_whatever_is_asked_is_understood() -> None:
    """By the name of its content or, where that is wrong, by how it begins."""

    async def handle(request: web.Request) -> web.Response:
        kind = "text/event-stream" if len(seen) else "application/json"
        seen.append(await request.json())
        return web.Response(body=stream(event({"content": "- a {}"}, "stop")), content_type=kind)

    seen: list[dict[str, Any]] = []
    request = ChatRequest(messages=({"role": "user", "content": "templates, please"},), model="m")
    async with served(handle) as url, OpenAIChat(url) as chat:
        texts = [(await chat.chat(request)).text for _ in range(2)]
    assert texts == ["- a {}", "- a {}"]
    assert "stream" not in seen[0]
