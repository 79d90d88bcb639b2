"""Open a few-shot problem with its model, fit one reference to it, and classify a split."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from torch import Tensor

from ..clip.in_process import open_in_process
from ..clip.text_encoder import TextEncoder
from ..clip.zero_shot import Labelled, classifier, correct
from ..datasets.hand_made import hand_made, imagenet_templates
from ..datasets.loading import load_data
from ..datasets.values import count_by_label
from ..errors import EvaluatorError
from ..held_near import LabelledFeatures
from ..scoring import DEFAULT_TEMPLATE, Predictions
from ..spec import EvaluatorSpec, Report
from .references import REFERENCES, MethodOptions, Texts, WhiteBoxResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Features and labels of the shots, the model, and a test split that is opened at the end.

    ``shots`` are the training images of the largest class. ``all_shots`` has the validation images and the
    augmented copies too, if they are encoded. ``versions`` [n, 1 + copies, E] holds each training image and
    its augmented copies, if they count.
    """

    dataset: str
    class_names: tuple[str, ...]
    shots: int
    seed: int
    logit_scale: float
    encoder: TextEncoder
    train: Labelled
    val: Labelled
    open_test: Callable[[], Labelled]
    all_shots: LabelledFeatures | None = None
    versions: Tensor | None = None
    report: Report = lambda _line: None
    content: Mapping[str, str] = field(default_factory=dict)  # see ``EvaluatorInfo``

    def split(self, name: str) -> Labelled:
        if name == "test":
            return self.open_test()
        return self.val if name == "val" else self.train

    def with_all_labels(self) -> Problem:
        """Return the problem with validation images and augmented copies among the training images."""
        assert self.all_shots is not None
        features, labels = self.all_shots.features, self.all_shots.labels
        return replace(self, train=Labelled(features[:, 0], labels, self.train.classes), versions=features)

    def templates(self, kind: Texts) -> tuple[str, ...]:
        """Return templates for a text classifier: the data set's own if it has any, else the default."""
        templates_of_set: tuple[str, ...] = ()
        if kind != "plain":
            templates_of_set = hand_made(self.dataset) if kind == "hand-made" else imagenet_templates()
        return tuple(text for text in templates_of_set if self.encoder.check(text) is None) or (
            DEFAULT_TEMPLATE,
        )

    def text_features(self, templates: Sequence[str]) -> Tensor:
        """Return normalised embeddings [T, C, E], float32, on the CPU."""
        for template in templates:
            if (rejection := self.encoder.check(template)) is not None:
                raise EvaluatorError(f"{template!r}: {rejection.message}")
        # Cloned: tensors made in inference mode cannot be trained with.
        return self.encoder.vectors(templates).cpu().clone()

    def zero_shot(self, templates: Sequence[str]) -> Tensor:
        """Return the classifier [C, E] of averaged templates."""
        return classifier(self.text_features(templates))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A fitted classifier: returns the class of each image of a split, [n] on the CPU.

    ``chosen`` holds its settings as JSON values; ``trained`` counts its learned parameters.
    """

    decide: Callable[[Labelled], Tensor]
    chosen: Mapping[str, Any]
    trained: int


Fit = Callable[..., Fitted]
"""The function ``fit(problem, options, *, seed)`` of a method's module; the test split stays closed."""


def open_problem(spec: EvaluatorSpec, *, all_labels: bool, report: Report) -> Problem:
    """Load data and model, and encode the shots; with ``all_labels``, their augmented copies too.

    ``report`` is called with lines about what is fitted.
    """
    own = {"precision": "fp32"} | ({} if all_labels else {"augmentations": 0})
    data = load_data(spec)
    evaluator, _key = open_in_process(
        spec.model_copy(update=own), data, lambda _line: None, lambda *_given: None
    )

    def split(name: str) -> Labelled:
        labelled = evaluator.split(name)
        return replace(labelled, features=labelled.features.cpu())

    return Problem(
        dataset=data.name,
        class_names=data.classes,
        shots=max(count_by_label(data.train, len(data.classes))),
        seed=data.seed,
        logit_scale=evaluator.logit_scale,
        encoder=evaluator.encoder,
        train=split("train"),
        val=split("val"),
        open_test=lambda: split("test"),
        all_shots=evaluator.shots if all_labels else None,
        report=report,
        content=evaluator.info.content,
    )


def solve(name: str, problem: Problem, options: MethodOptions, *, split: str, seed: int) -> WhiteBoxResult:
    """Fit a reference to the shots of a problem and classify a split; see ``run_all``."""
    fit = cast("Fit", importlib.import_module(f".{REFERENCES[name].module}", __package__).fit)
    started = time.perf_counter()
    if options.all_labels:
        problem = problem.with_all_labels()
    fitted = fit(problem, options, seed=seed)
    seconds = time.perf_counter() - started
    problem.report(f"{name}: fitted to {len(problem.train)} images in {seconds:.1f} s")
    images = problem.split(split)
    decided = fitted.decide(images)
    return WhiteBoxResult(
        name=name,
        train=_accuracy(fitted, problem.train),
        val=_accuracy(fitted, problem.val) if len(problem.val) else None,
        test=correct(decided, images) / len(images) if split == "test" else None,
        split=split,
        predictions=Predictions(tuple(images.labels.tolist()), (tuple(decided.tolist()),)),
        chosen=fitted.chosen,
        trained=fitted.trained,
        seconds=seconds,
        images=len(problem.train),
        content={**problem.content, split: images.image_set},
    )


def _accuracy(fitted: Fitted, split: Labelled) -> float:
    return correct(fitted.decide(split), split) / len(split)
