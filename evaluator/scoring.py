"""The interface of an evaluator. Imports no torch.

A ``Score`` never holds the held-out test split: ``Evaluator.examine`` opens that after selection.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    Protocol,
    TypeAlias,
    TypeVar,
    get_args,
    runtime_checkable,
)

from pydantic import Field, FiniteFloat, NonNegativeInt

from .errors import ConfigError, UsageError
from .messages import shown

if TYPE_CHECKING:
    from .head import ClassVectors, Head

T = TypeVar("T")
MaybeAwaitable: TypeAlias = T | Awaitable[T]
"""The answer of an evaluator's method: a plain one is called in a thread, a coroutine function is awaited."""
Objective: TypeAlias = Literal["accuracy", "class_mean", "logprob", "margin"]
Split: TypeAlias = Literal["train", "val", "test"]
ALL: Literal["all"] = "all"
Shots: TypeAlias = NonNegativeInt | Literal["all"]
"""Labelled images of each class; all there are for ``ALL``."""
Form: TypeAlias = Literal["template", "texts", "with_images"]
"""What a classifier is made of: one template, several texts, or texts with labelled images."""
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
"""A share of some images."""
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
GREY_BOX: frozenset[Objective] = frozenset({"logprob", "margin"})
COUNTED: frozenset[Objective] = frozenset({"accuracy", "class_mean"})
"""Objectives that count images and so can include augmented copies."""
MAX_IN_FLIGHT = 256
"""Most batches at once: each takes a thread."""
NOT_A_NUMBER = "not_a_number"
REFUSED = "refused"
"""Reason of a rejection: a scorer behind an API refuses a text of the candidate."""
BASELINE_DEFAULT, BARE_NAME, HAND_MADE = "default template", "bare class name", "hand-made"
OPENAI_80, OPENAI_7 = "OpenAI's 80 templates", "OpenAI's seven best"
"""Names of baselines."""
DEFAULT_TEMPLATE = "a photo of a {}"
DEFAULT_INSTRUCTION = "Which of these classes does the image show? Answer with its name only.\n{classes}"
MOST_CONFUSED = 3
MOST_SKIPPED_LISTED = 20
UNREADABLE = -1
"""Predicted class of an image whose answer names no class."""
UNCLASSIFIED = "the scorer gives it no class"
"""Said of such an image; the reason follows, if it is known."""
CHOSEN = "chosen_defaults"
"""The note, in ``EvaluatorInfo.notes``, on settings that the data decided, such as the number of shots."""
BY_SCHEMA = "answers_by_schema"
"""The note on a chat model whose answers an endpoint confines to the class names."""
SCORER_DIALECT, SCORER_IMAGE_SIZE = "scorer_dialect", "scorer_image_size"
"""Notes on how a model behind an API was asked for vectors."""
OTHER_MODEL = "scorer_models"
"""The note on a model behind an API that has become another one, or may have."""
MOST_UNREADABLE, LONGEST_UNREADABLE = 3, 80
"""Unreadable answers that a score shows, and characters of each."""
_ROUNDING = 1e-9
"""Most by which a sum of shares may be wrong."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """Images of one class that were classified as another; classes by name."""

    true: str
    taken_for: str
    images: NonNegativeInt

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Shares of some images that got no class, and so count as wrong.

    Attributes:
        refused: The endpoint refused the image, or never answered.
        unreadable: The answer names no class.
    """

    refused: Share = 0.0
    unreadable: Share = 0.0

    def __post_init__(self) -> None:
        if self.refused + self.unreadable > 1 + _ROUNDING:
            raise ValueError("more images without a class than there are")

    @classmethod
    def of(cls, predicted: Sequence[int], refused: int = 0) -> Unanswered | None:
        """Return the shares in predictions, so many of them refused; None if every image got a class."""
        without = sum(label == UNREADABLE for label in predicted)
        if not without:
            return None
        return cls(refused / len(predicted), (without - refused) / len(predicted))

    def among_answered(self, accuracy: float) -> float | None:
        """Return the accuracy on the images that got a class; None if none did."""
        answered = 1 - self.refused - self.unreadable
        return min(1.0, accuracy / answered) if answered > _ROUNDING else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Accuracies of one template on the images that a search may see."""

    train: float  # accuracy on the training images, in [0, 1]
    val: float | None = None  # the same on the validation images, if any
    # correctly classified images on train and val
    correct: tuple[NonNegativeInt, NonNegativeInt | None] | None = None
    class_mean: float | None = None  # mean over classes of their training accuracies
    # mean log-probability of the true class on train (nats); only if that is the objective
    logprob: float | None = None
    # mean logit of the true class minus the best other; only if that is the objective
    margin: float | None = None
    # the class pairs most confused on train, at most ``MOST_CONFUSED``; None if unknown
    confused: tuple[Confusion, ...] | None = None
    # the same on val, if any
    val_class_mean: float | None = None
    val_logprob: float | None = None
    val_margin: float | None = None
    # the objective on augmented copies of train and val, pooled; None without copies
    copies: float | None = None
    # share of the answers on train that name no class, and some of them; None if none. Refusals are in
    # ``refused``. The texts are the model's: untrusted
    unreadable: Share | None = None
    unreadable_examples: tuple[str, ...] = ()
    # share of the images on train that an endpoint refused; None if none
    refused: Share | None = None
    # training images that ``train`` and ``correct`` are of, if a race dropped it; None for all
    images: int | None = None
    # its accuracy on all training images, estimated, if a race dropped it: comparable to ``train`` of others
    estimate: float | None = None

    @property
    def whole(self) -> bool:
        return self.images is None

    @property
    def unanswered(self) -> Unanswered | None:
        """The shares of the images on train without a class; None if all have one."""
        refused = self.refused or 0.0
        unreadable = min(self.unreadable or 0.0, 1 - refused)  # a custom scorer may have counted both
        return Unanswered(refused, unreadable) if refused or unreadable else None

    def value(self, objective: Objective = "accuracy") -> float:
        """Return the number that a search maximizes.

        Raises:
            UsageError: This score was computed without what the objective needs.
        """
        value = self.train if objective == "accuracy" else getattr(self, objective, None)
        if value is None:
            raise UsageError(f"the scorer was not opened for the objective {objective!r}")
        return float(value)

    def val_value(self, objective: Objective = "accuracy") -> float | None:
        """Return the objective's value on the validation images; None if not computed."""
        return self.val if objective == "accuracy" else getattr(self, f"val_{objective}")


