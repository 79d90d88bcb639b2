"""A model that answers in words, better with some instructions than with others."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from promptclimb.evaluator.errors import TemplateRejectedError
from promptclimb.evaluator.remote.answers import SLOT, ListedClasses
from promptclimb.evaluator.scoring import (
    DEFAULT_INSTRUCTION,
    UNREADABLE,
    Confusion,
    EvaluatorInfo,
    Predictions,
    Rejection,
    Score,
    SplitScores,
    Verdict,
)

NAMES = ("bat", "sea lion", "lion", "dog")
SIZES = {"train": 48, "val": 16, "test": 80}
GOOD = {"ears": 0.25, "look": 0.1, "expert": 0.05, "background": -0.1}
"""What a word of an instruction adds to the share of images that are named rightly."""
FORMS = ("only", "json", "number", "exactly")
"""With none of these words, three answers in ten name no class."""
NOISE = "I see\nan <b>animal</b>, {classes} %s"


class AnsweringBox:
    """Answers each image by a rule; several instructions together are not measured."""

    def __init__(self) -> None:
        self.options = ListedClasses(NAMES, seed=1)
        self._read = lru_cache(maxsize=None)(self.options.read)
        self.scored: list[str] = []
        self.opened = 0
        self.info = EvaluatorInfo(
            dataset="animals", classes=len(NAMES), shots=12, seed=1, sizes=SIZES, model="answers",
            pretrained="", fingerprint="answering box", class_names=NAMES,
            baselines={"default template": (DEFAULT_INSTRUCTION,)},
        )  # fmt: skip

    def score(self, instructions: Sequence[str]) -> list[Verdict]:
        self.scored += instructions
        return [self._score(instruction) for instruction in instructions]

    def examine(self, ensembles: Sequence[Sequence[str]], *, test: bool = True) -> list[SplitScores | None]:
        self.opened += test
        return [self._examined(ensemble[0], test) if len(ensemble) == 1 else None for ensemble in ensembles]

    def predict(self, ensembles: Sequence[Sequence[str]], *, split: str) -> Predictions:
        labels = tuple(index % len(NAMES) for index in range(SIZES[split]))
        return Predictions(
            labels,
            tuple(
                self._predicted(ensemble[0], split) if len(ensemble) == 1 else None for ensemble in ensembles
            ),
        )

    def _score(self, instruction: str) -> Verdict:
        if instruction.count(SLOT) != 1:
            return Rejection("no_slot", "no list of classes")
        train, val = (self._share(instruction, split) for split in ("train", "val"))
        answers = [self._answer(instruction, "train", index) for index in range(SIZES["train"])]
        unread = [answer for answer in answers if self._read(answer) is None]
        wrong = Counter(
            (index % len(NAMES), label)
            for index, label in enumerate(self._predicted(instruction, "train"))
            if label not in (UNREADABLE, index % len(NAMES))
        )
        return Score(
            train=train,
            val=val,
            confused=tuple(
                Confusion(NAMES[true], NAMES[taken], count) for (true, taken), count in wrong.most_common(2)
            ),
            unreadable=len(unread) / len(answers),
            unreadable_examples=tuple(unread[:3]),
        )

    def _examined(self, instruction: str, test: bool) -> SplitScores:
        if instruction.count(SLOT) != 1:
            raise TemplateRejectedError(instruction, "no_slot")
        train, val = (self._share(instruction, split) for split in ("train", "val"))
        return SplitScores(train, val, self._share(instruction, "test") if test else None)

    def _share(self, instruction: str, split: str) -> float:
        labels = self._predicted(instruction, split)
        return sum(label == index % len(NAMES) for index, label in enumerate(labels)) / len(labels)

    def _predicted(self, instruction: str, split: str) -> tuple[int, ...]:
        labels = (self._read(self._answer(instruction, split, index)) for index in range(SIZES[split]))
        return tuple(UNREADABLE if label is None else label for label in labels)

    def _answer(self, instruction: str, split: str, index: int) -> str:
        words = instruction.lower()
        digest = hashlib.sha256(f"{instruction}\0{split}\0{index}".encode()).digest()
        luck, form = digest[0] / 256, digest[1] / 256
        if form < 0.3 and not any(word in words for word in FORMS):
            return NOISE
        right = luck < 0.5 + sum(worth for word, worth in GOOD.items() if word in words)
        name = NAMES[(index + (0 if right else 1 + digest[2] % 3)) % len(NAMES)]
        if '"class"' in instruction:
            return f'{{"class": "{name}"}}'
        if "number" in words and f"\n{SLOT}" in instruction:
            listed = self.options.fill(SLOT).splitlines()
            return next(line for line in listed if line.endswith(f". {name}")).split(".")[0]
        return f"This is a {name}." if form < 0.6 else f"**{name.title()}**"
