"""The search for class names as a whole: in which template, the rounds, and the template once more.

A template found for the original names often fits them alone: names are searched in a neutral one, unless the
found one repairs most of the errors. With the new names, the template is then chosen again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...evaluator.errors import AskingEndedError, TemplateRejectedError
from ...evaluator.scoring import BASELINE_DEFAULT, EvaluatorInfo, NamePredictor
from ...prompts.class_names import NEUTRAL_TEMPLATES
from ..config.schema import SearchConfig
from ..errors import GaveUpError
from ..events.types import Listener, NamesChosen, Noted
from ..store.run import Store
from .journal import Journal, NamesRecord
from .name_choice import Renaming, Right
from .names import FewShotPredictions, NameRounds, renaming_key

FOUND_TRIED = 5
"""The best templates found, which are tried with the new names."""
REPAIRED = 0.5
"""Share of a neutral template's errors that the best one found must repair for names to be searched in it."""
UNREAD = Right(-1.0, 0)
NOTHING_MORE = "the search is being concluded"


class NameSearch:
    """Choose a template, search for names in it, and choose the template again.

    Args:
        record: What is done, whatever ends it.
        found: The templates of the search, best first.
        check: Raises if the search is to stop, before anything is scored anew.
        concludes: Whether no new name is to be asked for or scored; those on disk are still chosen from.
        asks_scorer: Whether the scorer is behind an API, which then refuses what it has not answered before.
    """

    begun = True
    """It always runs, as nothing runs beside it."""

    def __init__(
        self,
        record: NamesRecord,
        config: SearchConfig,
        *,
        found: Sequence[str],
        evaluator: NamePredictor,
        info: EvaluatorInfo,
        store: Store,
        journal: Journal,
        check: Callable[[], None],
        concludes: bool,
        asks_scorer: bool,
        emit: Listener,
    ) -> None:
        self.record = record
        self._concludes = concludes
        self._asks_scorer = asks_scorer
        self._config = config
        self._found = found
        self._info = info
        self._store = store
        self._journal = journal
        self._check = check
        self._emit = emit
        self._few_shot = FewShotPredictions(evaluator, info)

    async def run(self) -> None:
        """Search; there are no names if the best template found is as good without.

        A search that ends early has the names so far if they hold.
        """
        record = self.record
        template = await self._template_to_search_in()
        if await self._right(template, {}) == UNREAD:
            self._emit(Noted(text="no class names are searched for: the scorer can read none in a template"))
            record.done = True
            return
        rounds = NameRounds(
            record,
            self._config,
            template,
            few_shot=self._few_shot,
            info=self._info,
            store=self._store,
            journal=self._journal,
            check=self._check,
            check_new=self._check_new,
            emit=self._emit,
        )
        without = await self._right(self._found[0], {})
        concluded: Exception | None = None
        try:
            try:
                await rounds.run()
            except (GaveUpError, AskingEndedError) as end:
                if not self._concludes:
                    raise
                concluded = end
                await rounds.choose()
        finally:
            if rounds.holds and rounds.right.share > without.share:
                record.template, record.renaming = template, rounds.renaming
        right = await self._choose_again(template, rounds, without)
        self._emit(NamesChosen(renamed=len(record.renaming), right=right.images, images=rounds.images))
        if concluded is not None:
            raise concluded
        record.done = True

    def _check_new(self) -> None:
        if self._concludes and not self._asks_scorer:
            raise GaveUpError(NOTHING_MORE)

    async def _template_to_search_in(self) -> str:
        defaults = self._info.baselines.get(BASELINE_DEFAULT, ())[:1]
        neutral = {
            one: await self._right(one, {}, self._check_new)
            for one in dict.fromkeys((*defaults, *NEUTRAL_TEMPLATES))
        }
        best = max(neutral, key=lambda one: neutral[one].share)
        found = self._found[0]
        repaired = (await self._right(found, {})).share - neutral[best].share
        if neutral[best] == UNREAD or repaired > REPAIRED * (1.0 - neutral[best].share):
            return found
        return best

    async def _choose_again(self, template: str, rounds: NameRounds, without: Right) -> Right:
        """Take the template that is best with the new names, or none of them if that is as good.

        ``template`` is that of the rounds; ``without`` is what is right in the best one found with the
        original names. Return what is right in the end.
        """
        renaming = rounds.renaming
        if not renaming:
            return without
        right = {template: rounds.right}
        for other in self._found[:FOUND_TRIED]:
            if other not in right:
                right[other] = await self._right(other, renaming)
        best = max(right, key=lambda one: right[one].share)
        if right[best].share <= without.share:
            return without
        self.record.template, self.record.renaming = best, renaming
        return right[best]

    async def _right(
        self, template: str, renaming: Renaming, check_new: Callable[[], None] = lambda: None
    ) -> Right:
        """Return what is right of the few-shot images, on disk before it is used."""
        row = f"right:{renaming_key(template, renaming)}"
        known = self._store.note(row, Right._make)
        if known is None:
            self._check()
            check_new()
            known = await self._predicted(template, renaming)
            await self._store.put_note(row, list(known))
        return known

    async def _predicted(self, template: str, renaming: Renaming) -> Right:
        """Return the same from the scorer; less than nothing where the model cannot read a name."""
        try:
            labels, copies, (predicted,) = await self._few_shot.predict(template, [renaming])
        except TemplateRejectedError:
            predicted = None
        return UNREAD if predicted is None else Right.of(labels, predicted, copies)
