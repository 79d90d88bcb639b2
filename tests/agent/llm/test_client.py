"""The OpenAI-compatible client, against a real server on loopback and the SDK's real exceptions."""

from __future__ import annotations

import hashlib
import json
import traceback
import tracemalloc
import zlib
from dataclasses import replace
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai
import pytest
from aiohttp import web

from promptclimb.agent.errors import (
    BadRequestError,
    ChatError,
    ContextTooLongError,
    FlaggedRequestError,
    KeyRejectedError,
    ModelNotFoundError,
    QuotaSpentError,
    RateLimitedError,
    TransientChatError,
    UnusableAnswerError,
)
from promptclimb.agent.events.types import Event
from promptclimb.agent.llm.chat import HASHED_MAX_TOKENS, ChatRequest
from promptclimb.agent.llm.client import MAX_FAILURE, OpenAIChat, translate
from promptclimb.agent.llm.refusals import failure_of
from promptclimb.agent.llm.replies import MAX_BODY
from promptclimb.agent.prices import TokenUsage
from promptclimb.agent.secrets import Scrubber
from tests.fakes.chat_server import ChatServer, ServerOptions
from tests.fakes.looks import preflight
from tests.fakes.recorded import adapting
from tests.fakes.served import Handler, served

KEY = "sk-proj-0123456789abcdefABCDEF"
REQUEST = ChatRequest(messages=({"role": "user", "content": "templates, please"},), model="fake", seed=7)


async def fails(server: ChatServer, key: str | None = None) -> ChatError:
    """The error of one attempt."""
    async with OpenAIChat(server.base_url, key) as chat:
        with pytest.raises(ChatError) as caught:
            await chat.chat(REQUEST)
    return caught.value


async def test_an_answer_carries_text_usage_and_rate_limit_headers() -> None:
    """A completion becomes a value with what it cost and what the endpoint says of its limits."""
    async with ChatServer(ServerOptions(rpm=100)) as server, OpenAIChat(server.base_url) as chat:
        answer = await chat.chat(REQUEST)
    assert answer.text.startswith("- a ")
    assert answer.usage.total == server.statistics.tokens > 0
    assert answer.headers["x-ratelimit-remaining-requests"] == "99"
    assert server.seen[0]["body"] == {
        "messages": [{"role": "user", "content": "templates, please"}],
        "model": "fake",
        "max_tokens": 1024,
        "temperature": 1.0,
        "seed": 7,
    }


async def test_credentials_in_the_address_are_sent_and_never_shown() -> None:
    """`user:password@` becomes basic authentication and leaves the address."""
    async with ChatServer() as server:
        url = server.base_url.replace("http://", "http://someone:hunter2hunter2@")
        async with OpenAIChat(url) as chat:
            await chat.chat(REQUEST)
            assert "hunter2" not in repr(chat) + chat.base_url
    assert server.seen[0]["headers"]["Authorization"] == "Basic c29tZW9uZTpodW50ZXIyaHVudGVyMg=="


@pytest.mark.parametrize(
    ("fault", "kind", "usage"),
    [
        ("500", TransientChatError, False), ("503", TransientChatError, False),
        ("cut_off", TransientChatError, False), ("drip", TransientChatError, False),
        ("truncated", TransientChatError, False), ("429", RateLimitedError, False),
        ("429_bare", RateLimitedError, False), ("quota", QuotaSpentError, False),
        ("wrong_key", KeyRejectedError, False), ("no_model", ModelNotFoundError, False),
        ("bad_request", BadRequestError, False), ("html", UnusableAnswerError, False),
        ("garbage", UnusableAnswerError, False), ("no_choices", UnusableAnswerError, True),
        ("null", UnusableAnswerError, True), ("length", UnusableAnswerError, True),
        ("filter", UnusableAnswerError, True), ("refusal", UnusableAnswerError, True),
    ],
)  # fmt: skip
async def test_each_fault_becomes_its_error(fault: str, kind: type[ChatError], usage: bool) -> None:
    """Each fault of an endpoint has its error, with the usage that an unusable answer was billed."""
    async with ChatServer(ServerOptions(script=(fault,) * 3)) as server:
        error = await fails(server)
    assert type(error) is kind
    assert error.__cause__ is not None or isinstance(error, UnusableAnswerError)
    assert (error.usage is not None) == usage
    if usage:
        assert error.usage == TokenUsage(7, server.statistics.tokens - 7)


