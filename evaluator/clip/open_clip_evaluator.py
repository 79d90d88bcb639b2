"""Score templates with an open_clip model on a few-shot data set."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from .. import held_near, tally
from ..datasets.pictures import thumbnails
from ..errors import EvaluatorError, TemplateRejectedError
from ..files import KEPT_S, sweep
from ..head import Head, Likeness
from ..learning import learn_classifier
from ..scoring import (
    GREY_BOX,
    EvaluatorInfo,
    ImageEvidence,
    LearnedClassifier,
    Objective,
    Predictions,
    Score,
    SplitScores,
    Thumbnail,
    Verdict,
)
from ..spec import Report
from .images import SCHEMA, Manifest, read_features, write_features
from .text_encoder import TextEncoder
from .zero_shot import (
    SCALE,
    Labelled,
    RenamedClasses,
    classifier,
    correct,
    decide,
    grey_box,
    logits,
    within_5,
)

if TYPE_CHECKING:
    from ..head import ClassVectors

# Classifiers of averaged templates held at once, and most float32 numbers of template vectors (64 MiB).
_AVERAGES = 16
_HELD = 16 * 2**20
# Classifiers with renamed classes held at once: one template on train, val and augmented copies.
_RENAMED = 3
# With so many classes, whether the true one is among the five likeliest says little.
FEW_CLASSES = 10
# Most vectors of new names held at once.
_NAMES_HELD = 2**14
T = TypeVar("T")


class KeptTexts:
    """Class vectors of ensembles, by one model and one list of class names, kept as image features are."""

    def __init__(self, folder: Path, model: str, classes: Sequence[str], report: Report) -> None:
        self._folder, self._model, self._classes, self._report = folder, model, tuple(classes), report

    def known(self, ensemble: Sequence[str], find: Callable[[], Tensor]) -> Tensor:
        """Return the class vectors of an ensemble; if they are not kept, those of ``find``, and keep them."""
        texts = hashlib.sha256(repr((self._classes, tuple(ensemble))).encode()).hexdigest()
        manifest = Manifest(
            schema=SCHEMA,
            model=self._model,
            preprocessing="texts",
            images=texts,
            kept=tuple(range(len(self._classes))),
            bad=(),
        )
        file = self._folder / f"texts-{manifest.key}.safetensors"
        if (features := read_features(file, manifest.key, "text vectors", self._report)) is not None:
            return features[0]
        vectors = find()
        sweep(self._folder, KEPT_S, "texts-*")
        write_features(file, vectors, manifest)
        return vectors


class OpenClipEvaluator:
    """Scores templates by the accuracy of their zero-shot classifiers.

    Args:
        encoder: Encodes texts; or what opens it when a text is first encoded.
        kept: Class vectors of ensembles that need no encoding; None without.
        open_test: Returns the test images; called once, when first needed.
        augmented: Augmented copies of training and validation images; None or empty without copies.
        objective: Decides whether scores carry grey-box values.
    """

    def __init__(
        self,
        *,
        info: EvaluatorInfo,
        encoder: TextEncoder | Callable[[], TextEncoder],
        class_names: Sequence[str],
        train: Labelled,
        val: Labelled,
        open_test: Callable[[], Labelled],
        augmented: Labelled | None = None,
        objective: Objective = "accuracy",
        logit_scale: float = 100.0,
        kept: KeptTexts | None = None,
    ) -> None:
        self._info = info
        self._given_encoder, self._kept = encoder, kept
        self._names = tuple(class_names)
        self._splits = {"train": train, "val": val}
        self.augmented = augmented if augmented is not None and len(augmented) else None
        self._open_test = open_test
        self._objective, self._grey = objective, objective in GREY_BOX
        self.logit_scale = logit_scale
        self._template_vectors: dict[str, Tensor] = {}
        self._cached_average = lru_cache(_AVERAGES)(self._average)
        self._cached_classes = lru_cache(_RENAMED)(self._renamed_classes)
        self._renamed_vectors: OrderedDict[tuple[str, str], Tensor] = OrderedDict()

    @property
    def info(self) -> EvaluatorInfo:
        """Describe the data and the model, without the images left out of the splits opened so far."""
        return self._info.with_opened(self._splits)

    @cached_property
    def encoder(self) -> TextEncoder:
        return self._given_encoder() if callable(self._given_encoder) else self._given_encoder

    def score(self, templates: Sequence[str]) -> list[Verdict]:
        answers: list[Verdict | None] = [self.encoder.check(template) for template in templates]
        readable = [index for index, rejection in enumerate(answers) if rejection is None]
        for indices in self._chunks(readable):
            for index, vectors in zip(
                indices, self.encoder.vectors([templates[index] for index in indices]), strict=True
            ):
                answers[index] = self._score(classifier(vectors[None]))
        return [answer for answer in answers if answer is not None]

    def examine(self, ensembles: Sequence[Sequence[str]], *, test: bool = True) -> list[SplitScores]:
        splits = [self.split(name) for name in (("train", "val", "test") if test else ("train", "val"))]
        if not any(len(split) for split in splits):  # 80 texts for each of many classes take minutes
            return [SplitScores(None, None, None) for _ in ensembles]
        weights = [self._classifier(ensemble) for ensemble in ensembles]
        return [
            SplitScores(
                train=_accuracy(classes, self.split("train")),
                val=_accuracy(classes, self.split("val")),
                test=_accuracy(classes, self.split("test")) if test else None,
            )
            for classes in weights
        ]

    def predict(self, ensembles: Sequence[Sequence[str]], *, split: str) -> Predictions:
        return self._predictions([(self._classifier(ensemble), None) for ensemble in ensembles], split)

    def _predictions(self, classifiers: Sequence[tuple[Tensor, Likeness | None]], split: str) -> Predictions:
        labelled = self.split(split)
        with torch.inference_mode():
            predicted = tuple(tuple(decide(labelled, *each).tolist()) for each in classifiers)
            ranked = classifiers if len(self._names) > FEW_CLASSES and len(labelled) else ()
            within = tuple(within_5(labelled, *each) for each in ranked)
        labels = tuple(labelled.labels.tolist())
        return Predictions(labels, predicted, within_5=within, paths=labelled.paths)

    def predict_named(
        self, template: str, renamings: Sequence[Mapping[int, str]], *, split: str
    ) -> Predictions:
        classes, labels = self._cached_classes(template, split)
        names = list(dict.fromkeys(name for renaming in renamings for name in renaming.values()))
        vectors = self._name_vectors(template, names)
        is_readable = [vectors.keys() >= set(renaming.values()) for renaming in renamings]
        with torch.inference_mode():
            decided = iter(classes.decide_all(list(compress(renamings, is_readable)), vectors))
        predicted = tuple(tuple(next(decided).tolist()) if readable else None for readable in is_readable)
        return Predictions(labels, predicted)

    def _renamed_classes(self, template: str, split: str) -> tuple[RenamedClasses, tuple[int, ...]]:
        """Return what decides for renamed classes by a template on a split, and the labels of the split."""
        labelled = self.split(split)
        with torch.inference_mode():
            classes = RenamedClasses(labelled, self._classifier([template]))
        return classes, tuple(labelled.labels.tolist())

    def _name_vectors(self, template: str, names: Sequence[str]) -> dict[str, Tensor]:
        """Return the classifier's row for each name that the model can read; each is encoded once."""
        cached = self._renamed_vectors
        missing = [
            name
            for name in names
            if (template, name) not in cached and self.encoder.check_name(template, name) is None
        ]
        for chunk in self._chunks(missing, len(self._names)):
            with torch.inference_mode():
                rows = classifier(self.encoder.named([template], chunk))  # [names, E]
            cached |= zip([(template, name) for name in chunk], rows, strict=True)
        vectors = {name: cached[template, name] for name in names if (template, name) in cached}
        while len(cached) > _NAMES_HELD:
            cached.popitem(last=False)
        return vectors

    def image_set(self, split: str) -> str:
        return self.split(split).image_set

    def thumbnails(self, split: str, image_indices: Sequence[int]) -> list[Thumbnail | None]:
        return thumbnails(self.split(split).paths, image_indices)

    @property
    def class_names(self) -> tuple[str, ...]:
        return self._names

    def classifier(self, ensemble: Sequence[str], renaming: Mapping[int, str] | None = None) -> ClassVectors:
        if self._kept is not None and not renaming:
            return self._kept.known(ensemble, lambda: self._classifier(ensemble).float().cpu()).numpy()
        weights = self._classifier(ensemble).clone()
        if renaming:
            with torch.inference_mode():
                rows = self.encoder.named(ensemble, list(renaming.values()))
                weights[list(renaming)] = classifier(rows)
        return weights.float().cpu().numpy()

    def evidence(self, classifiers: Sequence[ClassVectors]) -> list[ImageEvidence]:
        return held_near.judge(classifiers, self.shots, self.logit_scale)

    def learn(self, classifier: ClassVectors) -> LearnedClassifier:
        return learn_classifier(classifier, self.shots, self.logit_scale, seed=self._info.seed)

    def decide(self, heads: Sequence[Head], *, split: str) -> Predictions:
        return self._predictions([(torch.from_numpy(head.vectors), head.likeness) for head in heads], split)

    def probabilities(self, learned: LearnedClassifier, *, split: str) -> list[float]:
        weights, likeness = torch.from_numpy(learned.head.vectors), learned.head.likeness
        with torch.inference_mode():
            return [
                share
                for values, _ in logits(self.split(split), weights, likeness)
                for share in tally.likeliest(values.cpu().numpy(), learned.scale / SCALE, 1)[1][:, 0].tolist()
            ]

    @property
    def shots(self) -> held_near.LabelledFeatures:
        """The labelled images with their augmented copies."""
        labelled = [split for split in (self._splits["train"], self._splits["val"]) if len(split)]
        features = torch.cat([split.features.float().cpu() for split in labelled])[:, None]
        if self.augmented is not None:
            copies = self.augmented.features.float().cpu().reshape(len(features), -1, features.shape[2])
            features = torch.cat([features, copies], dim=1)
        return held_near.LabelledFeatures(features, torch.cat([split.labels.cpu() for split in labelled]))

    def split(self, name: str) -> Labelled:
        """Return the images of a split, or the augmented copies; opens the test images when first needed."""
        if name == "copies":
            return self.augmented or Labelled.empty(len(self._names))
        if name == "test" and name not in self._splits:
            self._splits[name] = self._open_test()
        return self._splits[name]

    def _classifier(self, ensemble: Sequence[str]) -> Tensor:
        if not ensemble:
            raise EvaluatorError("an ensemble needs at least one template")
        for template in ensemble:
            if (rejection := self.encoder.check(template)) is not None:
                raise TemplateRejectedError(template, rejection.reason, rejection.message)
        return self._cached_average(tuple(ensemble))

    def _average(self, ensemble: tuple[str, ...]) -> Tensor:
        with torch.inference_mode():
            return classifier(torch.stack(self._vectors(ensemble)))

    def _vectors(self, ensemble: Sequence[str]) -> list[Tensor]:
        """Return each template's class vectors; some are cached, as ensembles share many."""
        cached = self._template_vectors
        vectors = {template: cached[template] for template in ensemble if template in cached}
        missing = [template for template in dict.fromkeys(ensemble) if template not in vectors]
        for chunk in self._chunks(missing):
            vectors |= zip(chunk, self.encoder.vectors(chunk), strict=True)
        room = max(0, self._at_once() - len(cached))
        cached |= {template: vectors[template].clone() for template in missing[:room]}
        return [vectors[template] for template in ensemble]

    def _at_once(self) -> int:
        """Return how many templates' class vectors are held at once."""
        width = max(1, self._splits["train"].features.shape[1])
        return max(1, _HELD // (len(self._names) * width))

    def _chunks(self, items: Sequence[T], times: int = 1) -> Iterator[Sequence[T]]:
        """Yield items by as many as are encoded at once: templates, or ``times`` as many names."""
        size = self._at_once() * times
        for start in range(0, len(items), size):
            yield items[start : start + size]

    def _score(self, weights: Tensor) -> Score:
        train, val = (self._classified(self._splits[name], weights) for name in ("train", "val"))
        on_copies: float | None = None
        if self.augmented is not None:
            copies = self._classified(self.augmented, weights)
            if self._objective == "class_mean":
                on_copies = tally.class_mean(copies.predicted, copies.labels, len(self._names))
            else:
                on_copies = tally.correct(copies.predicted, copies.labels) / len(copies.labels)
        return tally.score_of(train, val, self._names, copies=on_copies)

    def _classified(self, split: Labelled, weights: Tensor) -> tally.ClassifiedSplit:
        with torch.inference_mode():
            predicted = decide(split, weights)
            grey = grey_box(split, weights, self.logit_scale) if self._grey and len(split) else {}
        return tally.ClassifiedSplit(predicted.numpy(), split.labels.numpy(), grey)


def _accuracy(weights: Tensor, split: Labelled) -> float | None:
    if not len(split):
        return None
    with torch.inference_mode():
        return correct(decide(split, weights), split) / len(split)
