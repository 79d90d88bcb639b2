"""Define the requests of a scorer behind an API, and the ``ApiAsk`` that gets them answered.

The caller of ``open_evaluator`` hands in an ``ApiAsk`` that paces, retries, and keeps to limits; nothing here
imports a network library.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

FAILED = "failed"
"""Reason of a refusal: not refused, but every attempt failed, while other requests were answered."""
CONTENT_FILTER, TOO_LARGE = "content_filter", "too_large"
"""Reasons of refusals: for what an image shows, and for its pixels or bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    """One request to the scorer's endpoint.

    Attributes:
        path: Below the scorer's URL, such as ``chat/completions``; empty for the URL itself.
        body: JSON values.
        prompt_tokens: The most tokens that it may be billed for, besides the answer; 0 where none are.
        max_tokens: The most tokens of its answer; 0 where none are billed.
        is_trial: It asks whether the endpoint takes such a form: a refusal says nothing of other requests.
    """

    path: str
    body: Mapping[str, Any] = field(repr=False)
    prompt_tokens: int = 0
    max_tokens: int = 0
    is_trial: bool = False

    @property
    def tokens_at_most(self) -> int:
        return self.prompt_tokens + self.max_tokens


@dataclass(frozen=True, slots=True)
class ApiReply:
    """The JSON value that the endpoint answered with. Untrusted."""

    body: Any


@dataclass(frozen=True, slots=True)
class ApiRefusal:
    """The endpoint refuses this one request for what it holds, and would refuse it again; or ``FAILED``.

    Attributes:
        reason: A slug, such as ``content_filter`` or ``too_large``.
        message: In words, without secrets.
    """

    reason: str
    message: str


ApiAnswer: TypeAlias = ApiReply | ApiRefusal


class ApiAsk(Protocol):
    """Gets requests answered; called from any thread but the event loop's."""

    def __call__(self, requests: Iterable[ApiRequest]) -> Iterator[tuple[int, ApiAnswer]]:
        """Yield each answer with its request's place, in the order of arrival; block until the next one.

        Requests are taken from the iterable as they are sent. An answer is paid for when it is yielded, so
        write it to disk at once. Closing the iterator gives up all that was not yielded.

        Raises:
            AskingEndedError: A limit is reached, the endpoint cannot answer, or the search was stopped.
        """
        ...


@runtime_checkable
class ApiEvaluator(Protocol):
    """An evaluator whose final evaluation takes requests to an API."""

    def test_requests(self, candidates: int) -> Iterator[ApiRequest]:
        """Yield requests, without bodies, that cost as much as testing so many candidates."""
        ...