async def test_an_endpoint_that_is_down_was_not_paid() -> None:
    """A refused connection cannot have been billed; a cut one can."""
    async with ChatServer(ServerOptions(script=("cut_off",))) as server:
        cut = await fails(server)
    down = await fails(server)
    assert isinstance(down, TransientChatError)
    assert (cut.perhaps_billed, down.perhaps_billed) == (True, False)
    # The SDK would call it a timeout.
    assert str(down) == f"no connection to 127.0.0.1:{urlsplit(server.base_url).port} (Connection refused)"


async def test_the_key_is_in_no_error_even_when_the_endpoint_echoes_it() -> None:
    """Neither the error, nor what it was raised from, nor the traceback shows the key."""
    async with ChatServer(ServerOptions(script=("echo_key",))) as server:
        error = await fails(server, KEY)
    shown = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
    shown += repr(error.__cause__) + repr(getattr(error.__cause__, "body", ""))
    assert isinstance(error, KeyRejectedError)
    assert not any(KEY[start : start + 12] in shown for start in range(len(KEY) - 11))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequestError), (401, KeyRejectedError), (402, QuotaSpentError), (403, KeyRejectedError),
        (404, ModelNotFoundError), (408, TransientChatError), (409, TransientChatError),
        (413, BadRequestError), (422, BadRequestError), (425, TransientChatError), (429, RateLimitedError),
        (500, TransientChatError), (502, TransientChatError), (529, TransientChatError),
    ],
)  # fmt: skip
def test_each_status_of_the_sdk_has_its_kind(status: int, kind: type[ChatError]) -> None:
    """Real SDK exceptions with real headers become errors by their status."""
    request = httpx2.Request("POST", "http://127.0.0.1/v1")
    response = httpx2.Response(status, request=request, headers={"Retry-After": "7"}, json={"error": {}})
    client = openai.AsyncOpenAI(api_key="none", base_url="http://127.0.0.1/v1")
    error = translate(client._make_status_error_from_response(response), Scrubber())
    assert type(error) is kind
    assert (error.status, error.retry_after) == (status, 7.0)


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "Your credit balance is too low to access the Anthropic API.", QuotaSpentError),
        (403, "Your team has either used all available credits or reached its limit.", QuotaSpentError),
        (429, "Insufficient balance or no resource package. Please recharge.", QuotaSpentError),
        (412, "Account x is suspended, possibly due to reaching the monthly spending limit", QuotaSpentError),
        (500, "insufficient balance (1008)", QuotaSpentError),
        (429, {"message": "no", "type": "exceeded_current_quota_error"}, QuotaSpentError),  # Moonshot
        # Google says so of a limit of the minute, too.
        (429, "You exceeded your current quota, please check your plan and billing.", RateLimitedError),
        (502, "Provider returned error: insufficient balance", TransientChatError),
        (400, "The response was filtered due to Azure's content management policy.", FlaggedRequestError),
        (400, "Content Exists Risk", FlaggedRequestError),
        (400, "Input data may contain inappropriate content.", FlaggedRequestError),
        (403, "Your chosen model requires moderation and your input was flagged", FlaggedRequestError),
        (403, "you are not allowed to use this model", KeyRejectedError),
        (400, "Incorrect API key provided: x", KeyRejectedError),
        (400, "API key not valid.", KeyRejectedError),
        (400, "nope is not a valid model ID", ModelNotFoundError),
    ],
)
def test_words_say_more_than_a_status(status: int, message: object, kind: type[ChatError]) -> None:
    """Of credit, of a content filter, of key and model."""
    body = message if isinstance(message, dict) else {"message": message}
    assert type(failure_of(status, body, {}, Scrubber())) is kind


async def says(body: object) -> Any:
    """One attempt at a server that answers everything with a JSON value, or with bytes."""

    async def handler(_: web.Request) -> web.Response:
        if isinstance(body, bytes):
            return web.Response(body=body, content_type="application/json")
        return web.json_response(body)

    return await against(handler)


async def against(handler: Handler) -> Any:
    """One attempt at a server of one handler: an answer, or the error."""
    try:
        async with served(handler) as url, OpenAIChat(url, KEY, scrubber=Scrubber()) as chat:
            return await adapting(chat, REQUEST)
    except ChatError as error:
        return error


def completion(content: object, reason: str = "stop", **more: Any) -> dict[str, Any]:
    """A completion with one choice."""
    return {"choices": [{"message": {"content": content}, "finish_reason": reason}], **more}


