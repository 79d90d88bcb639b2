"""Search for better names of single classes in one template, after the restarts.

A template found for the original names often fits them alone: names are searched in a neutral one, unless the
found one repairs most of the errors. First the LLM says what each class is, in plain English: names that the
model has never read, such as Latin ones, are replaced as a whole, where no single new name could help. Each
round then shows the LLM which classes are often wrong and what was tried, and scores the names in its answer
one by one. Where texts cost nothing, common words for kinds of things are tried too. What is best is compared
in several templates; then the template is chosen among all with the new names. Predictions are on disk before
they are used, so that a resumed run neither asks nor scores again.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import zip_longest
from typing import ClassVar

from ...evaluator.counts import counted
from ...evaluator.scoring import BASELINE_DEFAULT, UNREADABLE, EvaluatorInfo, NamePredictor
from ...prompts.class_names import (
    MOST_CLASSES,
    MOST_LINES_ASKED,
    MOST_NAMES_ASKED,
    MOST_READINGS,
    MOST_TRIED_SHOWN,
    NEUTRAL_TEMPLATES,
    READ_AT_ONCE,
    SHORT_NAMES,
    ClassRecord,
    NameProposals,
    NameReader,
    first_readings,
    names_asked,
    reading_request,
    rich_request,
    short_name_request,
    short_reading_request,
)
from ...prompts.requests import ChatMessage
from ..config.schema import SearchConfig
from ..events.types import (
    NameRefused,
    NameRoundFinished,
    NamesChosen,
    NameScored,
    NamesRead,
    Noted,
)
from ..position import NAMES, Position, rng_for
from ..results.result import COMMON_WORDS, FIRST_READING, LATER_ROUND, NameSource, ReadNames
from .journal import MOST_REPEATS, MOST_SHOWN_OF_A_LINE, Journal, NamedTemplate, NamesRecord, Skipped
from .name_choice import (
    MOST_CHECKS,
    UNREAD,
    FewShotAccuracy,
    FewShotImages,
    NamePredictions,
    NamesTried,
    Predicted,
    Renamed,
    Renaming,
    choose_names,
)

FOUND_TRIED = 5
"""The best templates found, which are tried with the new names where each costs requests."""
MOST_TEXTS, MOST_PREDICTIONS = 20_000, 50_000_000
"""Texts that are embedded at most, and images that are classified, for one step that costs no request: common
words, names in several templates, templates with the new names."""
COMPARED, MORE_COMPARED = len(NEUTRAL_TEMPLATES), 20
"""Templates in which names of single classes are compared, and the names of all classes at once."""
MOST_READ = 400
"""Classes that the LLM is asked about at most before the rounds, those that are most often wrong."""
DIFFERING = 0.1
"""Share of the images that two templates typically classify differently: for the standard error of a gain."""
REPAIRED = 0.5
"""Share of a neutral template's errors that the best one found must repair for names to be searched in it."""
MOST_TAKEN_FOR, MOST_SHOWN_ALIKE = 3, 6
NAMES_OF_RECORD = 2 + MOST_TRIED_SHOWN + MOST_TAKEN_FOR
"""Names in the record of a class in a request, at most."""
TEMPLATES = "named_templates"
"""The store's value of the templates in which names were searched, in order: an extended run may add one."""


