"""What one endpoint takes: every parameter at first, and less with each refusal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from .chat import size
from .refusals import NO_SYSTEM, STREAMS, Overlong, other_name, overlong, read_refusal

if TYPE_CHECKING:
    from ...prompts.requests import Message
    from .chat import ChatRequest

HEADROOM = 0.95
"""Used share of the context: tokens are estimated from bytes."""
LEAST_ANSWER = 16
"""Shorter answers, in tokens, are not worth a request."""
LEAST_CEILING = 64
"""A lower ceiling of answers, in tokens, is a misread number."""
WINDOWS = frozenset(2**power for power in range(11, 18))
"""Default contexts of servers."""
_MOST_BYTES_A_TOKEN = 8
_ENOUGH = 2_000
_LIMITS = ("max_tokens", "max_completion_tokens")
"""The bound of the answer holds the cost within the reservation: it is left out last."""
_STREAMED: Mapping[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


class Sent(NamedTuple):
    """One request as it is sent, with its optional parameters by name."""

    model: str
    messages: tuple[Message, ...]
    options: Mapping[str, Any]

    @property
    def max_tokens(self) -> int:
        """The longest answer asked for, 0 for no bound."""
        return next((int(self.options[name]) for name in _LIMITS if name in self.options), 0)


@dataclass(frozen=True, slots=True)
class ContextWindow:
    """A context that messages and answer share, in tokens, and the tokens per byte of the messages."""

    tokens: int
    tokens_a_byte: float

    def beside(self, messages: Sequence[Message], max_tokens: int) -> int:
        """Return how long an answer to these messages may be, ``max_tokens`` at most."""
        left = int((self.tokens - size(messages) * self.tokens_a_byte) * HEADROOM)
        return min(max_tokens, max(left, LEAST_ANSWER))

    def joined(self, other: ContextWindow | None) -> ContextWindow:
        """Return the narrower of both."""
        if other is None:
            return self
        return ContextWindow(min(self.tokens, other.tokens), max(self.tokens_a_byte, other.tokens_a_byte))


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What one endpoint takes, as far as its refusals have shown.

    Attributes:
        left_out: Refused parameters.
        instead: Other names of parameters.
        most: Ceilings of parameters.
        merged: It takes no system messages, or no two messages of one role in a row.
        streams: It only streams.
        fits: Bytes of a conversation that fit into its context; None if no bound is known.
        window: The context that messages and answer share, if known.
    """

    left_out: frozenset[str] = frozenset()
    instead: Mapping[str, str] = field(default_factory=dict)
    most: Mapping[str, float] = field(default_factory=dict)
    merged: bool = False
    streams: bool = False
    fits: int | None = None
    window: ContextWindow | None = None

    def put(self, request: ChatRequest, options: Mapping[str, Any]) -> Sent:
        """Return a request as this endpoint takes it; ``options`` override the request's own parameters."""
        messages = request.messages if self.fits is None else shortened(request.messages, self.fits)
        longest = request.max_tokens
        if self.window is not None:
            longest = self.window.beside(messages, longest)
        wanted: dict[str, Any] = {"max_tokens": longest, "temperature": request.temperature}
        if request.seed is not None:
            wanted["seed"] = request.seed
        if request.reasoning_effort is not None:
            wanted["reasoning_effort"] = request.reasoning_effort
        wanted |= json.loads(request.extra_body or "{}") | options
        if self.streams:
            wanted |= _STREAMED
        taken = {
            self.instead.get(name, name): min(value, self.most[name]) if name in self.most else value
            for name, value in wanted.items()
            if name not in self.left_out
        }
        return Sent(request.model, _merged(messages) if self.merged else tuple(messages), taken)

    def after(self, body: object, sent: Sent, *, bare: bool, sure: bool = False) -> Dialect | None:
        """Return the dialect that a refusal teaches, None if it teaches nothing.

        ``bare`` leaves out everything optional if the refusal names no parameter. ``sure`` heeds only the
        vendors' own words, not parameters merely named, for failures that may be the server's own.
        """
        refusal = read_refusal(body)
        if (sizes := overlong(refusal)) is not None:
            return self._shorter(sizes, sent)
        if NO_SYSTEM.search(refusal.text):
            return None if self.merged else replace(self, merged=True)
        if STREAMS.search(refusal.text) and not self.streams:
            return replace(self, streams=True)
        if sure and "support" not in refusal.text:
            return None
        if named := refusal.names(sent.options):
            learned = self
            # "temperature and top_p cannot both be specified": the first of them stays.
            for name in named[1:] if len(named) > 1 and " both " in refusal.text else named:
                learned = learned._without(name, refusal.text, refusal.ceiling(name), sent)
            return learned
        if not bare or not sent.options:
            return None
        return self._leaving_out([name for name in sent.options if name not in _LIMITS] or sent.options)

    def joined(self, other: Dialect) -> Dialect:
        """Return what two concurrent requests have shown together."""
        bounds = [fits for fits in (self.fits, other.fits) if fits is not None]
        return Dialect(
            left_out=self.left_out | other.left_out,
            instead={**self.instead, **other.instead},
            most={
                name: min(found[name] for found in (self.most, other.most) if name in found)
                for name in {**self.most, **other.most}
            },
            merged=self.merged or other.merged,
            streams=self.streams or other.streams,
            fits=min(bounds, default=None),
            window=other.window if self.window is None else self.window.joined(other.window),
        )

    def news(self, before: Dialect) -> str:
        """Describe what is new since an earlier dialect; empty for nothing."""
        said = [f"it refuses {name}, which is left out" for name in sorted(self.left_out - before.left_out)]
        said += [
            f"{name} is sent as {other}" for name, other in self.instead.items() if name not in before.instead
        ]
        said += [
            f"{name} is {top:g} at most" for name, top in self.most.items() if top != before.most.get(name)
        ]
        if self.merged and not before.merged:
            said.append("it takes no system messages; they are sent with the first user message")
        if self.streams and not before.streams:
            said.append("it only streams, so answers are requested as streams")
        if self.fits is not None and before.fits is None:
            said.append("its context is small, so the oldest messages of a conversation are left out")
        if self.window is not None and (before.window is None or self.window.tokens < before.window.tokens):
            said.append(f"its context holds {self.window.tokens} tokens, so long requests get short answers")
        return "; ".join(said)

    def _shorter(self, sizes: Overlong, sent: Sent) -> Dialect | None:
        fits = room(sizes, sent.messages, sent.max_tokens)
        if size(shortened(sent.messages, fits)) < size(sent.messages):
            return replace(self, fits=fits)
        if (found := window(sizes, sent.messages, sent.max_tokens)) is None:
            return None
        return replace(self, window=found.joined(self.window))

    def _without(self, name: str, said: str, ceiling: float | None, sent: Sent) -> Dialect:
        own = next((ours for ours, theirs in self.instead.items() if theirs == name), name)
        value = sent.options[name]
        if own in _LIMITS and ceiling is not None and ceiling < LEAST_CEILING:
            ceiling = half if (half := value // 2) >= LEAST_ANSWER else None
        if ceiling and isinstance(value, int | float) and value > ceiling:
            top = int(ceiling) if isinstance(value, int) else ceiling
            return replace(self, most={**self.most, own: top})
        if own == name and (other := other_name(name, said, sent.model)) is not None:
            return replace(self, instead={**self.instead, name: other})
        return self._leaving_out([own])

    def _leaving_out(self, names: Iterable[str]) -> Dialect:
        ours = {theirs: own for own, theirs in self.instead.items()}
        return replace(self, left_out=self.left_out | {ours.get(name, name) for name in names})


def _merged(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return a conversation without system messages, with adjacent messages of one role joined."""
    found: list[Message] = []
    for message in messages:
        role, text = message["role"], message["content"]
        role = "user" if role == "system" else role
        if found and found[-1]["role"] == role:
            text = f"{found.pop()['content']}\n\n{text}"
        found.append({"role": role, "content": text})
    return tuple(found)


def room(sizes: Overlong, messages: tuple[Message, ...], max_tokens: int) -> int:
    """Return how many bytes of a conversation fit beside a full answer, after one that did not."""
    sent, prompt = size(messages), _prompt(sizes, max_tokens)
    if not sizes.window or prompt <= 0:
        return sent // 2
    fits = int(sent * max(sizes.window - max_tokens, 0) / prompt * HEADROOM)
    return min(fits, sent - 1)


def window(sizes: Overlong, messages: tuple[Message, ...], max_tokens: int) -> ContextWindow | None:
    """Return the context that holds these messages but not their answer; None if it has no room for one."""
    prompt = _prompt(sizes, max_tokens)
    if not sizes.window or prompt <= 0:
        return None
    left = int((sizes.window - prompt) * HEADROOM)
    if not LEAST_ANSWER <= left < max_tokens:
        return None
    return ContextWindow(tokens=sizes.window, tokens_a_byte=prompt / size(messages))


def _prompt(sizes: Overlong, max_tokens: int) -> int:
    return sizes.prompt or (sizes.both - max_tokens if sizes.both else 0)


def shortened(messages: tuple[Message, ...], most: int) -> tuple[Message, ...]:
    """Drop the oldest messages after the opening (up to the first user message) to fit; the newest stays."""
    users = [place for place, message in enumerate(messages) if message["role"] == "user"]
    opening = messages[: users[0] + 1] if users else messages
    later = list(messages[len(opening) :])
    while len(later) > 1 and size((*opening, *later)) > most:
        # An answer goes with its reply, unless that is the newest message.
        del later[: 2 if len(later) > 2 else 1]
    return (*opening, *later)


def silently_cut(
    messages: tuple[Message, ...], max_tokens: int, *, prompt: int, completion: int, reason: str
) -> bool:
    """Return whether an answer's usage shows that the endpoint cut the conversation or had no room.

    Ollama drops the oldest part of what exceeds its context (``num_ctx``), and stops an answer at its end:
    then messages and answer fill the window exactly, or the messages have impossibly few tokens.
    """
    if prompt <= 0:
        return False
    full = prompt + completion in WINDOWS and reason == "length" and completion < max_tokens
    letters = sum(len(str(message["content"])) for message in messages)
    return full or (letters > _ENOUGH and letters > _MOST_BYTES_A_TOKEN * prompt)
