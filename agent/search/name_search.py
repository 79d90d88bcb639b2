"""The search for class names as a whole: in which template, the rounds, and the template once more.

A template found for the original names often fits them alone: names are searched in a neutral one, unless the
found one repairs most of the errors. With the new names, the template is then chosen again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from ...evaluator.errors import AskingEndedError, TemplateRejectedError
from ...evaluator.scoring import BASELINE_DEFAULT, EvaluatorInfo, NamePredictor
from ...prompts.class_names import NEUTRAL_TEMPLATES
from ..config.schema import SearchConfig
from ..errors import GaveUpError
from ..events.types import Listener, NamesChosen, Noted
from ..store.run import Store
from .journal import NOTHING_MORE, Journal, NamesRecord
from .name_choice import FewShotAccuracy, Renaming
from .name_rounds import FewShotPredictions, NameRounds, renaming_key

FOUND_TRIED = 5
"""The best templates found, which are tried with the new names."""
REPAIRED = 0.5
"""Share of a neutral template's errors that the best one found must repair for names to be searched in it."""
UNREAD = FewShotAccuracy(-1.0, 0)


@dataclass(eq=False)
class NameSearch:
    """Choose a template, search for names in it, and choose the template again.

    Args:
        record: What is done, whatever ends it.
        templates: Those that the restarts scored on all images, best first.
        check: Raises if the search is to stop, before anything is scored anew.
        concludes: Whether no new name is to be asked for or scored; those on disk are still chosen from.
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
    concludes: bool
    asks_scorer: bool
    emit: Listener
    begun: ClassVar[bool] = True
    """It always runs, as nothing runs beside it."""

    def __post_init__(self) -> None:
        self._few_shot = FewShotPredictions(self.evaluator, self.info)

    async def run(self) -> None:
        """Search; there are no names if the best template found is as good without.

        A search that ends early has the names so far if they hold.
        """
        record = self.record
        template = await self._template_to_search_in()
        if await self._accuracy(template, {}) == UNREAD:
            self.emit(Noted(text="no class names are searched for: the scorer can read none in a template"))
            record.done = True
            return
        rounds = NameRounds(
            record,
            self.config,
            template,
            few_shot=self._few_shot,
            info=self.info,
            store=self.store,
            journal=self.journal,
            check=self.check,
            check_new=self._check_new,
            emit=self.emit,
        )
        without = await self._accuracy(self.templates[0], {})
        concluded: Exception | None = None
        try:
            try:
                await rounds.run()
            except (GaveUpError, AskingEndedError) as end:
                if not self.concludes:
                    raise
                concluded = end
                await rounds.choose()
        finally:
            if rounds.holds and rounds.accuracy.share > without.share:
                record.template, record.renaming = template, rounds.renaming
        accuracy = await self._choose_again(template, rounds, without)
        self.emit(NamesChosen(renamed=len(record.renaming), right=accuracy.images, images=rounds.images))
        if concluded is not None:
            raise concluded
        record.done = True

    def _check_new(self) -> None:
        if self.concludes and not self.asks_scorer:
            raise GaveUpError(NOTHING_MORE)

    async def _template_to_search_in(self) -> str:
        defaults = self.info.baselines.get(BASELINE_DEFAULT, ())[:1]
        accuracy_by_neutral = {
            template: await self._accuracy(template, {}, self._check_new)
            for template in dict.fromkeys((*defaults, *NEUTRAL_TEMPLATES))
        }
        neutral = max(accuracy_by_neutral, key=lambda template: accuracy_by_neutral[template].share)
        best = self.templates[0]
        before = accuracy_by_neutral[neutral]
        repaired = (await self._accuracy(best, {})).share - before.share
        return best if before == UNREAD or repaired > REPAIRED * (1.0 - before.share) else neutral

    async def _choose_again(
        self, template: str, rounds: NameRounds, without: FewShotAccuracy
    ) -> FewShotAccuracy:
        """Use the template that is best with the new names, or none of the names if that is as good.

        ``template`` is that of the rounds; ``without`` is the accuracy of the best one found with the
        original names. Return the accuracy of what was chosen.
        """
        renaming = rounds.renaming
        if not renaming:
            return without
        accuracy_by_template = {template: rounds.accuracy}
        for candidate in self.templates[:FOUND_TRIED]:
            if candidate not in accuracy_by_template:
                accuracy_by_template[candidate] = await self._accuracy(candidate, renaming)
        best = max(accuracy_by_template, key=lambda candidate: accuracy_by_template[candidate].share)
        if accuracy_by_template[best].share <= without.share:
            return without
        self.record.template, self.record.renaming = best, renaming
        return accuracy_by_template[best]

    async def _accuracy(
        self, template: str, renaming: Renaming, check_new: Callable[[], None] = lambda: None
    ) -> FewShotAccuracy:
        """Return a template's accuracy, on disk before it is used; -1 if the model cannot read a name."""
        note = f"right:{renaming_key(template, renaming)}"
        accuracy = self.store.note(note, FewShotAccuracy._make)
        if accuracy is None:
            self.check()
            check_new()
            try:
                labels, copies, (predicted,) = await self._few_shot.predict(template, [renaming])
            except TemplateRejectedError:
                predicted = None
            accuracy = UNREAD if predicted is None else FewShotAccuracy.of(labels, predicted, copies)
            await self.store.put_note(note, list(accuracy))
        return accuracy
