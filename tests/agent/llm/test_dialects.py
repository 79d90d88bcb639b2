"""What one endpoint takes, how a conversation is shortened for it, and refusals in any form."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.config.fields import RESERVED_MEMBERS
from promptclimb.agent.llm.chat import ChatRequest, tokens_of
from promptclimb.agent.llm.dialects import ANSWER_BOUNDS, OTHER_NAMES, Dialect, shortened, silently_cut
from promptclimb.agent.llm.limiter import LONGEST_WAIT
from promptclimb.agent.llm.refusals import TOO_LONG, read_refusal, status_in, wait_in
from prompts.requests import ChatMessage

USER: ChatMessage = {"role": "user", "content": "hello"}
REQUEST = ChatRequest(
    messages=({"role": "system", "content": "be kind"}, USER), model="m", temperature=1.4, max_tokens=100,
    seed=7, reasoning_effort="low", extra_body='{"top_k":5}',
)  # fmt: skip
CONVERSATIONS = st.lists(st.text(max_size=300), max_size=12).map(
    lambda texts: (
        USER,
        *({"role": "user" if n % 2 else "assistant", "content": text} for n, text in enumerate(texts)),
    )
)


def learned(
    dialect: Dialect, body: object, request: ChatRequest = REQUEST, *, bare: bool = False
) -> Dialect | None:
    """What a refusal of a request teaches."""
    return dialect.learn_from(body, dialect.render(request), bare=bare)


def test_all_that_is_optional_is_sent_until_it_is_refused() -> None:
    """Those of ``extra_body`` come last."""
    sent = Dialect().render(replace(REQUEST, extra_body='{"top_k":5,"service_tier":"flex"}'))
    assert sent.options == {
        "max_tokens": 100, "temperature": 1.4, "seed": 7, "reasoning_effort": "low", "top_k": 5,
        "service_tier": "flex",
    }  # fmt: skip
    assert sent.messages == REQUEST.messages
    assert sent.max_tokens == 100


def test_a_parameter_is_called_otherwise_and_then_left_out() -> None:
    """First by its other name; where that is refused too, not at all."""
    first = learned(Dialect(), {"param": "max_tokens", "message": "no"})
    assert first is not None
    assert "max_completion_tokens" in first.render(REQUEST).options
    second = learned(first, {"param": "max_completion_tokens", "message": "no"})
    assert second is not None
    assert second.left_out == {"max_tokens"}
    assert second.render(REQUEST).max_tokens == 0


def test_a_refusal_without_a_name_leaves_everything_out_bound_last() -> None:
    """The bound of the answer is what keeps a request from costing more than was reserved."""
    body = {"error": {"message": "Bad request"}}
    assert learned(Dialect(), body) is None
    first = learned(Dialect(), body, bare=True)
    assert first is not None
    assert first.render(REQUEST).options == {"max_tokens": 100}
    second = learned(first, body, bare=True)
    assert second is not None
    assert second.render(REQUEST).options == {}
    assert learned(second, body, bare=True) is None


@pytest.mark.parametrize(
    "message",
    ["max_tokens: at most 4 096", "the valid range of max_tokens is [1, 8192]", "max_tokens in [1,512]"],
)
def test_the_bound_of_an_answer_is_not_left_out_for_its_value(message: str) -> None:
    """Its user is to lower it; a temperature that is too high is left out."""
    assert learned(Dialect(), {"message": message}) is None
    dialect = learned(Dialect(), {"message": "temperature: range: -1 or 0..1"})
    assert dialect is not None
    assert dialect.left_out == {"temperature"}


def test_a_conversation_that_is_too_long_is_sent_shorter_from_then_on() -> None:
    """If no message can be dropped, there is nothing to learn."""
    too_long = {"message": "prompt is too long"}
    assert learned(Dialect(), too_long) is None
    request = replace(REQUEST, messages=(USER, *({"role": "assistant", "content": "a {}"}, USER) * 9))
    dialect = learned(Dialect(), too_long, request)
    assert dialect is not None
    assert tokens_of(dialect.render(request).messages) * 2 < tokens_of(request.messages)


def test_two_requests_at_once_teach_together() -> None:
    """What either learned is kept, of bounds the lower."""
    first = Dialect(left_out=frozenset({"seed"}), most_tokens=100)
    second = Dialect(left_out=frozenset({"top_k"}), merged=True, most_tokens=80)
    both = first.joined(second)
    assert both.left_out == {"seed", "top_k"}
    assert (both.most_tokens, both.merged) == (80, True)
    for word in ("seed", "top_k", "system", "context"):
        assert word in both.changes_since(Dialect())
    assert both.changes_since(both) == ""
    neither = Dialect(renamed=frozenset({"max_tokens"}), left_out=frozenset({"max_tokens"}))
    assert neither.changes_since(Dialect()) == "it refuses max_tokens, which is left out"


@given(CONVERSATIONS, st.integers(0, 4000))
def test_a_shortened_conversation_keeps_its_ends(messages: tuple[ChatMessage, ...], most: int) -> None:
    """Opening and newest message stay, what is between is a tail of it, and it fits if anything does."""
    kept = shortened(messages, most)
    assert kept[0] == messages[0]
    assert kept[-1] == messages[-1]
    assert kept[1:] == messages[len(messages) - len(kept) + 1 :]
    assert tokens_of(kept) <= most or len(kept) <= 2
    assert shortened(kept, most) == kept


@pytest.mark.parametrize(
    ("text", "most", "prompt", "completion", "reason", "cut"),
    [
        ("a word " * 3000, 512, 2000, 48, "length", True),
        ("a word " * 3000, 512, 2000, 48, "stop", True),
        ("a word " * 3000, 512, 5000, 48, "stop", False),
        ("a word " * 3000, 512, 0, 48, "stop", False),
        ("hello", 512, 3900, 196, "length", True),
        ("hello", 196, 3900, 196, "length", False),
        ("hello", 512, 10, 48, "stop", False),
    ],
)
def test_a_silent_cut_is_seen_in_the_counts(
    text: str, most: int, prompt: int, completion: int, reason: str, cut: bool
) -> None:
    """A window that is exactly full, or far fewer tokens than the text can have; nothing else."""
    request = ChatRequest(messages=({"role": "user", "content": text},), model="m", max_tokens=most)
    assert silently_cut(Dialect().render(request), prompt, completion, reason) == cut


SENT = ("max_tokens", "temperature", "seed", "stop", "top_p", "reasoning_effort")
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=40) | st.sampled_from(SENT),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.just("loc"), inner),
    max_leaves=20,
)


@given(JSON)
def test_whatever_a_body_is_it_is_read(body: Any) -> None:
    """Nothing raises; what is found is of the kind that it should be."""
    refusal = read_refusal(body)
    assert set(refusal.names(SENT)) <= set(SENT)
    wait = wait_in(body)
    assert wait is None or 0 <= wait <= LONGEST_WAIT
    assert refusal.for_value in (True, False)


@given(st.integers(0, 200), st.sampled_from(['"', "[", "{", "[{", '{"a":']))
def test_a_body_that_is_deep_is_read_to_a_bound(depth: int, opening: str) -> None:
    """JSON in texts in JSON ends somewhere."""
    body: Any = opening * depth
    for _ in range(depth % 12):
        body = json.dumps([body])
    read_refusal({"message": body})


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"param": "seed", "message": "temperature is fine"}, ["seed"]),
        ({"message": "Unrecognized request argument supplied: seed"}, ["seed"]),
        ("`stop` is not supported", ["stop"]),
        ({"detail": [{"loc": ["body", "top_p"], "msg": "Extra inputs are not permitted"}]}, ["top_p"]),
        ({"error": "Model x does not support parameter reasoningEffort."}, ["reasoning_effort"]),
        ({"message": "Use 'max_completion_tokens' instead; this is not supported"}, []),
        ({"message": "the seed of all evil"}, []),
        ({"message": "bad", "input": {"seed": "not supported"}}, []),
        ({"message": "stopped: not allowed"}, []),
        ({"message": json.dumps({"error": {"param": "temperature"}})}, ["temperature"]),
        ({"code": "1214", "message": "temperature参数非法。请检查文档。"}, ["temperature"]),
        ({"issues": [{"message": "Number must be less than or equal to 1", "path": ["top_p"]}]}, ["top_p"]),
        ({"message": "no", "path": "/v1/chat/completions"}, []),
    ],
)
def test_what_a_refusal_names(body: Any, named: list[str]) -> None:
    """A field before a text, a whole word only, and nothing that merely repeats the request."""
    assert read_refusal(body).names(SENT) == named


@pytest.mark.parametrize(
    "body",
    [
        {"message": "overloaded", "code": 10**400},
        {"message": "exceeds the available context size", "n_ctx": math.nan, "n_prompt_tokens": math.inf},
        {"message": f"maximum context length is {'9' * 5000} tokens and your request has 5 input"},
        {"code": "4" * 5000, "status": 10**400},
    ],
)
def test_a_number_that_nothing_can_have_is_ignored(body: dict[str, Any]) -> None:
    """Neither an error of Python's nor a number is made of it."""
    assert (status_in(body), wait_in(body)) == (502, None)


