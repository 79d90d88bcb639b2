"""What is asked of a chat model, what it answers, and the seam that both pass through."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import NO_HEADERS, TokenUsage

if TYPE_CHECKING:
    from ...prompts.requests import Message

CHARACTERS_PER_TOKEN = 3.0
TOKENS_PER_MESSAGE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One request for one answer.

    Attributes:
        messages: The conversation so far, oldest first.
        model: The endpoint's name of the model.
        temperature: Sampling temperature.
        max_tokens: Most tokens that the answer may have.
        seed: Sampling seed, for endpoints that honour one; None sends none.
    """

    messages: tuple[Message, ...]
    model: str
    temperature: float = 1.0
    max_tokens: int = 1024
    seed: int | None = None

    @property
    def hash(self) -> str:
        """SHA-256 of the request as canonical JSON: equal requests, equal hashes, on every machine."""
        body = [list(self.messages), self.model, self.temperature, self.max_tokens, self.seed]
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
        text: The message, free of secrets. Of an answer cut at ``max_tokens`` the unfinished last line is
            gone.
        finish_reason: The endpoint's own word, "stop" as a rule, "length" for a cut answer.
        model: The model that the endpoint says it used.
        prompt_tokens: Tokens billed for the messages.
        completion_tokens: Tokens billed for the answer.
        usage_told: Whether the endpoint says what it billed; not part of the answer's value.
        billed: All that it says of that, None where the two counts are all; not part of the answer's value.
        headers: The reply's rate-limit headers, names in lower case; not part of the answer's value.
    """

    text: str
    finish_reason: str = "stop"
    model: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
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


class ChatClient(Protocol):
    """An endpoint that answers chat requests."""

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        """Make one attempt; never retries, never waits for a limit.

        Raises:
            ChatError: One of its kinds, see ``agent.errors``.
        """
        ...
