"""Answers in pieces: the same as if they had come whole, and none where their end is missing."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.errors import RateLimitedError, UnusableAnswerError
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.llm.client import OpenAIChat
from promptclimb.agent.llm.replies import RawReply, joined_stream, read_answer
from promptclimb.agent.prices import TokenUsage
from promptclimb.agent.secrets import Scrubber

ANSWER = "- a photo of a {}\n- the {}, seen\u2028twice"
USAGE = {"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14}
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
    return read_answer(RawReply(200, headers or EVENT_STREAM, body), Scrubber())


@given(st.lists(st.integers(1, len(ANSWER) - 1), max_size=6))
def test_however_an_answer_is_cut_into_pieces_it_is_whole(cuts: list[int]) -> None:
    """Text, reason, model and usage."""
    places = sorted({0, *cuts, len(ANSWER)})
    pieces = [event({"content": ANSWER[one:two]}) for one, two in pairwise(places)]
    answer = read(
        stream(": wait\n\n", *pieces, event({}, "stop", model="m", usage=None), event(usage=USAGE, model="m"))
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
    assert (answer.text, answer.thought) == ("- the {}", True)


def test_an_answer_that_was_cut_in_its_stream_is_unusable() -> None:
    """The connection may be closed as if all had come."""
    cut = event({"content": "- a {}\n- the"}).encode()
    assert joined_stream(cut) is None
    with pytest.raises(UnusableAnswerError, match="cut short"):
        read(cut)


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
    app = web.Application()
    app.router.add_post("/v1/chat/completions", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    request = ChatRequest(messages=({"role": "user", "content": "templates, please"},), model="m")
    async with OpenAIChat(f"http://127.0.0.1:{runner.addresses[0][1]}/v1") as chat:
        texts = [(await chat.chat(request)).text for _ in range(2)]
    await runner.cleanup()
    assert texts == ["- a {}", "- a {}"]
    assert "stream" not in seen[0]
