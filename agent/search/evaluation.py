"""Templates of the user's own, scored without a search."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ...evaluator.custom.adapter import as_evaluator
from ...evaluator.errors import TemplateRejectedError, UsageError
from ...evaluator.open import open_evaluator
from ...evaluator.scoring import Evaluator, Inspection, Inspector, SplitScores
from ...evaluator.spec import EvaluatorSpec
from ...evaluator.white_box.references import REFERENCES, WhiteBoxResult, check_reference
from ...evaluator.white_box.running import run_all
from ...prompts.kinds import CandidateError
from ...prompts.template import Template

Split = Literal["train", "val", "test"]


@dataclass(frozen=True, slots=True)
class TemplateAccuracy:
    """A template with its accuracy on one split, a fraction of 1; None where nothing was measured."""

    template: str
    accuracy: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Templates with their accuracies on one split.

    Attributes:
        dataset: Name of the data set.
        model: Name of the model.
        pretrained: Tag or file of its weights.
        split: Which images.
        images: How many; 0 where the evaluator does not say.
        scores: Each template by itself, in the order given.
        ensemble: The accuracy of all together; None where the evaluator cannot average.
        inspection: How each class fares under all together; None where it was not asked for.
        white_box: References that see inside the model, on the same shots; empty where none was asked for.
    """

    dataset: str
    model: str
    pretrained: str
    split: Split
    images: int
    scores: tuple[TemplateAccuracy, ...]
    ensemble: float | None
    inspection: Inspection | None = None
    white_box: tuple[WhiteBoxResult, ...] = ()

    def to_json(self, *, most_confusions: int | None = None) -> dict[str, Any]:
        """Return the document of ``evaluate --json``.

        Args:
            most_confusions: How many pairs of classes are listed at most; None for all.
        """
        document: dict[str, Any] = {
            "dataset": self.dataset,
            "model": {"name": self.model, "pretrained": self.pretrained},
            "split": self.split,
            "images": self.images,
            "scores": [{"template": one.template, self.split: one.accuracy} for one in self.scores],
            "ensemble": {"templates": [one.template for one in self.scores], self.split: self.ensemble},
        }
        if self.inspection is not None:
            document["classes"] = [one.to_json() for one in self.inspection.classes]
            document["confusions"] = [asdict(one) for one in self.inspection.confusions[:most_confusions]]
        if self.white_box:
            document["white_box"] = [one.to_json() for one in self.white_box]
        return document


def score_templates(
    templates: Iterable[str],
    spec: EvaluatorSpec,
    *,
    split: Split = "test",
    inspect: bool = False,
    white_box: Sequence[str] = (),
    evaluator: object | None = None,
    report: Callable[[str], None] | None = None,
) -> Evaluation:
    """Score templates one by one and as an ensemble; block for as long as that takes.

    Args:
        templates: Each with a slot ``{}``.
        spec: What to score on; a ``SearchConfig`` is one.
        split: Which images. The test split is opened for ``test`` alone.
        inspect: Tell how each class fares under all templates together, and which are confused.
        white_box: Names of ``evaluator.white_box.REFERENCES``, to be fitted to the same shots.
        evaluator: An ``Evaluator``, or anything with ``score(templates)``; None to open what ``spec`` names.
        report: Told each fact worth knowing about data and model.

    Raises:
        UsageError: A text is no template or cannot be scored by this model, the split is empty, data or model
            cannot be used, the evaluator does not tell its classes, or a white-box reference cannot be had.
        EvaluatorError: An evaluator of the user's own fails, or answers with something else than accuracies.
    """
    if isinstance(templates, str) or not isinstance(templates, Iterable):
        raise UsageError(f"templates is {templates!r}; give a list of texts, each with a slot {{}}")
    texts = [_checked(text) for text in templates]
    if not texts:
        raise UsageError("there is no template to score")
    for name in white_box:
        check_reference(name)
    if white_box and (evaluator is not None or spec.evaluator is not None):
        raise UsageError("white-box references look into a CLIP, and a black box of your own is none")
    found = _opened(spec, report) if evaluator is None else as_evaluator(evaluator, spec)
    # A scorer of the user's own does not say what it scores on.
    if split != "train" and not found.info.sizes.get(split):
        raise UsageError(f"{found.info.dataset} has no {split} images; choose another split")
    try:
        *singles, together = found.examine([*([text] for text in texts), texts], test=split == "test")
        inspection = _inspected(found, texts, split) if inspect else None
    except TemplateRejectedError as error:
        raise UsageError(str(error)) from error
    return Evaluation(
        dataset=found.info.dataset,
        model=found.info.model,
        pretrained=found.info.pretrained,
        split=split,
        images=found.info.sizes.get(split) or 0,
        scores=tuple(map(TemplateAccuracy, texts, (_of(scores, split) for scores in singles))),
        ensemble=_of(together, split),
        inspection=inspection,
        white_box=run_all(white_box, spec, split=split, report=_untold(report)) if white_box else (),
    )


def _opened(spec: EvaluatorSpec, report: Callable[[str], None] | None) -> Evaluator:
    return open_evaluator(spec.without_choice(), report=report)


def _checked(text: object) -> str:
    if not isinstance(text, str):
        raise UsageError(f"{text!r} is no template: it is no text")
    try:
        return Template.parse(text, max_words=None).text
    except CandidateError as error:
        raise UsageError(f"{text!r} is no template: {error}") from error


def _untold(report: Callable[[str], None] | None) -> Callable[[str], None]:
    """Return what is told of the references alone: the same data and model were told of already."""
    return lambda line: report(line) if report is not None and line.startswith(tuple(REFERENCES)) else None


def _inspected(evaluator: Evaluator, templates: list[str], split: Split) -> Inspection:
    if not isinstance(evaluator, Inspector):
        raise UsageError("this evaluator does not say which classes it confuses")
    return evaluator.inspect(templates, split=split)


def _of(scores: SplitScores | None, split: Split) -> float | None:
    found: float | None = getattr(scores, split, None)
    return found
