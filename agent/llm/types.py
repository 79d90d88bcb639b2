"""What is asked of a chat model, what it answers, and the seam that both pass through."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import NO_HEADERS
from ..token_usage import TokenUsage

if TYPE_CHECKING:
    from ...prompts.requests import Message

CHARACTERS_PER_TOKEN = 3.0
TOKENS_PER_MESSAGE = 8
HASHED_MAX_TOKENS = 512
"""What stands in a hash in the place of ``max_tokens``, which once was part of it: the default of then, so
that the requests of most runs of that time are still called what they were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One request for one answer.

    Attributes:
        messages: The conversation so far, oldest first.
        model: The endpoint's name of the model.
        temperature: Sampling temperature.
        max_tokens: Most tokens that the answer may have.
        seed: Sampling seed, for endpoints that honour one; None sends none.
        reasoning_effort: How much a reasoning model is to think, in the endpoint's words; None sends none.
        extra_body: More members of the request, as canonical JSON; None for none.
    """

    messages: tuple[Message, ...]
    model: str
    temperature: float = 1.0
    max_tokens: int = 1024
    seed: int | None = None
    reasoning_effort: str | None = None
    extra_body: str | None = None

    @property
    def hash(self) -> str:
        """SHA-256 of the request as canonical JSON: equal requests, equal hashes, on every machine.

        ``max_tokens`` is no part of it: how long an answer may get is no other question.
        """
        return self.hash_with(HASHED_MAX_TOKENS)

    def hash_with(self, max_tokens: int) -> str:
        """Return the hash that also tells apart how long an answer may get."""
        body = [list(self.messages), self.model, self.temperature, max_tokens, self.seed]
        if self.reasoning_effort is not None or self.extra_body is not None:
            body += [self.reasoning_effort, self.extra_body]
        canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def prompt_tokens_at_most(self) -> int:
        """No fewer tokens than the messages have: one for each three characters, or for each non-ASCII byte.

        A bound for ordinary text, not for hostile one; English has about four characters a token.
        """
        total = 0
        for message in self.messages:
            content = str(message["content"])
            letters = len(content.encode("ascii", "ignore"))
            wide = len(content.encode("utf-8", "surrogatepass")) - letters
            total += math.ceil(letters / CHARACTERS_PER_TOKEN) + wide + TOKENS_PER_MESSAGE
        return total

    @property
    def tokens_at_most(self) -> int:
        """What one attempt can be billed for: the messages and the longest answer allowed."""
        return self.prompt_tokens_at_most + self.max_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatAnswer:
    """What the model said.

    Attributes:
        text: The message, free of secrets and of what the model thought aloud before it. Of an answer cut at
            ``max_tokens`` the unfinished last line is gone.
        finish_reason: The endpoint's own word, "stop" as a rule, "length" for a cut answer.
        model: The model that the endpoint says it used.
        prompt_tokens: Tokens billed for the messages.
        completion_tokens: Tokens billed for the answer.
        thought: Whether the model thought first, and the endpoint shows it; not part of the answer's value.
        usage_told: Whether the endpoint says what it billed; not part of the answer's value.
        billed: All that it says of that, None where the two counts are all; not part of the answer's value.
        headers: The reply's rate-limit headers, names in lower case; not part of the answer's value.
    """

    text: str
    finish_reason: str = "stop"
    model: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    thought: bool = field(default=False, repr=False, compare=False)
    usage_told: bool = field(default=True, repr=False, compare=False)
    billed: TokenUsage | None = field(default=None, repr=False, compare=False)
    headers: Mapping[str, str] = field(default_factory=lambda: NO_HEADERS, repr=False, compare=False)

    @property
    def usage(self) -> TokenUsage:
        """What the answer was billed for."""
        return self.billed or TokenUsage(self.prompt_tokens, self.completion_tokens)

    def to_json(self) -> dict[str, Any]:
        """Return the answer as a dictionary of JSON values, without the headers."""
        return {
            "text": self.text,
            "finish_reason": self.finish_reason,
            "model": self.model,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> ChatAnswer:
        """Return the inverse of ``to_json``."""
        return cls(**found)


def asked_tokens(client: ChatClient, request: ChatRequest) -> int:
    """Return how long an answer a client would ask for, as far as it knows what its endpoint takes.

    Args:
        client: One that knows has a method of this name; any other asks for what it is told to.
        request: What it would be given.

    Returns:
        Tokens; 0 where it would ask for no bound.
    """
    knows: Callable[[ChatRequest], int] | None = getattr(client, "asked_tokens", None)
    return request.max_tokens if knows is None else knows(request)


class ChatClient(Protocol):
    """An endpoint that answers chat requests."""

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        """Make one attempt; never retries, never waits for a limit.

        Raises:
            ChatError: One of its kinds, see ``agent.errors``.
        """
        ...
