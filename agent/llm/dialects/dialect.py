"""What one endpoint takes: nothing is known at first, and each refusal says a little more."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from .contexts import LEAST_ANSWER, Window, room, shortened, size, window
from .families import NO_SYSTEM, STREAMS, other_name
from .refusals import Overlong, overlong, read_refusal

if TYPE_CHECKING:
    from ....prompts.requests import Message
    from ..types import ChatRequest

_LIMITS = ("max_tokens", "max_completion_tokens")
"""The bound of the answer: what keeps a request from costing more than was reserved goes last."""
_IN_PIECES: Mapping[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
LEAST_CEILING = 64
"""A ceiling of answers below it is a number misread: no endpoint has it, and no run could use it."""


class Sent(NamedTuple):
    """One request as it goes out: the conversation, and the optional parameters by name."""

    model: str
    messages: tuple[Message, ...]
    options: Mapping[str, Any]

    @property
    def max_tokens(self) -> int:
        """The longest answer asked for, 0 where none is."""
        return next((int(self.options[name]) for name in _LIMITS if name in self.options), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What one endpoint was found to take.

    Attributes:
        left_out: Parameters that it refuses.
        instead: Parameters that it knows by another name.
        most: Ceilings of parameters.
        merged: Whether it takes no system messages, or no two turns of one role in a row.
        streams: Whether it answers in pieces alone.
        fits: Bytes of a conversation that its context holds; None for no known bound.
        window: The context in which an answer has to fit beside its messages; None for no known one.
    """

    left_out: frozenset[str] = frozenset()
    instead: Mapping[str, str] = field(default_factory=dict)
    most: Mapping[str, float] = field(default_factory=dict)
    merged: bool = False
    streams: bool = False
    fits: int | None = None
    window: Window | None = None

    def put(self, request: ChatRequest, options: Mapping[str, Any]) -> Sent:
        """Return a request as this endpoint takes it.

        Args:
            request: What to ask.
            options: More optional parameters; they come before those of the request.
        """
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
            wanted |= _IN_PIECES
        taken = {
            self.instead.get(name, name): min(value, self.most[name]) if name in self.most else value
            for name, value in wanted.items()
            if name not in self.left_out
        }
        return Sent(request.model, _merged(messages) if self.merged else tuple(messages), taken)

    def after(self, body: object, sent: Sent, *, bare: bool, sure: bool = False) -> Dialect | None:
        """Return the dialect that a refusal teaches, None where it teaches nothing.

        Args:
            body: The refusal's body.
            sent: What it refuses.
            bare: Whether to leave out everything optional where the refusal names nothing.
            sure: Whether to heed only what a family says in its own words, and no parameter that is merely
                named: for failures that may be the server's own.
        """
        refusal = read_refusal(body)
        if (told := overlong(refusal)) is not None:
            return self._shorter(told, sent)
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
        """Return what is known of an endpoint by two requests that were under way at once."""
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
        """Return in words what is known now and was not before; empty for nothing."""
        said = [f"it refuses {name}, which is left out" for name in sorted(self.left_out - before.left_out)]
        said += [
            f"{name} goes as {other}" for name, other in self.instead.items() if name not in before.instead
        ]
        said += [
            f"{name} is {top:g} at most" for name, top in self.most.items() if top != before.most.get(name)
        ]
        if self.merged and not before.merged:
            said.append("it takes no system messages, which go with the first of the user's")
        if self.streams and not before.streams:
            said.append("it answers in pieces alone, and is asked so")
        if self.fits is not None and before.fits is None:
            said.append("its context is small, so that the oldest turns of a conversation are left out")
        if self.window is not None and (before.window is None or self.window.tokens < before.window.tokens):
            said.append(
                f"its context holds {self.window.tokens} tokens, so that long requests get short answers"
            )
        return "; ".join(said)

    def _shorter(self, told: Overlong, sent: Sent) -> Dialect | None:
        fits = room(told, sent.messages, sent.max_tokens)
        if size(shortened(sent.messages, fits)) < size(sent.messages):
            return replace(self, fits=fits)
        if (found := window(told, sent.messages, sent.max_tokens)) is None:
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
    """Return a conversation without system messages, and with turns of one role made one."""
    found: list[Message] = []
    for message in messages:
        role, text = message["role"], message["content"]
        role = "user" if role == "system" else role
        if found and found[-1]["role"] == role:
            text = f"{found.pop()['content']}\n\n{text}"
        found.append({"role": role, "content": text})
    return tuple(found)
