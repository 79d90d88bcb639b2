"""Search for better names of single classes in one template, after the restarts.

Each round shows the LLM which classes are often wrong and what was tried, and scores the names in its answer
one by one; without an LLM it tries common words for kinds of things. Predictions are on disk before they are
used, so that a resumed run neither asks nor scores again.
"""

from __future__ import annotations

import hashlib
import random
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Any

from ...evaluator.counts import counted
from ...evaluator.scoring import UNREADABLE, EvaluatorInfo, NamePredictor
from ...prompts.class_names import (
    MOST_CLASSES,
    MOST_NAMES_ASKED,
    SHORT_NAMES,
    ClassRecord,
    NameReader,
    kind_names,
    names_asked,
    rich_request,
    short_name_request,
)
from ...prompts.requests import ChatMessage
from ..config.schema import SearchConfig
from ..errors import EvaluationFailedError
from ..events.types import Listener, NameRefused, NameRoundFinished, NameScored, Noted
from ..position import NAMES, Position
from ..store.disk import canonical
from ..store.run import Store
from .event_loop import call_evaluator
from .journal import MOST_REPEATS, MOST_SHOWN_OF_A_LINE, Journal, NamesRecord, Skipped
from .name_choice import FewShotAccuracy, Predicted, Renaming, choose_names, paired_counts, repairs_enough

AT_ONCE = 32
"""Renamings in one call of the scorer."""
MOST_TAKEN_FOR = 3
TEMPLATES = "named_templates"
"""The note of the templates in which names were searched, in order: an extended run may search in another."""
RenamingKey = tuple[tuple[int, str], ...]


def renaming_key(template: str, renaming: Renaming) -> str:
    """Return what stands for a template with new names in a store's notes."""
    key = canonical([template, *map(list, sorted(renaming.items()))])
    return hashlib.sha256(key.encode()).hexdigest()


