"""Define the interface of an evaluator: what it is asked for and what it answers. Imports no torch.

A ``Score`` is what a search may see, so it has no room for the test split, which is held out:
``Evaluator.examine`` opens it once the search has chosen.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Protocol, TypeAlias, get_args, runtime_checkable

from .errors import ConfigError, UsageError
from .settings import shown

Objective: TypeAlias = Literal["accuracy", "class_mean", "logprob", "margin"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
GREY_BOX: frozenset[Objective] = frozenset({"logprob", "margin"})
COUNTED: frozenset[Objective] = frozenset({"accuracy", "class_mean"})
"""Objectives that count images, so that augmented copies of an image may count beside it."""
MAX_IN_FLIGHT = 256
"""Most batches at once: each takes a thread."""
NOT_A_NUMBER = "not_a_number"
"""Reason of a rejection: the evaluator answered with nan or infinity."""
MOST_CONFUSED = 3


@dataclass(frozen=True, slots=True)
class Confusion:
    """How many images of one class were taken for another, classes by name."""

    true: str
    taken_for: str
    images: int

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How well one template does on the images that a search may look at."""

    train: float  # share of the training images that are correctly classified, in [0, 1]
    val: float | None = None  # the same on the validation images, if any
    # numbers of correctly classified images on train and on val
    correct: tuple[int, int | None] | None = None
    class_mean: float | None = None  # mean over classes of the training accuracy of each
    # mean log-probability of the true class on train (nats); only when that is the objective
    logprob: float | None = None
    # mean of logit of the true class minus the best other one; only when that is the objective
    margin: float | None = None
    # the pairs of classes most confused on train, at most ``MOST_CONFUSED``; None if not known
    confused: tuple[Confusion, ...] | None = None
    # val_class_mean, val_logprob, val_margin: the same on the validation images, if any
    val_class_mean: float | None = None
    val_logprob: float | None = None
    val_margin: float | None = None
    # the objective on augmented copies of the training and validation images, pooled; None where there are no
    # copies
    views: float | None = None

    def value(self, objective: Objective = "accuracy") -> float:
        """Return the number that a search maximizes.

        Raises:
            UsageError: This score was computed without what the objective needs.
        """
        found = self.train if objective == "accuracy" else getattr(self, objective, None)
        if found is None:
            raise UsageError(f"the evaluator was not opened for the objective {objective!r}")
        return float(found)

    def val_value(self, objective: Objective = "accuracy") -> float | None:
        """Return the objective's value on the validation images; None where it was not computed."""
        return self.val if objective == "accuracy" else getattr(self, f"val_{objective}")

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of JSON values; what is None is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Score:
        """Return what ``to_json`` was made from."""
        values = dict(found)
        if values.get("correct") is not None:
            values["correct"] = tuple(values["correct"])
        if values.get("confused") is not None:
            values["confused"] = tuple(_confusion(**one) for one in values["confused"])
        return cls(**values)


