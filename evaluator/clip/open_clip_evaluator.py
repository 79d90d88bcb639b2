"""Score templates with an open_clip model on a few-shot data set."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import tally
from ..datasets.pictures import thumbnail
from ..errors import EvaluatorError, TemplateRejectedError
from ..scoring import (
    GREY_BOX,
    MOST_CONFUSED,
    EvaluatorInfo,
    Inspection,
    Objective,
    Predictions,
    Score,
    SplitScores,
    Thumbnail,
    Verdict,
)
from .texts.text_encoder import Encoder
from .zero_shot import Labelled, RenamedClasses, class_mean, classifier, correct, decide, grey_box

# Most float32 numbers of template vectors held at once (64 MiB).
_HELD = 16 * 2**20
# Classifiers with renamed classes held at once: one template on train, val and augmented copies.
_RENAMED = 3
# Most vectors of new names held at once.
_NAMES_HELD = 2**14
# Bad images listed in a result, per split.
_MOST_LISTED = 20


class OpenClipEvaluator:
    """Scores templates by the accuracy of their zero-shot classifiers.

    Args:
        open_test: Returns the test images; called once, when first needed.
        views: Augmented copies of training and validation images; None or empty without copies.
        objective: Decides whether scores carry grey-box values.
    """

    def __init__(
        self,
        *,
        info: EvaluatorInfo,
        encoder: Encoder,
        class_names: Sequence[str],
        train: Labelled,
        val: Labelled,
        open_test: Callable[[], Labelled],
        views: Labelled | None = None,
        objective: Objective = "accuracy",
        logit_scale: float = 100.0,
    ) -> None:
        self._info = info
        self._encoder = encoder
        self._names = tuple(class_names)
        self._splits = {"train": train, "val": val}
        self.views = views if views is not None and len(views) else None
        self._open_test = open_test
        self._objective, self._grey = objective, objective in GREY_BOX
        self._logit_scale = logit_scale
        self._kept: dict[str, Tensor] = {}
        self._renamed: OrderedDict[tuple[str, str], RenamedClasses] = OrderedDict()
        self._named: OrderedDict[tuple[str, str], Tensor] = OrderedDict()

    @property
    def info(self) -> EvaluatorInfo:
        """What this evaluator scores on; the notes list images left out of the splits opened so far."""
        skipped = {
            name: {"images": len(split.left_out), "which": list(split.left_out[:_MOST_LISTED])}
            for name, split in self._splits.items()
            if split.left_out
        }
        if not skipped:
            return self._info
        return replace(self._info, notes={**self._info.notes, "skipped_images": skipped})

    def score(self, templates: Sequence[str]) -> list[Verdict]:
        answers: list[Verdict | None] = [self._encoder.check(template) for template in templates]
        wanted = [index for index, answer in enumerate(answers) if answer is None]
        held = self._at_once()
        for start in range(0, len(wanted), held):
            part = wanted[start : start + held]
            for index, vectors in zip(part, self._encoder.vectors([templates[i] for i in part]), strict=True):
                answers[index] = self._score(classifier(vectors[None]))
        return [answer for answer in answers if answer is not None]

    def examine(self, ensembles: Sequence[Sequence[str]], *, test: bool = True) -> list[SplitScores]:
        weights = [self._classifier(ensemble) for ensemble in ensembles]
        train = self.split("train")
        return [
            SplitScores(
                train=correct(decide(train, one), train) / len(train),
                val=_accuracy(one, self.split("val")),
                test=_accuracy(one, self.split("test")) if test else None,
            )
            for one in weights
        ]

    def inspect(self, ensemble: Sequence[str], *, split: str) -> Inspection:
        labelled = self.split(split)
        if not len(labelled):
            raise EvaluatorError(f"the split {split} has no images")
        with torch.inference_mode():
            decisions = decide(labelled, self._classifier(ensemble))
        predicted, labels = decisions.numpy(), labelled.labels.numpy()
        return Inspection(
            classes=tally.class_accuracies(predicted, labels, self._names),
            confusions=tally.named_confusions(predicted, labels, self._names),
        )

    def predict(self, ensembles: Sequence[Sequence[str]], *, split: str) -> Predictions:
        labelled = self.split(split)
        weights = [self._classifier(ensemble) for ensemble in ensembles]
        with torch.inference_mode():
            found = [tuple(decide(labelled, one).tolist()) for one in weights]
        return Predictions(tuple(labelled.labels.tolist()), tuple(found))

    def predict_named(
        self, template: str, renamings: Sequence[Mapping[int, str]], *, split: str
    ) -> Predictions:
        labelled = (self.views or Labelled.empty(len(self._names))) if split == "views" else self.split(split)
        if not len(labelled):
            return Predictions((), ((),) * len(renamings))
        classes = self._renamed_classes(template, split, labelled)
        names = list(dict.fromkeys(name for renaming in renamings for name in renaming.values()))
        vectors = self._name_vectors(template, names)
        readable = [one for one in renamings if vectors.keys() >= set(one.values())]
        with torch.inference_mode():
            decided = iter(classes.decide_all(readable, vectors))
        base = classes.base.tolist()
        found: list[tuple[int, ...] | None] = []
        for renaming in renamings:
            if not vectors.keys() >= set(renaming.values()):
                found.append(None)
                continue
            # Few images change, and only those are worth a conversion.
            now = next(decided)
            changed = (now != classes.base).nonzero()[:, 0]
            labels = base.copy()
            for place, label in zip(changed.tolist(), now[changed].tolist(), strict=True):
                labels[place] = label
            found.append(tuple(labels))
        return Predictions(tuple(labelled.labels.tolist()), tuple(found))

    def _renamed_classes(self, template: str, split: str, labelled: Labelled) -> RenamedClasses:
        key = template, split
        if key not in self._renamed:
            with torch.inference_mode():
                self._renamed[key] = RenamedClasses(labelled, self._classifier([template]))
            if len(self._renamed) > _RENAMED:
                self._renamed.popitem(last=False)
        self._renamed.move_to_end(key)
        return self._renamed[key]

    def _name_vectors(self, template: str, names: Sequence[str]) -> dict[str, Tensor]:
        """Return the classifier's row for each name that the model can read; each is encoded once."""
        missing = [
            name
            for name in names
            if (template, name) not in self._named and self._encoder.check_name(template, name) is None
        ]
        held = self._at_once() * len(self._names)
        for start in range(0, len(missing), held):
            part = missing[start : start + held]
            with torch.inference_mode():
                rows = classifier(self._encoder.named(template, part)[None])
            self._named |= zip([(template, name) for name in part], rows, strict=True)
        found = {name: self._named[template, name] for name in names if (template, name) in self._named}
        while len(self._named) > _NAMES_HELD:
            self._named.popitem(last=False)
        return found

    def image_set(self, split: str) -> str:
        return self.split(split).image_set

    def thumbnails(self, split: str, places: Sequence[int]) -> list[Thumbnail | None]:
        paths = self.split(split).paths
        return [thumbnail(paths[place]) if place < len(paths) else None for place in places]

    @property
    def class_names(self) -> tuple[str, ...]:
        return self._names

    def classifier(
        self, ensemble: Sequence[str], renaming: Mapping[int, str] | None = None
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        """Return an ensemble's classifier: float32 [classes, dimensions], rows of length 1.

        ``renaming`` has other class names by label.
        """
        weights = self._classifier(ensemble)
        with torch.inference_mode():
            for label, name in (renaming or {}).items():
                rows = [self._encoder.named(template, [name]) for template in ensemble]
                weights[label] = classifier(torch.stack(rows))[0]
        return weights.float().cpu().numpy()

    def split(self, name: str) -> Labelled:
        """Return the images of a split; opens the test images when first needed."""
        if name == "test" and name not in self._splits:
            self._splits[name] = self._open_test()
        return self._splits[name]

    def _classifier(self, ensemble: Sequence[str]) -> Tensor:
        if not ensemble:
            raise EvaluatorError("an ensemble needs at least one template")
        for template in ensemble:
            if (rejection := self._encoder.check(template)) is not None:
                raise TemplateRejectedError(template, rejection.reason, rejection.message)
        with torch.inference_mode():
            return classifier(torch.stack(self._vectors(ensemble)))

    def _vectors(self, ensemble: Sequence[str]) -> list[Tensor]:
        """Return each template's class vectors; some are cached, as ensembles share many."""
        found = {template: self._kept[template] for template in ensemble if template in self._kept}
        missing = [template for template in dict.fromkeys(ensemble) if template not in found]
        held = self._at_once()
        for start in range(0, len(missing), held):
            part = missing[start : start + held]
            found |= zip(part, self._encoder.vectors(part), strict=True)
        room = max(0, held - len(self._kept))
        self._kept |= {template: found[template].clone() for template in missing[:room]}
        return [found[template] for template in ensemble]

    def _at_once(self) -> int:
        width = self._splits["train"].features.shape[1]
        return max(1, _HELD // (len(self._names) * width))

    def _score(self, weights: Tensor) -> Score:
        train, val = self._splits["train"], self._splits["val"]
        with torch.inference_mode():
            decided = decide(train, weights)
            right, values = self._measured(train, weights, decided)
            val_right, val_values = (
                self._measured(val, weights, decide(val, weights)) if len(val) else (None, {})
            )
        return Score(
            train=right / len(train),
            val=None if val_right is None else val_right / len(val),
            correct=(right, val_right),
            confused=tally.named_confusions(
                decided.numpy(), train.labels.numpy(), self._names, MOST_CONFUSED
            ),
            views=self._on_views(weights),
            **values,
            **{f"val_{name}": value for name, value in val_values.items()},
        )

    def _on_views(self, weights: Tensor) -> float | None:
        if self.views is None:
            return None
        with torch.inference_mode():
            decided = decide(self.views, weights)
        if self._objective == "class_mean":
            return class_mean(decided, self.views)
        return correct(decided, self.views) / len(self.views)

    def _measured(self, split: Labelled, weights: Tensor, decided: Tensor) -> tuple[int, dict[str, Any]]:
        values: dict[str, Any] = {"class_mean": class_mean(decided, split)}
        if self._grey:
            values["logprob"], values["margin"] = grey_box(split, weights, self._logit_scale)
        return correct(decided, split), values


def _accuracy(weights: Tensor, split: Labelled) -> float | None:
    if not len(split):
        return None
    with torch.inference_mode():
        return correct(decide(split, weights), split) / len(split)