async def test_secrets_in_an_answer_are_hidden() -> None:
    """A key that the model repeats does not get into the journal."""
    answer = await says(completion(f"- a {KEY} of a {{}}", model=KEY))
    assert KEY not in answer.text + answer.model


async def test_what_was_written_is_bounded_where_no_usage_is_reported() -> None:
    """Text and reasoning count, the latter once; so do they in an answer that cannot be used."""
    message = {"role": "assistant", "content": "- a {}", "reasoning": "hm " * 99, "thinking": "hm " * 99}
    answer = await says({"choices": [{"message": message}]})
    assert (answer.usage_known, answer.written) == (False, 2 + 99)
    cut = {"message": {"content": "<think>" + "hm " * 99}, "finish_reason": "length"}
    assert (await says({"choices": [cut]})).written == 102


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"[]", "bad_json"), (b"null", "bad_json"), (b"", "bad_json"), (b"[" * 100_000, "bad_json"),
        (b"\xff\xfe", "bad_json"), (b" <!doctype html>", "not_json"), (b"{}", "no_choices"),
        (b'{"choices": [1]}', "no_choices"), (b'{"choices": [{}]}', "no_choices"),
        (b'{"choices": [{"message": {"content": "  "}}]}', "no_content"), (b" " * (MAX_BODY + 1), "too_big"),
    ],
)  # fmt: skip
async def test_a_body_without_an_answer_says_why(body: bytes, reason: str) -> None:
    """Whatever comes with a 200 is an answer or a UnusableAnswerError with a reason."""
    error = await says(body)
    assert isinstance(error, UnusableAnswerError)
    assert error.reason == reason


async def test_a_query_in_the_address_comes_after_the_path() -> None:
    """Some vendors want a version there; it is sent with every request, the look included."""
    async with ChatServer() as server, OpenAIChat(f"{server.base_url}/?api-version=2026-01") as chat:
        assert (await chat.chat(REQUEST)).text
        assert chat.base_url == server.base_url
        assert [seen["query"] for seen in server.seen] == ["api-version=2026-01"]
        assert await preflight(f"{server.base_url}?api-version=2026-01", None, model="fake") is None


def test_options_that_are_not_given_leave_a_request_as_it_was() -> None:
    """Journals of runs that knew of none are found again; what changes an answer changes the hash."""
    plain = ChatRequest(messages=REQUEST.messages, model="fake", seed=7)
    body = [[{"content": "templates, please", "role": "user"}], "fake", 1.0, HASHED_MAX_TOKENS, 7]
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert plain.hash == hashlib.sha256(text.encode()).hexdigest()
    others = [replace(plain, reasoning_effort="low"), replace(plain, extra_body='{"top_k":5}')]
    assert len({plain.hash, *(each.hash for each in others)}) == 3


async def test_a_deployment_at_azure_is_asked_as_azure_wants_it() -> None:
    """The path with the deployment, the version after it, the key in either header."""
    asked: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request)
        return web.json_response(completion("- a {}"))

    deployment = "/openai/deployments/mini"
    async with served(answer, f"{deployment}?api-version=2024-10-21") as url, OpenAIChat(url, KEY) as chat:
        assert (await chat.chat(REQUEST)).text == "- a {}"
    (request,) = asked
    assert request.path == f"{deployment}/chat/completions"
    assert request.query_string == "api-version=2024-10-21"
    assert (request.headers["api-key"], request.headers["Authorization"]) == (KEY, f"Bearer {KEY}")


@pytest.mark.parametrize(
    "message",
    [
        {"content": "<think>hm - a {}</think>\n- the {}"}, {"content": "<thinking>hm</thinking>- the {}"},
        {"content": "<reasoning>\n- a {}\n</reasoning>\n\n- the {}"},
        {"content": "- the {}", "reasoning": "hm"},
        {"content": "- the {}", "reasoning_content": "hm"},
        {"content": [{"type": "reasoning", "text": "- a {}"}, {"type": "text", "text": "- the {}"}]},
        {"content": ["- the {}", {"type": "redacted_thinking", "text": "- a {}"}]},
    ],
)  # fmt: skip
async def test_what_a_model_thought_is_no_part_of_its_answer(message: dict[str, Any]) -> None:
    """However it is shown."""
    answer = await says({"choices": [{"message": message, "finish_reason": "stop"}]})
    assert answer.text == "- the {}"


