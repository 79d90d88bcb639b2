"""What can go wrong in the evaluator.

::

    EvaluatorError
    ├── InputError        the user's fault: say what, where and what to do; exit code 2
    │   ├── DataError     images, splits, class names
    │   └── ModelError    names, checkpoints, devices
    ├── ScoringError      one template could not be scored; the others are unharmed
    └── ConsumerError     the queue to the scorer is closed, or its worker died
"""

from __future__ import annotations


class EvaluatorError(Exception):
    """Root of everything that the evaluator raises on purpose."""


class InputError(EvaluatorError):
    """What the user gave cannot be used; the message says what was wrong, where, and what to do."""


class DataError(InputError):
    """A data set, a split file, an image or a list of class names cannot be used."""


class ModelError(InputError):
    """A model, its checkpoint or the device asked for cannot be used."""


class ScoringError(EvaluatorError):
    """One template could not be scored.

    Attributes:
        template: The template as it was given.
        reason: A short slug, such as ``too_many_tokens`` or ``failed``.
    """

    def __init__(self, template: str, reason: str, message: str = "") -> None:
        self.template = template
        self.reason = reason
        self.message = message or reason
        super().__init__(f"{template!r}: {self.message}")

    def __reduce__(self) -> tuple[type[ScoringError], tuple[str, str, str]]:
        return type(self), (self.template, self.reason, self.message)


class ConsumerError(EvaluatorError):
    """The consumer is closed or its worker died: nothing can be scored through it any more."""
