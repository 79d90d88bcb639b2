"""Score templates by Hugging Face's zero-shot image classification task.

A request has the image in base64 as ``inputs``, and ``candidate_labels`` and ``hypothesis_template`` as
``parameters``. The answer is a list of ``{"label", "score"}``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from ..scoring import GREY_BOX, UNREADABLE, Predictions
from .asking import ApiAnswer, ApiRefusal
from .evaluator import LEAST_PROBABILITY, RemoteProblem, SplitDecisions, misformed
from .image_by_image import ImageByImageEvaluator, Prompt
from .pictures import SentPicture

SLOT = "{}"
_HUB = "hf-inference"
_REFUSED = "refused"
_LONGEST_REFUSAL = 200


class ZeroShotEvaluator(ImageByImageEvaluator):
    """Scores templates with an endpoint for zero-shot image classification, one image a request.

    Only the most likely class of each image is used, unless the objective looks at probabilities. An image
    that the endpoint refuses counts as wrong; then all classes are equally probable.
    """

    protocol = "zero-shot"

    def __init__(self, problem: RemoteProblem) -> None:
        super().__init__(problem)
        self._grey = problem.objective in GREY_BOX
        # Hugging Face's router has the model in the path; elsewhere the address is the model's.
        at_hub = urlsplit(problem.url).path.rstrip("/").endswith(f"/{_HUB}")
        self.path = f"models/{problem.model}" if at_hub else ""

    def prompt(self, candidate: str) -> Prompt:
        return Prompt(candidate, self.problem.class_names)

    def body(self, prompt: Prompt, picture: SentPicture) -> Mapping[str, Any]:
        template, texts = _sent(prompt)
        labels = list(dict.fromkeys(texts))
        return {
            "inputs": picture.base64,
            "parameters": {"candidate_labels": labels, "hypothesis_template": template},
        }

    def tokens(self, prompt: Prompt) -> tuple[int, int]:
        """Return 0: these endpoints bill by request or by time."""
        return 0, 0

    def value(self, prompt: Prompt, answer: ApiAnswer) -> Any:
        """Return the label or a refusal; for grey-box objectives, each class's log-probability."""
        if isinstance(answer, ApiRefusal):
            return {_REFUSED: f"{answer.reason}: {answer.message}"[:_LONGEST_REFUSAL]}
        texts = _sent(prompt)[1]  # classes of the same name are sent once; the first one gets the image
        labels = list(dict.fromkeys(texts))
        scores = read_scores(answer.body, labels)
        best = max(scores, key=scores.__getitem__)
        if not self._grey:
            return texts.index(labels[best])
        if missing := len(labels) - len(scores):
            raise misformed(f"a score of each of {len(labels)} labels", f"{missing} fewer")
        return [math.log(max(scores[labels.index(text)], LEAST_PROBABILITY)) for text in texts]

    def is_refusal(self, value: Any) -> bool:
        return isinstance(value, dict)

    def is_valid(self, prompt: Prompt, value: Any) -> bool:
        """Return whether a value from disk is a label, a log-probability of each class, or a refusal."""
        classes = len(prompt.names)
        if isinstance(value, dict):
            return isinstance(value.get(_REFUSED), str)
        if not self._grey:
            return type(value) is int and 0 <= value < classes
        return isinstance(value, list) and [type(number) for number in value] == [float] * classes

    def decisions(self, prompt: Prompt, values: Sequence[Sequence[Any]]) -> SplitDecisions:
        refused = [index for index, (value,) in enumerate(values) if self.is_refusal(value)]
        table = None
        if self._grey:
            even = [0.0] * len(prompt.names)
            rows = [even if isinstance(value, dict) else value for (value,) in values]
            table = np.array(rows, dtype=np.float64).reshape(-1, len(prompt.names))
            predicted = table.argmax(axis=1)
        else:
            labels = [UNREADABLE if isinstance(value, dict) else value for (value,) in values]
            predicted = np.array(labels, dtype=np.int64)
        predicted[refused] = UNREADABLE
        return SplitDecisions(predicted, table, refused=tuple(refused))

    def predict_named(
        self, template: str, renamings: Sequence[Mapping[int, str]], *, split: str
    ) -> Predictions:
        if split == "views":
            return Predictions((), ((),) * len(renamings))
        images = self.split(split)
        prompts = [Prompt(template, self.problem.renamed(renaming)) for renaming in renamings]
        decided = self.decide_prompts(prompts, [images])
        predicted = tuple(tuple(decisions.predicted.tolist()) for (decisions,) in decided)
        return Predictions(tuple(images.labels.tolist()), predicted)


def _sent(prompt: Prompt) -> tuple[str, list[str]]:
    """Return the template and a label per class as sent; what the task's form cannot hold is filled here.

    Servers fill the template with Python's ``format`` and one label, so it has one slot and no other brace.
    """
    template = prompt.text
    if template.count(SLOT) == 1 and not set(template.replace(SLOT, "")) & set("{}"):
        return template, list(prompt.names)
    return SLOT, [template.replace(SLOT, name) for name in prompt.names]


def read_scores(body: Any, labels: Sequence[str]) -> dict[int, float]:
    """Return the scores of an answer by index in ``labels``, in the answer's order of equal scores.

    Scores may be left out: then the first label counts. A label may differ in case: some servers change it.

    Raises:
        BadReplyError: It is not a list of these labels with scores.
    """
    rows = body[0] if isinstance(body, list) and len(body) == 1 and isinstance(body[0], list) else body
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise misformed('a list of {"label", "score"}', body)
    exact: dict[str, int | None] = {label: index for index, label in enumerate(labels)}
    folded: dict[str, int | None] = {}  # None for labels that differ in case alone
    for label, index in exact.items():
        key = label.casefold().strip()
        folded[key] = None if key in folded else index
    scores: dict[int, float] = {}
    for row in rows:
        label, score = row.get("label"), row.get("score", 1.0)
        label_index = None
        if isinstance(label, str):
            label_index = exact.get(label, folded.get(label.casefold().strip()))
        if label_index is None:
            raise misformed("one of the labels that were sent", label)
        if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1.001:
            raise misformed("a score from 0 to 1", score)
        scores[label_index] = max(float(score), scores.get(label_index, -math.inf))
        if "score" not in row:
            break
    return dict(sorted(scores.items()))
