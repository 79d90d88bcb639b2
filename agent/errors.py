"""Every error that a search may raise, in one tree; the evaluator's part of it lies in ``evaluator.errors``.

::

    PromptclimbError                    str() is a sentence for the user
    ├── UsageError                      the user's to mend: wrong option, file or directory; exit code 2
    │   ├── ConfigError                 an option, a variable or a configuration file
    │   ├── DataError                   images, splits, class names
    │   ├── ModelError                  the VLM: names, checkpoints, devices, clusters
    │   ├── EndpointError               the chat endpoint cannot be used, found before anything was paid
    │   ├── StoreMissingError           (also a StoreError) the directory holds no run
    │   ├── StoreExistsError            (also a StoreError) the directory already holds a run
    │   ├── StoreLockedError            (also a StoreError) another live process works on this run
    │   ├── StoreMismatchError          (also a StoreError) the run was started with other settings
    │   ├── StoreVersionError           (also a StoreError) another version of the program made the run
    │   └── StoreCorruptError           (also a StoreError) torn, foreign or unsafe; nothing of it is loaded
    ├── ChatError                       one attempt at the chat model failed
    │   ├── TransientChatError          the network, a deadline, 408, 409, 425, 5xx: may well pass
    │   ├── RateLimitedError            429: too fast, not forbidden
    │   ├── UnusableAnswerError          an answer came, was perhaps billed, and cannot be used
    │   └── FatalChatError              trying again cannot help
    │       ├── KeyRejectedError        401, 403
    │       ├── ModelNotFoundError      404
    │       ├── BadRequestError         400, 422 and other 4xx
    │       │   ├── ContextTooLongError the conversation is longer than the model's context
    │       │   └── FlaggedRequestError a content filter refuses what was asked
    │       ├── QuotaSpentError         the account has nothing left
    │       └── RequestTooLargeError    one request needs more tokens than a whole minute allows
    ├── RequestFailedError              the attempts for one request are used up; its round is skipped
    ├── BudgetSpentError                a limit that the user set is reached; the run stops
    ├── GaveUpError                     nothing has succeeded, or been of use, for too long; the run stops
    ├── InterruptedRunError             a signal asked the run to stop; everything is kept
    ├── RestartCancelledError             a restart was cancelled from within; everything is kept
    ├── EvaluationFailedError           the evaluator failed in the middle of a run; everything is kept
    ├── EvaluatorError                  the black box cannot do what it is asked to
    │   ├── TemplateRejectedError       a template that was to be examined cannot be scored
    │   ├── CrashingTemplateError       one template makes the scorer fail, which scores others
    │   ├── ScoringFailedError          the scorer fails, whatever it is given
    │   └── ConsumerError               the queue to the scorer is closed, or its worker died
    └── StoreError                      the run on disk cannot be read or written
        └── StoreFullError              no room left on the disk
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..evaluator.errors import (
    ConfigError as ConfigError,
)
from ..evaluator.errors import (
    ConsumerError as ConsumerError,
)
from ..evaluator.errors import (
    CrashingTemplateError as CrashingTemplateError,
)
from ..evaluator.errors import (
    DataError as DataError,
)
from ..evaluator.errors import (
    EvaluatorError as EvaluatorError,
)
from ..evaluator.errors import (
    ModelError as ModelError,
)
from ..evaluator.errors import (
    PromptclimbError as PromptclimbError,
)
from ..evaluator.errors import (
    ScoringFailedError as ScoringFailedError,
)
from ..evaluator.errors import (
    TemplateRejectedError as TemplateRejectedError,
)
from ..evaluator.errors import (
    UsageError as UsageError,
)
from .prices import TokenUsage as TokenUsage

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class EndpointError(UsageError):
    """The chat endpoint cannot be used; found before anything was paid."""


class ChatError(PromptclimbError):
    """One attempt at the chat model failed.

    Attributes:
        status: HTTP status of the reply, None where there was none.
        headers: The reply's rate-limit headers, names in lower case.
        usage: What the reply says was billed, None where it says nothing.
        perhaps_billed: Whether the endpoint may have billed the attempt although no usage was seen.
        retry_after: Seconds that the endpoint asks to wait, None where it does not say.
        took_s: Seconds that the attempt took, set by who made it.
    """

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
        self.took_s = 0.0


class TransientChatError(ChatError):
    """The network, a deadline or the server failed in a way that may well pass."""


class RateLimitedError(ChatError):
    """The endpoint asks for fewer requests."""


class UnusableAnswerError(ChatError):
    """An answer came, was perhaps billed, and holds nothing to use.

    Attributes:
        reason: One of "bad_json", "not_json", "no_choices", "no_content", "length", "content_filter",
            "refusal", "too_big".
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        status: int | None = 200,
        headers: Mapping[str, str] = NO_HEADERS,
        usage: TokenUsage | None = None,
    ) -> None:
        super().__init__(message, status=status, headers=headers, usage=usage, perhaps_billed=True)
        self.reason = reason