@dataclass(eq=False)
class NameSearch:
    """Choose a template, search for names in it, and choose the template again.

    Args:
        record: What is done, whatever ends it.
        templates: Those that the restarts scored on all images, best first.
        check: Raises if the search is to stop, before anything is scored anew.
    """

    record: NamesRecord
    journal: Journal
    _: KW_ONLY
    templates: Sequence[str]
    evaluator: NamePredictor
    info: EvaluatorInfo
    check: Callable[[], None]
    begun: ClassVar[bool] = True
    """It always runs, as nothing runs beside it."""

    def __post_init__(self) -> None:
        self.config, self.emit = self.journal.config, self.journal.emit
        self.predictions = NamePredictions(self.evaluator, self.info, self.journal.store, self.check)
        defaults = self.info.baselines.get(BASELINE_DEFAULT, ())[:1]
        self._neutral = tuple(dict.fromkeys((*defaults, *NEUTRAL_TEMPLATES)))

    async def run(self) -> None:
        """Search; there are no names if they do not hold over several templates.

        A search that ends early has the names so far if they hold. Without labelled images the names are the
        LLM's first reading, unchecked, in the default template.
        """
        record = self.record
        if self.config.unchecked:
            rounds = NameRounds(self, self._neutral[:1], 1, FewShotImages(()), ())
            record.named_template = NamedTemplate(rounds.template, {})
            record.named_template = record.named_template._replace(renaming=await rounds.read_unchecked())
            record.done = True
            return
        template = await self._template_to_search_in()
        if await self.predictions.accuracy(template, {}) == UNREAD:
            self.emit(Noted(text="no class names are searched for: the scorer can read none in a template"))
            record.done = True
            return
        without = await self.predictions.accuracy(self.templates[0], {})
        compared, number = await self._compared(template), await self._number_of(template)
        few_shot, (original,) = await self.predictions.predict([template], [{}])
        rounds = NameRounds(self, compared, number, few_shot, original or ())
        try:
            await rounds.run()
        except BaseException:
            so_far = rounds.names.that_hold
            if so_far.names and few_shot.accuracy(so_far.predicted).share > without.share:
                record.named_template = NamedTemplate(template, so_far.names, rounds.names.are_read)
            raise
        accuracy = await self._choose_again(rounds, without)
        renamed = 0 if record.named_template is None else len(record.named_template.renaming)
        self.emit(NamesChosen(renamed=renamed, right=accuracy.images, images=few_shot.images))
        record.done = True

    async def _template_to_search_in(self) -> str:
        accuracies = {template: await self.predictions.accuracy(template, {}) for template in self._neutral}
        neutral, accuracy = max(accuracies.items(), key=lambda item: item[1].share)
        best = self.templates[0]
        repaired = (await self.predictions.accuracy(best, {})).share - accuracy.share
        return best if accuracy == UNREAD or repaired > REPAIRED * (1.0 - accuracy.share) else neutral

    async def _compared(self, template: str) -> Sequence[str]:
        """Return the templates in which choices of names are compared, the one of the rounds first.

        They are the neutral ones and others drawn without a look at their scores: among many, one always fits
        the original names by luck. Where the best one found is used, no neutral one shows what the images
        have in common, and the best found are compared. If answers cost money, the first alone is used.
        """
        if self.info.paid:
            return [template]
        if template not in self._neutral:
            return self.templates[:MORE_COMPARED]
        neutral = [name for name in self._neutral if await self.predictions.accuracy(name, {}) != UNREAD]
        drawn = sorted(self.templates)
        rng_for(self.config.seed, "compared").shuffle(drawn)
        return list(dict.fromkeys((template, *neutral, *drawn)))[:MORE_COMPARED]

    async def _number_of(self, template: str) -> int:
        """Return a template's number in the positions of answers: an extended run may search in another."""
        store = self.journal.store
        templates = store.value(TEMPLATES, lambda row: list(map(str, row))) or []
        if template not in templates:
            templates = [*templates, template]
            await store.put_value(TEMPLATES, templates)
        return templates.index(template) + 1

    async def _choose_again(self, rounds: NameRounds, without: FewShotAccuracy) -> FewShotAccuracy:
        """Use the template that is best with the new names, or none of the names if it is worse.

        As many templates are tried with the new names as without, where that is cheap: the best of a hundred
        has luck that the best of five has not. ``without`` is the accuracy of the best template found with
        the original names. Return the accuracy of what was chosen.
        """
        template, renaming = rounds.template, rounds.names.current.names
        if not renaming:
            return without
        most = FOUND_TRIED
        if not self.info.paid:
            most = max(most, MOST_TEXTS // max(1, len(self.info.class_names)))
        accuracies = {
            candidate: await self.predictions.accuracy(candidate, renaming)
            for candidate in dict.fromkeys((template, *self.templates[:most]))
        }
        best, accuracy = max(accuracies.items(), key=lambda item: item[1].share)
        # The best of a hundred fits by luck: the neutral one stays where it is as good within chance.
        chance = math.sqrt(DIFFERING / rounds.names.few_shot.images)
        if accuracy.share - accuracies[template].share <= chance:
            best, accuracy = template, accuracies[template]
        if accuracy.share < without.share:
            return without
        self.record.named_template = NamedTemplate(best, renaming, rounds.names.are_read)
        return accuracy


class FirstLook(NameSearch):
    """Ask what the classes are before any template is scored, and score that in the default template.

    Where each score costs requests, a limit may end the search before names are searched for: then these are
    its names. Else the search finds the answers on disk.

    Attributes:
        share: Of the images that are classified correctly with the names; 0 if there are none.
    """

    share = 0.0

    async def run(self) -> None:
        """Ask and score."""
        template = self._neutral[0]
        if await self.predictions.accuracy(template, {}) != UNREAD:
            few_shot, (original,) = await self.predictions.predict([template], [{}])
            rounds = NameRounds(self, [template], 1, few_shot, original or ())
            if rounds.names.confusions:
                await rounds.read_as_a_whole()
            if (start := rounds.names.start).names:
                self.share = few_shot.accuracy(start.predicted).share
                self.record.named_template = NamedTemplate(template, start.names, read=True)
        self.record.done = True


class NameRounds:
    """The rounds of a search for names, in one template: the first of those in which choices are compared.

    Attributes:
        names: Those tried and in use, whatever ends the rounds.
    """

    def __init__(
        self,
        search: NameSearch,
        compared: Sequence[str],
        number: int,
        few_shot: FewShotImages,
        original: Predicted,
    ) -> None:
        self.template, self._compared, self._number = compared[0], compared, number
        self._config, self._record, self._emit = search.config, search.record, search.emit
        self._journal, self._predictions = search.journal, search.predictions
        self._class_names, self._paid = search.info.class_names, search.info.paid
        self._reader = NameReader(self._class_names, self.template)
        self.names = NamesTried(self._class_names, self._reader.renamable, few_shot, original)
        # Names that must be better than the LLM's, not just as good.
        self._doubted: Container[str] = () if self._config.llm is None else self.names.common
        self._is_short = self._config.request_style == "short"  # each request is for one class
        self._times_asked = Counter[int]()

    async def run(self) -> None:
        """Go through all rounds and choose."""
        if alike := self._reader.alike:
            shown = ", ".join(alike[:MOST_SHOWN_ALIKE])
            self._emit(Noted(text=f"class names that differ by case or lookalikes alone are kept: {shown}"))
        if self._config.llm is None:
            await self._try_common_words(self._position(1))
            await self._choose_so_far(self._position(1))
        else:
            await self._ask_llm()
            if not self._paid:
                await self._try_common_words(self._position(self._config.name_rounds + 1))
        await self._choose()

    async def read_unchecked(self) -> Renaming:
        """Return what the LLM says that the classes are, as far as the model can read it."""
        labels = self._labels_to_read()
        first = first_readings(await self._readings(labels), self._reader.confirmed)
        for label in await self._predictions.unreadable(self.template, first):
            self._refuse(
                f"{self._class_names[label]}: {first.pop(label)}", "too_many_tokens", self._position(0)
            )
        self._record.proposed = len(first) + len(self._reader.confirmed)
        self._note_reading(first, len(labels), taken=True, right=0, images=0)
        return first

    async def _ask_llm(self) -> None:
        """Ask what the classes are, and then for names in rounds, until nothing new comes."""
        if self.names.confusions:
            await self._read_classes()
        repeats = 0
        for number in range(1, self._config.name_rounds + 1):
            reason = None
            if not self.names.to_rename:
                reason = "no image of a class that may be renamed is wrong"
            elif repeats >= MOST_REPEATS:
                reason = f"{counted(MOST_REPEATS, 'round')} in a row held no new name"
            if reason is not None:
                self._emit(Noted(text=f"the search for class names ends early: {reason}"))
                break
            skipped_before = self._record.skipped
            new_names = await self._round(self._position(number))
            # A round without an answer says nothing about whether the LLM repeats itself.
            if new_names or skipped_before == self._record.skipped:
                repeats = 0 if new_names else repeats + 1
            await self._choose_so_far(self._position(number))

    async def _choose(self) -> None:
        """Choose among the names that were tried, as at the end of all rounds: in several templates."""
        names, finalists = self.names, self.names.finalists
        if not finalists:
            names.current = names.start
            return
        texts = len(self._class_names) + len(finalists)
        predictions_each = len(names.few_shot.labels) * (len(finalists) + MOST_CHECKS)
        most = max(1, min(COMPARED, MOST_TEXTS // texts, MOST_PREDICTIONS // predictions_each))
        templates = self._compared[:most]
        if len(templates) > 1:
            chosen_by = f"{len(templates)} templates, not by one as in the rounds"
            self._emit(
                Noted(text=f"class names: now chosen by {chosen_by}, so fewer labelled images may be correct")
            )
        few_shot, (with_start, *predictions) = await self._predictions.predict(
            templates, [names.start.names, *(names.with_start({label: name}) for label, name in finalists)]
        )
        assert with_start is not None, "it was read in every template"
        tried: dict[int, dict[str, Predicted]] = {}
        for (label, name), predicted in zip(finalists, predictions, strict=True):
            if predicted is not None:
                tried.setdefault(label, {})[name] = predicted

        async def predict(renaming: Renaming) -> Predicted:
            _, (predicted,) = await self._predictions.predict(templates, [names.with_start(renaming)])
            # Names that are read alone may be too many together.
            return [UNREADABLE] * len(with_start) if predicted is None else predicted

        per_class = names.per_class
        chosen = await choose_names(few_shot, with_start, tried, predict, per_class, self._doubted)
        await self._use(chosen)

    @property
    def _right_and_images(self) -> Mapping[str, int]:
        few_shot = self.names.few_shot
        return {"right": few_shot.accuracy(self.names.current.predicted).images, "images": few_shot.images}

    def _position(self, number: int) -> Position:
        return Position(NAMES, self._number, number)

    async def _read_classes(self) -> None:
        """Ask what the classes are, and try the answers as a whole and then alone."""
        if readings := await self.read_as_a_whole():
            await self._score(self._to_try_alone(readings), self._position(0))

    async def read_as_a_whole(self) -> list[tuple[int, str]]:
        """Ask what the classes are, and start from the answer where it is better for all of them at once.

        Names that the model has never read are all as bad: a single new one helps no class. Return the names
        as (label, name).
        """
        labels, answers = self._labels_to_read(), self._record.answers
        readings = await self._readings(labels)
        if answers != self._record.answers:  # else every request was skipped
            first = first_readings(readings, self._reader.confirmed)
            self._record.proposed += len(first)  # whatever ends the scoring of them
            taken = bool(first) and await self._is_start(first)
            self._note_reading(first, len(labels), taken=taken, **self._right_and_images)
        return readings

    async def _readings(self, labels: Sequence[int]) -> list[tuple[int, str]]:
        """Ask what classes are; return the names as (label, name), the likeliest of a class first."""
        requests = readings_asked(self._config, self._class_names, labels)
        readings = await self._ask(requests, self._position(0), MOST_READINGS, shared=True)
        self._note_source(readings, FIRST_READING)
        return readings

    def _note_reading(self, first: Renaming, classes: int, *, taken: bool, **counts: int) -> None:
        read = {self._class_names[label]: name for label, name in sorted(first.items())}
        self._record.read = ReadNames(names=read, classes=classes, taken=taken)
        position = self._position(0)
        self._emit(NamesRead(position=position, read=len(read), classes=classes, taken=taken, **counts))

    def _labels_to_read(self) -> list[int]:
        """Return the labels of the classes to ask about, in order: of very many, those most often wrong."""
        most = most_read(self._config)
        labels = sorted(self._reader.renamable)
        if len(labels) > most:
            wrong = Counter(true for true, _ in self.names.confusions.elements())
            labels = sorted(sorted(labels, key=lambda label: -wrong[label])[:most])
        return labels

    async def _is_start(self, first: Renaming) -> bool:
        """Start from names of all classes if they are better than the original ones, in several templates."""
        templates = self._compared[: max(1, MOST_TEXTS // (2 * len(self._class_names)))]
        few_shot, (predicted, with_original) = await self._predictions.predict(templates, [first, {}])
        if predicted is None or with_original is None:
            return False
        if taken := self.names.start_from(first, few_shot, predicted, with_original):
            self._predictions.reference = first
        return taken

    def _to_try_alone(self, readings: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
        """Return the names to try alone, likeliest first: of the classes that are most often wrong.

        Where the search starts from the readings, a class may also return to its own name. One that keeps its
        reading tries no other.
        """
        labels = _labels_to_ask(self.names.to_rename, Counter())
        by_label = {label: [pair for pair in readings if pair[0] == label] for label in labels}
        for label in self.names.start.names.keys() & by_label:
            by_label[label].insert(1, (label, self._class_names[label]))
        names = [pair for rank in zip_longest(*by_label.values()) for pair in rank if pair is not None]
        # Each name may cost requests.
        return names[:MOST_LINES_ASKED] if self._paid else names

    async def _round(self, position: Position) -> int:
        """Ask, score the new names, and return how many there were."""
        confusions = self.names.to_rename
        labels = _labels_to_ask(confusions, self._times_asked)
        self._times_asked.update(labels)
        if self._is_short:
            requests = [(short_name_request(self._class_names[label]), [label]) for label in labels]
            names = await self._ask(requests, position, SHORT_NAMES)
        else:
            records = [self._record_of(label, confusions) for label in labels]
            request = rich_request(
                self.template, self._class_names, records, description=self._config.description
            )
            names = await self._ask([(request, labels)], position, names_asked(len(labels)))
        self._note_source(names, LATER_ROUND)
        # The same name may come in several answers of one round.
        return await self._score(list(dict.fromkeys(names)), position)

    async def _choose_so_far(self, position: Position) -> None:
        """Choose for the next request, in the template of the rounds alone."""
        await self._use(self.names.sure(self._doubted))
        renamed = len(self.names.current.names)
        self._emit(NameRoundFinished(position=position, renamed=renamed, **self._right_and_images))

    async def _try_common_words(self, position: Position) -> None:
        """Score names of common words for the classes that are most often wrong, as many as allowed.

        They begin with the class's own name: beside a reading that is right, one of a hundred words that are
        false ("bear, a stone") gains on few images by luck.
        """
        labels = _labels_to_ask(self.names.confusions, Counter())
        if self.names.keeps_recognised:
            labels = [label for label in labels if label not in self.names.start.names]
        if not labels:
            return
        most = min(MOST_TEXTS, MOST_PREDICTIONS // len(self.names.few_shot.labels))
        if self._paid:
            most = min(most, MOST_LINES_ASKED * self._config.name_rounds)
        names = []
        for label in labels:
            rng = random.Random(f"{self._config.seed} {label}")
            new = self._reader.kind_names(label, rng)[: most // len(labels)]
            names += [(label, name) for name in new if name not in self.names.tried[label]]
        self.names.common.update(name for _, name in names)
        self._note_source(names, COMMON_WORDS)
        await self._score(names, position)

    def _note_source(self, names: Iterable[tuple[int, str]], source: NameSource) -> None:
        self._record.sources = dict.fromkeys(names, source) | self._record.sources  # where it came first

    async def _use(self, chosen: Renaming) -> None:
        renaming = self.names.with_start(chosen)
        _, (predicted,) = await self._predictions.predict([self.template], [renaming])
        # Names that are read alone may be too many together.
        self.names.current = self.names.start if predicted is None else Renamed(renaming, predicted)

    async def _ask(
        self,
        requests: Sequence[tuple[Sequence[ChatMessage], Sequence[int]]],
        position: Position,
        each: int,
        *,
        shared: bool = False,
    ) -> list[tuple[int, str]]:
        """Ask for ``each`` names of the classes of each request, several at once; return the new ones.

        With ``shared``, several classes may have the same one.
        """
        names: list[tuple[int, str]] = []
        positions = [position._replace(sample=sample) for sample in range(len(requests))]
        answers = await self._journal.ask_all(
            [(messages, at) for (messages, _), at in zip(requests, positions, strict=True)]
        )
        for of_sample, answer, (_, labels) in zip(positions, answers, requests, strict=True):
            if isinstance(answer, Skipped):
                self._emit(Noted(text=f"{of_sample} is skipped: {answer.reason}"))
                continue
            only = labels[0] if self._is_short else None
            if cut := answer.finish_reason == "length":
                limit = f"{self._config.answer_tokens} tokens (`answer_tokens`)"
                self._emit(Noted(text=f"{of_sample}: the answer was cut at {limit}; names after it are lost"))
            proposals = self._reader.read(answer.text, only=only, cut=cut, shared=shared)
            names += self._new(proposals, of_sample, each, each * len(labels))
        return names

    def _new(
        self, proposals: NameProposals, position: Position, each: int, most: int
    ) -> Iterable[tuple[int, str]]:
        """Return the names of an answer to try: those that were not tried yet."""
        new: dict[tuple[int, str], None] = {}
        count_by_label = Counter[int]()
        for label, name in proposals.names:
            # Each name may cost requests; elsewhere those beyond the number asked for are welcome.
            too_many = self._paid and (count_by_label[label] == each or len(new) == most)
            if name in self.names.tried[label] or (label, name) in new:
                self._refuse(f"{self._class_names[label]}: {name}", "known", position)
            elif too_many:
                self._refuse(f"{self._class_names[label]}: {name}", "too_many_proposals", position)
            else:
                count_by_label[label] += 1
                new[label, name] = None
        for refused in proposals.refused:
            self._refuse(refused.line, refused.reason, position)
        return new

    def _refuse(self, line: str, reason: str, position: Position) -> None:
        self._record.rejected[reason] += 1
        self._emit(NameRefused(position=position, line=line[:MOST_SHOWN_OF_A_LINE], reason=reason))

    async def _score(self, names: Sequence[tuple[int, str]], position: Position) -> int:
        """Score each name alone, and return how many there are."""
        renamings = [self.names.with_start({label: name}) for label, name in names]
        _, predictions = await self._predictions.predict([self.template], renamings)
        for (label, name), predicted in zip(names, predictions, strict=True):
            class_name = self._class_names[label]
            free = name in self.names.common
            if predicted is None:
                if not free:
                    self._refuse(f"{class_name}: {name}", "too_many_tokens", position)
                continue
            self.names.tried[label][name] = predicted
            if name == class_name:
                continue
            self._record.proposed += not free or self._config.llm is None
            gained, lost = self.names.gained_and_lost(predicted)
            # Most of hundreds of free names gain nothing: the log would be of little else.
            if not free or gained > lost:
                self._emit(
                    NameScored(
                        position=position, class_name=class_name, new_name=name, gained=gained, lost=lost
                    )
                )
        return len(names)

    def _record_of(self, label: int, confusions: Mapping[tuple[int, int], int]) -> ClassRecord:
        """Return what a request shows of a class."""
        few_shot, names = self.names.few_shot, self._class_names
        image_indices = [index for index in range(few_shot.images) if few_shot.labels[index] == label]
        taken_for = Counter(
            {
                names[predicted]: count
                for (true, predicted), count in confusions.items()
                if true == label and predicted != UNREADABLE
            }
        )
        return ClassRecord(
            name=names[label],
            current=self.names.current.names.get(label),
            images=len(image_indices),
            before=sum(self.names.original[index] == label for index in image_indices),
            right=sum(self.names.current.predicted[index] == label for index in image_indices),
            taken_for=taken_for.most_common(MOST_TAKEN_FOR),
            tried=[
                (name, *self.names.gained_and_lost(predicted))
                for name, predicted in self.names.tried[label].items()
            ],
        )


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


def most_read(config: SearchConfig) -> int:
    """Return how many classes the LLM is asked about at most before the rounds."""
    return MOST_CLASSES if config.request_style == "short" and not config.unchecked else MOST_READ


def readings_asked(
    config: SearchConfig, names: Sequence[str], labels: Sequence[int]
) -> list[tuple[list[ChatMessage], Sequence[int]]]:
    """Return the requests that ask what classes are, each with the labels that it is for."""
    if config.request_style == "short":
        return [(short_reading_request(names, names[label]), [label]) for label in labels]
    shares = [labels[start : start + READ_AT_ONCE] for start in range(0, len(labels), READ_AT_ONCE)]
    return [
        (reading_request(names, [names[label] for label in share], description=config.description), share)
        for share in shares
    ]


def requests_at_most(config: SearchConfig, class_names: Sequence[str] | None) -> int:
    """Return how many requests the search for class names makes at most; ``class_names`` may not be known."""
    if not config.kind.renames_classes or config.llm is None:
        return 0
    classes = most_read(config) if class_names is None else min(len(class_names), most_read(config))
    rounds = 0 if config.unchecked else config.name_rounds
    if config.request_style == "short":
        return (1 + rounds) * classes
    return math.ceil(classes / READ_AT_ONCE) + rounds


def scored_at_most(config: SearchConfig, classes: int) -> int:
    """Return how many templates and renamings are scored at most."""
    if not config.kind.renames_classes or config.unchecked:
        return 0
    each_round = max(min(classes, MOST_CLASSES) * max(MOST_NAMES_ASKED, SHORT_NAMES), MOST_LINES_ASKED)
    rounds = config.name_rounds * (each_round + 1)  # each name alone, and those chosen together
    # What the LLM reads is tried as a whole, in two templates, and then one by one, for the classes that are
    # most often wrong.
    reading = 2 + MOST_LINES_ASKED
    templates = len(NEUTRAL_TEMPLATES) + FOUND_TRIED + 3  # the default one, the best found, before and after
    return templates + reading + rounds + MOST_CHECKS
