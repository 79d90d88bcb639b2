"""The last look at what a search has chosen: on every split, and on the test split once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ...evaluator.counts import counted
from ...evaluator.errors import PromptclimbError, TemplateRejectedError
from ...evaluator.scoring import Evaluator, Inspector, Predictions, Predictor, Score, SplitScores
from ...evaluator.threads import in_thread
from ..errors import EvaluationFailedError
from ..results.gain import Examined
from ..results.result import (
    MOST_CONFUSIONS,
    UNEXAMINED,
    UNGROWN,
    UNINSPECTED,
    UNOPENED,
    UNPAIRED,
    Ensemble,
    Inspected,
)
from ..store import Store
from . import votes
from .choice import VOTERS, grown

T = TypeVar("T")

IMAGES_ROUNDED = 0.5
OPENINGS = "test_opened"
"""The store's note of how often the test split was opened."""


@dataclass(frozen=True, slots=True)
class Group:
    """Templates to be examined together.

    Attributes:
        templates: Their texts, as the scorer gets them.
        known: The score of a single one, where a search has it: by this it was chosen.
        shown: The same as the result lists them; empty where that makes no difference.
    """

    templates: tuple[str, ...]
    known: Score | None = None
    shown: tuple[str, ...] = ()


def openings(store: Store) -> int:
    """Return how often the test split of a run was opened."""
    return store.note(OPENINGS, _count) or 0


def _count(row: Any) -> int:
    if not isinstance(row, int) or row < 0:
        raise ValueError(f"{row!r:.80} is no count")
    return row


async def examined(
    evaluator: Evaluator, store: Store, groups: Sequence[Group], *, test: bool
) -> tuple[list[Ensemble], dict[str, str]]:
    """Return the accuracies of groups of templates, and notes on those that could not be had.

    Whatever fails here must not cost what the search has found: without the test split there are train and
    val, without those there is what a single template was chosen by, and what was never measured is None.

    Args:
        evaluator: What scored.
        store: Counts how often the test split was opened.
        groups: What to examine.
        test: Whether to open the test split.

    Raises:
        StoreError: The opening cannot be written down; the test split stays sealed.
    """
    notes: dict[str, str] = {}
    found: Sequence[SplitScores | None] | None = None
    if test:
        # On disk before it happens: a run that dies in the middle has opened it all the same.
        await store.put_note(OPENINGS, openings(store) + 1)
        try:
            found = await _scores(evaluator, groups, test=True)
        except Exception as error:  # noqa: BLE001 - told in the result
            notes[UNOPENED] = f"the test split could not be examined: {_reason(error)}"
    if found is None:
        try:
            found = await _scores(evaluator, groups, test=False)
        except Exception as error:  # noqa: BLE001 - told in the result
            notes[UNEXAMINED] = f"ensembles could not be examined: {_reason(error)}"
            found = [None] * len(groups)
    return [_accuracies(group, scores) for group, scores in zip(groups, found, strict=True)], notes