@dataclass(frozen=True, slots=True)
class Rejection:
    """A template that this evaluator will never score, and why."""

    reason: str  # a slug, such as ``too_many_tokens``
    message: str


Verdict: TypeAlias = Score | Rejection
"""An evaluator's answer for a template: its score, or why it is never scored."""


def checked(verdict: Verdict) -> Verdict:
    """Return the verdict; a score with a value that is not finite becomes a rejection."""
    if isinstance(verdict, Score):
        not_numbers = ("correct", "confused", "unreadable_examples")
        names = [field.name for field in fields(verdict) if field.name not in not_numbers]
        values = [getattr(verdict, name) for name in names]
        if bad := [value for value in values if value is not None and not math.isfinite(value)]:
            return Rejection(NOT_A_NUMBER, f"the scorer answered {bad[0]}, not a number to rank by")
    return verdict


@dataclass(frozen=True, slots=True)
class SplitScores:
    """Accuracies of one ensemble on all three splits, in [0, 1]; None if not measured."""

    train: FiniteFloat | None
    val: FiniteFloat | None
    test: FiniteFloat | None
    unanswered: Mapping[Split, Unanswered] = field(default_factory=dict)
    """Images without a class, by split; empty if all have one."""


class OpenedSplit(Protocol):
    """The images of a split that could be read; what is wrong with each other one is in ``left_out``."""

    @property
    def left_out(self) -> Sequence[str]: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatorInfo:
    """Description of an evaluator: its data, its model, and what identifies both."""

    dataset: str
    classes: NonNegativeInt
    shots: Shots
    seed: NonNegativeInt
    sizes: Mapping[str, NonNegativeInt]  # images in ``train``, ``val`` and ``test``
    model: str  # open_clip's name
    pretrained: str  # tag or file of the weights
    # hash of split, class names, checkpoint and preprocessing: equal fingerprints, equal scores
    fingerprint: str
    baselines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    precision: str = "fp32"  # or the type that ``best`` picked; empty if unknown
    # JSON values, each only if there is something to say: ``device`` used, ``texts`` (text path),
    # ``data`` (how it was read: splits by rule, copies, allowed leaks), ``model`` (corrections),
    # ``skipped_images`` by split, ``precision`` (decisions that a lower one changes)
    notes: Mapping[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()  # by label; empty if unknown
    # a template costs only one text per class, so many may be scored
    cheap: bool = False
    # an answer may cost money, so nothing is asked that is not needed
    paid: bool = False
    copies: NonNegativeInt = 0  # augmented copies of each training and validation image in the scores
    # parts of the fingerprint: ``shots`` (images, labels, class names) and ``weights``; empty if unknown
    content: Mapping[str, str] = field(default_factory=dict)
    # names of all images, below the data's folder; empty if unknown or too many to keep
    files: tuple[str, ...] = ()
    labelled_files: tuple[str, ...] = ()  # those of train and val

    def with_opened(self, splits: Mapping[str, OpenedSplit]) -> EvaluatorInfo:
        """Return the description with the sizes of splits and a note on the images left out of them."""
        skipped = {
            name: {"images": len(split.left_out), "which": list(split.left_out[:MOST_SKIPPED_LISTED])}
            for name, split in splits.items()
            if split.left_out
        }
        if not skipped:
            return self
        sizes = {**self.sizes, **{name: len(splits[name]) for name in skipped}}
        return replace(self, sizes=sizes, notes={**self.notes, "skipped_images": skipped})


@runtime_checkable
class Scorer(Protocol):
    """Anything that scores templates; takes several batches at once if it has ``in_flight``."""

    def score(self, templates: Sequence[str]) -> MaybeAwaitable[Sequence[Verdict]]:
        """Score templates; block, or be a coroutine function. Called once at a time, or ``in_flight`` times.

        Return one verdict per template, in order. Answer a template that can never be scored with a
        ``Rejection``; an exception means that the scorer failed, and says nothing of any template.
        """
        ...


@runtime_checkable
class Evaluator(Scorer, Protocol):
    """A scorer bound to a data set whose test split is held out."""

    @property
    def info(self) -> EvaluatorInfo:
        """Describe the data and the model."""
        ...

    def examine(
        self, ensembles: Sequence[Sequence[str]], *, test: bool = True
    ) -> MaybeAwaitable[Sequence[SplitScores | None]]:
        """Score ensembles; with ``test`` on the test split too, once, after selection; else it is None.

        An ensemble is a list of templates whose normalised text embeddings are averaged. Return one answer
        each, in order, None if this scorer cannot measure it, such as several templates without embeddings.

        Raises:
            TemplateRejectedError: A template cannot be scored by this model.
        """
        ...


@dataclass(frozen=True, slots=True)
class ClassAccuracy:
    """One class: its name (two may share one), its images, and the correctly classified ones."""

    name: str
    images: NonNegativeInt
    correct: NonNegativeInt

    def __post_init__(self) -> None:
        if self.correct > self.images:
            raise ValueError("more images are correct than there are")

    @property
    def accuracy(self) -> float | None:
        """Share of its images that are correctly classified; None without images."""
        return self.correct / self.images if self.images else None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "accuracy": self.accuracy}