@dataclass(eq=False)
class NameRounds:
    """Search for names in one template.

    Args:
        record: What is done, whatever ends it; the names so far are in ``renaming``.
        check: Raises if the search is to stop, before anything is scored anew.
        check_new: The same before a new name is scored.

    Attributes:
        renaming: The names so far, which were scored together.
    """

    record: NamesRecord
    config: SearchConfig
    template: str
    _: KW_ONLY
    few_shot: FewShotPredictions
    info: EvaluatorInfo
    store: Store
    journal: Journal
    check: Callable[[], None]
    check_new: Callable[[], None]
    emit: Listener

    def __post_init__(self) -> None:
        self.renaming: Renaming = {}
        self._class_names = self.info.class_names
        self._reader = NameReader(self._class_names, self.template)
        self._scores = NameScores(self.template, self.few_shot, self.store, self.check)
        self._tried: dict[int, dict[str, Predicted]] = {}
        self._times_asked = Counter[int]()
        self._now: Predicted = ()

    async def run(self) -> None:
        """Go through all rounds and choose; ``renaming`` has the names so far, whatever ends it."""
        conversation = await self._conversation()
        await self._scores.open()
        self._now = self._scores.base
        repeats = 0
        for number in range(1, self.config.name_rounds + 1):
            reason = None
            if not self._confusions():
                reason = "no image of a class that may be renamed is wrong"
            elif repeats >= MOST_REPEATS:
                reason = f"{counted(MOST_REPEATS, 'round')} in a row held no new name"
            if reason is not None:
                self.emit(Noted(text=f"the search for class names ends early: {reason}"))
                break
            position = Position(NAMES, conversation, number)
            skipped_before = self.record.skipped
            new_names = await self._round(position)
            # A round without an answer says nothing about whether the LLM repeats itself.
            if new_names or skipped_before == self.record.skipped:
                repeats = 0 if new_names else repeats + 1
            await self._choose(final=False)
            self.emit(
                NameRoundFinished(
                    position=position,
                    renamed=len(self.renaming),
                    right=self.accuracy.images,
                    images=self.images,
                )
            )
        await self.choose()
        self.record.unanswered = self.journal.unanswered

    async def choose(self) -> None:
        """Choose among the names that were tried, as at the end of all rounds."""
        await self._choose(final=True)

    async def _conversation(self) -> int:
        """Return the number of the conversation on this template; one number for each template."""
        templates = self.store.note(TEMPLATES, lambda row: list(map(str, row))) or []
        if self.template not in templates:
            templates = [*templates, self.template]
            await self.store.put_note(TEMPLATES, templates)
        return templates.index(self.template) + 1

    @property
    def images(self) -> int:
        """Number of few-shot images, without copies."""
        return self._scores.images

    @property
    def accuracy(self) -> FewShotAccuracy:
        """The accuracy with the names so far."""
        return FewShotAccuracy.of(self._scores.labels, self._now, self._scores.copies)

    @property
    def holds(self) -> bool:
        """Whether there are names so far that repair enough together."""
        scores = self._scores
        return bool(self.renaming) and repairs_enough(scores.labels, self._now, scores.base, scores.copies)

    def _confusions(self) -> Counter[tuple[int, int]]:
        """Return how many images of each renamable class are taken for which other one."""
        true_labels = self._scores.labels[: self.images]
        return Counter(
            (true, predicted)
            for true, predicted in zip(true_labels, self._now, strict=False)
            if true != predicted and true in self._reader.renamable
        )

    async def _round(self, position: Position) -> int:
        """Ask, score the new names, and return how many there were."""
        confusions = self._confusions()
        labels = _labels_to_ask(confusions, self._times_asked)
        self._times_asked.update(labels)
        config = self.config
        names: list[tuple[int, str]] = []
        if config.llm is None:
            names = [(label, name) for label in labels for name in self._kind_names(label)]
        elif self._asks_for_one_class:
            for sample, label in enumerate(labels):
                messages = short_name_request(self._class_names[label])
                names += await self._ask(messages, position._replace(sample=sample), [label], SHORT_NAMES)
        else:
            records = [self._record_of(label, confusions) for label in labels]
            messages = rich_request(self.template, self._class_names, records, description=config.description)
            names = await self._ask(messages, position, labels, names_asked(len(labels)))
        # The same name may come in several answers of one round.
        return await self._score(list(dict.fromkeys(names)), position)

    @property
    def _asks_for_one_class(self) -> bool:
        """Whether each request is a short one, for one class."""
        return self.config.request_style == "short"

    def _kind_names(self, label: int) -> list[str]:
        """Return the next names of a class without an LLM, as many as a request asks for."""
        names = kind_names(self._class_names[label], random.Random(f"{self.config.seed} {label}"))
        return [name for name in names if name not in self._tried.get(label, ())][:MOST_NAMES_ASKED]

    async def _ask(
        self, messages: Sequence[ChatMessage], position: Position, labels: Sequence[int], each: int
    ) -> list[tuple[int, str]]:
        """Ask for ``each`` names of some classes, and return the new ones."""
        try:
            answer, _ = await self.journal.ask(messages, position)
        except Skipped as skip:
            self.emit(Noted(text=f"{position} is skipped: {skip.reason}"))
            return []
        only = labels[0] if self._asks_for_one_class else None
        proposals = self._reader.read(answer.text, only=only, cut=answer.finish_reason == "length")
        new: dict[tuple[int, str], None] = {}
        count_by_label = Counter[int]()
        # Behind an API each name costs requests; elsewhere those beyond the number asked for are welcome.
        limited, most = self.config.is_api, each * len(labels)
        for label, name in proposals.names:
            if name in self._tried.get(label, ()) or (label, name) in new:
                self._refuse(f"{self._class_names[label]}: {name}", "known", position)
            elif limited and (count_by_label[label] == each or len(new) == most):
                self._refuse(f"{self._class_names[label]}: {name}", "too_many_proposals", position)
            else:
                count_by_label[label] += 1
                new[label, name] = None
        for refused in proposals.refused:
            self._refuse(refused.line, refused.reason, position)
        return list(new)

    def _refuse(self, line: str, reason: str, position: Position) -> None:
        self.record.rejected[reason] += 1
        self.emit(NameRefused(position=position, line=line[:MOST_SHOWN_OF_A_LINE], reason=reason))

    async def _score(self, names: Sequence[tuple[int, str]], position: Position) -> int:
        """Score each name alone, and return how many there are."""
        predictions = await self._scores.predict_all(
            [{label: name} for label, name in names], check_new=self.check_new
        )
        for (label, name), predicted in zip(names, predictions, strict=True):
            class_name = self._class_names[label]
            if predicted is None:
                self._refuse(f"{class_name}: {name}", "too_many_tokens", position)
                continue
            self._tried.setdefault(label, {})[name] = predicted
            self.record.proposed += 1
            gained, lost = self._gained_and_lost(predicted)
            self.emit(
                NameScored(position=position, class_name=class_name, new_name=name, gained=gained, lost=lost)
            )
        return len(names)

    def _gained_and_lost(self, predicted: Predicted) -> tuple[int, int]:
        return paired_counts(self._scores.labels[: self.images], predicted, self._scores.base)

    def _record_of(self, label: int, confusions: Mapping[tuple[int, int], int]) -> ClassRecord:
        """Return what a request shows of a class."""
        scores, names = self._scores, self._class_names
        image_indices = [index for index in range(self.images) if scores.labels[index] == label]
        taken_for = Counter(
            {
                names[predicted]: count
                for (true, predicted), count in confusions.items()
                if true == label and predicted != UNREADABLE
            }
        )
        return ClassRecord(
            name=names[label],
            current=self.renaming.get(label),
            images=len(image_indices),
            before=sum(scores.base[index] == label for index in image_indices),
            right=sum(self._now[index] == label for index in image_indices),
            taken_for=taken_for.most_common(MOST_TAKEN_FOR),
            tried=[
                (name, *self._gained_and_lost(predicted))
                for name, predicted in self._tried.get(label, {}).items()
            ],
        )

    async def _choose(self, *, final: bool) -> None:
        scores = self._scores

        async def predict(renaming: Renaming) -> Predicted:
            (predicted,) = await scores.predict_all([renaming])
            # Names that are read alone may be too many together.
            return [UNREADABLE] * len(scores.labels) if predicted is None else predicted

        renaming = await choose_names(
            scores.labels, scores.base, self._tried, predict, copies=scores.copies, final=final
        )
        (now,) = await scores.predict_all([renaming]) if renaming else (scores.base,)
        self.renaming, self._now = (renaming, now) if now is not None else ({}, scores.base)


