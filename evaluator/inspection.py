"""A closer look at templates: how each class fares, and which are confused.

Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class ClassAccuracy:
    """How one class fares.

    Attributes:
        name: Its name; two classes may share one.
        images: Number of its images.
        correct: Those of them that are correctly classified.
    """

    name: str
    images: int
    correct: int

    @property
    def accuracy(self) -> float | None:
        """Share of its images that are correctly classified; None where there are none."""
        return self.correct / self.images if self.images else None

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of JSON values."""
        return {**asdict(self), "accuracy": self.accuracy}


@dataclass(frozen=True, slots=True)
class Confusion:
    """How many images of one class were taken for another, classes by name."""

    true: str
    taken_for: str
    images: int

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Inspection:
    """One ensemble on one split, looked at closely.

    Attributes:
        classes: How each class fares, by label.
        confusions: Every pair of classes that was confused, the most frequent first.
    """

    classes: tuple[ClassAccuracy, ...]
    confusions: tuple[Confusion, ...]


@runtime_checkable
class Inspector(Protocol):
    """What an evaluator may do besides: tell which classes are confused."""

    def inspect(self, ensemble: Sequence[str], *, split: str) -> Inspection:
        """Look at one ensemble on ``train``, ``val`` or ``test``, which opens it.

        Raises:
            TemplateRejectedError: A template cannot be scored by this model.
            EvaluatorError: The ensemble or the split is empty.
        """
        ...
