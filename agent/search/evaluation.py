"""Score given templates without a search."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ...evaluator.custom.adapter import as_evaluator
from ...evaluator.errors import TemplateRejectedError, UsageError
from ...evaluator.open import open_evaluator
from ...evaluator.scoring import Evaluator, Inspection, Inspector
from ...evaluator.spec import EvaluatorSpec
from ...evaluator.white_box.references import REFERENCES, WhiteBoxResult, check_reference
from ...evaluator.white_box.running import run_all
from ...prompts.kinds import CandidateError
from ...prompts.template import Template

Split = Literal["train", "val", "test"]


@dataclass(frozen=True, slots=True)
class TemplateAccuracy:
    """A template with its accuracy on one split, a fraction of 1; None if it was not measured."""

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
        images: Their number; 0 if the evaluator does not say.
        scores: Each template by itself, in the order given.
        ensemble: The accuracy of all together; None if the evaluator cannot average.
        inspection: Accuracy by class of all together; None unless it was asked for.
        white_box: References that see inside the model, on the same shots; empty unless asked for.
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
        """Return the document of ``evaluate --json``, with at most so many pairs of confused classes."""
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
    """Score templates one by one and as an ensemble; ``api.evaluate`` describes arguments and errors."""
    if isinstance(templates, str) or not isinstance(templates, Iterable):
        raise UsageError(f"templates is {templates!r}; give a list of texts, each with a slot {{}}")
    texts = [_checked(text) for text in templates]
    if not texts:
        raise UsageError("there is no template to score")
    for name in white_box:
        check_reference(name)
    if white_box and (evaluator is not None or spec.evaluator is not None):
        raise UsageError("white-box references look into a CLIP; a custom scorer is not one")
    if evaluator is None:
        found = open_evaluator(spec.without_choice(), report=report)
    else:
        found = as_evaluator(evaluator, spec)
    # A custom scorer does not say what it scores on.
    if split != "train" and not found.info.sizes.get(split):
        raise UsageError(f"{found.info.dataset} has no {split} images; choose another split")
    try:
        *singles, together = found.examine([*([text] for text in texts), texts], test=split == "test")
        inspection = _inspected(found, texts, split) if inspect else None
    except TemplateRejectedError as error:
        raise UsageError(str(error)) from error

    def report_references(line: str) -> None:
        if report is not None and line.startswith(tuple(REFERENCES)):  # data and model were reported already
            report(line)

    return Evaluation(
        dataset=found.info.dataset,
        model=found.info.model,
        pretrained=found.info.pretrained,
        split=split,
        images=found.info.sizes.get(split) or 0,
        scores=tuple(map(TemplateAccuracy, texts, (getattr(one, split, None) for one in singles))),
        ensemble=getattr(together, split, None),
        inspection=inspection,
        white_box=run_all(white_box, spec, split=split, report=report_references) if white_box else (),
    )


def _checked(text: object) -> str:
    if not isinstance(text, str):
        raise UsageError(f"{text!r} is not a template: it is not a text")
    try:
        return Template.parse(text, max_words=None).text
    except CandidateError as error:
        raise UsageError(f"{text!r} is not a template: {error}") from error


def _inspected(evaluator: Evaluator, templates: list[str], split: Split) -> Inspection:
    if not isinstance(evaluator, Inspector):
        raise UsageError("this evaluator does not say which classes it confuses")
    return evaluator.inspect(templates, split=split)
