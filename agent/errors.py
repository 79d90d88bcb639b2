"""Every error that a search may raise; those of the evaluator are defined in ``evaluator.errors``.

::

    PromptclimbError                    str() is a sentence for the user
    ├── UsageError                      wrong option, file or directory; exit code 2
    │   ├── ConfigError
    │   ├── DataError
    │   ├── ModelError
    │   ├── EndpointError
    │   ├── StoreMissingError           these seven are StoreErrors too
    │   ├── StoreExistsError
    │   ├── StoreLockedError
    │   ├── StoreMismatchError
    │   ├── StoreVersionError
    │   ├── StoreCorruptError
    │   └── UntrustedRunError
    ├── ChatError                       one attempt at the LLM, or at a scorer behind an API, failed
    │   ├── TransientChatError
    │   │   └── UnconnectedError
    │   ├── RateLimitedError
    │   ├── UnusableAnswerError
    │   └── FatalChatError              trying again cannot help
    │       ├── KeyRejectedError
    │       ├── ModelNotFoundError
    │       ├── BadRequestError
    │       │   ├── ContextTooLongError
    │       │   └── FlaggedRequestError
    │       ├── QuotaSpentError
    │       ├── RedirectedError
    │       └── RequestTooLargeError
    ├── RequestFailedError              one request failed; its round is skipped
    ├── BudgetSpentError                this and the next four: the run stops, everything is kept
    ├── GaveUpError
    ├── InterruptedRunError
    ├── RestartCancelledError
    ├── EvaluationFailedError
    ├── EvaluatorError                  the scorer cannot do what it is asked to
    │   ├── TemplateRejectedError
    │   ├── CrashingTemplateError
    │   ├── ScoringFailedError
    │   └── ScoringEndedError
    │       ├── AskingEndedError        its cause is one of the others
    │       └── ScorerRefusesError
    └── StoreError
        ├── StoreFullError
        └── StoreGoneError
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import ClassVar

from ..evaluator.errors import AskingEndedError, PromptclimbError, StoreError, UsageError
from ..evaluator.failures import FailureKind, NextStep
from .prices import TokenUsage

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class EndpointError(UsageError):
    """The endpoint of the LLM, or of the scorer, cannot be used; found before anything was paid."""


class ChatError(PromptclimbError):
    """One attempt at the LLM, or at a scorer behind an API, failed.

    Attributes:
        kind: Its row in the table of ``evaluator.failures``.
        status: HTTP status of the reply; None without a reply.
        headers: The reply's rate-limit headers, names in lower case.
        usage: Billed tokens by the reply; None if it reports none.
        perhaps_billed: The attempt may have been billed although no usage was reported.
        retry_after: Seconds that the endpoint asks to wait, or None.
        written: Upper bound of the tokens of its text and shown reasoning, where no usage is reported.
        body: What the reply says in place of an answer, without secrets.
        adapted: The request has another form from now on, which may be answered.
        stumbled: The server failed (500) at a request in a form that it may not take.
        step: What follows from it, by that table; None before it was judged.
    """

    KIND: ClassVar[FailureKind] = FailureKind.UNREACHABLE

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
        usage: TokenUsage | None = None,
        perhaps_billed: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.usage = usage
        self.perhaps_billed = perhaps_billed
        self.retry_after = retry_after
        self.written = 0
        self.body: object = None
        self.adapted = False
        self.stumbled = False
        self.step: NextStep | None = None

    @property
    def kind(self) -> FailureKind:
        if self.adapted:
            return FailureKind.ADAPTED
        return FailureKind.STUMBLED if self.stumbled else self.KIND


class TransientChatError(ChatError):
    """The network, a deadline or the server (408, 409, 425, 5xx) failed; another attempt may succeed."""


class UnconnectedError(TransientChatError):
    """Nothing listens at the address, so nothing was billed."""

    KIND = FailureKind.UNCONNECTED


class RateLimitedError(ChatError):
    """The endpoint asks for fewer requests (429)."""

    KIND = FailureKind.BUSY


class UnusableAnswerError(ChatError):
    """An answer came, was perhaps billed, and cannot be used.

    Attributes:
        reason: "bad_json", "not_json", "no_choices", "no_content", "length", "content_filter", "refusal" or
            "too_big".
        final: It is too long even with the most tokens that are requested, so another one would be too.
    """

    KINDS: ClassVar[Mapping[str, FailureKind]] = {
        "no_content": FailureKind.UNUSABLE,
        "length": FailureKind.CUT,
        "content_filter": FailureKind.UNUSABLE,
        "refusal": FailureKind.UNUSABLE,
    }
    """By reason; the other reasons are garbled replies."""

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        usage: TokenUsage | None = None,
        written: int = 0,
    ) -> None:
        super().__init__(message, status=200, usage=usage, perhaps_billed=True)
        self.reason = reason
        self.written = written
        self.final = False

    @property
    def kind(self) -> FailureKind:
        if self.adapted:
            return FailureKind.ADAPTED
        return FailureKind.ENDLESS if self.final else self.KINDS.get(self.reason, FailureKind.GARBLED)


class FatalChatError(ChatError):
    """Trying again cannot help."""

    KIND = FailureKind.CLOSED


class KeyRejectedError(FatalChatError):
    """The endpoint does not accept the key (401, 403)."""

    KIND = FailureKind.MISDIRECTED


class ModelNotFoundError(FatalChatError):
    """The endpoint has no such model, or no such address (404)."""

    KIND = FailureKind.MISDIRECTED


class BadRequestError(FatalChatError):
    """The endpoint refuses the request as it stands (400, 422, other 4xx)."""

    KIND = FailureKind.REFUSED


class ContextTooLongError(BadRequestError):
    """The conversation is longer than the model's context."""

    KIND = FailureKind.TOO_LONG