class FewShotPredictions:
    """Predictions with other names on all few-shot images, augmented copies last.

    Attributes:
        copies: False if the copies of some image cannot be read; none are used then.
    """

    def __init__(self, evaluator: NamePredictor, info: EvaluatorInfo) -> None:
        self._evaluator = evaluator
        self._splits = [split for split in ("train", "val") if info.sizes.get(split, 0)]
        self.copies = bool(info.views)

    async def predict(
        self, template: str, renamings: Sequence[Renaming]
    ) -> tuple[array[int], int, list[array[int] | None]]:
        """Return the labels of the images, how many belong to copies, and predictions by renaming.

        Predictions are None where the model cannot read a name.
        """
        labels, copies, predictions = await self._predict(template, renamings)
        if copies % (len(labels) - copies):
            self.copies = False
            labels, copies, predictions = await self._predict(template, renamings)
        return labels, copies, predictions

    async def _predict(
        self, template: str, renamings: Sequence[Renaming]
    ) -> tuple[array[int], int, list[array[int] | None]]:
        labels, copies = array("i"), 0
        predictions: list[array[int] | None] = [array("i") for _ in renamings]
        for split in (*self._splits, "views") if self.copies else self._splits:
            on_split = await call_evaluator(
                partial(self._evaluator.predict_named, template, renamings, split=split)
            )
            labels.extend(on_split.labels)
            copies = len(on_split.labels) if split == "views" else 0
            for index, predicted in enumerate(on_split.predicted):
                so_far = predictions[index]
                if predicted is None or so_far is None:
                    predictions[index] = None
                    continue
                if len(predicted) != len(on_split.labels):
                    raise EvaluationFailedError("predict_named gives unequally many labels and predictions")
                so_far.extend(predicted)
        return labels, copies, predictions


