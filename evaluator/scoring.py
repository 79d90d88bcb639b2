"""The vocabulary of scoring: what is asked of an evaluator, and what it answers.

Nothing here needs torch. A ``Score`` is what a search may see, so it has no room for the test split:
that one is opened by ``Evaluator.examine`` once the search has chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, get_args, runtime_checkable

from .errors import InputError

Objective: TypeAlias = Literal["accuracy", "class_mean", "logprob", "margin"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
GREY_BOX: frozenset[Objective] = frozenset({"logprob", "margin"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How well one template does on the images that a search may look at.

    Attributes:
        train: Share of the training images told right, in [0, 1].
        val: The same on the validation images; None where there are none.
        correct: Numbers of images told right on train and on val.
        class_mean: Mean over classes of the training accuracy of each.
        logprob: Mean log-probability of the true class on train (nats); only when that is the objective.
        margin: Mean of logit of the true class minus the best other one; only when that is the objective.
    """

    train: float
    val: float | None = None
    correct: tuple[int, int | None] | None = None
    class_mean: float | None = None
    logprob: float | None = None
    margin: float | None = None

    def value(self, objective: Objective = "accuracy") -> float:
        """The number that a search climbs: higher is better.

        Raises:
            InputError: This score was computed without what the objective needs.
        """
        found = self.train if objective == "accuracy" else getattr(self, objective, None)
        if found is None:
            raise InputError(f"the evaluator was not opened for the objective {objective!r}")
        return float(found)

    def to_json(self) -> dict[str, Any]:
        """A dictionary of JSON values; what is None is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Score:
        """The inverse of ``to_json``."""
        values = dict(found)
        if values.get("correct") is not None:
            values["correct"] = tuple(values["correct"])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A template that this evaluator will never score, and why.

    Attributes:
        reason: A short slug, such as ``too_many_tokens``.
        message: One sentence for people.
    """

    reason: str
    message: str

    def to_json(self) -> dict[str, Any]:
        """A dictionary of JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Rejection:
        """The inverse of ``to_json``."""
        return cls(**found)


@dataclass(frozen=True, slots=True)
class SplitScores:
    """Accuracies of one ensemble on all three splits, as fractions of 1; None where a split is empty."""

    train: float
    val: float | None
    test: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatorInfo:
    """What an evaluator scores on, and with what.

    Attributes:
        dataset: Name of the data set.
        classes: Number of classes.
        shots: Training images a class.
        seed: Seed of the few-shot sample.
        sizes: Images in ``train``, ``val`` and ``test``.
        model: open_clip's name of the model.
        pretrained: Tag or file of its weights.
        fingerprint: Content hash of split, class names, checkpoint and preprocessing: equal fingerprints,
            equal scores.
        baselines: Hand-made templates to compare with, by name.
        precision: ``fp32``, or the type that ``best`` picked.
        notes: Facts about this evaluator that belong into a result (changed decisions under a lower
            precision, the text path taken, images left out).
    """

    dataset: str
    classes: int
    shots: int
    seed: int
    sizes: Mapping[str, int]
    model: str
    pretrained: str
    fingerprint: str
    baselines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    precision: str = "fp32"
    notes: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Scorer(Protocol):
    """Anything that scores templates."""

    def score(self, templates: Sequence[str]) -> Sequence[Score | Rejection]:
        """Scores templates; blocks; is called from one thread at a time.

        Returns:
            One answer for each template, in the same order. A template that can never be scored here is
            answered with a Rejection; an exception means that the whole batch failed.
        """
        ...


@runtime_checkable
class Evaluator(Scorer, Protocol):
    """A scorer bound to a data set, with its sealed test split."""

    @property
    def info(self) -> EvaluatorInfo:
        """What this evaluator scores on."""
        ...

    def examine(
        self, ensembles: Sequence[Sequence[str]], *, test: bool = True
    ) -> Sequence[SplitScores | None]:
        """Opens the test split and scores ensembles on every split; call it once, after selection.

        Args:
            ensembles: Templates whose normalised text embeddings are averaged; one template is a list of
                one.
            test: False leaves the test split sealed, and ``test`` None.

        Returns:
            One answer for each ensemble, in the same order; None for one that this black box cannot measure,
            such as several templates where there are no embeddings to average.

        Raises:
            ScoringError: A template cannot be scored by this model.
        """
        ...


def parse_objective(name: str) -> Objective:
    """The objective of that name.

    Raises:
        InputError: There is none.
    """
    if name not in OBJECTIVES:
        raise InputError(f"unknown objective {name!r}; known are {', '.join(OBJECTIVES)}")
    return name
