"""Define the requests of a scorer behind an API, and the ``ApiAsk`` that gets them answered.

The caller of ``open_evaluator`` hands in an ``ApiAsk`` that paces, retries, and keeps to limits; nothing here
imports a network library.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    """One request to the scorer's endpoint.

    Attributes:
        path: Below the scorer's URL, such as ``chat/completions``; empty for the URL itself.
        body: JSON values.
        prompt_tokens: The most tokens that it may be billed for, besides the answer; 0 where none are.
        max_tokens: The most tokens of its answer; 0 where none are billed.
        optional: Members of the body that are left out, here and later, if the endpoint refuses them.
        is_trial: It asks whether the endpoint takes such a form: a refusal says nothing of other requests.
    """

    path: str
    body: Mapping[str, Any] = field(repr=False)
    prompt_tokens: int = 0
    max_tokens: int = 0
    optional: frozenset[str] = frozenset()
    is_trial: bool = False


@dataclass(frozen=True, slots=True)
class ApiReply:
    """The JSON value that the endpoint answered with. Untrusted."""

    body: Any


@dataclass(frozen=True, slots=True)
class ApiRefusal:
    """The endpoint refuses a request for what it holds, and would refuse it again; or has not answered.

    Attributes:
        message: In words, without secrets.
        failed: It has not answered: every attempt failed.
    """

    message: str
    failed: bool = False


ApiAnswer: TypeAlias = ApiReply | ApiRefusal


class ApiEstimate(NamedTuple):
    """What requests take in all, at most."""

    requests: int
    prompt_tokens: int
    answer_tokens: int


NO_REQUESTS = ApiEstimate(0, 0, 0)


class ApiAsk(Protocol):
    """Gets requests answered, for the tasks of one event loop.

    Attributes:
        concurrency: Most requests in flight.
    """

    concurrency: int

    def place(self) -> AbstractAsyncContextManager[None]:
        """Hold one of ``concurrency`` places; from before a request is made until its answer is on disk.

        A task in a place is not cancelled with others, as its answer may be paid for.

        Raises:
            AskingEndedError: Nothing more is asked.
        """
        ...

    async def __call__(self, request: ApiRequest) -> ApiAnswer:
        """Return the answer to a request, in a place.

        Raises:
            AskingEndedError: A limit is reached, the endpoint cannot answer, or the search was stopped.
        """
        ...