def _confusion(true: str, taken_for: str, images: int) -> Confusion:
    # A search of days keeps thousands of scores, and their few class names once each.
    return Confusion(sys.intern(true), sys.intern(taken_for), images)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A template that this evaluator will never score, and why."""

    reason: str  # a short slug, such as ``too_many_tokens``
    message: str  # one sentence for people

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Rejection:
        """Return what ``to_json`` was made from."""
        return cls(**found)


Verdict: TypeAlias = Score | Rejection
"""What an evaluator says of a template: how well it does, or why it is never scored."""


def checked(verdict: Verdict) -> Verdict:
    """Return a verdict that can be ranked: a score with a value that is not finite becomes a rejection."""
    if isinstance(verdict, Score):
        names = [one.name for one in fields(verdict) if one.name not in ("correct", "confused")]
        values = [getattr(verdict, name) for name in names]
        if bad := [value for value in values if value is not None and not math.isfinite(value)]:
            return Rejection(NOT_A_NUMBER, f"the evaluator answered {bad[0]}, not a number to rank by")
    return verdict


@dataclass(frozen=True, slots=True)
class SplitScores:
    """Accuracies of one ensemble on all three splits, as fractions of 1; None where nothing was measured."""

    train: float | None
    val: float | None
    test: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatorInfo:
    """What an evaluator scores on, and with what."""

    dataset: str
    classes: int
    shots: int
    seed: int
    sizes: Mapping[str, int]  # images in ``train``, ``val`` and ``test``
    model: str  # open_clip's name of the model
    pretrained: str  # tag or file of its weights
    # content hash of split, class names, checkpoint and preprocessing: equal fingerprints, equal scores
    fingerprint: str
    # hand-made templates to compare with, by name
    baselines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    precision: str = "fp32"  # ``fp32``, or the type that ``best`` picked
    # facts that belong into a result, as JSON values; each is there only where there is something to say:
    # ``device`` in fact used, ``texts`` (the text path taken), ``data`` (sentences on how the data was read:
    # splits made by rule, copies, allowed leaks), ``model`` (corrections), ``skipped_images`` by split,
    # ``precision`` (decisions that a lower one changes)
    notes: Mapping[str, Any] = field(default_factory=dict)
    # whether equal fingerprints are known to mean equal scores, so that runs may share them
    shareable: bool = True
    class_names: tuple[str, ...] = ()  # names of the classes by label; empty where they are not known
    # whether to score a template costs a text for each class and nothing else, so that many may be
    cheap: bool = False
    views: int = 0  # augmented copies of each training and validation image that scores include
    # hashes of parts of what the fingerprint is of, by name: ``shots`` (images, labels and class names) and
    # ``weights``; empty where they are not known
    content: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Scorer(Protocol):
    """Anything that scores templates.

    One that takes several batches at once, such as a remote one, says so in an attribute ``in_flight``: then
    ``score`` is called from that many threads. Without it one batch is scored after the other.
    """

    def score(self, templates: Sequence[str]) -> Sequence[Verdict]:
        """Score templates; block; called from one thread at a time, or from ``in_flight`` of them.

        Returns:
            One verdict for each template, in the same order. A template that can never be scored here is
            answered with a ``Rejection``; an exception means that the scorer failed, and says nothing of any
            template.
        """
        ...


class TemplateScorer(Protocol):
    """What scores one template at a time for many who ask: the queue to a scorer, or a cache before it."""

    async def score(self, template: str) -> Verdict:
        """Score one template.

        Raises:
            CrashingTemplateError: It makes the scorer fail, which scores others.
            ScoringFailedError: The scorer fails.
            ConsumerError: The scorer cannot be asked any more.
        """
        ...


@runtime_checkable
class Evaluator(Scorer, Protocol):
    """A scorer bound to a data set whose test split is held out."""

    @property
    def info(self) -> EvaluatorInfo:
        """What this evaluator scores on."""
        ...

    def examine(
        self, ensembles: Sequence[Sequence[str]], *, test: bool = True
    ) -> Sequence[SplitScores | None]:
        """Score ensembles; with ``test`` on the test split too, once, after selection.

        Args:
            ensembles: Templates whose normalised text embeddings are averaged; one template is a list of
                one.
            test: False leaves the test split closed, and ``test`` None.

        Returns:
            One answer for each ensemble, in the same order; None for one that this scorer cannot measure,
            such as several templates where there are no embeddings to average.

        Raises:
            TemplateRejectedError: A template cannot be scored by this model.
        """
        ...


# --- what an evaluator may offer besides


@dataclass(frozen=True, slots=True)
class ClassAccuracy:
    """How one class fares: its name (two may share one), its images, and the correctly classified ones."""

    name: str
    images: int
    correct: int

    @property
    def accuracy(self) -> float | None:
        """Share of its images that are correctly classified; None without images."""
        return self.correct / self.images if self.images else None

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of JSON values."""
        return {**asdict(self), "accuracy": self.accuracy}


@dataclass(frozen=True, slots=True)
class Inspection:
    """How each class fares by label, and every pair of classes that was confused, the most frequent first."""

    classes: tuple[ClassAccuracy, ...]
    confusions: tuple[Confusion, ...]


@runtime_checkable
class Inspector(Protocol):
    """An evaluator that knows which classes are confused."""

    def inspect(self, ensemble: Sequence[str], *, split: str) -> Inspection:
        """Look at one ensemble on ``train``, ``val`` or ``test``, which opens it.

        Raises:
            TemplateRejectedError: A template cannot be scored by this model.
            EvaluatorError: The ensemble or the split is empty.
        """
        ...


@dataclass(frozen=True, slots=True)
class Predictions:
    """What ensembles take the images of one split for."""

    labels: tuple[int, ...]  # the true class of each image, in the order of the split
    # for each ensemble the class that it takes each image for, in the same order; None for an ensemble that
    # this scorer cannot ask, such as several templates where nothing can be averaged
    predicted: tuple[tuple[int, ...] | None, ...]


@runtime_checkable
class Predictor(Protocol):
    """An evaluator that gives its predictions. That is still a black box: no logits."""

    def predict(self, ensembles: Sequence[Sequence[str]], *, split: str) -> Predictions:
        """Classify the images of ``train``, ``val`` or ``test``, which opens it.

        Raises:
            TemplateRejectedError: A template cannot be scored by this model.
            EvaluatorError: An ensemble is empty.
        """
        ...


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture of an image: the image's file name, and the picture as a JPEG file."""

    name: str
    jpeg: bytes


@runtime_checkable
class Illustrator(Protocol):
    """An evaluator of images that can show some of them, and say which set they are."""

    def image_set(self, split: str) -> str:
        """Return a content hash of the images of ``train``, ``val`` or ``test``, which opens it, in order."""
        ...

    def thumbnails(self, split: str, places: Sequence[int]) -> Sequence[Thumbnail | None]:
        """Return small pictures of some images of a split, which opens it.

        Args:
            split: Which images.
            places: Their places in the order of ``Predictions.labels``.

        Returns:
            One for each place; None for an image that is no longer there.
        """
        ...


def batches_at_once(owner: str, found: object) -> int:
    """Return how many batches a scorer takes at once, as the attribute ``in_flight`` of its class says.

    Raises:
        ConfigError: It is not a whole number from 1 to 256.
    """
    if not isinstance(found, int) or isinstance(found, bool) or not 1 <= found <= MAX_IN_FLIGHT:
        raise ConfigError(
            f"{owner}.in_flight is {shown(found)}; it says how many batches are taken at once, a whole "
            f"number from 1 to {MAX_IN_FLIGHT}"
        )
    return found