class FlaggedRequestError(BadRequestError):
    """A content filter refuses what was asked."""

    KIND = FailureKind.FLAGGED


class QuotaSpentError(FatalChatError):
    """The account behind the key has nothing left."""


class RedirectedError(FatalChatError):
    """The endpoint sends requests on to another host or port, where nothing is sent; or nowhere."""

    KIND = FailureKind.MISDIRECTED


class RequestTooLargeError(FatalChatError):
    """One request needs more tokens than the endpoint allows in a whole minute."""


class RequestFailedError(PromptclimbError):
    """The attempts or the time allowed for one request are used up; its round is skipped.

    Attributes:
        kind: The kind of the last failure, which is the cause.
        attempts: Attempts made.
    """

    def __init__(self, message: str, *, kind: FailureKind, attempts: int) -> None:
        super().__init__(message)
        self.kind = kind
        self.attempts = attempts


class BudgetSpentError(PromptclimbError):
    """A limit that the user set is reached.

    Attributes:
        limits: Keys (``agent/limits.py``) of all limits that are reached; resuming needs more of each.
    """

    def __init__(self, message: str, *, limits: tuple[str, ...]) -> None:
        super().__init__(message)
        self.limits = limits


class GaveUpError(PromptclimbError):
    """Nothing has succeeded for as long as the user allows, or no answer was usable."""


class InterruptedRunError(PromptclimbError):
    """A signal (``signal``: its number) asked the run to stop; everything is kept."""

    def __init__(self, signal: int) -> None:
        super().__init__("the run was interrupted")
        self.signal = signal


class RestartCancelledError(PromptclimbError):
    """An LLM, a scorer or a listener cancelled a restart from within; everything is kept."""

    def __init__(self) -> None:
        super().__init__(
            "a restart was cancelled from within: an LLM, a scorer or a listener of your own, "
            "or something else that the search calls, cancelled the task that called it"
        )


@contextmanager
def asking_errors_as_causes() -> Iterator[None]:
    """Raise, in place of an AskingEndedError, why a scorer behind an API cannot be asked any more."""
    try:
        yield
    except AskingEndedError as error:
        if error.__cause__ is None:
            raise
        raise error.__cause__ from error


class EvaluationFailedError(PromptclimbError):
    """The scorer failed in the middle of a run; everything is kept."""


class StoreGoneError(StoreError):
    """The run's folder was removed, moved or replaced while the run was live."""


class StoreMissingError(StoreError, UsageError):
    """The directory holds no run."""


class StoreExistsError(StoreError, UsageError):
    """The directory already holds a run."""


class StoreLockedError(StoreError, UsageError):
    """Another live process works on this run."""


class StoreMismatchError(StoreError, UsageError):
    """The run was started with other settings; ``differences`` has lines like "name: it was A, now B"."""

    def __init__(self, message: str, *, differences: tuple[str, ...]) -> None:
        super().__init__(message)
        self.differences = differences


class StoreVersionError(StoreError, UsageError):
    """Another version of the program made the run, and this one cannot resume it."""


class UntrustedRunError(StoreError, UsageError):
    """What the run would execute, or where it would send, was not set by this user in this folder."""
