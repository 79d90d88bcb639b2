"""Bodies of refusals in any form: what they are about, how long to wait, what is too long."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptclimb.agent.llm.headers import LONGEST_WAIT
from promptclimb.agent.llm.refusals import (
    FAMILIES,
    Overlong,
    other_name,
    overlong,
    read_refusal,
    status_in,
    wait_in,
)

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
    sizes = overlong(refusal)
    assert sizes is None or isinstance(sizes, Overlong)
    for name in SENT:
        assert refusal.ceiling(name) is None or isinstance(refusal.ceiling(name), float)


@settings(max_examples=30)
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
    ("message", "ceiling"),
    [
        ("temperature: range: -1 or 0..1", 1.0),
        ("temperature must be between 0 and 2", 2.0),
        ("temperature: Input should be less than or equal to 1", 1.0),
        ("temperature must be <= 1.5", 1.5),
        ("temperature should be in [0, 1]", 1.0),
        ("'temperature' does not support 0.7. Only the default (1) value is supported", None),
        ("invalid temperature: only 1 is allowed for this model", None),
        ("the maximum value of temperature is 1", 1.0),
        ("The temperature parameter is illegal.：限制数值范围[0,1]", 1.0),
        ("Malformed input request: #/temperature: 1.5 is not less or equal to 0.99", 0.99),
        ("temperature (current value: 1.5) must be between 0 and 1", 1.0),
    ],
)
def test_the_ceiling_that_a_refusal_states(message: str, ceiling: float | None) -> None:
    """A bound is kept below; a single value is not a bound."""
    assert read_refusal({"message": message}).ceiling("temperature") == ceiling
    assert read_refusal({"message": message}).ceiling("seed") is None


@pytest.mark.parametrize(
    ("message", "ceiling"),
    [
        ("supports at most 4,096 completion tokens (max_tokens)", 4096),
        ("max_tokens: maximum is 1,048,576", 1048576), ("max_tokens in [1,512]", 512),
        ("max_tokens, at most 16'384", 16384), ("max_tokens is over its maximum of (4,096 tokens)", None),
        ("max_tokens is at most " + "9" * 5000, None),
    ],
)  # fmt: skip
def test_a_ceiling_with_its_thousands_apart_is_read_whole(message: str, ceiling: float | None) -> None:
    """Ranges keep their two ends, and other numbers are ignored."""
    assert read_refusal({"message": message}).ceiling("max_tokens") == ceiling


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
    refusal = read_refusal(body)
    assert not refusal.numbers
    sizes = overlong(refusal)
    assert sizes is None or sizes.window is None
    assert status_in(body) == 502


def test_a_ceiling_in_a_member_of_its_own() -> None:
    """FastAPI's errors have it in `ctx`."""
    body = {"detail": [{"loc": ["body", "temperature"], "msg": "too much", "ctx": {"le": 1.0}}]}
    assert read_refusal(body).ceiling("temperature") == 1.0


@pytest.mark.parametrize(
    ("body", "wait"),
    [
        ({"message": "try again in 1m2s"}, 62), ({"message": "Please retry in 33.3s."}, 33.3),
        ({"message": "try again in 500ms"}, 0.5), ({"message": "Please wait 20 seconds before retrying"}, 20),
        ({"message": "retry after 2 minutes 5 seconds"}, 125),
        ({"message": "retry in 250 milliseconds"}, 0.25),
        ({"details": [{"retryDelay": "34s"}]}, 34), ({"retry_after": 7}, 7), ({"retry_after": 7.5}, 7.5),
        ({"metadata": {"headers": {"Retry-After": "12"}}}, 12), ({"message": "at most 5 requests"}, None),
        ({"message": "try again in 40 days"}, None), ({"message": "wait a minute"}, None), (None, None),
    ],
)  # fmt: skip
def test_waits_wherever_vendors_put_them(body: Any, wait: float | None) -> None:
    """Members, headers in the body, and texts; nonsense is nothing."""
    assert wait_in(body) == (None if wait is None else pytest.approx(wait))


@pytest.mark.parametrize(
    ("message", "sizes"),
    [
        ("request (2421 tokens) exceeds the available context size (1024 tokens)", Overlong()),
        ("The input (5000 tokens) is longer than the model's context length (4096 tokens).",
         Overlong(4096, 5000)),
        ("input token count (1200000) exceeds the maximum number of tokens allowed (1048576)",
         Overlong(1048576, 1200000)),
        ("contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
         Overlong(32768, 40000)),
        ("maximum prompt length is 131072 but the request contains 200000 tokens", Overlong(131072, 200000)),
        ("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
         Overlong(200000, 190000)),
        ("your prompt exceeds the context window of this model", Overlong()),
        ("Input is too long for requested model.", Overlong()),
        ("max_tokens is too large: 500000", None), ("the answer is too long", None),
    ],
)  # fmt: skip
def test_what_is_too_long(message: str, sizes: Overlong | None) -> None:
    """With the numbers if they are stated; other complaints are not meant."""
    assert overlong(read_refusal({"message": message})) == sizes


def test_every_family_has_words_of_its_own() -> None:
    """No two entries of the table have one name, and none says nothing."""
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    assert all(one.instead or one.no_system or one.streams or one.overlong for one in FAMILIES)


@pytest.mark.parametrize(
    ("parameter", "said", "model", "name"),
    [
        ("max_tokens", "no", "gpt-5", "max_completion_tokens"),
        ("seed", "extra_forbidden", "mistral-small-latest", "random_seed"),
        ("seed", "extra_forbidden", "llama-3", None), ("seed", "no", "mistral-small-latest", None),
        ("temperature", "no", "gpt-5", None),
    ],
)  # fmt: skip
def test_other_names(parameter: str, said: str, model: str, name: str | None) -> None:
    """A name holds for the family that has it."""
    assert other_name(parameter, said, model) == name
