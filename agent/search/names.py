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
from functools import partial
from typing import Any

from ...evaluator.counts import counted
from ...evaluator.scoring import UNREADABLE, EvaluatorInfo, NamePredictor
from ...prompts.class_names import (
    MOST_CLASSES,
    MOST_NAMES_ASKED,
    SHORT_NAMES,
    ClassRecord,
    NameProposals,
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
from .journal import MOST_REPEATS, MOST_SHOWN_OF_A_LINE, Journal, NamesRecord, Skipped
from .measuring import call_evaluator
from .name_choice import Predicted, Renaming, Right, choose_names, paired_counts, repairs_enough

AT_ONCE = 32
"""Renamings in one call of the scorer."""
MOST_TAKEN_FOR = 3
TEMPLATES = "named_templates"
"""The note of the templates in which names were searched, in order: an extended run may search in another."""
_ROW = "named:"
Key = tuple[tuple[int, str], ...]


def renaming_key(template: str, renaming: Renaming) -> str:
    """Return what stands for a template with new names in a store's notes."""
    key = canonical([template, *map(list, sorted(renaming.items()))])
    return hashlib.sha256(key.encode()).hexdigest()


class NameRounds:
    """Search for names in one template.

    Args:
        record: What is done, whatever ends it; the names so far are in ``renaming``.
        check: Raises if the search is to stop, before anything is scored anew.
        check_new: The same before a new name is scored.

    Attributes:
        renaming: The names so far, which were scored together.
    """

    def __init__(
        self,
        record: NamesRecord,
        config: SearchConfig,
        template: str,
        *,
        few_shot: FewShotPredictions,
        info: EvaluatorInfo,
        store: Store,
        journal: Journal,
        check: Callable[[], None],
        check_new: Callable[[], None],
        emit: Listener,
    ) -> None:
        self.record = record
        self.renaming: Renaming = {}
        self._config = config
        self._template = template
        self._journal = journal
        self._check_new = check_new
        self._emit = emit
        self._info = info
        self._reader = NameReader(info.class_names, template)
        self._scores = NameScores(template, few_shot, store, check)
        self._store = store
        self._tried: dict[int, dict[str, Predicted]] = {}
        self._asked = Counter[int]()
        self._now: Predicted = ()

    async def run(self) -> None:
        """Go through all rounds and choose; ``renaming`` has the names so far, whatever ends it."""
        conversation = await self._conversation()
        await self._scores.open()
        self._now = self._scores.base
        repeats = 0
        for number in range(1, self._config.name_rounds + 1):
            if reason := self._over(repeats):
                self._emit(Noted(text=f"the search for class names ends early: {reason}"))
                break
            place = Position(NAMES, conversation, number)
            skipped = self.record.skipped
            new = await self._round(place)
            if new or skipped == self.record.skipped:
                repeats = 0 if new else repeats + 1
            await self._choose(final=False)
            self._emit(
                NameRoundFinished(
                    position=place,
                    renamed=len(self.renaming),
                    right=self.right.images,
                    images=self._scores.images,
                )
            )
        await self.choose()
        self.record.unanswered = self._journal.unanswered

    async def choose(self) -> None:
        """Choose among the names that were tried, as at the end of all rounds."""
        await self._choose(final=True)

    async def _conversation(self) -> int:
        """Return the number of the conversation on this template; one number for each template."""
        known = self._store.note(TEMPLATES, lambda row: [str(one) for one in row]) or []
        if self._template not in known:
            known = [*known, self._template]
            await self._store.put_note(TEMPLATES, known)
        return known.index(self._template) + 1

    def _over(self, repeats: int) -> str | None:
        if not self._wrong():
            return "no image of a class that may be renamed is wrong"
        if repeats >= MOST_REPEATS:
            return f"{counted(MOST_REPEATS, 'round')} in a row held no new name"
        return None

    @property
    def images(self) -> int:
        """Number of few-shot images, without copies."""
        return self._scores.images

    @property
    def right(self) -> Right:
        """What is right with the names so far."""
        return Right.of(self._scores.labels, self._now, self._scores.copies)

    @property
    def holds(self) -> bool:
        """Whether there are names so far that repair enough together."""
        scores = self._scores
        return bool(self.renaming) and repairs_enough(scores.labels, self._now, scores.base, scores.copies)

    def _wrong(self) -> Counter[tuple[int, int]]:
        """Return how many images of each renamable class are taken for which other one."""
        found = Counter[tuple[int, int]]()
        for true, taken in zip(self._scores.labels[: self._scores.images], self._now, strict=False):
            if true != taken and true in self._reader.renamable:
                found[true, taken] += 1
        return found

    async def _round(self, place: Position) -> int:
        """Ask, score the new names, and return how many there were."""
        wrong = self._wrong()
        labels = _to_ask(wrong, self._asked)
        self._asked.update(labels)
        config = self._config
        new: list[tuple[int, str]] = []
        if config.llm is None:
            new = [(label, name) for label in labels for name in self._kind_names(label)]
        elif self._short:
            for sample, label in enumerate(labels):
                messages = short_name_request(self._info.class_names[label])
                new += await self._ask(messages, place._replace(sample=sample), [label], SHORT_NAMES)
        else:
            shown = [self._record_of(label, wrong) for label in labels]
            messages = rich_request(
                self._template, self._info.class_names, shown, description=config.description
            )
            new = await self._ask(messages, place, labels, names_asked(len(labels)))
        return await self._score(new, place)

    @property
    def _short(self) -> bool:
        """Whether each request is a short one, for one class."""
        return self._config.request_style == "short"

    def _kind_names(self, label: int) -> list[str]:
        """Return the next names of a class without an LLM, as many as a request asks for."""
        rng = random.Random(f"{self._config.seed} {label}")
        names = kind_names(self._info.class_names[label], rng)
        return [name for name in names if name not in self._tried.get(label, ())][:MOST_NAMES_ASKED]

    async def _ask(
        self, messages: Sequence[ChatMessage], place: Position, labels: Sequence[int], each: int
    ) -> list[tuple[int, str]]:
        """Ask for ``each`` names of some classes, and return the new ones."""
        try:
            answer, _ = await self._journal.ask(messages, place)
        except Skipped as skip:
            self._emit(Noted(text=f"{place} is skipped: {skip.reason}"))
            return []
        only = labels[0] if self._short else None
        read = self._reader.read(answer.text, only=only, cut=answer.finish_reason == "length")
        return self._new(read, place, each, each * len(labels))

    def _new(self, read: NameProposals, place: Position, each: int, most: int) -> list[tuple[int, str]]:
        found: dict[tuple[int, str], None] = {}
        new = Counter[int]()
        # Behind an API each name costs requests; elsewhere those beyond the number asked for are welcome.
        limited = self._config.is_api
        for label, name in read.names:
            line = f"{self._info.class_names[label]}: {name}"
            if name in self._tried.get(label, ()) or (label, name) in found:
                self._refuse(line, "known", place)
            elif limited and (new[label] == each or len(found) == most):
                self._refuse(line, "too_many_proposals", place)
            else:
                new[label] += 1
                found[label, name] = None
        for refused in read.refused:
            self._refuse(refused.line, refused.reason, place)
        return list(found)

    def _refuse(self, line: str, reason: str, place: Position) -> None:
        self.record.rejected[reason] += 1
        self._emit(NameRefused(position=place, line=line[:MOST_SHOWN_OF_A_LINE], reason=reason))

    async def _score(self, new: Sequence[tuple[int, str]], place: Position) -> int:
        # The same name may come in several answers of one round.
        unique = list(dict.fromkeys(new))
        found = await self._scores.predict_all(
            [{label: name} for label, name in unique], check_new=self._check_new
        )
        for (label, name), predicted in zip(unique, found, strict=True):
            class_name = self._info.class_names[label]
            if predicted is None:
                self._refuse(f"{class_name}: {name}", "too_many_tokens", place)
                continue
            self._tried.setdefault(label, {})[name] = predicted
            self.record.proposed += 1
            gained, lost = self._counts(predicted)
            self._emit(
                NameScored(position=place, class_name=class_name, new_name=name, gained=gained, lost=lost)
            )
        return len(unique)

    def _counts(self, predicted: Predicted) -> tuple[int, int]:
        scores = self._scores
        return paired_counts(scores.labels[: scores.images], predicted, scores.base)

    def _record_of(self, label: int, wrong: Mapping[tuple[int, int], int]) -> ClassRecord:
        scores, names = self._scores, self._info.class_names
        places = [place for place in range(scores.images) if scores.labels[place] == label]
        taken = Counter(
            {
                names[other]: count
                for (true, other), count in wrong.items()
                if true == label and other != UNREADABLE
            }
        )
        tried = self._tried.get(label, {}).items()
        return ClassRecord(
            name=names[label],
            current=self.renaming.get(label),
            images=len(places),
            before=sum(scores.base[place] == label for place in places),
            right=sum(self._now[place] == label for place in places),
            taken_for=taken.most_common(MOST_TAKEN_FOR),
            tried=[(name, *self._counts(predicted)) for name, predicted in tried],
        )

    async def _choose(self, *, final: bool) -> None:
        scores = self._scores

        async def predict(renaming: Renaming) -> Predicted:
            (found,) = await scores.predict_all([renaming])
            # Names that are read alone may be too many together.
            return [UNREADABLE] * len(scores.labels) if found is None else found

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
        labels, copies, found = await self._predict(template, renamings)
        if copies % (len(labels) - copies):
            self.copies = False
            labels, copies, found = await self._predict(template, renamings)
        return labels, copies, found

    async def _predict(
        self, template: str, renamings: Sequence[Renaming]
    ) -> tuple[array[int], int, list[array[int] | None]]:
        labels, copies = array("i"), 0
        found: list[array[int] | None] = [array("i") for _ in renamings]
        for split in (*self._splits, "views") if self.copies else self._splits:
            predict = partial(self._evaluator.predict_named, template, renamings, split=split)
            some = await call_evaluator(predict)
            labels.extend(some.labels)
            copies = len(some.labels) if split == "views" else 0
            for place, predicted in enumerate(some.predicted):
                so_far = found[place]
                if predicted is None or so_far is None:
                    found[place] = None
                    continue
                if len(predicted) != len(some.labels):
                    raise EvaluationFailedError("predict_named gives unequally many labels and predictions")
                so_far.extend(predicted)
        return labels, copies, found


class NameScores:
    """Predictions by renaming: read if on disk, otherwise written to disk before they are used.

    Attributes:
        labels: True label of each few-shot image, augmented copies last.
        base: Predictions with the original names.
        copies: Number of augmented copies.
    """

    def __init__(
        self, template: str, few_shot: FewShotPredictions, store: Store, check: Callable[[], None]
    ) -> None:
        self._template = template
        self._few_shot = few_shot
        self._store = store
        self._check = check
        self._known: dict[Key, Predicted | None] = {}
        self.labels: Predicted = ()
        self.base: Predicted = ()
        self.copies = 0

    @property
    def images(self) -> int:
        """Number of images without augmented copies."""
        return len(self.labels) - self.copies

    async def open(self) -> None:
        """Predict with the original names."""
        row = self._row(())
        stored = self._store.note(
            row, lambda one: (array("i", one["labels"]), array("i", one["predicted"]), int(one["copies"]))
        )
        if stored is None:
            self._check()
            labels, copies, (predicted,) = await self._few_shot.predict(self._template, [{}])
            if predicted is None:
                raise EvaluationFailedError("predict_named gives no predictions without new names")
            stored = labels, predicted, copies
            await self._store.put_note(
                row, {"labels": list(labels), "predicted": list(predicted), "copies": copies}
            )
        self.labels, self.base, self.copies = stored
        self._few_shot.copies = bool(self.copies)

    async def predict_all(
        self, renamings: Sequence[Renaming], *, check_new: Callable[[], None] = lambda: None
    ) -> list[Predicted | None]:
        """Return the predictions of each renaming, in order; None where the model cannot read a name.

        ``check_new`` raises if only those on disk are to be used.
        """
        keys = [tuple(sorted(renaming.items())) for renaming in renamings]
        for key in dict.fromkeys(keys):
            stored = None if key in self._known else self._store.note(self._row(key), self._read)
            if stored is not None:
                (self._known[key],) = stored
        missing = [key for key in dict.fromkeys(keys) if key not in self._known]
        for start in range(0, len(missing), AT_ONCE):
            part = missing[start : start + AT_ONCE]
            self._check()
            check_new()
            _, _, found = await self._few_shot.predict(self._template, [dict(key) for key in part])
            rows = [self._written(predicted) for predicted in found]
            await self._store.put_notes(dict(zip(map(self._row, part), rows, strict=True)))
            self._known |= zip(part, found, strict=True)
        return [self._known[key] for key in keys]

    def _row(self, key: Key) -> str:
        return _ROW + renaming_key(self._template, dict(key))

    def _written(self, predicted: Predicted | None) -> dict[str, Any]:
        """Return predictions for the disk: where they differ, and to what; None if a name cannot be read."""
        if predicted is None:
            return {"at": None, "to": None}
        pairs = enumerate(zip(predicted, self.base, strict=True))
        at = [place for place, (one, was) in pairs if one != was]
        return {"at": at, "to": [predicted[place] for place in at]}

    def _read(self, row: Any) -> tuple[Predicted | None]:
        if row["at"] is None:
            return (None,)
        found = array("i", self.base)
        for place, label in zip(row["at"], row["to"], strict=True):
            found[place] = label
        return (found,)


def _to_ask(wrong: Mapping[tuple[int, int], int], asked: Mapping[int, int]) -> list[int]:
    """Return the labels to ask for: those asked least often first, then those most often wrong.

    Each is followed by the classes that it is taken for, if those are wrong too, so that a request shows
    both.
    """
    images = Counter[int]()
    taken_for: dict[int, list[int]] = {}
    for (true, taken), count in sorted(wrong.items(), key=lambda item: (-item[1], item[0])):
        images[true] += count
        taken_for.setdefault(true, []).append(taken)
    found: dict[int, None] = {}
    for label in sorted(images, key=lambda one: (asked.get(one, 0), -images[one], one)):
        for one in (label, *taken_for[label]):
            if one in images and asked.get(one, 0) == asked.get(label, 0):
                found.setdefault(one)
    return list(found)[:MOST_CLASSES]
