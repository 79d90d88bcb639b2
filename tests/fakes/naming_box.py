"""A black box without a model whose predictions depend on template and class names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache

from promptclimb.evaluator.errors import TemplateRejectedError
from promptclimb.evaluator.scoring import EvaluatorInfo, Predictions, Rejection, Score, SplitScores, Verdict


@cache
def pull(*parts: object) -> float:
    """A number in [0, 1) that follows from the parts."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


@cache
def labels_of(images: int, classes: int) -> tuple[int, ...]:
    """The class of each image."""
    return tuple(image % classes for image in range(images))


@cache
def predictions(
    start: str, split: str, labels: tuple[int, ...], classes: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What each image is taken for if its class's name is unknown, and if it is known."""
    unknown, known = [], []
    for image, true in enumerate(labels):
        pulls = [pull(start, label, split, image) for label in range(classes)]
        own = pulls[true]
        for more, predicted in ((0.2, unknown), (0.9, known)):
            pulls[true] = own + more
            predicted.append(max(range(classes), key=pulls.__getitem__))
    return tuple(unknown), tuple(known)


FACTORY = "tests.fakes.naming_box:NamingBox"


class NamingBox:
    """Takes an image for the class that pulls most; its own class pulls more by a name that the model knows.

    Args:
        good: Names that the model knows, by class name.
        val: Validation images of each class.
        copies: Augmented copies of each image.

    Attributes:
        asked: Every call of ``predict_named``: its split and renamings.
        asked_in: The template of each.
    """

    def __init__(
        self, classes: Sequence[str] = ("bat", "bow", "club", "horn", "seal"),
        good: Mapping[str, Sequence[str]] | None = None, *, shots: int = 8, val: int = 2, copies: int = 0,
    ) -> None:  # fmt: skip
        self._classes = tuple(classes)
        self._good = {name: frozenset(names) for name, names in (good or {}).items()}
        self.asked: list[tuple[str, list[dict[int, str]]]] = []
        self.asked_in: list[str] = []
        self.info = EvaluatorInfo(
            dataset="named",
            classes=len(classes),
            shots=shots,
            seed=1,
            sizes={"train": shots * len(classes), "val": val * len(classes), "test": 20 * len(classes)},
            model="names",
            pretrained="hash",
            fingerprint=f"{classes} {sorted(self._good.items())} {shots} {val} {copies}",
            class_names=self._classes,
            baselines={"default template": ("a photo of a {}",)},
            copies=copies,
        )

    def score(self, templates: Sequence[str]) -> list[Verdict]:
        return [
            Rejection("too_many_tokens", "it is too long")
            if len(template) > 200
            else Score(train=self._share(template, "train"), val=self._val(template))
            for template in templates
        ]

    def examine(self, ensembles: Sequence[Sequence[str]], *, test: bool = True) -> list[SplitScores | None]:
        return [
            SplitScores(
                self._share(ensemble[0], "train"),
                self._val(ensemble[0]),
                self._share(ensemble[0], "test") if test else None,
            )
            if len(ensemble) == 1
            else None
            for ensemble in ensembles
        ]

    def predict(self, ensembles: Sequence[Sequence[str]], *, split: str) -> Predictions:
        predicted = (
            self._predicted(ensemble[0], {}, split) if len(ensemble) == 1 else None for ensemble in ensembles
        )
        return Predictions(self._labels(split), tuple(predicted))

    def predict_named(
        self, template: str, renamings: Sequence[Mapping[int, str]], *, split: str
    ) -> Predictions:
        """Classify with other names; a name of more than 60 characters cannot be read."""
        if len(template) > 200:
            raise TemplateRejectedError(template, "too_many_tokens", "it is too long")
        self.asked.append((split, [dict(renaming) for renaming in renamings]))
        self.asked_in.append(template)
        predicted = (
            None
            if any(len(name) > 60 for name in names.values())
            else self._predicted(template, names, split)
            for names in renamings
        )
        return Predictions(self._labels(split), tuple(predicted))

    def _val(self, template: str) -> float | None:
        return self._share(template, "val") if self.info.sizes["val"] else None

    def _share(self, template: str, split: str) -> float:
        labels, predicted = self._labels(split), self._predicted(template, {}, split)
        return sum(label == true for label, true in zip(predicted, labels, strict=True)) / len(labels)

    def _labels(self, split: str) -> tuple[int, ...]:
        size = self.info.sizes["train" if split == "copies" else split] * (
            self.info.copies if split == "copies" else 1
        )
        return labels_of(size, len(self._classes))

    def _predicted(self, template: str, renaming: Mapping[int, str], split: str) -> tuple[int, ...]:
        unknown, known = predictions(template[:3], split, self._labels(split), len(self._classes))
        knows = [
            renaming.get(label, name) in self._good.get(name, ()) for label, name in enumerate(self._classes)
        ]
        if not any(knows):
            return unknown
        return tuple(
            known[image] if knows[label] else unknown[image]
            for image, label in enumerate(self._labels(split))
        )
