"""One climb: a sample of initial templates, then conversations that each try to better what is known.

A climb is a *restart*: it has a memory of its own, and nothing flows between climbs, so that the result does
not depend on which of them is faster. Within it, a *reset* opens a new conversation from the ranking as it
stands, and an *iteration* is the next turn of that conversation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from ...evaluator.scoring import Rejection, Score, parse_objective
from ...prompts.conversation import Outcome, feedback
from ...prompts.pools import draw
from ...prompts.replies import parse_reply
from ...prompts.template import Template
from ..config.schema import SearchConfig
from ..errors import UsageError
from ..events.kinds import (
    AnswerReceived,
    ClimbFinished,
    Listener,
    PoolDrawn,
    PoolScored,
    StepFinished,
    StepSkipped,
    TemplateRefused,
    TemplateScored,
)
from ..llm.budget import Budget
from ..llm.types import ChatRequest
from ..search.journal import Journal, Skipped
from ..search.scorebook import Scorebook
from ..stop import Halt
from ..store import Position
from .conversation import Conversation
from .memory import Entry, Memory
from .methods import METHODS, ChatMethod, View
from .seeds import derived, rng_for
from .selection import Scored, as_fraction

MAX_FROM_FILE = 100


@dataclass(slots=True)
class ClimbRecord:
    """What a climb has done so far; grows while it runs, so that a search that is stopped has it too.

    Attributes:
        number: Its number, from 1.
        scored: Every template that it scored.
        rejected: How many lines and templates were refused, by reason.
        skipped: Turns without an answer.
        answers: Answers that it got.
        replayed: Those of them that were on disk already.
        unanswered: Its last turns, if they got no answer.
        done: Whether it went through all its turns.
    """

    number: int
    scored: list[Scored] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    answers: int = 0
    replayed: int = 0
    unanswered: int = 0
    done: bool = False


class Climb:
    """Runs one climb; see the module's text.

    Args:
        number: Its number, from 1.
        config: The search's config.
        pool: What initial templates are drawn from.
        scorebook: Scores templates.
        journal: Asks the LLM.
        halt: Says when to stop.
        budget: Says when the time is up, to methods that ask no LLM.
        tell: Hears of events.
    """

    def __init__(
        self,
        number: int,
        config: SearchConfig,
        *,
        pool: Sequence[Template],
        scorebook: Scorebook,
        journal: Journal,
        halt: Halt,
        budget: Budget,
        tell: Listener,
    ) -> None:
        self.record = ClimbRecord(number)
        self._config = config
        self._objective = parse_objective(config.objective)
        self._memory: Memory[Score] = Memory(derived(config.seed, "ties", number))
        self._pool = pool
        self._scorebook = scorebook
        self._journal = journal
        self._halt = halt
        self._budget = budget
        self._tell = tell
        self._view = View(
            memory=self._memory,
            proposals=config.proposals,
            top_k=config.top_k,
            max_words=config.max_words,
            pool=pool,
        )

    async def run(self) -> None:
        """Goes through all turns; what is done stands in ``record``, whatever ends it.

        Raises:
            PromptclimbError: A budget, an outage, a signal or a failure ended the climb early.
        """
        method = METHODS[self._config.method]
        await self._score_pool()
        for reset in range(1, self._config.resets + 1):
            if method.uses_llm:
                await self._converse(method, reset)
            else:
                for iteration in range(1, self._config.iterations + 1):
                    self._halt.check()
                    check_time(self._budget)
                    rng = rng_for(self._config.seed, self.record.number, reset, iteration)
                    await self._try(method.propose(self._view, rng), reset, iteration)
                    self._finish_step(reset, iteration)
        self.record.unanswered = self._journal.unanswered
        self.record.done = True
        best = self._best
        self._tell(ClimbFinished(climb=self.record.number, best=best.text, train=best.payload.train))

    @property
    def _best(self) -> Entry[Score]:
        return self._memory.best(1)[0]

    async def _score_pool(self) -> None:
        config = self._config
        wanted = config.initial if isinstance(config.initial, int) else MAX_FROM_FILE
        sample = draw(
            self._pool, min(wanted, len(self._pool)), rng_for(config.seed, "initial", self.record.number)
        )
        self._tell(PoolDrawn(climb=self.record.number, templates=len(sample)))
        await self._try(sample, 0, 0)
        if not len(self._memory):
            raise UsageError(
                f"none of the {len(sample)} initial templates can be scored by this model "
                f"({', '.join(self.record.rejected) or 'no reason given'}); give others with --initial"
            )
        best = self._best
        self._tell(
            PoolScored(
                climb=self.record.number,
                templates=len(self._memory),
                best=best.text,
                train=best.payload.train,
            )
        )

    async def _converse(self, method: ChatMethod, reset: int) -> None:
        config = self._config
        conversation = Conversation(method.opening(self._view), max_turns=config.max_turns)
        for iteration in range(1, config.iterations + 1):
            if not method.converses:
                conversation = Conversation(method.opening(self._view), max_turns=1)
            try:
                text = await self._ask(conversation, reset, iteration)
            except Skipped as skip:
                self.record.skipped += 1
                self._tell(
                    StepSkipped(
                        climb=self.record.number, reset=reset, iteration=iteration, reason=skip.reason
                    )
                )
                continue
            before = as_fraction(self._best.value, self._objective)
            outcomes = await self._judge(text, reset, iteration)
            told = feedback(
                outcomes, best_before=before, proposals=config.proposals, max_words=config.max_words
            )
            conversation.add(text, told)
            self._finish_step(reset, iteration)

    async def _ask(self, conversation: Conversation, reset: int, iteration: int) -> str:
        config, number = self._config, self.record.number
        request = ChatRequest(
            messages=conversation.messages(),
            model=config.llm or "",
            temperature=config.temperature,
            max_tokens=config.answer_tokens,
            seed=derived(config.seed, number, reset, iteration),
        )
        position = Position(number, reset, iteration)
        answer, replayed = await self._journal.answer(position, request)
        self.record.answers += 1
        self.record.replayed += replayed
        self._tell(
            AnswerReceived(
                climb=number,
                reset=reset,
                iteration=iteration,
                replayed=replayed,
                prompt_tokens=answer.prompt_tokens,
                completion_tokens=answer.completion_tokens,
            )
        )
        return answer.text

    async def _judge(self, text: str, reset: int, iteration: int) -> list[Outcome]:
        """What became of each proposal in an answer; no more are tried than were asked for."""
        reply = parse_reply(text, max_words=self._config.max_words)
        outcomes: list[Outcome] = []
        fresh: list[Template] = []
        for template in reply.templates:
            if (known := self._memory.get(template.key)) is not None:
                self._memory.add(template.text, template.key, known.value, known.payload)
                outcomes.append(self._refuse(template.text, "known", "it was tried before", reset, iteration))
            elif len(fresh) == self._config.proposals:
                outcomes.append(
                    self._refuse(
                        template.text, "too_many_proposals", "it is more than asked for", reset, iteration
                    )
                )
            else:
                fresh.append(template)
        outcomes += [
            self._refuse(refusal.line, refusal.reason, refusal.message, reset, iteration)
            for refusal in reply.refused
        ]
        return [*await self._try(fresh, reset, iteration), *outcomes[: 2 * self._config.proposals]]

    async def _try(self, templates: Sequence[Template], reset: int, iteration: int) -> list[Outcome]:
        """Scores templates and ranks those that have a score."""
        best = self._best.value if len(self._memory) else float("-inf")
        answers = await self._scorebook.score_all([template.text for template in templates])
        outcomes = []
        for template, answer in zip(templates, answers, strict=True):
            if isinstance(answer, Rejection):
                outcomes.append(self._refuse(template.text, answer.reason, answer.message, reset, iteration))
                continue
            outcomes.append(self._rank(template, answer, best, reset, iteration))
        return outcomes

    def _rank(self, template: Template, score: Score, best: float, reset: int, iteration: int) -> Outcome:
        value = score.value(self._objective)
        self._memory.add(template.text, template.key, value, score)
        number = self.record.number
        self.record.scored.append(
            Scored(
                template=template.text,
                key=template.key,
                score=score,
                climb=number,
                reset=reset,
                iteration=iteration,
            )
        )
        self._tell(
            TemplateScored(
                climb=number,
                reset=reset,
                iteration=iteration,
                template=template.text,
                train=score.train,
                val=score.val,
                improved=value > best,
            )
        )
        return Outcome(template.text, score=as_fraction(value, self._objective))

    def _refuse(self, line: str, reason: str, message: str, reset: int, iteration: int) -> Outcome:
        self.record.rejected[reason] += 1
        self._tell(
            TemplateRefused(
                climb=self.record.number, reset=reset, iteration=iteration, line=line[:200], reason=reason
            )
        )
        return Outcome(line, reason=message)

    def _finish_step(self, reset: int, iteration: int) -> None:
        best = self._best
        self._tell(
            StepFinished(
                climb=self.record.number,
                reset=reset,
                iteration=iteration,
                best=best.text,
                train=best.payload.train,
            )
        )


def check_time(budget: Budget) -> None:
    """Raises BudgetSpentError when the time is up: a method without an LLM passes no other gate."""
    if budget.left_s() == 0.0:
        raise budget.spent_minutes()
