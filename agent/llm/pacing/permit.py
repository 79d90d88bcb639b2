"""Leave to send one request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from .headers import Kind
from .window import Taken

if TYPE_CHECKING:
    from .limiter import RateLimiter


class Permit:
    """Leave for one request; a context manager that gives it back, whatever happens.

    Args:
        limiter: The endpoint that it is for.
        tokens: The most that the request can be billed for.
        admitted: When it was given.
        taken: What it takes of each limit a minute.
        probe: Whether the request is to find out if the endpoint answers.
    """

    __slots__ = ("_left", "_on_leave", "admitted", "limiter", "probe", "taken", "tokens")

    def __init__(
        self,
        limiter: RateLimiter,
        tokens: int,
        admitted: float,
        taken: Mapping[Kind, Taken],
        *,
        probe: bool = False,
    ) -> None:
        self.limiter = limiter
        self.tokens = tokens
        self.admitted = admitted
        self.taken = taken
        self.probe = probe
        self._left = False
        self._on_leave: Callable[[], None] | None = None

    def on_leave(self, call: Callable[[], None]) -> None:
        """Have something done once it is given back."""
        self._on_leave = call

    def leave(self) -> None:
        """Give it back; a second time does nothing."""
        if not self._left:
            self._left = True
            self.limiter.leave(self)
            if self._on_leave is not None:
                self._on_leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
