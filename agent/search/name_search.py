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
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from ...evaluator.counts import counted
from ...evaluator.errors import TemplateRejectedError
from ...evaluator.scoring import BASELINE_DEFAULT, UNREADABLE, EvaluatorInfo, NamePredictor
from ...prompts.class_names import (
    MOST_CLASSES,
    MOST_LINES_ASKED,
    MOST_NAMES_ASKED,
    MOST_READINGS,
    NEUTRAL_TEMPLATES,
    READ_AT_ONCE,
    SHORT_NAMES,
    ClassRecord,
    NameReader,
    first_readings,
    kind_names,
    names_asked,
    reading_request,
    rich_request,
    short_name_request,
    short_reading_request,
)
from ...prompts.requests import ChatMessage
from ..config.schema import SearchConfig
from ..events.types import (
    Listener,
    NameRefused,
    NameRoundFinished,
    NameRoundsStarted,
    NamesChosen,
    NameScored,
    NamesRead,
    Noted,
)
from ..position import NAMES, Position, rng_for
from ..results.gain import is_no_better
from ..results.result import ReadNames
from ..store.run import Store
from .journal import MOST_REPEATS, MOST_SHOWN_OF_A_LINE, Journal, NamesRecord, Skipped
from .name_choice import (
    MOST_CHECKS,
    ComparedScores,
    FewShotAccuracy,
    FewShotImages,
    FewShotPredictions,
    NameScores,
    Predicted,
    Renaming,
    choose_names,
    paired_counts,
    renaming_key,
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
KNOWN_AT_ONCE = 2.0
"""A first reading is kept where a class is recognised if so many times as many images are right as with the
original names: the model hardly knows those then, and words that gain more on a few images do so by luck."""
RECOGNISED = 0.25
"""Share of a class's images and copies that must be right for it to keep that reading."""
FINALISTS = 6
"""Names of a class that are compared in several templates: the best of the LLM's, and of the common words."""
REPAIRED = 0.5
"""Share of a neutral template's errors that the best one found must repair for names to be searched in it."""
MOST_TAKEN_FOR, MOST_SHOWN_ALIKE = 3, 6
TEMPLATES = "named_templates"
"""The store's value of the templates in which names were searched, in order: an extended run may add one."""
UNREAD = FewShotAccuracy(-1.0, 0)


@dataclass(eq=False)
class NameSearch:
    """Choose a template, search for names in it, and choose the template again.

    Args:
        record: What is done, whatever ends it.
        templates: Those that the restarts scored on all images, best first.
        check: Raises if the search is to stop, before anything is scored anew.
        asks_scorer: Whether the scorer is behind an API, which then refuses what it has not answered before.
    """

    record: NamesRecord
    config: SearchConfig
    _: KW_ONLY
    templates: Sequence[str]
    evaluator: NamePredictor
    info: EvaluatorInfo
    store: Store
    journal: Journal
    check: Callable[[], None]
    asks_scorer: bool
    emit: Listener
    begun: ClassVar[bool] = True
    """It always runs, as nothing runs beside it."""

    def __post_init__(self) -> None:
        self.few_shot = FewShotPredictions(self.evaluator, self.info)

    async def run(self) -> None:
        """Search; there are no names if they do not hold over several templates.

        A search that ends early has the names so far if they hold.
        """
        record = self.record
        template = await self._template_to_search_in()
        if await self._accuracy(template, {}) == UNREAD:
            self.emit(Noted(text="no class names are searched for: the scorer can read none in a template"))
            record.done = True
            return
        without = await self._accuracy(self.templates[0], {})
        rounds = NameRounds(self, template, compared=await self._compared(template))
        try:
            await rounds.run()
        except BaseException:
            self._keep_so_far(rounds, without)
            raise
        accuracy = await self._choose_again(template, rounds, without)
        self.emit(NamesChosen(renamed=len(record.renaming), right=accuracy.images, images=rounds.images))
        record.done = True

    @property
    def _neutral(self) -> Sequence[str]:
        """Templates that say nothing about the images."""
        defaults = self.info.baselines.get(BASELINE_DEFAULT, ())[:1]
        return list(dict.fromkeys((*defaults, *NEUTRAL_TEMPLATES)))

    async def _template_to_search_in(self) -> str:
        accuracy_by_neutral = {template: await self._accuracy(template, {}) for template in self._neutral}
        neutral = max(accuracy_by_neutral, key=lambda template: accuracy_by_neutral[template].share)
        best = self.templates[0]
        before = accuracy_by_neutral[neutral]
        repaired = (await self._accuracy(best, {})).share - before.share
        return best if before == UNREAD or repaired > REPAIRED * (1.0 - before.share) else neutral

    async def _compared(self, template: str) -> Sequence[str]:
        """Return the templates in which choices of names are compared, the one of the rounds first.

        They are the neutral ones and others drawn without a look at their scores: among many, one always fits
        the original names by luck. Where the best one found is used, no neutral one shows what the images
        have in common, and the best found are compared. Each costs requests where the scorer is behind an
        API, so that there the first alone is used.
        """
        if self.asks_scorer:
            return [template]
        if template not in self._neutral:
            return self.templates[:MORE_COMPARED]
        neutral = [each for each in self._neutral if await self._accuracy(each, {}) != UNREAD]
        drawn = sorted(self.templates)
        rng_for(self.config.seed, "compared").shuffle(drawn)
        return list(dict.fromkeys((template, *neutral, *drawn)))[:MORE_COMPARED]

    def _keep_so_far(self, rounds: NameRounds, without: FewShotAccuracy) -> None:
        rounds.settle()
        if rounds.renaming and rounds.accuracy.share > without.share:
            self.record.template, self.record.renaming = rounds.template, rounds.renaming

    async def _choose_again(
        self, template: str, rounds: NameRounds, without: FewShotAccuracy
    ) -> FewShotAccuracy:
        """Use the template that is best with the new names, or none of the names if it is worse.

        As many templates are tried with the new names as without, where that is cheap: the best of a hundred
        has luck that the best of five has not. ``template`` is that of the rounds; ``without`` is the
        accuracy of the best one found with the original names. Return the accuracy of what was chosen.
        """
        renaming = rounds.renaming
        if not renaming:
            return without
        most = FOUND_TRIED
        if not self.asks_scorer:
            most = max(most, MOST_TEXTS // max(1, len(self.info.class_names)))
        accuracy_by_template = {
            candidate: await self._accuracy(candidate, renaming)
            for candidate in dict.fromkeys((template, *self.templates[:most]))
        }
        best = max(accuracy_by_template, key=lambda candidate: accuracy_by_template[candidate].share)
        # The best of a hundred fits by luck: the neutral one stays where it is as good within chance.
        chance = math.sqrt(DIFFERING / rounds.images)
        if accuracy_by_template[best].share - accuracy_by_template[template].share <= chance:
            best = template
        if accuracy_by_template[best].share < without.share:
            return without
        self.record.template, self.record.renaming = best, renaming
        return accuracy_by_template[best]

    async def _accuracy(self, template: str, renaming: Renaming) -> FewShotAccuracy:
        """Return a template's accuracy, on disk before it is used; -1 if the model cannot read a name."""
        name = f"right:{renaming_key(template, renaming)}"
        accuracy = self.store.value(name, FewShotAccuracy._make)
        if accuracy is None:
            self.check()
            try:
                labels, copies, (predicted,) = await self.few_shot.predict(template, [renaming])
            except TemplateRejectedError:
                predicted = None
            accuracy = UNREAD if predicted is None else FewShotAccuracy.of(labels, predicted, copies)
            await self.store.put_value(name, list(accuracy))
        return accuracy


@dataclass(eq=False)
class NameRounds:
    """The rounds of a search for names, in one template.

    Attributes:
        compared: Templates in which the final choice is made, ``template`` first.
        start: The names of all classes by the LLM's first reading, if they are better as a whole.
        renaming: The names so far, which were scored together.
    """

    search: NameSearch
    template: str
    _: KW_ONLY
    compared: Sequence[str]

    def __post_init__(self) -> None:
        search = self.search
        self.start: Renaming = {}
        self.renaming: Renaming = {}
        self._keeps_recognised = False
        self._config, self._record, self._journal = search.config, search.record, search.journal
        self._emit = search.emit
        self._class_names = search.info.class_names
        self._reader = NameReader(self._class_names, self.template)
        self._scores_by_template = {
            template: NameScores(template, search.few_shot, search.store, search.check)
            for template in self.compared
        }
        self._scores = self._scores_by_template[self.template]
        self._tried: dict[int, dict[str, Predicted]] = {}
        self._common: set[str] = set()
        self._times_asked = Counter[int]()
        self._before: Predicted = ()
        self._now: Predicted = ()

    async def run(self) -> None:
        """Go through all rounds and choose; ``renaming`` has the names so far, whatever ends it."""
        conversation = await self._conversation()
        await self._scores.open()
        self._before = self._now = self._scores.base
        self._emit(
            NameRoundsStarted(
                position=Position(NAMES, conversation),
                template=self.template,
                right=self.accuracy.images,
                images=self.images,
            )
        )
        if alike := self._reader.alike:
            shown = ", ".join(alike[:MOST_SHOWN_ALIKE])
            self._emit(Noted(text=f"class names that differ by case or lookalikes alone are kept: {shown}"))
        without_llm, free = self._config.llm is None, not self.search.asks_scorer
        if not without_llm and self._confusions():
            await self._read_classes(Position(NAMES, conversation))
        repeats = 0
        # Without an LLM, all common words are tried at once where they cost nothing.
        for number in range(1, 1 if without_llm and free else self._config.name_rounds + 1):
            reason = None
            if not self._to_rename():
                reason = "no image of a class that may be renamed is wrong"
            elif repeats >= MOST_REPEATS:
                reason = f"{counted(MOST_REPEATS, 'round')} in a row held no new name"
            if reason is not None:
                self._emit(Noted(text=f"the search for class names ends early: {reason}"))
                break
            position = Position(NAMES, conversation, number)
            skipped_before = self._record.skipped
            new_names = await self._round(position)
            # A round without an answer says nothing about whether the LLM repeats itself.
            if new_names or skipped_before == self._record.skipped:
                repeats = 0 if new_names else repeats + 1
            await self._choose_so_far(position)
        if free:
            position = Position(NAMES, conversation, 1 if without_llm else self._config.name_rounds + 1)
            await self._try_common_words(position)
            if without_llm:
                await self._choose_so_far(position)
        await self.choose()
        self._record.unanswered = self._journal.unanswered

    async def _read_classes(self, position: Position) -> None:
        """Ask what the classes are, and start from the answer where it is better for all of them at once.

        Names that the model has never read are all as bad: a single new one helps no class.
        """
        labels = self._labels_to_read()
        readings: list[tuple[int, str]] = []
        names, answers = self._class_names, self._record.answers
        if self._asks_for_one_class:
            for sample, label in enumerate(labels):
                messages = short_reading_request(names, names[label])
                readings += await self._ask(
                    messages, position._replace(sample=sample), [label], MOST_READINGS, shared=True
                )
        else:
            for sample, start in enumerate(range(0, len(labels), READ_AT_ONCE)):
                shown = labels[start : start + READ_AT_ONCE]
                messages = reading_request(
                    names, [names[label] for label in shown], description=self._config.description
                )
                where = position._replace(sample=sample)
                readings += await self._ask(messages, where, shown, MOST_READINGS, shared=True)
        if answers == self._record.answers:
            return  # every request was skipped
        first = first_readings(readings, self._reader.confirmed)
        if first:
            await self._start_from(first)
        self._record.read = ReadNames(
            names={names[label]: name for label, name in sorted(first.items())},
            classes=len(labels),
            taken=bool(self.start),
        )
        self._emit(
            NamesRead(
                position=position,
                read=len(first),
                classes=len(labels),
                taken=bool(self.start),
                right=self.accuracy.images,
                images=self.images,
            )
        )
        await self._score(self._to_try_alone(readings), position)

    def _labels_to_read(self) -> list[int]:
        """Return the labels of the classes to ask about, in order: of very many, those most often wrong."""
        most = MOST_CLASSES if self._asks_for_one_class else MOST_READ
        labels = sorted(self._reader.renamable)
        if len(labels) > most:
            wrong = Counter(true for true, _ in self._confusions().elements())
            labels = sorted(sorted(labels, key=lambda label: -wrong[label])[:most])
        return labels

    async def _start_from(self, first: Renaming) -> None:
        """Start from names of all classes if they are better than the original ones, in several templates.

        Where the original names are no better than chance, it is enough that the new ones are not worse.
        """
        most = max(1, MOST_TEXTS // (2 * len(self._class_names)))
        compared = await self._opened(self.compared[:most])
        now, before = await compared.predict_all([first, {}])
        if now is None or before is None:
            return
        few_shot = compared.few_shot
        evidence = few_shot.compare(now, before)
        right = few_shot.images - few_shot.wrong(before)
        chance = is_no_better(right / few_shot.images, few_shot.images, 1.0 / len(self._class_names))
        if not evidence.sure and not (chance and evidence.gain >= -evidence.error):
            return
        self.start = self.renaming = first
        self._keeps_recognised = right + evidence.gain >= KNOWN_AT_ONCE * right
        for in_template in compared.scores:
            in_template.store_changes_from(first)
        (predicted,) = await self._scores.predict_all([first])
        assert predicted is not None, "it was read in every template"
        self._before = self._now = predicted

    def _to_try_alone(self, readings: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
        """Return the names to try alone, likeliest first: of the classes that are most often wrong.

        Where the search starts from the readings, a class may also return to its own name. One that keeps its
        reading tries no other.
        """
        labels = _labels_to_ask(self._to_rename(), Counter())
        by_label = {label: [name for of, name in readings if of == label] for label in labels}
        for label in labels:
            if label in self.start:
                by_label[label].insert(1, self._class_names[label])
        ranked = [(rank, label, name) for label in labels for rank, name in enumerate(by_label[label])]
        names = [(label, name) for _, label, name in sorted(ranked, key=lambda entry: entry[0])]
        # Behind an API each name costs requests.
        return names[:MOST_LINES_ASKED] if self.search.asks_scorer else names

    async def _opened(self, templates: Sequence[str]) -> ComparedScores:
        scores = [self._scores_by_template[template] for template in templates]
        for in_template in scores:
            if not in_template.labels:
                await in_template.open()
        return ComparedScores(scores)

    async def _try_common_words(self, position: Position) -> None:
        """Score names of common words for the classes that are most often wrong, as many as allowed."""
        labels = _labels_to_ask(self._confusions(), Counter())
        if self._keeps_recognised:
            labels = [label for label in labels if label not in self.start]
        if not labels:
            return
        most = min(MOST_TEXTS, MOST_PREDICTIONS // len(self._scores.labels)) // len(labels)
        names = [
            (label, name)
            for label in labels
            for name in self._kind_names(label)[:most]
            if name not in self._tried.get(label, ())
        ]
        self._common.update(name for _, name in names)
        await self._score(names, position)

    async def choose(self) -> None:
        """Choose among the names that were tried, as at the end of all rounds: in several templates."""
        (score,) = (await self._opened(self.compared[:1])).scores
        few_shot = FewShotImages.of(score.labels, score.copies)

        def gain(predicted: Predicted) -> float:
            return few_shot.compare(predicted, self._before).gain

        recognised = self._recognised()
        finalists: list[tuple[int, str]] = []
        for label, predicted_by_name in self._tried.items():
            if label in recognised:
                continue
            gain_by_name = {name: gain(predicted) for name, predicted in predicted_by_name.items()}
            names = sorted(gain_by_name, key=lambda name: -gain_by_name[name])
            for common in (False, True):
                of_one_kind = [name for name in names if (name in self._common) == common]
                finalists += [(label, name) for name in of_one_kind[:FINALISTS]]
        if not finalists:
            await self._use(self.start)
            return
        texts = len(self._class_names) + len(finalists)
        predictions_each = len(score.labels) * (len(finalists) + MOST_CHECKS)
        most = max(1, min(COMPARED, MOST_TEXTS // texts, MOST_PREDICTIONS // predictions_each))
        compared = await self._opened(self.compared[:most])
        (before, *predictions) = await compared.predict_all(
            [self.start, *(self._with(label, name) for label, name in finalists)]
        )
        assert before is not None, "it was read in every template"
        tried: dict[int, dict[str, Predicted]] = {}
        for (label, name), predicted in zip(finalists, predictions, strict=True):
            if predicted is not None:
                tried.setdefault(label, {})[name] = predicted

        async def predict(renaming: Renaming) -> Predicted:
            (predicted,) = await compared.predict_all([self._with_all(renaming)])
            # Names that are read alone may be too many together.
            return [UNREADABLE] * len(before) if predicted is None else predicted

        chosen = await choose_names(
            compared.labels,
            before,
            tried,
            predict,
            copies=compared.copies,
            templates=compared.templates,
            names_per_class=self._names_per_class,
            doubted=self._doubted,
        )
        await self._use(self._with_all(chosen))

    def _recognised(self) -> set[int]:
        """Return the labels of the classes that keep the name to start from, as they are recognised by it.

        What fits the few-shot images still better does so by luck more often than by truth. Where the model
        knows the original names too, the first reading is one of several that are true, and none keeps it.
        """
        if not self._keeps_recognised:
            return set()
        images = Counter(self._scores.labels)
        right = Counter(
            true
            for true, predicted in zip(self._scores.labels, self._before, strict=True)
            if true == predicted
        )
        return {label for label in self.start if right[label] >= RECOGNISED * images[label]}

    async def _choose_so_far(self, position: Position) -> None:
        """Choose for the next request, in the template of the rounds alone; nothing is scored."""
        scores, recognised = self._scores, self._recognised()

        async def predict(renaming: Renaming) -> Predicted:
            raise AssertionError("a choice for the next request scores nothing")

        chosen = await choose_names(
            scores.labels,
            self._before,
            {label: names for label, names in self._tried.items() if label not in recognised},
            predict,
            copies=scores.copies,
            doubted=self._doubted,
            final=False,
        )
        await self._use(self._with_all(chosen))
        self._emit(
            NameRoundFinished(
                position=position,
                renamed=len(self.renaming),
                right=self.accuracy.images,
                images=self.images,
            )
        )

    @property
    def _doubted(self) -> Container[str]:
        """Names that must be better than the LLM's, not just as good; empty without an LLM."""
        return () if self._config.llm is None else self._common

    async def _use(self, renaming: Renaming) -> None:
        (now,) = await self._scores.predict_all([renaming]) if renaming else (self._scores.base,)
        # Names that are read alone may be too many together.
        self.renaming, self._now = (self.start, self._before) if now is None else (renaming, now)

    def _with(self, label: int, name: str) -> Renaming:
        return self._with_all({label: name})

    def _with_all(self, names: Renaming) -> Renaming:
        """Return the names to start from with others in their place; a class's own name is no new one.

        A class whose name to start from goes to another class has its own name again: no two have the same.
        """
        taken = set(names.values())
        together = {**{label: name for label, name in self.start.items() if name not in taken}, **names}
        return {label: name for label, name in together.items() if name != self._class_names[label]}

    async def _conversation(self) -> int:
        """Return the number of the conversation on this template; one number for each template."""
        templates = self.search.store.value(TEMPLATES, lambda row: list(map(str, row))) or []
        if self.template not in templates:
            templates = [*templates, self.template]
            await self.search.store.put_value(TEMPLATES, templates)
        return templates.index(self.template) + 1

    @property
    def images(self) -> int:
        """Number of few-shot images, without copies."""
        return self._scores.images

    @property
    def accuracy(self) -> FewShotAccuracy:
        """The accuracy with the names so far."""
        return FewShotAccuracy.of(self._scores.labels, self._now, self._scores.copies)

    def settle(self) -> None:
        """Fall back to the names to start from, unless those so far repair enough together."""
        images = FewShotImages.of(self._scores.labels, self._scores.copies)
        if self.renaming != self.start and not images.holds(self._now, self._before, self._names_per_class):
            self.renaming, self._now = self.start, self._before

    @property
    def _names_per_class(self) -> float:
        return sum(map(len, self._tried.values())) / max(1, len(self._tried))

    def _confusions(self) -> Counter[tuple[int, int]]:
        """Return how many images of each renamable class are taken for which other one."""
        true_labels = self._scores.labels[: self.images]
        return Counter(
            (true, predicted)
            for true, predicted in zip(true_labels, self._now, strict=False)
            if true != predicted and true in self._reader.renamable
        )

    def _to_rename(self) -> Counter[tuple[int, int]]:
        """Return the confusions of the classes that do not keep the LLM's first reading."""
        recognised = self._recognised()
        confusions = self._confusions()
        return Counter({pair: count for pair, count in confusions.items() if pair[0] not in recognised})

    async def _round(self, position: Position) -> int:
        """Ask, score the new names, and return how many there were."""
        confusions = self._to_rename()
        labels = _labels_to_ask(confusions, self._times_asked)
        self._times_asked.update(labels)
        config = self._config
        names: list[tuple[int, str]] = []
        if config.llm is None:
            for label in labels:
                new = [name for name in self._kind_names(label) if name not in self._tried.get(label, ())]
                names += [(label, name) for name in new[:MOST_NAMES_ASKED]]
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
        return self._config.request_style == "short"

    def _kind_names(self, label: int) -> list[str]:
        """Return the names of a class made of common words.

        They begin with its own name: beside a reading that is right, one of a hundred words that are false
        ("bear, a stone") gains on few images by luck.
        """
        names = kind_names(self._class_names[label], random.Random(f"{self._config.seed} {label}"))
        return [name for name in names if not self._reader.is_own_name(name)]

    async def _ask(
        self,
        messages: Sequence[ChatMessage],
        position: Position,
        labels: Sequence[int],
        each: int,
        *,
        shared: bool = False,
    ) -> list[tuple[int, str]]:
        """Ask for ``each`` names of some classes, and return the new ones; ``shared`` by classes, if so."""
        try:
            answer, _ = await self._journal.ask(messages, position)
        except Skipped as skip:
            self._emit(Noted(text=f"{position} is skipped: {skip.reason}"))
            return []
        only = labels[0] if self._asks_for_one_class else None
        cut = answer.finish_reason == "length"
        proposals = self._reader.read(answer.text, only=only, cut=cut, shared=shared)
        new: dict[tuple[int, str], None] = {}
        count_by_label = Counter[int]()
        # Behind an API each name costs requests; elsewhere those beyond the number asked for are welcome.
        limited, most = self._config.is_api, each * len(labels)
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
        self._record.rejected[reason] += 1
        self._emit(NameRefused(position=position, line=line[:MOST_SHOWN_OF_A_LINE], reason=reason))

    async def _score(self, names: Sequence[tuple[int, str]], position: Position) -> int:
        """Score each name alone, and return how many there are."""
        predictions = await self._scores.predict_all([self._with(label, name) for label, name in names])
        for (label, name), predicted in zip(names, predictions, strict=True):
            class_name = self._class_names[label]
            free = name in self._common
            if predicted is None:
                if not free:
                    self._refuse(f"{class_name}: {name}", "too_many_tokens", position)
                continue
            self._tried.setdefault(label, {})[name] = predicted
            if name == class_name:
                continue
            self._record.proposed += not free or self._config.llm is None
            gained, lost = self._gained_and_lost(predicted)
            # Most of hundreds of free names gain nothing: the log would be of little else.
            if not free or gained > lost:
                self._emit(
                    NameScored(
                        position=position, class_name=class_name, new_name=name, gained=gained, lost=lost
                    )
                )
        return len(names)

    def _gained_and_lost(self, predicted: Predicted) -> tuple[int, int]:
        return paired_counts(self._scores.labels[: self.images], predicted, self._before)

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
