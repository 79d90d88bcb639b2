"""What an endpoint takes: every parameter at first, and less with each refusal.

A refused parameter is left out once and for all, whoever refuses it. The tables below have what that rule
cannot find. Their words apply to all endpoints, because gateways pass on what the server behind them says;
each has a recorded reply in ``tests/data/dialects``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from .chat import tokens_of
from .refusals import TOO_LONG, read_refusal

if TYPE_CHECKING:
    from ...prompts.requests import ChatMessage
    from .chat import ChatRequest

OTHER_NAMES: Mapping[str, str] = {"max_tokens": "max_completion_tokens"}
"""Parameters that OpenAI's newer models have under another name: without the bound, cost has none."""
ANSWER_BOUNDS = frozenset({"max_tokens", "max_completion_tokens"})
"""Names of the answer's bound, left out last: it holds the cost within the reservation."""
NO_SYSTEM = re.compile(
    r"role'? does not support 'system'"  # OpenAI
    r"|(?:Developer|System) instruction is not enabled"  # Google
    r"|invalid message role: system"  # MiniMax
    r"|System role (?:is )?not supported|roles must alternate",  # vLLM
    re.IGNORECASE,
)
"""Refusals of system messages, or of two messages of one role in a row."""
ONLY_STREAMS = re.compile(r"only supports? stream|enable the stream parameter", re.IGNORECASE)  # Qwen
KEPT_SHARE = 1 / 3
"""Of a conversation that is too long for the endpoint's context."""
WINDOWS = frozenset(2**power for power in range(11, 18))
"""Default contexts of servers."""
_MOST_BYTES_A_TOKEN = 8
_ENOUGH = 2_000
_STREAMED: Mapping[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


class Sent(NamedTuple):
    """One request as it is sent, with its optional parameters by name."""

    model: str
    messages: tuple[ChatMessage, ...]
    options: Mapping[str, Any]

    @property
    def max_tokens(self) -> int:
        """The longest answer asked for, 0 for no bound."""
        return next((int(self.options[name]) for name in ANSWER_BOUNDS if name in self.options), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """The requests that one endpoint takes, as far as its refusals have shown.

    Attributes:
        left_out: Refused parameters.
        renamed: Parameters that are sent under their other name.
        merged: It takes no system messages, or no two messages of one role in a row.
        streams: It only streams.
        most_tokens: The longest conversation that is sent; None if no bound is known.
    """

    left_out: frozenset[str] = frozenset()
    renamed: frozenset[str] = frozenset()
    merged: bool = False
    streams: bool = False
    most_tokens: int | None = None

    def render(self, request: ChatRequest) -> Sent:
        """Return a request as this endpoint takes it."""
        messages = request.messages
        if self.most_tokens is not None:
            messages = shortened(messages, self.most_tokens)
        parameters: dict[str, Any] = {"max_tokens": request.max_tokens, "temperature": request.temperature}
        if request.seed is not None:
            parameters["seed"] = request.seed
        if request.reasoning_effort is not None:
            parameters["reasoning_effort"] = request.reasoning_effort
        parameters |= json.loads(request.extra_body or "{}")
        if self.streams:
            parameters |= _STREAMED
        return Sent(request.model, _merged(messages) if self.merged else messages, self.fit(parameters))

    def fit(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return optional parameters as this endpoint takes them."""
        return {
            OTHER_NAMES[name] if name in self.renamed else name: value
            for name, value in parameters.items()
            if name not in self.left_out
        }

    def learn_from(self, body: object, sent: Sent, *, bare: bool, sure: bool = False) -> Dialect | None:
        """Return the dialect that a refusal teaches, None if it teaches nothing.

        ``bare`` leaves out everything optional if the refusal names no parameter. ``sure`` heeds only words
        that refuse, not parameters merely named, for failures that may be the server's own.
        """
        refusal = read_refusal(body)
        if TOO_LONG.search(refusal.text):
            most_tokens = int(tokens_of(sent.messages) * KEPT_SHARE)
            shorter = tokens_of(shortened(sent.messages, most_tokens)) < tokens_of(sent.messages)
            return replace(self, most_tokens=most_tokens) if shorter else None
        if NO_SYSTEM.search(refusal.text):
            return None if self.merged else replace(self, merged=True)
        if ONLY_STREAMS.search(refusal.text) and not self.streams:
            return replace(self, streams=True)
        if sure and "support" not in refusal.text:
            return None
        if named := refusal.names(sent.options):
            # Without its bound an answer could cost more than was reserved: the user is to lower it.
            if ANSWER_BOUNDS.issuperset(named) and refusal.for_value:
                return None
            # "temperature and top_p cannot both be specified": the first of them stays.
            return self._without(named[1:] if len(named) > 1 and " both " in refusal.text else named)
        if not bare or not sent.options:
            return None
        return self._leaving_out([name for name in sent.options if name not in ANSWER_BOUNDS] or sent.options)

    def joined(self, other: Dialect) -> Dialect:
        """Return what two concurrent requests have shown together."""
        bounds = [bound for bound in (self.most_tokens, other.most_tokens) if bound is not None]
        return Dialect(
            left_out=self.left_out | other.left_out,
            renamed=self.renamed | other.renamed,
            merged=self.merged or other.merged,
            streams=self.streams or other.streams,
            most_tokens=min(bounds, default=None),
        )

    def changes_since(self, earlier: Dialect) -> str:
        """Describe what is new since an earlier dialect; empty for nothing."""
        changes = [
            f"it refuses {name}, which is left out" for name in sorted(self.left_out - earlier.left_out)
        ]
        renamed = self.renamed - earlier.renamed - self.left_out
        changes += [f"{name} is sent as {OTHER_NAMES[name]}" for name in renamed]
        if self.merged and not earlier.merged:
            changes.append("it takes no system messages; they are sent with the first user message")
        if self.streams and not earlier.streams:
            changes.append("it only streams, so answers are requested as streams")
        if self.most_tokens is not None and earlier.most_tokens is None:
            changes.append("its context is small, so the oldest messages of a conversation are left out")
        return "; ".join(changes)

    def _without(self, names: Sequence[str]) -> Dialect:
        renamed = OTHER_NAMES.keys() & names
        return replace(self, renamed=self.renamed | renamed)._leaving_out(set(names) - renamed)

    def _leaving_out(self, names: Iterable[str]) -> Dialect:
        ours = {OTHER_NAMES[name]: name for name in self.renamed}
        return replace(self, left_out=self.left_out | {ours.get(name, name) for name in names})


def _merged(messages: tuple[ChatMessage, ...]) -> tuple[ChatMessage, ...]:
    """Return a conversation without system messages, with adjacent messages of one role joined."""
    merged: list[ChatMessage] = []
    for message in messages:
        role, text = message["role"], message["content"]
        role = "user" if role == "system" else role
        if merged and merged[-1]["role"] == role:
            text = f"{merged.pop()['content']}\n\n{text}"
        merged.append({"role": role, "content": text})
    return tuple(merged)


def shortened(messages: tuple[ChatMessage, ...], most_tokens: int) -> tuple[ChatMessage, ...]:
    """Drop the oldest messages after the opening (up to the first user message) to fit; the newest stays."""
    first_user = next((index for index, message in enumerate(messages) if message["role"] == "user"), None)
    opening = messages if first_user is None else messages[: first_user + 1]
    later = list(messages[len(opening) :])
    while len(later) > 1 and tokens_of((*opening, *later)) > most_tokens:
        # An answer goes with its reply, unless that is the newest message.
        del later[: 2 if len(later) > 2 else 1]
    return (*opening, *later)


def silently_cut(sent: Sent, prompt: int, completion: int, finish_reason: str | None) -> bool:
    """Return whether an answer's tokens shows that the endpoint cut the conversation or had no room.

    Ollama drops the oldest part of what exceeds its context (``num_ctx``), and stops an answer at its end:
    then messages and answer fill the window exactly, or the messages have impossibly few tokens.
    """
    if prompt <= 0:
        return False
    full = prompt + completion in WINDOWS and finish_reason == "length" and completion < sent.max_tokens
    letters = sum(len(str(message["content"])) for message in sent.messages)
    return full or (letters > _ENOUGH and letters > _MOST_BYTES_A_TOKEN * prompt)