@pytest.mark.parametrize(
    ("body", "wait"),
    [
        ({"message": "try again in 1m2s"}, 62), ({"message": "Please retry in 33.3s."}, 33.3),
        ({"message": "try again in 500ms"}, 0.5), ({"message": "Please wait 20 seconds before retrying"}, 20),
        ({"message": "retry after 2 minutes 5 seconds"}, 125),
        ({"message": "retry in 250 milliseconds"}, 0.25),
        ({"details": [{"retryDelay": "34s"}]}, 34), ({"retry_after": 7}, 7), ({"retry_after": 7.5}, 7.5),
        ({"metadata": {"headers": {"Retry-After": "12"}}}, 12),
        ({"headers": {"Retry-After": 9}}, 9), ({"message": "at most 5 requests"}, None),
        ({"message": "try again in 40 days"}, None), ({"message": "wait a minute"}, None), (None, None),
    ],
)  # fmt: skip
def test_waits_wherever_vendors_put_them(body: Any, wait: float | None) -> None:
    """Members, headers in the body, and texts; nonsense is nothing."""
    assert wait_in(body) == (None if wait is None else pytest.approx(wait))


@pytest.mark.parametrize(
    ("message", "too_long"),
    [
        ("request (2421 tokens) exceeds the available context size (1024 tokens)", True),
        ("The input (5000 tokens) is longer than the model's context length (4,096 tokens).", True),
        ("input token count (1,200,000) exceeds the maximum number of tokens allowed (1048576)", True),
        ("contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context", True),
        ("maximum prompt length is 131072 but the request contains 200000 tokens", True),
        ("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000", True),
        ("your prompt exceeds the context window of this model", True),
        ("Input is too long for requested model.", True),
        ("max_tokens is too large: 500000", False),
        ("the answer is too long", False),
    ],
)
def test_what_is_too_long(message: str, too_long: bool) -> None:
    """By each vendor's words; other complaints are not meant."""
    assert bool(TOO_LONG.search(read_refusal({"message": message}).text)) == too_long


def test_other_names_are_reserved_and_bounds_are_known_by_both() -> None:
    """``extra_body`` sets no parameter by a vendor's name for it."""
    names = {name for item in OTHER_NAMES.items() for name in item}
    assert not names - set(RESERVED_MEMBERS)
    assert {"max_tokens", OTHER_NAMES["max_tokens"]} == ANSWER_BOUNDS