@dataclass(eq=False)
class NameScores:
    """Predictions by renaming: read if on disk, otherwise written to disk before they are used.

    Attributes:
        labels: True label of each few-shot image, augmented copies last.
        base: Predictions with the original names.
        copies: Number of augmented copies.
    """

    template: str
    few_shot: FewShotPredictions
    store: Store
    check: Callable[[], None]
    labels: Predicted = ()
    base: Predicted = ()
    copies: int = 0
    _known: dict[RenamingKey, Predicted | None] = field(default_factory=dict, init=False)

    @property
    def images(self) -> int:
        """Number of images without augmented copies."""
        return len(self.labels) - self.copies

    async def open(self) -> None:
        """Predict with the original names."""
        note = self._note_of(())
        stored = self.store.note(
            note, lambda row: (array("i", row["labels"]), array("i", row["predicted"]), int(row["copies"]))
        )
        if stored is None:
            self.check()
            labels, copies, (predicted,) = await self.few_shot.predict(self.template, [{}])
            if predicted is None:
                raise EvaluationFailedError("predict_named gives no predictions without new names")
            stored = labels, predicted, copies
            await self.store.put_note(
                note, {"labels": list(labels), "predicted": list(predicted), "copies": copies}
            )
        self.labels, self.base, self.copies = stored
        self.few_shot.copies = bool(self.copies)

    async def predict_all(
        self, renamings: Sequence[Renaming], *, check_new: Callable[[], None] = lambda: None
    ) -> list[Predicted | None]:
        """Return the predictions of each renaming, in order; None where the model cannot read a name.

        ``check_new`` raises if only those on disk are to be used.
        """
        keys = [tuple(sorted(renaming.items())) for renaming in renamings]
        for key in dict.fromkeys(keys):
            stored = None if key in self._known else self.store.note(self._note_of(key), self._read)
            if stored is not None:
                (self._known[key],) = stored
        missing = [key for key in dict.fromkeys(keys) if key not in self._known]
        for start in range(0, len(missing), AT_ONCE):
            batch = missing[start : start + AT_ONCE]
            self.check()
            check_new()
            _, _, predictions = await self.few_shot.predict(self.template, [dict(key) for key in batch])
            notes = {
                self._note_of(key): self._row_of(predicted)
                for key, predicted in zip(batch, predictions, strict=True)
            }
            await self.store.put_notes(notes)
            self._known |= zip(batch, predictions, strict=True)
        return [self._known[key] for key in keys]

    def _note_of(self, key: RenamingKey) -> str:
        return f"named:{renaming_key(self.template, dict(key))}"

    def _row_of(self, predicted: Predicted | None) -> dict[str, Any]:
        """Return predictions for the disk: where they differ, and to what; None if a name cannot be read."""
        if predicted is None:
            return {"at": None, "to": None}
        pairs = enumerate(zip(predicted, self.base, strict=True))
        changed = [index for index, (now, before) in pairs if now != before]
        return {"at": changed, "to": [predicted[index] for index in changed]}

    def _read(self, row: Any) -> tuple[Predicted | None]:
        if row["at"] is None:
            return (None,)
        predicted = array("i", self.base)
        for index, label in zip(row["at"], row["to"], strict=True):
            predicted[index] = label
        return (predicted,)


def _labels_to_ask(confusions: Mapping[tuple[int, int], int], times_asked: Mapping[int, int]) -> list[int]:
    """Return the labels to ask for: those asked least often first, then those most often wrong.

    Each is followed by the classes that it is taken for, if those are wrong too, so that a request shows
    both.
    """
    wrong_images = Counter[int]()
    taken_for: dict[int, list[int]] = {}
    for (true, predicted), count in sorted(confusions.items(), key=lambda item: (-item[1], item[0])):
        wrong_images[true] += count
        taken_for.setdefault(true, []).append(predicted)

    def rank(label: int) -> tuple[int, int, int]:
        return times_asked.get(label, 0), -wrong_images[label], label

    to_ask: dict[int, None] = {}
    for label in sorted(wrong_images, key=rank):
        for candidate in (label, *taken_for[label]):
            if candidate in wrong_images and times_asked.get(candidate, 0) == times_asked.get(label, 0):
                to_ask.setdefault(candidate)
    return list(to_ask)[:MOST_CLASSES]
