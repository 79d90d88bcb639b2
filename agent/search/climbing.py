"""The climbs of a session, with all that they share: evaluator, LLM, budget, and what ends them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ...evaluator.batching import Batch, Consumer
from ...evaluator.scoring import Evaluator, EvaluatorInfo
from ...prompts.template import Template
from ...prompts.wording import Wordings
from ..climb.climb import Climb
from ..climb.record import ClimbRecord
from ..climb.seeds import rng_for
from ..config.schema import SearchConfig
from ..events import BatchScored, Listener, SearchStopped
from ..llm.ask import Proposer
from ..llm.budget import Budget, Limits
from ..llm.pool import Endpoint
from ..llm.retry import RetryPolicy
from ..stop import Stop
from ..store import Store
from .empty_answers import EmptyAnswers
from .journal import Journal
from .plain_first import score_plain
from .scorebook import Scorebook
from .sharing import shared
from .turns import Turns
from .workers import Workers

ALL_CLIMBED = "all_climbed"
"""The note that all iterations are done, and how many there were: what is left needs no LLM."""


@dataclass(frozen=True, slots=True)
class Climbed:
    """What the climbs have done.

    Attributes:
        records: What each did.
        stopped: What stopped them; None where they went to their ends.
        left: What is left of each limit that was set.
    """

    records: Sequence[ClimbRecord]
    stopped: SearchStopped | None
    left: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Climbing:
    """All climbs of one session.

    Attributes:
        config: What is searched.
        pool: What initial templates are drawn from.
        wordings: How the LLM is addressed.
        given: What came from Python in place of what the config names.
        scrub: Takes secrets out of what the user's own objects say.
        stop: Ends the work early.
        tell: Hears of everything.
    """

    config: SearchConfig
    pool: Sequence[Template]
    wordings: Wordings
    given: Mapping[str, str]
    scrub: Callable[[str], str]
    stop: Stop
    tell: Listener

    async def run(self, store: Store, endpoints: Sequence[Endpoint], evaluator: Evaluator) -> Climbed:
        """Run all climbs to their ends, or to what ends them early.

        Args:
            store: The run on disk.
            endpoints: Who proposes; none where no answer is wanted.
            evaluator: What scores.

        Raises:
            PromptclimbError: A signal, or an error of one climb.
        """
        config = self.config
        budget = Budget(Limits.of(config), spent=store.usage)
        proposer = self._proposer(endpoints, budget, store)
        self.tell(budget.usage_changed())

        def check() -> None:
            self.stop.check()
            budget.check_time()

        async with Consumer(evaluator, on_batch=self._batch) as consumer:
            with shared(config, evaluator.info, consumer, proposer, self.given, endpoints) as (scorer, asker):
                turns, empty_answers = Turns(), EmptyAnswers()
                scorebook = Scorebook(store, scorer, scrub=self.scrub, turns=turns)
                journals = [
                    Journal(store, asker, self.stop, empty_answers, turns) for _ in range(config.restarts)
                ]
                with self.stop.watching():
                    await score_plain(scorebook, evaluator.info, self.tell)
                climbs = self._climbs(journals, scorebook, evaluator.info, check)
                workers = Workers(climbs, stop=self.stop, tell=self.tell, turns=turns)
                stopped = await workers.run(config.concurrency)
                if all(record.done for record in workers.records):
                    for journal in journals:
                        await journal.keep_refused()
        proposer.close()
        if stopped is None:
            await store.put_note(ALL_CLIMBED, config.all_iterations)
        return Climbed(workers.records, stopped, budget.usage_changed().left)

    def _climbs(
        self,
        journals: Sequence[Journal],
        scorebook: Scorebook,
        info: EvaluatorInfo,
        check: Callable[[], None],
    ) -> Iterator[Climb]:
        return (
            Climb(
                number,
                self.config,
                pool=self.pool,
                info=info,
                wordings=self.wordings,
                answers=journal,
                scores=scorebook,
                check=check,
                tell=self.tell,
            )
            for number, journal in enumerate(journals, start=1)
        )

    def _batch(self, batch: Batch) -> None:
        seconds = round(batch.seconds, 3)
        self.tell(BatchScored(templates=batch.templates, seconds=seconds, waiting=batch.waiting))

    def _proposer(self, endpoints: Sequence[Endpoint], budget: Budget, store: Store) -> Proposer:
        config = self.config
        return Proposer(
            endpoints,
            budget=budget,
            retry=RetryPolicy.of(config),
            give_up_after_s=60 * config.give_up_after,
            has_answers=next(store.answers(), None) is not None,
            ledger=store,
            emit=self.tell,
            rng=rng_for(config.seed, "jitter"),
        )
