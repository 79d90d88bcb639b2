"""The black box as peers ask it: a text in, and which class each of the few shots is taken for.

A peer's LLM answers in the peer's form, and what is taken from that answer is read as generously as
answers to our own requests are: out of quotes, fences and lists, and at any length that the model reads. What
still is no template, or too long, classifies nothing correctly, and it is said why.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from benchmarks.peers.job import INITIAL
from promptclimb.evaluator.errors import TemplateRejectedError
from promptclimb.evaluator.scoring import EvaluatorInfo, Predictions, SplitScores, Verdict
from promptclimb.prompts.replies import parse_reply
from promptclimb.prompts.starting import draw
from promptclimb.prompts.template import Template
from promptclimb.prompts.template_kind import KIND, grammar

WHAT_IT_IS = (
    "a caption template for a vision-language model (CLIP). It is no instruction for an assistant: the model "
    "compares each image with the caption once for each class, with the class name put into the slot {}, and "
    "takes the class whose caption is nearest. A template is one short line of text with exactly one slot {}"
)
"""The description of the task that every peer gets, in the place that it has for that."""


class Box(Protocol):
    """What is needed of an evaluator."""

    @property
    def info(self) -> EvaluatorInfo:
        """What it scores on."""
        ...

    def predict(self, ensembles: Sequence[Sequence[str]], *, split: str) -> Predictions:
        """Classify the images of a split."""
        ...


class Scoring(Box, Protocol):
    """What a search of ours needs of it."""

    def score(self, templates: Sequence[str]) -> Sequence[Verdict]:
        """Score templates."""
        ...

    def examine(
        self, ensembles: Sequence[Sequence[str]], *, test: bool = True
    ) -> Sequence[SplitScores | None]:
        """Open the test split."""
        ...


class Dear:
    """The same black box where it is scorings that are counted: it says that a score is not free.

    Otherwise a search of ours with description scores free candidates in each round, as many again as it
    proposes, since nothing speaks against it.

    Args:
        evaluator: What classifies.
    """

    def __init__(self, evaluator: Scoring) -> None:
        self._evaluator = evaluator
        self.info = replace(evaluator.info, cheap=False)

    def score(self, templates: Sequence[str]) -> Sequence[Verdict]:
        """Score templates."""
        return self._evaluator.score(templates)

    def examine(
        self, ensembles: Sequence[Sequence[str]], *, test: bool = True
    ) -> Sequence[SplitScores | None]:
        """Open the test split."""
        return self._evaluator.examine(ensembles, test=test)

    def predict(self, ensembles: Sequence[Sequence[str]], *, split: str) -> Predictions:
        """Classify the images of a split."""
        return self._evaluator.predict(ensembles, split=split)


@dataclass(frozen=True, slots=True)
class Look:
    """What came of a text.

    Attributes:
        template: The template that was read in it; None if there is not one.
        trouble: Why it classifies nothing; empty where it does.
        predicted: The class of each image that was asked about; None for each where it classifies nothing.
        correct: Whether that is the true one.
    """

    template: str | None
    trouble: str
    predicted: tuple[int | None, ...]
    correct: tuple[bool, ...]


class BlackBox:
    """Counts what it is asked.

    Args:
        evaluator: What classifies.

    Attributes:
        names: Class names by label.
        labels: The true class of each image, training images first.
    """

    def __init__(self, evaluator: Box) -> None:
        self._evaluator = evaluator
        self._splits = [name for name in ("train", "val") if evaluator.info.sizes[name]]
        self.names = evaluator.info.class_names
        self._known: dict[str, tuple[int, ...] | str] = {}
        self._seen: dict[str, set[int]] = {}
        self.labels: tuple[int, ...] = ()
        self._classified(KIND.example)

    @property
    def scored(self) -> float:
        """Templates scored; one that was seen on some of the images counts as their share."""
        return sum(map(len, self._seen.values())) / len(self.labels)

    @property
    def templates(self) -> int:
        """Distinct templates seen on any image."""
        return len(self._seen)

    def look(self, text: str, images: Sequence[int] | None = None) -> Look:
        """Classify images, by their places; all where none are named."""
        places = range(len(self.labels)) if images is None else images
        template, trouble = read(text)
        found = self._classified(template) if template is not None else trouble
        if isinstance(found, str):
            return Look(None, found, (None,) * len(places), (False,) * len(places))
        assert template is not None
        self._seen.setdefault(template, set()).update(places)
        predicted = tuple(found[place] for place in places)
        correct = tuple(one == self.labels[place] for one, place in zip(predicted, places, strict=True))
        return Look(template, "", predicted, correct)

    def starts(self, number: int, *, pool: bool, seed: int) -> list[str]:
        """Return templates to begin with: the default one and others, or the best of as many as ours has."""
        drawn = draw(list(grammar().values()), INITIAL, random.Random(f"league {seed}"))
        texts = [template.text for template in drawn]
        if not pool:
            return [KIND.example, *texts][:number]
        right = {text: sum(self.look(text).correct) for text in texts}
        return sorted(texts, key=lambda text: -right[text])[:number]

    def right_on_test(self, text: str) -> list[bool]:
        """Open the test split: return whether each of its images is correctly classified."""
        template, trouble = read(text)
        if template is None:
            raise ValueError(f"what was chosen is no template: {trouble}")
        found = self._evaluator.predict([[template]], split="test")
        (predicted,) = found.predicted
        assert predicted is not None
        return [one == true for one, true in zip(predicted, found.labels, strict=True)]

    def _classified(self, template: str) -> tuple[int, ...] | str:
        if template not in self._known:
            try:
                found = [self._evaluator.predict([[template]], split=name) for name in self._splits]
            except TemplateRejectedError as error:
                self._known[template] = str(error)
            else:
                self.labels = tuple(label for one in found for label in one.labels)
                self._known[template] = tuple(
                    label for one in found for labels in one.predicted for label in labels or ()
                )
        return self._known[template]


def read(text: str) -> tuple[str | None, str]:
    """Return the first template in a text, or why it has not any."""
    reply = parse_reply(text, max_words=None)
    if reply.candidates:
        return reply.candidates[0].text, ""
    try:
        return Template.parse(text, max_words=None).text, ""
    except ValueError as error:
        return None, str(error)