@pytest.mark.parametrize(
    ("message", "end", "reason"),
    [
        ({"content": "<think>first, the classes\n- a"}, "length", "length"),
        ({"content": "", "reasoning_content": "first"}, "length", "length"),
        ({"content": [{"type": "thinking", "thinking": "first"}]}, "length", "length"),
        ({"content": None, "reasoning": "first"}, "stop", "no_content"),
    ],
)
async def test_an_answer_that_is_all_thinking_is_unusable_and_billed(
    message: dict[str, Any], end: str, reason: str
) -> None:
    """Cut while it thought, more room would help; the tokens are counted."""
    usage = {"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14}
    error = await says({"choices": [{"message": message, "finish_reason": end}], "usage": usage})
    assert isinstance(error, UnusableAnswerError)
    assert (error.reason, error.usage) == (reason, TokenUsage(5, 9))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"code": 429}, "choices": [{"message": {"content": None}}]}, RateLimitedError),
        ({"choices": [{"error": {"code": 502}, "message": {"content": ""}}]}, TransientChatError),
        ({"choices": [{"finish_reason": "error", "message": {"content": "- a"}}]}, TransientChatError),
        ({"error": {"message": "Rate limit reached", "type": "rate_limit_exceeded"}}, RateLimitedError),
        ({"error": {"code": "429", "message": "no"}}, RateLimitedError),
        ({"error": {"message": "prompt is too long", "type": "invalid_request_error"}}, ContextTooLongError),
        ({"error": {"message": "Insufficient balance"}}, QuotaSpentError),
        ({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, QuotaSpentError),
        ({"choices": None, "base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, RateLimitedError),
        ({"base_resp": {"status_code": 1004, "status_msg": "login fail: no key"}}, KeyRejectedError),
        ({"choices": [], "detail": "Internal error"}, TransientChatError),
        ({"msg": "You exceeded your current rate limit", "body": None}, RateLimitedError),
    ],
)  # fmt: skip
async def test_an_error_may_stand_anywhere_in_a_200(body: dict[str, Any], kind: type[ChatError]) -> None:
    """On top, in the choice, as the reason of its end; its kind by code or by words."""
    assert type(await says(body)) is kind


async def test_a_refusal_that_names_nothing_sends_the_request_out_bare() -> None:
    """Once, and with the bound of the answer; an endpoint that has answered means the request itself."""
    seen: list[dict[str, Any]] = []

    async def picky(request: web.Request) -> web.Response:
        body = await request.json()
        seen.append(body)
        if "seed" in body or len(seen) > 2:
            return web.json_response({"error": {"message": "Bad request"}}, status=400)
        return web.json_response(completion("- a {}"))

    async with served(picky) as url, OpenAIChat(url) as chat:
        assert (await adapting(chat, REQUEST)).text == "- a {}"
        assert set(seen[-1]) == {"messages", "model", "max_tokens"}
        with pytest.raises(BadRequestError):
            await chat.chat(REQUEST)
    assert len(seen) == 3


async def test_a_failure_whose_body_never_ends_is_read_to_a_bound() -> None:
    """Its beginning is read, and the connection is closed."""
    sent = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        reply = web.StreamResponse(status=400, headers={"Content-Type": "text/plain"})
        await reply.prepare(request)
        try:
            await reply.write(b"moderation: flagged ")
            while sent < 64 * MAX_FAILURE:
                await reply.write(b"x" * 2**16)
                sent += 2**16
        except ConnectionError:
            pass
        return reply

    error = await against(handler)
    assert isinstance(error, BadRequestError)
    assert "flagged" in str(error)
    assert sent < 64 * MAX_FAILURE


@cache
def _packed(encoding: str) -> bytes:
    """64 MB of a failure's text, as few kilobytes."""
    packing = zlib.compressobj(9, wbits=31 if encoding == "gzip" else 15)
    pieces = [packing.compress(b'{"error": {"message": "all broken' + b" " * 2**20)]
    pieces += [packing.compress(b" " * 2**20) for _ in range(63)]
    return b"".join(pieces) + packing.flush()


@pytest.mark.parametrize(
    ("status", "encoding"), [(200, "gzip"), (302, "gzip"), (400, "gzip"), (500, "gzip"), (500, "deflate")]
)
async def test_a_compressed_body_is_decoded_no_further_than_it_is_read(status: int, encoding: str) -> None:
    """A few kilobytes that become 64 MB take little memory, whatever the status says."""
    packed = _packed(encoding)

    async def handler(_request: web.Request) -> web.Response:
        headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
        return web.Response(body=packed, status=status, headers=headers)

    tracemalloc.start()
    try:
        error = await against(handler)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * MAX_BODY
    assert status in (200, 302) or "all broken" in str(error)


@pytest.mark.parametrize(
    "reason",
    ["model_length", "max_tokens", "MAX_TOKENS", "insufficient_system_resource", "LENGTH", "incomplete"],
)
async def test_an_answer_cut_under_any_name_loses_its_last_line(reason: str) -> None:
    """Vendors call it differently; without a whole line there is nothing to use."""
    answer = await says(completion("- a photo of a {}\n- a drawing of a {} in the dar", reason))
    assert (answer.text, answer.finish_reason) == ("- a photo of a {}", reason)
    assert (await says(completion("- a drawing of a {} in the dar", reason))).reason == "length"


@pytest.mark.parametrize(
    ("usage", "known"),
    [
        ({"prompt_tokens": 500}, False), ({"prompt_tokens": 500, "completion_tokens": 0}, False),
        ({"completion_tokens": 50}, False), ({"prompt_tokens": 500, "total_tokens": 550}, True),
        ({"prompt_tokens": 500, "cost": 0}, False),
        ({"prompt_tokens": 500, "completion_tokens": 2}, False),
        ({"prompt_tokens": 500, "completion_tokens": 3}, True),
    ],
)  # fmt: skip
async def test_an_answer_of_which_half_is_reported_is_not_trusted(usage: dict[str, Any], known: bool) -> None:
    """No text is made of no tokens, or of two alone, so the reservation is billed in its place."""
    text = "- a painting of a {} on the wall of an old house by the sea"
    answer = await says(completion(text, usage=usage))
    assert answer.usage_known is known
    assert answer.billed is not None
    assert answer.billed.is_part is not known


async def test_tokens_that_are_doubted_are_no_sign_of_a_cut() -> None:
    """One event of a stream may count a part of the prompt."""
    events: list[Event] = []
    text = "- a painting of a {} on the wall of an old house by the sea"

    async def handler(_request: web.Request) -> web.Response:
        return web.json_response(completion(text, usage={"prompt_tokens": 9, "completion_tokens": 1}))

    async with served(handler) as url, OpenAIChat(url, emit=events.append) as chat:
        await chat.chat(ChatRequest(messages=({"role": "user", "content": "long " * 900},), model="m"))
    assert not events


@pytest.mark.parametrize("status", [400, 422, 429, 500, 503])
async def test_a_failure_that_reports_usage_is_billed(status: int) -> None:
    """Whatever its status says."""

    async def handler(_request: web.Request) -> web.Response:
        usage = {"prompt_tokens": 30, "completion_tokens": 7}
        return web.json_response({"error": {"message": "broken"}, "usage": usage}, status=status)

    assert (await against(handler)).usage.total >= 37


@pytest.mark.parametrize("status", [200, 400, 500])
async def test_a_refused_form_is_reported_with_its_own_bill_and_shared_by_all_requests(status: int) -> None:
    """What comes next is billed by itself, and another request is not refused for the same."""
    asked: list[dict[str, Any]] = []
    bill = {"prompt_tokens": 100, "completion_tokens": 1000}

    async def handler(request: web.Request) -> web.Response:
        asked.append(await request.json())
        if "seed" in asked[-1]:
            error = {"code": 400, "message": "seed is not supported"}
            return web.json_response({"error": error, "usage": bill}, status=status)
        return web.json_response(completion("- a {}", usage={**bill, "cost": 0.5}))

    async with served(handler) as url, OpenAIChat(url) as chat:
        with pytest.raises(ChatError) as caught:
            await chat.chat(REQUEST)
        assert (caught.value.adapted, caught.value.usage) == (True, TokenUsage(100, 1000))
        assert not chat.dialect.left_out, "no answer has shown yet that it helps"
        answers = [await chat.chat(replace(REQUEST, seed=seed)) for seed in (8, 7)]
        assert chat.dialect.left_out == {"seed"}
    assert {answer.usage.vendor_picodollars for answer in answers} == {500_000_000_000}
    assert len(asked) == 3


async def test_a_form_that_does_not_help_is_dropped() -> None:
    """The next request is sent as a whole again."""
    asked: list[set[str]] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(set(await request.json()))
        word = "seed" if "seed" in asked[-1] else "your prompt"
        return web.json_response({"error": {"message": f"{word} is not supported"}}, status=400)

    async with served(handler) as url, OpenAIChat(url) as chat:
        chat._has_answered = True
        for _ in range(2):
            with pytest.raises(BadRequestError):
                await adapting(chat, REQUEST)
    assert asked == [asked[0], asked[0] - {"seed"}] * 2
