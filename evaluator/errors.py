"""Define every error that the evaluator raises on purpose; ``agent.errors`` draws the whole tree."""

from __future__ import annotations

import traceback
from pathlib import Path

_PROGRAM = tuple(Path(__file__).parents[1] / room for room in ("agent", "evaluator", "prompts"))
MOST_OF_A_REASON = 300
"""Most characters of a library's message that are shown."""


class PromptclimbError(Exception):
    """The root of every error that this program raises on purpose.

    Args:
        message: The sentence for the user; it names settings as in TOML, between backticks.
    """

    def __init__(self, message: object = "") -> None:
        self.message = str(message)
        super().__init__(self.message)


def place_of(error: BaseException) -> str:
    """Return the file and line of the user's own code in which an error was raised; empty if it is ours."""
    frames = traceback.extract_tb(error.__traceback__)
    users_frames = [frame for frame in frames if not any(map(Path(frame.filename).is_relative_to, _PROGRAM))]
    return f" ({users_frames[-1].filename}, line {users_frames[-1].lineno})" if users_frames else ""


def named(error: BaseException) -> str:
    """Return the class and the text of a user's own error, which may raise in its ``__str__``."""
    try:
        text = str(error)
    except Exception as failure:  # noqa: BLE001 - somebody's own code
        text = f"its text raises {type(failure).__name__}"
    return f"{type(error).__name__}: {text}"


def reason_of(error: BaseException) -> str:
    """Return what a library's error says, on one line and without its class, a word of programmers."""
    if isinstance(error, PromptclimbError):
        return " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "no memory is left"
    reason = (isinstance(error, OSError) and error.strerror) or str(error)
    if not reason and isinstance(error, TimeoutError):
        return "no answer in time"
    return " ".join(reason.split())[:MOST_OF_A_REASON] or "no reason is given"


class UsageError(PromptclimbError):
    """The user's input is invalid; exit code 2."""


class ConfigError(UsageError):
    """An option, a variable or a configuration file is wrong."""


class DataError(UsageError):
    """A data set, a split file, an image or a list of class names cannot be used."""


class ModelError(UsageError):
    """A model, its checkpoint, the device or the cluster asked for cannot be used."""


class StoreError(PromptclimbError):
    """A run or labels on disk cannot be read or written."""


class StoreFullError(StoreError):
    """The disk has no room left; everything written before is kept."""


class StoreCorruptError(StoreError, UsageError):
    """A database is torn, of another program, or holds something unsafe to load; nothing of it was loaded."""


class EvaluatorError(PromptclimbError):
    """The scorer cannot do what it is asked to."""


class TemplateRejectedError(EvaluatorError):
    """A template that was to be examined cannot be scored.

    ``reason`` is a slug, ``explanation`` a sentence.
    """

    def __init__(self, template: str, reason: str, explanation: str = "") -> None:
        self.template = template
        self.reason = reason
        self.explanation = explanation or reason
        super().__init__(f"{template!r}: {self.explanation}")

    def __reduce__(self) -> tuple[type[TemplateRejectedError], tuple[str, str, str]]:
        return type(self), (self.template, self.reason, self.explanation)


class CrashingTemplateError(EvaluatorError):
    """One template makes the scorer fail again and again, while others are scored."""

    def __init__(self, template: str, explanation: str) -> None:
        self.template = template
        self.explanation = explanation
        super().__init__(f"{template!r}: {explanation}")

    def __reduce__(self) -> tuple[type[CrashingTemplateError], tuple[str, str]]:
        return type(self), (self.template, self.explanation)


class ScoringFailedError(EvaluatorError):
    """The scorer fails on any template; nothing is known of the one asked for."""


class ScoringEndedError(EvaluatorError):
    """Nothing more can be scored: the queue is closed, its worker died, or the scorer cannot be used."""


class ScorerRefusesError(ScoringEndedError):
    """A scorer behind an API refuses every request now, also one that it answered before."""


class AskingEndedError(ScoringEndedError):
    """A scorer behind an API cannot be asked any more; the cause says why."""
