"""The restarts of a session, with all that they share: evaluator, LLM, budget, and what ends them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ...evaluator.batching import Batch, Consumer
from ...evaluator.scoring import Evaluator, EvaluatorInfo
from ...prompts.kinds import Candidate
from ...prompts.wording import Wordings
from ..config.schema import SearchConfig
from ..events import BatchScored, Listener, SearchStopped
from ..llm.ask import Proposer
from ..llm.budget import Budget, Limits
from ..llm.pool import Endpoint
from ..llm.retry import RetryPolicy
from ..position import rng_for
from ..stop import Stop
from ..store import Store
from .empty_answers import EmptyAnswers
from .journal import Journal
from .plain_first import score_plain
from .record import RestartRecord
from .restart import Restart
from .scorebook import Scorebook
from .sharing import shared
from .turns import Turns
from .workers import Workers

ALL_RESTARTS_DONE = "all_restarts_done"
"""The note that all rounds are done, and how many there were: what is left needs no LLM."""


@dataclass(frozen=True, slots=True)
class Restarted:
    """What the restarts have done.

    Attributes:
        records: What each did.
        stopped: What stopped them; None where they went to their ends.
        left: What is left of each limit that was set.
    """

    records: Sequence[RestartRecord]
    stopped: SearchStopped | None
    left: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningRestarts:
    """All restarts of one session.

    Attributes:
        config: What is searched.
        pool: What initial templates are drawn from.
        wordings: How the LLM is addressed.
        given: What came from Python in place of what the config names.
        scrub: Takes secrets out of what the user's own objects say.
        stop: Ends the work early.
        emit: Hears of everything.
    """

    config: SearchConfig
    pool: Sequence[Candidate]
    wordings: Wordings
    given: Mapping[str, str]
    scrub: Callable[[str], str]
    stop: Stop
    emit: Listener

    async def run(self, store: Store, endpoints: Sequence[Endpoint], evaluator: Evaluator) -> Restarted:
        """Run all restarts to their ends, or to what ends them early.

        Args:
            store: The run on disk.
            endpoints: Who proposes; none where no answer is wanted.
            evaluator: What scores.

        Raises:
            PromptclimbError: A signal, or an error of one restart.
        """
        config = self.config
        budget = Budget(Limits.of(config), spent=store.usage)
        proposer = self._proposer(endpoints, budget, store)
        self.emit(budget.usage_changed())

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
                    await score_plain(scorebook, evaluator.info, self.emit)
                restarts = self._restarts(journals, scorebook, evaluator.info, check)
                workers = Workers(restarts, stop=self.stop, emit=self.emit, turns=turns)
                stopped = await workers.run(config.concurrency)
                if all(record.done for record in workers.records):
                    for journal in journals:
                        await journal.keep_refused()
        proposer.close()
        if stopped is None:
            await store.put_note(ALL_RESTARTS_DONE, config.all_rounds)
        return Restarted(workers.records, stopped, budget.usage_changed().left)

    def _restarts(
        self,
        journals: Sequence[Journal],
        scorebook: Scorebook,
        info: EvaluatorInfo,
        check: Callable[[], None],
    ) -> Iterator[Restart]:
        return (
            Restart(
                number,
                self.config,
                pool=self.pool,
                info=info,
                wordings=self.wordings,
                answers=journal,
                scores=scorebook,
                check=check,
                emit=self.emit,
            )
            for number, journal in enumerate(journals, start=1)
        )

    def _batch(self, batch: Batch) -> None:
        seconds = round(batch.seconds, 3)
        self.emit(BatchScored(templates=batch.templates, seconds=seconds, waiting=batch.waiting))

    def _proposer(self, endpoints: Sequence[Endpoint], budget: Budget, store: Store) -> Proposer:
        config = self.config
        return Proposer(
            endpoints,
            budget=budget,
            retry=RetryPolicy.of(config),
            give_up_after_s=60 * config.give_up_after,
            has_answers=next(store.answers(), None) is not None,
            ledger=store,
            emit=self.emit,
            rng=rng_for(config.seed, "jitter"),
        )
