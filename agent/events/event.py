"""Events and the bus that hands them to listeners."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, ClassVar, TypeAlias, dataclass_transform

from ..position import Position


@dataclass_transform(frozen_default=True, kw_only_default=True)
@dataclass(frozen=True, kw_only=True)
class Event:
    """The root of all events: frozen values that say what happened and never decide anything.

    A subclass is one kind of event; it gives its name, ``room.past_tense``, as a class argument and lists its
    fields::

        class StartingTemplatesDrawn(Event, name="restart.starting_templates_drawn"):
            templates: int
    """

    name: ClassVar[str] = "event"

    def __init_subclass__(cls, *, name: str = "", **given: Any) -> None:
        super().__init_subclass__(**given)
        if name:
            cls.name = name
        dataclass(frozen=True, kw_only=True)(cls)

    def fields(self) -> dict[str, Any]:
        """Return the event's values by name, as JSON values; of a position its three numbers."""
        found: dict[str, Any] = {}
        kind: Any = type(self)
        for name in _names(kind):
            value = getattr(self, name)
            if isinstance(value, Position):
                found |= {"restart": value.restart, "conversation": value.conversation, "round": value.round}
            else:
                found[name] = value
        return found


@cache
def _names(kind: type[Event]) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind))


Listener: TypeAlias = Callable[[Event], None]


def ignore_event(_event: Event) -> None:
    """Ignore an event."""


class ListenerFailed(Event, name="events.listener_failed"):
    """A listener raised and gets no further events; the search goes on.

    Attributes:
        listener: Which one.
        error: What it raised.
    """

    listener: str
    error: str


class Bus:
    """Hands every event to every listener, in the order in which they joined; itself a listener.

    A listener that raises is left out from then on: what listens must not be able to end a search.

    Args:
        listeners: The first listeners.
    """

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = list(listeners)

    def __call__(self, event: Event) -> None:
        """Hand on an event."""
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - somebody's own code
                self._leave_out(listener, error)

    @contextmanager
    def joined(self, listener: Listener) -> Iterator[None]:
        """One more listener for as long as the context is open."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def _leave_out(self, listener: Listener, error: BaseException) -> None:
        if listener not in self._listeners:
            return
        self._listeners.remove(listener)
        called = getattr(listener, "__qualname__", type(listener).__qualname__)
        self(ListenerFailed(listener=called, error=f"{type(error).__name__}: {error}"))
