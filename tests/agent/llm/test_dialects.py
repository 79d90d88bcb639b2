"""What one endpoint takes, and how a conversation is shortened for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.llm.chat import ChatRequest, size
from promptclimb.agent.llm.dialects import Dialect, Sent, room, shortened, silently_cut
from promptclimb.agent.llm.headers import clean_key, is_azure, key_headers
from promptclimb.agent.llm.refusals import Overlong
from promptclimb.evaluator.errors import ConfigError
from prompts.requests import Message

USER: Message = {"role": "user", "content": "hello"}
REQUEST = ChatRequest(
    messages=({"role": "system", "content": "be kind"}, USER),
    model="m",
    temperature=1.4,
    max_tokens=100,
    seed=7,
    reasoning_effort="low",
    extra_body='{"top_k":5}',
)
CONVERSATIONS = st.lists(st.text(max_size=300), max_size=12).map(
    lambda texts: (
        USER,
        *({"role": "user" if n % 2 else "assistant", "content": text} for n, text in enumerate(texts)),
    )
)


def after(
    dialect: Dialect, body: object, request: ChatRequest = REQUEST, *, bare: bool = False
) -> Dialect | None:
    """What a refusal of a request teaches."""
    return dialect.after(body, dialect.put(request, {}), bare=bare)


def test_all_that_is_optional_is_sent_until_it_is_refused() -> None:
    """The options of an endpoint come before those of a request."""
    sent = Dialect().put(REQUEST, {"service_tier": "flex", "reasoning_effort": "high"})
    assert sent.options == {
        "max_tokens": 100, "temperature": 1.4, "seed": 7, "reasoning_effort": "high", "top_k": 5,
        "service_tier": "flex",
    }  # fmt: skip
    assert sent.messages == REQUEST.messages
    assert sent.max_tokens == 100


def test_a_parameter_is_called_otherwise_and_then_left_out() -> None:
    """First by its other name; where that is refused too, not at all."""
    first = after(Dialect(), {"param": "max_tokens", "message": "no"})
    assert first is not None
    assert "max_completion_tokens" in first.put(REQUEST, {}).options
    second = after(first, {"param": "max_completion_tokens", "message": "no"})
    assert second is not None
    assert second.left_out == {"max_tokens"}
    assert second.put(REQUEST, {}).max_tokens == 0


def test_a_ceiling_holds_for_later_requests_below_it_too() -> None:
    """What is lower is sent as it is."""
    dialect = after(Dialect(), {"message": "temperature: range: -1 or 0..1"})
    assert dialect is not None
    assert dialect.put(REQUEST, {}).options["temperature"] == 1.0
    mild = ChatRequest(messages=(USER,), model="m", temperature=0.3)
    assert dialect.put(mild, {}).options["temperature"] == 0.3


def test_a_refusal_without_a_name_leaves_everything_out_bound_last() -> None:
    """The bound of the answer is what keeps a request from costing more than was reserved."""
    body = {"error": {"message": "Bad request"}}
    assert after(Dialect(), body) is None
    first = after(Dialect(), body, bare=True)
    assert first is not None
    assert first.put(REQUEST, {}).options == {"max_tokens": 100}
    second = after(first, body, bare=True)
    assert second is not None
    assert second.put(REQUEST, {}).options == {}
    assert after(second, body, bare=True) is None


def test_an_answer_is_cut_where_no_turn_is_left_to_go() -> None:
    """Messages that fit alone get what room is left."""
    said = "maximum context length is 128 tokens. However, you requested 150 tokens (50 in the messages"
    dialect = after(Dialect(), {"message": said})
    assert dialect is not None
    assert dialect.put(REQUEST, {}).max_tokens == 74
    assert after(Dialect(), {"message": "prompt is too long"}) is None


def test_each_answer_has_the_room_beside_its_own_messages() -> None:
    """A long request gets a short answer; a short one after it all that was asked for."""

    def turn(words: int) -> ChatRequest:
        content = "a word " * words
        return ChatRequest(messages=({"role": "user", "content": content},), model="m", max_tokens=500)

    said = "maximum context length is 1000 tokens. However, you requested 1200 tokens (700 in the messages"
    dialect = after(Dialect(), {"message": said}, turn(400))
    assert dialect is not None
    assert dialect.put(turn(400), {}).max_tokens == 285
    assert dialect.put(turn(100), {}).max_tokens == 500
    assert 16 <= dialect.put(turn(560), {}).max_tokens < 100
    assert dialect.put(turn(900), {}).max_tokens == 16
    assert "1000 tokens" in dialect.news(Dialect())
    assert Dialect().joined(dialect) == dialect == dialect.joined(Dialect())


def test_a_ceiling_that_no_endpoint_has_is_not_believed() -> None:
    """Half as much is tried; a lower ceiling learned later is reported too."""
    dialect = after(Dialect(), {"message": "max_tokens: at most 4 096"})
    assert dialect is not None
    assert dialect.most == {"max_tokens": 50}
    before = Dialect(most={"max_tokens": 90})
    assert "max_tokens is 50 at most" in before.joined(dialect).news(before)
    assert dialect.joined(before).most == {"max_tokens": 50}


def test_two_requests_at_once_teach_together() -> None:
    """What either learned is kept, of bounds the lower."""
    one = Dialect(left_out=frozenset({"seed"}), fits=100)
    two = Dialect(left_out=frozenset({"top_k"}), most={"temperature": 1.0}, merged=True, fits=80)
    both = one.joined(two)
    assert both.left_out == {"seed", "top_k"}
    assert (both.fits, both.merged) == (80, True)
    for said in ("seed", "top_k", "temperature", "system", "context"):
        assert said in both.news(Dialect())
    assert both.news(both) == ""


@given(CONVERSATIONS, st.integers(0, 4000))
def test_a_shortened_conversation_keeps_its_ends(messages: tuple[Message, ...], most: int) -> None:
    """Opening and newest message stay, what is between is a tail of it, and it fits if anything does."""
    found = shortened(messages, most)
    assert found[0] == messages[0]
    assert found[-1] == messages[-1]
    assert found[1:] == messages[len(messages) - len(found) + 1 :]
    assert size(found) <= most or len(found) <= 2
    assert shortened(found, most) == found


@given(
    st.builds(
        Overlong,
        window=st.none() | st.integers(0, 9999),
        prompt=st.none() | st.integers(0, 9999),
        both=st.none() | st.integers(0, 9999),
    ),
    st.integers(0, 5000),
)
def test_what_is_said_to_fit_is_less_than_what_did_not(sizes: Overlong, max_tokens: int) -> None:
    """Whatever numbers an endpoint states."""
    messages = (USER,) * 9
    assert 0 <= room(sizes, messages, max_tokens) < size(messages)


def test_a_silent_cut_is_seen_in_the_counts() -> None:
    """A window that is exactly full, or far fewer tokens than the text can have; nothing else."""
    long: tuple[Message, ...] = ({"role": "user", "content": "a word " * 3000},)
    cases = [
        ((2000, "length"), True),
        ((2000, "stop"), True),
        ((5000, "stop"), False),
        ((0, "stop"), False),
    ]
    for (prompt, reason), cut in cases:
        assert silently_cut(long, 512, prompt=prompt, completion=48, reason=reason) == cut
    assert silently_cut((USER,), 512, prompt=3900, completion=196, reason="length")
    assert not silently_cut((USER,), 196, prompt=3900, completion=196, reason="length")
    assert not silently_cut((USER,), 512, prompt=10, completion=48, reason="stop")


def test_a_key_goes_where_the_address_wants_it() -> None:
    """Azure has a header of its own; basic authentication is for addresses with a user."""
    assert key_headers("https://h/v1", "k") == {"Authorization": "Bearer k"}
    azure = "https://x.openai.azure.com/openai/deployments/d"
    assert key_headers(azure, "k") == {"Authorization": "Bearer k", "api-key": "k"}
    assert key_headers(azure, "") == {}
    assert key_headers("https://h/v1", "", "me:pw")["Authorization"].startswith("Basic ")
    assert is_azure("http://127.0.0.1:9/openai/deployments/d")
    assert not is_azure("https://azure.com.example.org/v1")


@pytest.mark.parametrize("key", ["sk-one\nsk-two", "sk-ключ", "two words"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    """By the name of its variable, and not shown; the line end that copying brings is taken off."""
    with pytest.raises(ConfigError, match="MY_KEY") as caught:
        clean_key(key, "MY_KEY")
    assert key not in str(caught.value)
    with pytest.raises(ConfigError):
        key_headers("https://h/v1", key)
    assert key_headers("https://h/v1", " k\n") == {"Authorization": "Bearer k"}
    assert key_headers("https://h/v1", " \n") == {}


def test_a_request_without_options_has_none() -> None:
    """Its bound is not a stated one."""
    assert Sent("m", (USER,), {}).max_tokens == 0