@dataclass(frozen=True, slots=True)
class Inspection:
    """Accuracies by label, and every pair of confused classes, the most frequent first."""

    classes: tuple[ClassAccuracy, ...]
    confusions: tuple[Confusion, ...]


@dataclass(frozen=True, slots=True)
class Predictions:
    """The predicted classes of one split's images."""

    labels: tuple[NonNegativeInt, ...]  # true class of each image, in split order
    # per ensemble the class of each image, in the same order, ``UNREADABLE`` where an answer names none;
    # None if this scorer cannot classify with the ensemble
    predicted: tuple[tuple[Annotated[int, Field(ge=UNREADABLE)], ...] | None, ...]
    # per ensemble the number of images that an endpoint refused; empty if unknown
    refused: tuple[NonNegativeInt, ...] = ()
    # per ensemble the share of images whose class is among the five likeliest; empty if unknown, or with few
    # classes
    within_5: tuple[Share, ...] = ()
    # the file of each image, in the same order; empty if unknown
    paths: tuple[Path, ...] = field(default=(), compare=False)
    # per ensemble why images have no class, by their index; empty if unknown
    reasons: tuple[Mapping[int, str], ...] = field(default=(), compare=False)

    def unanswered(self, index: int) -> Unanswered | None:
        """Return the shares of images to which an ensemble gives no class; None if all have one."""
        labels = self.predicted[index]
        return None if labels is None else Unanswered.of(labels, self.refused[index] if self.refused else 0)


def hits(predicted: Sequence[int], labels: Sequence[int]) -> list[bool]:
    """Return for each image whether its predicted label is the true one."""
    return [label == true for label, true in zip(predicted, labels, strict=True)]


@runtime_checkable
class Predictor(Protocol):
    """An evaluator that gives its predictions: still a black box, without logits."""

    def predict(self, ensembles: Sequence[Sequence[str]], *, split: str) -> MaybeAwaitable[Predictions]:
        """Classify the images of ``train``, ``val`` or ``test``, which opens it.

        Raises:
            TemplateRejectedError: A template cannot be scored by this model.
            EvaluatorError: An ensemble is empty.
        """
        ...