class FatalChatError(ChatError):
    """Trying again cannot help."""


class KeyRejectedError(FatalChatError):
    """The endpoint does not accept the key (401, 403)."""


class ModelNotFoundError(FatalChatError):
    """The endpoint has no such model, or no such address (404)."""


class BadRequestError(FatalChatError):
    """The endpoint refuses the request as it stands (400, 422, other 4xx)."""


class ContextTooLongError(BadRequestError):
    """The conversation is longer than the endpoint takes, and no turn of it is left that could go."""


class FlaggedRequestError(BadRequestError):
    """A content filter refuses what was asked."""


class QuotaSpentError(FatalChatError):
    """The account behind the key has nothing left."""


class RequestTooLargeError(FatalChatError):
    """One request needs more tokens than the endpoint allows in a whole minute."""


class RequestFailedError(PromptclimbError):
    """The attempts or the time allowed for one request are used up; its round is skipped.

    Attributes:
        attempts: How many were made.
        answered: Whether the model did answer, but never usably: it would do so again, and be paid again.
        refused: Whether it was refused in words that leave open whether the request or the endpoint is at
            fault.
    """

    def __init__(self, message: str, *, attempts: int, answered: bool = False, refused: bool = False) -> None:
        super().__init__(message)
        self.attempts = attempts
        self.answered = answered
        self.refused = refused


class BudgetSpentError(PromptclimbError):
    """A limit that the user set is reached.

    Attributes:
        limit: "calls", "tokens", "cost" or "minutes".
        limits: All that are reached: going on takes more of each.
    """

    def __init__(self, message: str, *, limit: str, limits: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.limit = limit
        self.limits = limits or (limit,)


class GaveUpError(PromptclimbError):
    """Nothing has succeeded for as long as the user allows, or no answer was usable."""


class InterruptedRunError(PromptclimbError):
    """A signal asked the run to stop; everything is kept.

    Attributes:
        signal: Its number.
    """

    def __init__(self, signal: int) -> None:
        super().__init__("the run was interrupted")
        self.signal = signal


class RestartCancelledError(PromptclimbError):
    """An LLM, an evaluator or a listener let a cancellation out into a restart; everything is kept."""

    def __init__(self) -> None:
        super().__init__(
            "a restart was cancelled from within: an LLM, an evaluator or a listener of your own, "
            "or something "
            "else that the search calls, cancelled the task that called it"
        )


class EvaluationFailedError(PromptclimbError):
    """The evaluator failed in the middle of a run; everything is kept."""


class StoreError(PromptclimbError):
    """The run on disk cannot be read or written."""


class StoreFullError(StoreError):
    """The disk has no room left; everything written before is kept."""


class StoreMissingError(StoreError, UsageError):
    """The directory holds no run."""


class StoreExistsError(StoreError, UsageError):
    """The directory already holds a run."""


class StoreLockedError(StoreError, UsageError):
    """Another live process works on this run."""


class StoreMismatchError(StoreError, UsageError):
    """The run was started with other settings than those now given.

    Attributes:
        differences: A line for each, "name: it was A, now B".
    """

    def __init__(self, message: str, *, differences: tuple[str, ...]) -> None:
        super().__init__(message)
        self.differences = differences


class StoreVersionError(StoreError, UsageError):
    """Another version of the program made the run, and this one cannot resume it."""


class StoreCorruptError(StoreError, UsageError):
    """The store is torn, of another program, or holds what must not be loaded; nothing of it was."""
