"""Requests to an endpoint, its answers, and the seam: one attempt (``Client``)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from ...evaluator.remote.asking import ApiRequest
from ..errors import NO_HEADERS
from ..prices import Bill, TokenUsage
from ..text import tokens_in

if TYPE_CHECKING:
    from ...prompts.requests import ChatMessage

TOKENS_PER_MESSAGE = 8
"""For role and delimiters of a message, beside its text."""
HASHED_MAX_TOKENS = 512
"""Stands for ``max_tokens`` in a hash, so that older runs, which hashed it, keep their hashes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One request for one answer.

    Attributes:
        messages: Oldest first.
        seed: None sends none.
        reasoning_effort: The endpoint's word, such as "low"; None sends none.
        extra_body: More members of the request, as canonical JSON.
    """

    messages: tuple[ChatMessage, ...]
    model: str
    temperature: float = 1.0
    max_tokens: int = 1024
    seed: int | None = None
    reasoning_effort: str | None = None
    extra_body: str | None = None

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON without ``max_tokens``; the same on every machine."""
        body = [list(self.messages), self.model, self.temperature, HASHED_MAX_TOKENS, self.seed]
        if self.reasoning_effort is not None or self.extra_body is not None:
            body += [self.reasoning_effort, self.extra_body]
        canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def prompt_tokens(self) -> int:
        """Upper bound of the messages' tokens in ordinary text."""
        return tokens_of(self.messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Any answer: its bill and its headers, which are not part of its value.

    Attributes:
        billed: The full report; None if the two counts are all of it.
        written: Upper bound of the tokens of text and shown reasoning, for a reply without usage.
        headers: The reply's rate-limit headers, names in lower case.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    usage_known: bool = field(default=True, repr=False, compare=False)
    billed: TokenUsage | None = field(default=None, repr=False, compare=False)
    written: int = field(default=0, repr=False, compare=False)
    headers: Mapping[str, str] = field(default_factory=lambda: NO_HEADERS, repr=False, compare=False)

    @property
    def usage(self) -> TokenUsage:
        return self.billed or TokenUsage(self.prompt_tokens, self.completion_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonAnswer(Answer):
    """The JSON value of a reply, without secrets."""

    body: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatAnswer(Answer):
    """One answer of the model.

    Attributes:
        text: The message without secrets and reasoning, and without the unfinished last line of a cut answer.
        finish_reason: The endpoint's word, typically "stop", or "length" for a cut answer.
        model: The model that the endpoint says it used.
    """

    text: str
    finish_reason: str = "stop"
    model: str = ""


R = TypeVar("R", ChatRequest, ApiRequest)
A = TypeVar("A", bound=Answer)


class Client(Protocol):
    """An endpoint that answers requests of one kind; all that a chat object from Python needs."""

    async def chat(self, request: Any) -> Any:
        """Make one attempt; never retry, never wait for a limit.

        Raises:
            ChatError: One of its kinds, see ``agent.errors``.
        """
        ...


@dataclass(frozen=True, slots=True)
class BilledAnswer(Generic[A]):
    """An answer, its bill (to be stored with it), and the name of the endpoint that gave it."""

    answer: A
    bill: Bill
    endpoint: str


def tokens_at_most(request: ChatRequest | ApiRequest) -> TokenUsage:
    """Return the most that one attempt at a request should be billed for: what is reserved for it."""
    return TokenUsage(request.prompt_tokens, request.max_tokens)


def tokens_of(messages: Sequence[ChatMessage]) -> int:
    """Return an upper bound of the tokens of a conversation in ordinary text."""
    return sum(tokens_in(str(message["content"])) + TOKENS_PER_MESSAGE for message in messages)