async def ensemble_of(
    evaluator: Evaluator, ranked: Sequence[str], size: int
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the templates to average, and a note where they could not be chosen with care.

    Args:
        evaluator: What scored; its test split stays sealed.
        ranked: Templates, best first.
        size: How many an ensemble begins with.
    """
    sizes = evaluator.info.sizes

    async def averaged(ensembles: Sequence[tuple[str, ...]]) -> Sequence[SplitScores | None]:
        return await measured(lambda: evaluator.examine(ensembles, test=False))

    try:
        found = await grown(ranked, averaged, start=size, sizes=sizes)
        if found is None and isinstance(evaluator, Predictor):
            found = await _grown_by_vote(evaluator, ranked, size, sizes)
        return found or tuple(ranked[:size]), {}
    except Exception as error:  # noqa: BLE001 - told in the result
        said = f"the ensemble is the first {size} of the ranking: {_reason(error)}"
        return tuple(ranked[:size]), {UNGROWN: said}


async def _grown_by_vote(
    predictor: Predictor, ranked: Sequence[str], size: int, sizes: Mapping[str, int]
) -> tuple[str, ...] | None:
    ballots = await measured(lambda: votes.Ballots(predictor, ranked[: max(VOTERS, size)], sizes))

    async def counted_votes(ensembles: Sequence[tuple[str, ...]]) -> Sequence[SplitScores | None]:
        return ballots.count(ensembles)

    return await grown(ranked, counted_votes, start=size, sizes=sizes, in_pairs=True)


async def inspected(evaluator: Evaluator, template: str) -> tuple[Inspected | None, dict[str, str]]:
    """Return how each class fares under a template on test, and a note where that could not be had.

    Args:
        evaluator: What scored; one that does not tell its classes gives None.
        template: The template.
    """
    if not isinstance(evaluator, Inspector):
        return None, {}
    try:
        look = await measured(lambda: evaluator.inspect([template], split="test"))
    except Exception as error:  # noqa: BLE001 - told in the result
        return None, {UNINSPECTED: f"the classes could not be told apart: {_reason(error)}"}
    return Inspected(split="test", classes=look.classes, confusions=look.confusions[:MOST_CONFUSIONS]), {}


async def compared(
    evaluator: Evaluator, groups: Sequence[Group], found: Sequence[Ensemble]
) -> tuple[list[Examined], dict[str, str]]:
    """Return groups as they were examined on test, image by image, and a note where that could not be had.

    Args:
        evaluator: What scored; of one that does not tell its predictions the accuracies are known alone.
        groups: Templates whose test accuracies are known.
        found: Those accuracies.
    """
    answers: list[tuple[int, ...] | None] = [None] * len(groups)
    labels: tuple[int, ...] = ()
    notes: dict[str, str] = {}
    if isinstance(evaluator, Predictor):
        asked = [place for place, one in enumerate(found) if one.test is not None]
        try:
            told = await measured(
                lambda: votes.decided(evaluator, [groups[place].templates for place in asked], "test")
            )
            if contradiction := _contradiction(_hits(told), [found[place] for place in asked], evaluator):
                raise EvaluationFailedError(contradiction)
            labels = told.labels
            for place, answer in zip(asked, told.predicted, strict=True):
                answers[place] = answer
        except Exception as error:  # noqa: BLE001 - told in the result
            notes[UNPAIRED] = f"intervals are not paired, as no predictions could be had: {_reason(error)}"
    return [
        Examined(
            templates=group.templates,
            test=one.test,
            hits=votes.correct(answer, labels),
            predicted=answer,
            labels=None if answer is None else labels,
        )
        for group, one, answer in zip(groups, found, answers, strict=True)
    ], notes


def _hits(told: Predictions) -> list[list[bool] | None]:
    return [votes.correct(one, told.labels) for one in told.predicted]


def _contradiction(
    told: Sequence[Sequence[bool] | None], found: Sequence[Ensemble], evaluator: Evaluator
) -> str | None:
    """Return in what predictions do not fit what else an evaluator says; None where they do."""
    images = evaluator.info.sizes.get("test", 0)
    for bits, one in zip(told, found, strict=True):
        if bits is None or one.test is None:
            continue
        if len(bits) != images:
            return f"predict tells {counted(len(bits), 'label')} of the {counted(images, 'image')} on test"
        # An accuracy may be rounded, but not by as much as an image.
        if abs(sum(bits) - images * one.test) > IMAGES_ROUNDED:
            return (
                f"predict gives {one.templates[0]!r:.80} an accuracy of {sum(bits) / images:.4f} on test, "
                f"and examine {one.test:.4f}"
            )
    return None


async def measured(work: Callable[[], T]) -> T:
    """Let the evaluator work in a thread, and return what it answers.

    Raises:
        PromptclimbError: It failed; what it raises itself is left as it is where it is ours.
    """
    try:
        return await in_thread(work)
    except PromptclimbError:
        raise
    except Exception as error:
        raise EvaluationFailedError(f"the evaluator failed at the end of the search: {error!r}") from error


async def _scores(
    evaluator: Evaluator, groups: Sequence[Group], *, test: bool
) -> Sequence[SplitScores | None]:
    """Scores of groups; None for one that this model cannot read or cannot average.

    Raises:
        TemplateRejectedError: Not a single one can be read.
    """
    try:
        return await measured(
            lambda: votes.examine(evaluator, [group.templates for group in groups], test=test)
        )
    except TemplateRejectedError as error:
        # Only a hand-made template can be new to the evaluator here, and one too long must not cost the
        # others theirs.
        readable = [group for group in groups if error.template not in group.templates]
        if not readable or len(readable) == len(groups):
            raise
    found = iter(await _scores(evaluator, readable, test=test))
    return [next(found) if group in readable else None for group in groups]


def _reason(error: Exception) -> str:
    """Return what an error says, in characters that can be written down."""
    said = str(error) or type(error).__name__
    return said.encode("utf-8", "backslashreplace").decode("utf-8")


def _accuracies(group: Group, scores: SplitScores | None) -> Ensemble:
    """As examined, else what a single template was chosen by, else none."""
    train, val, test = (scores.train, scores.val, scores.test) if scores is not None else (None, None, None)
    if train is None and group.known is not None:
        train, val = group.known.train, group.known.val
    return Ensemble(templates=group.shown or group.templates, train=train, val=val, test=test)