@runtime_checkable
class PartialPredictor(Protocol):
    """An evaluator that can classify some images of a split, for less than all of them cost."""

    def predict_some(
        self, ensembles: Sequence[Sequence[str]], *, split: str, image_indices: Sequence[int]
    ) -> MaybeAwaitable[Predictions]:
        """Classify the images at ``image_indices`` of ``train``, ``val`` or ``test``, which opens it.

        Labels and predictions are in the order of the indices. What was asked here is not asked again by
        ``score``.

        Raises:
            TemplateRejectedError: A template cannot be scored by this model.
            EvaluatorError: An ensemble is empty, or an index is outside the split.
        """
        ...


@runtime_checkable
class NamePredictor(Protocol):
    """An evaluator that gives its predictions with other names of single classes; without logits too."""

    def predict_named(
        self, template: str, renamings: Sequence[Mapping[int, str]], *, split: str
    ) -> MaybeAwaitable[Predictions]:
        """Classify images by one template, once for each renaming.

        A renaming has new names by label; they go into the template's slot, and all other classes keep their
        names. ``predicted`` has an entry for each renaming, None if the model cannot read a name. ``split``
        is ``train``, ``val``, ``copies`` (augmented ones of both, if ``info.copies`` is not 0), or ``test``,
        which opens it.

        Raises:
            TemplateRejectedError: The template cannot be scored by this model.
        """
        ...


@dataclass(frozen=True, slots=True)
class ImageEvidence:
    """What each labelled image says of a classifier: half the image, half its augmented copies, if any.

    Both are as much as the image counts, where the images of large classes count less.

    Attributes:
        right: The share of correct decisions.
        logprob: The log-probability of the true class, at the temperature that fits all images best.
    """

    right: tuple[float, ...]
    logprob: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedClassifier:
    """A classifier that learned from labelled images.

    Attributes:
        head: What decides.
        images: Number of labelled images.
        strength: How much it was held near the texts; None if it is the texts' classifier.
        scale: Turns products into logits for probabilities.
        held_out: Whether each image was classified correctly by a classifier that had not seen it; those of
            ``train`` first.
    """

    head: Head
    images: int
    strength: float | None
    scale: float
    held_out: tuple[bool, ...]


@runtime_checkable
class FeatureEvaluator(Protocol):
    """An evaluator with features of images: a classifier of texts has a vector for each class."""

    @property
    def info(self) -> EvaluatorInfo:
        """Describe the data and the model."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names by label."""

    @property
    def logit_scale(self) -> float:
        """The model's own factor from products to logits."""

    def classifier(
        self, ensemble: Sequence[str], renaming: Mapping[int, str] | None = None
    ) -> MaybeAwaitable[ClassVectors]:
        """Return the class vectors of an ensemble: float32 [classes, dimensions], rows of length 1.

        ``renaming`` has other class names by label.
        """

    def evidence(self, classifiers: Sequence[ClassVectors]) -> MaybeAwaitable[Sequence[ImageEvidence]]:
        """Return what the labelled images, of train and val, say of classifiers."""

    def learn(self, classifier: ClassVectors) -> MaybeAwaitable[LearnedClassifier]:
        """Learn a classifier from the labelled images, held near that of texts."""

    def decide(self, heads: Sequence[Head], *, split: str) -> MaybeAwaitable[Predictions]:
        """Classify the images of ``train``, ``val`` or ``test``, which opens it."""


@runtime_checkable
class ProbabilityEvaluator(Protocol):
    """An evaluator that says how probable the classes are that a learned classifier predicts."""

    def probabilities(
        self, learned: LearnedClassifier, *, split: str
    ) -> MaybeAwaitable[Sequence[float | None]]:
        """Return the probability of the predicted class of each image of a split, which opens it.

        It is None for an image that has no class.
        """
        ...


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture of an image: the image's file name, and the picture as a JPEG file."""

    name: str
    jpeg: bytes


@runtime_checkable
class Illustrator(Protocol):
    """An evaluator that can show its images and identify the set."""

    def image_set(self, split: str) -> str:
        """Return a content hash of the ordered images of ``train``, ``val`` or ``test``, which opens it."""
        ...

    def thumbnails(self, split: str, image_indices: Sequence[int]) -> Sequence[Thumbnail | None]:
        """Return thumbnails of images in a split, which opens it; None for a missing image."""
        ...


def batches_at_once(owner: str, in_flight: object) -> int:
    """Return a scorer's ``in_flight``, from 1 to 256, else raise ConfigError."""
    if not isinstance(in_flight, int) or isinstance(in_flight, bool) or not 1 <= in_flight <= MAX_IN_FLIGHT:
        raise ConfigError(
            f"{owner}.in_flight is {shown(in_flight)}; it says how many batches are taken at once, a whole "
            f"number from 1 to {MAX_IN_FLIGHT}"
        )
    return in_flight
