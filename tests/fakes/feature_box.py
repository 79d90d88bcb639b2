"""An evaluator of images as vectors: texts are near to their classes, by what a template is worth."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from promptclimb.evaluator.head import Head
from promptclimb.evaluator.scoring import (
    EvaluatorInfo,
    ImageEvidence,
    LearnedClassifier,
    Predictions,
    Score,
    SplitScores,
    Verdict,
)

if TYPE_CHECKING:
    from promptclimb.evaluator.head import ClassVectors

CLASSES = ("auk", "bat", "cow", "doe")
SIZES = {"train": 32, "val": 16, "test": 200}
DIMENSIONS = 8


def noise(*parts: object, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Normal numbers that follow from the parts."""
    seed = int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big")
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


class FeatureBox:
    """Classifies images by the nearest text; what it learns is each class's mean.

    Args:
        worth: How near a template's texts are to their classes, from 0 to 1; others are 0.1.
        learns: Whether images are worth more than texts.
        before: Called with the name of each method, before it does anything.
    """

    logit_scale = 10.0
    class_names = CLASSES

    def __init__(
        self, worth: Mapping[str, float], *, learns: bool = True,
        before: Callable[[str], None] = lambda _name: None,
    ) -> None:  # fmt: skip
        self._worth, self._learns, self._before = dict(worth), learns, before
        self.info = EvaluatorInfo(
            dataset="vectors", classes=len(CLASSES), shots=8, seed=1, sizes=SIZES, model="box",
            pretrained="hash", fingerprint=repr(sorted(worth.items())), class_names=CLASSES,
            baselines={"default template": ("a photo of a {}",), "bare class name": ("{}",)},
        )  # fmt: skip

    def score(self, templates: Sequence[str]) -> list[Verdict]:
        self._before("score")
        shares = [self._share([template], "train") for template in templates]
        return [
            Score(train=train, val=self._share([template], "val"))
            for train, template in zip(shares, templates, strict=True)
        ]

    def examine(self, ensembles: Sequence[Sequence[str]], *, test: bool = True) -> list[SplitScores]:
        self._before("examine on test" if test else "examine")
        return [
            SplitScores(*(self._share(texts, split) if test or split != "test" else None for split in SIZES))
            for texts in ensembles
        ]

    def predict(self, ensembles: Sequence[Sequence[str]], *, split: str) -> Predictions:
        return self.decide([Head(self._vectors(texts)) for texts in ensembles], split=split)

    def classifier(self, ensemble: Sequence[str], renaming: Mapping[int, str] | None = None) -> ClassVectors:
        self._before("classifier")
        # With new names the texts are as near as one that has them.
        return self._vectors([f"{text} renamed" for text in ensemble] if renaming else ensemble)

    def predict_named(
        self, template: str, renamings: Sequence[Mapping[int, str]], *, split: str
    ) -> Predictions:
        return self.decide([Head(self._vectors([f"{template} renamed"])) for _ in renamings], split=split)

    def evidence(self, classifiers: Sequence[ClassVectors]) -> list[ImageEvidence]:
        self._before("evidence")
        features, labels = self._labelled()
        evidence = []
        for vectors in classifiers:
            logits = self.logit_scale * features @ vectors.T
            logprobs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
            right = (logits.argmax(axis=1) == labels).astype(float)
            own = logprobs[np.arange(len(labels)), labels]
            evidence.append(ImageEvidence(tuple(right.tolist()), tuple(own.tolist())))
        return evidence

    def learn(self, classifier: ClassVectors) -> LearnedClassifier:
        self._before("learn")
        features, labels = self._labelled()
        if self._learns:
            classifier = unit(
                np.stack([features[labels == label].mean(axis=0) for label in range(len(CLASSES))])
            )
        right = (features @ classifier.T).argmax(axis=1) == labels
        return LearnedClassifier(
            head=Head(classifier), images=len(labels), strength=1.0 if self._learns else None, scale=20.0,
            held_out=tuple(right.tolist()),
        )  # fmt: skip

    def decide(self, heads: Sequence[Head], *, split: str) -> Predictions:
        self._before(f"decide on {split}")
        features, labels = self._images(split)
        predicted = ((features @ head.vectors.T).argmax(axis=1) for head in heads)
        return Predictions(tuple(labels.tolist()), tuple(tuple(decided.tolist()) for decided in predicted))

    def _images(self, split: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        labels = np.arange(SIZES[split]) % len(CLASSES)
        near = np.eye(len(CLASSES), DIMENSIONS, dtype=np.float32)[labels]
        return unit(near + 0.35 * noise(split, shape=near.shape)), labels

    def _labelled(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        train, val = self._images("train"), self._images("val")
        return np.concatenate([train[0], val[0]]), np.concatenate([train[1], val[1]])

    def _vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        each = []
        for text in texts:
            worth, far = self._worth.get(text, 0.1), unit(noise(text, shape=(len(CLASSES), DIMENSIONS)))
            each.append(unit(worth * np.eye(len(CLASSES), DIMENSIONS) + (1 - worth) * far))
        return unit(np.mean(each, axis=0))

    def _share(self, texts: Sequence[str], split: str) -> float:
        features, labels = self._images(split)
        return float(((features @ self._vectors(texts).T).argmax(axis=1) == labels).mean())
