"""Provide an evaluator without a model or images, for tests and examples."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from .errors import TemplateRejectedError
from .scoring import (
    BASELINE_DEFAULT,
    HAND_MADE,
    EvaluatorInfo,
    Rejection,
    Score,
    SplitScores,
    Verdict,
)

_WORD = re.compile(r"[^\W_]+|\{\}")


@lru_cache(maxsize=100_000)
def _pull(word: str, salt: str) -> float:
    digest = hashlib.sha256(f"{salt}\0{word}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**63 - 1


@lru_cache(maxsize=10_000)
def _words(template: str) -> tuple[str, ...]:
    return tuple(sorted(set(_WORD.findall(template.lower())) - {"{}"}))


class FakeEvaluator:
    """Scores a template by its words, deterministically and instantly.

    Each distinct word moves the accuracy by a fixed amount, less the more words there are. Test agrees with
    train but for a small disturbance.

    Args:
        seed: Decides what each word is worth.
        favourites: Fixed values of some lower-case words.
        max_words: Longer templates are rejected as ``too_many_tokens``.
        val: Whether there is a validation split.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        favourites: Mapping[str, float] | None = None,
        max_words: int = 60,
        val: bool = True,
    ) -> None:
        self._seed = seed
        self._favourites = dict(favourites or {})
        self._max_words = max_words
        identity = repr((seed, sorted(self._favourites.items()), val))
        self._info = EvaluatorInfo(
            dataset="fake",
            classes=10,
            shots=16,
            seed=seed,
            sizes={"train": 160, "val": 40 if val else 0, "test": 1000},
            model="words",
            pretrained="hash",
            fingerprint=hashlib.sha256(identity.encode()).hexdigest(),
            class_names=tuple(f"kind {number}" for number in range(1, 11)),
            baselines={BASELINE_DEFAULT: ("a photo of a {}",), HAND_MADE: ("a clean drawing of a {}",)},
        )

    @property
    def info(self) -> EvaluatorInfo:
        return self._info

    def score(self, templates: Sequence[str]) -> list[Verdict]:
        return [self._answer(template) for template in templates]

    def examine(self, ensembles: Sequence[Sequence[str]], *, test: bool = True) -> list[SplitScores]:
        examined = [self._examine(list(ensemble)) for ensemble in ensembles]
        return examined if test else [replace(scores, test=None) for scores in examined]

    def _answer(self, template: str) -> Verdict:
        words = len(template.split())
        if words > self._max_words:
            return Rejection("too_many_tokens", f"{words} words, and this model reads {self._max_words}")
        train = self._correct([template], "train")
        val = self._correct([template], "val") if self._info.sizes["val"] else None
        sizes = self._info.sizes
        return Score(
            train=train / sizes["train"],
            val=None if val is None else val / sizes["val"],
            correct=(train, val),
            class_mean=train / sizes["train"],
            val_class_mean=None if val is None else val / sizes["val"],
        )

    def _examine(self, ensemble: list[str]) -> SplitScores:
        for template in ensemble:
            answer = self._answer(template)
            if isinstance(answer, Rejection):
                raise TemplateRejectedError(template, answer.reason, answer.message)
        filled = {name: size for name, size in self._info.sizes.items() if size}
        share = {name: self._correct(ensemble, name) / size for name, size in filled.items()}
        return SplitScores(train=share["train"], val=share.get("val"), test=share["test"])

    def _correct(self, ensemble: Sequence[str], split: str) -> int:
        height = sum(self._height(template, split) for template in ensemble) / len(ensemble)
        return round(self._info.sizes[split] / (1 + math.exp(-height)))

    def _height(self, template: str, split: str) -> float:
        salt = f"{self._seed}"
        pulls = [self._favourites.get(word, _pull(word, salt)) for word in _words(template)]
        noise = 0.15 * _pull(template, f"{self._seed} {split}")
        return 3 * sum(pulls) / (2 + len(pulls)) + noise
