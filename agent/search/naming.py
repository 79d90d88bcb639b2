"""The search for class names as a whole: in which template, the rounds, and the template once more.

A template found for the original names often fits them alone: names are searched in a neutral one, unless the
found one repairs most of the errors. With the new names, the template is then chosen again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from ...evaluator.errors import TemplateRejectedError
from ...evaluator.scoring import BASELINE_DEFAULT, EvaluatorInfo, NamePredictor
from ...prompts.class_names import NEUTRAL_TEMPLATES
from ..config.schema import SearchConfig
from ..events.types import Listener, NamesChosen
from ..store.disk import canonical
from ..store.run import Store
from .journal import Journal, NamesRecord
from .name_choice import Renaming, Right
from .names import FewShotPredictions, NameRounds

FOUND_TRIED = 5
"""The best templates found, which are tried with the new names."""
REPAIRED = 0.5
"""Share of a neutral template's errors that the best one found must repair for names to be searched in it."""
UNREAD = Right(-1.0, 0)


class NameSearch:
    """Choose a template, search for names in it, and choose the template again.

    Args:
        record: What is done, whatever ends it.
        found: The templates of the search, best first.
        check: Raises if the search is to stop, before anything is scored anew.
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
        emit: Listener,
    ) -> None:
        self.record = record
        self._config = config
        self._found = found
        self._info = info
        self._store = store
        self._journal = journal
        self._check = check
        self._emit = emit
        self._few_shot = FewShotPredictions(evaluator, info)

    async def run(self) -> None:
        """Search; there are no names if the best template found is as good without."""
        record = self.record
        record.template = await self._template_to_search_in()
        rounds = NameRounds(
            record,
            self._config,
            few_shot=self._few_shot,
            info=self._info,
            store=self._store,
            journal=self._journal,
            check=self._check,
            emit=self._emit,
        )
        await rounds.run()
        right = await self._choose_again(rounds.right)
        self._emit(NamesChosen(renamed=len(record.renaming), right=right.images, images=rounds.images))
        record.done = True

    async def _template_to_search_in(self) -> str:
        found = self._found[0]
        defaults = self._info.baselines.get(BASELINE_DEFAULT, ())[:1]
        neutral = {one: await self._right(one, {}) for one in dict.fromkeys((*defaults, *NEUTRAL_TEMPLATES))}
        best = max(neutral, key=lambda one: neutral[one].share)
        repaired = (await self._right(found, {})).share - neutral[best].share
        return found if repaired > REPAIRED * (1.0 - neutral[best].share) else best

    async def _choose_again(self, here: Right) -> Right:
        """Take the template that is best with the new names, or none of them if that is as good.

        ``here`` is what is right with them in the template of the search; return what is right in the end.
        """
        renaming, without = self.record.renaming, await self._right(self._found[0], {})
        if not renaming:
            return without
        right = {self.record.template: here}
        for template in self._found[:FOUND_TRIED]:
            if template not in right:
                right[template] = await self._right(template, renaming)
        best = max(right, key=lambda one: right[one].share)
        if right[best].share <= without.share:
            self.record.renaming = {}
            return without
        self.record.template = best
        return right[best]

    async def _right(self, template: str, renaming: Renaming) -> Right:
        """Return what is right of the few-shot images, on disk before it is used."""
        key = hashlib.sha256(canonical([template, *map(list, sorted(renaming.items()))]).encode()).hexdigest()
        known = self._store.note(f"right:{key}", Right._make)
        if known is None:
            self._check()
            known = await self._predicted(template, renaming)
            await self._store.put_note(f"right:{key}", list(known))
        return known

    async def _predicted(self, template: str, renaming: Renaming) -> Right:
        """Return the same from the scorer; less than nothing where the model cannot read a name."""
        try:
            labels, copies, (predicted,) = await self._few_shot.predict(template, [renaming])
        except TemplateRejectedError:
            predicted = None
        return UNREAD if predicted is None else Right.of(labels, predicted, copies)
