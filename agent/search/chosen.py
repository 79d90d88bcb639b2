"""Choose from what was scored, by what a search may see: best template, ensemble and baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...evaluator.errors import PromptclimbError
from ...evaluator.scoring import Evaluator, Predictor, Score, SplitScores, checked
from ...evaluator.threads import in_thread
from ...prompts.template import Template
from ..config.schema import SearchConfig
from ..position import Position
from ..results.gain import BEST_HAND_MADE, BEST_STARTING, HAND_MADE
from ..results.notes import UNGROWN
from ..results.result import Row
from .ensembles import VOTERS, grown
from .measuring import Ballots, measured
from .scored import Scored
from .selection import select


@dataclass(frozen=True, slots=True)
class ChosenGroup:
    """Templates that are measured together.

    Attributes:
        templates: Their texts.
        known: The score of a single one, where a search has it.
    """

    templates: tuple[str, ...]
    known: Score | None = None

    @classmethod
    def of(cls, entry: Scored) -> ChosenGroup:
        """Return a single template as a group."""
        return cls((entry.text,), entry.score)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a search has chosen, before anything is looked at on the test split.

    Attributes:
        best: The template.
        ensemble: Templates that are averaged.
        baselines: What they are compared with, by name.
        rows: All templates as lines of the leaderboard, best first.
        evaluated: How many texts were scored.
        notes: Notes for the result, if the ensemble could not be chosen with care.
        early: The choice after so many templates, by their number: points of a learning curve.
    """

    best: Scored
    ensemble: ChosenGroup
    baselines: Mapping[str, ChosenGroup]
    rows: tuple[Row, ...]
    evaluated: int
    notes: Mapping[str, str]
    early: Mapping[int, Scored]


async def choose(
    config: SearchConfig, evaluator: Evaluator, scored: Sequence[Scored], curve: Sequence[int] = ()
) -> Choice:
    """Choose by the selection rule, also at each point of a learning curve; the test split stays closed.

    Raises:
        PromptclimbError: Nothing was scored, or the evaluator fails.
    """

    def ranked(some: Sequence[Scored]) -> list[Scored]:
        return select(some, sizes=evaluator.info.sizes, objective=config.objective, seed=config.seed)

    def rank() -> tuple[list[Scored], tuple[Row, ...], int, dict[int, Scored]]:
        order = ranked(scored)
        rows = tuple(row_of(place, one) for place, one in enumerate(order, start=1))
        early = {count: ranked(first)[0] for count, first in first_templates(scored, curve).items()}
        return order, rows, len({entry.text for entry in scored}), early

    # Hashing and ordering all that many restarts have found takes seconds.
    order, rows, evaluated, early = await in_thread(rank)
    if not order:
        raise PromptclimbError(
            "the search was stopped before the first template was scored; resume it with more"
        )
    texts, notes = await choose_ensemble(evaluator, [entry.text for entry in order], config.ensemble_size)
    baselines = {name: ChosenGroup(tuple(templates)) for name, templates in evaluator.info.baselines.items()}
    if hand_made := await _hand_made(config, evaluator):
        baselines[BEST_HAND_MADE] = ChosenGroup.of(ranked(hand_made)[0])
    starting = [one for one in scored if one.position.initial]
    baselines[BEST_STARTING] = ChosenGroup.of((await in_thread(lambda: ranked(starting)))[0])
    return Choice(
        best=order[0],
        ensemble=ChosenGroup(texts, order[0].score if len(texts) == 1 else None),
        baselines={name: group for name, group in baselines.items() if group.templates},
        rows=rows,
        evaluated=evaluated,
        notes=notes,
        early=early,
    )


async def choose_ensemble(
    evaluator: Evaluator, ranked: Sequence[str], size: int
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the templates to average, ``size`` or more, and a note if that failed."""
    sizes = evaluator.info.sizes

    async def averaged(ensembles: Sequence[tuple[str, ...]]) -> Sequence[SplitScores | None]:
        return await measured(lambda: evaluator.examine(ensembles, test=False))

    async def voted(ensembles: Sequence[tuple[str, ...]]) -> Sequence[SplitScores | None]:
        return ballots.count(ensembles)

    try:
        found = await grown(ranked, averaged, start=size, sizes=sizes)
        if found is None and isinstance(evaluator, Predictor):
            ballots = await measured(lambda: Ballots(evaluator, ranked[: max(VOTERS, size)], sizes))
            found = await grown(ranked, voted, start=size, sizes=sizes, in_pairs=True)
        return found or tuple(ranked[:size]), {}
    except Exception as error:  # noqa: BLE001 - noted in the result
        return tuple(ranked[:size]), {
            UNGROWN: f"the ensemble is the first {size} of the ranking: {reason(error)}"
        }


def row_of(rank: int, entry: Scored) -> Row:
    """Return a scored template as a line of the leaderboard."""
    return Row(
        rank=rank,
        template=entry.text,
        train=entry.score.train,
        val=entry.score.val,
        restart=entry.position.restart,
        conversation=entry.position.conversation,
        round=entry.position.round,
        source=entry.source,
        views=entry.score.views,
    )


def first_templates(scored: Sequence[Scored], counts: Sequence[int]) -> dict[int, Sequence[Scored]]:
    """Return the first so many templates, for each count that was reached.

    Restarts run side by side, so they are taken in turn: all starting templates first, then the first round
    of each restart, and so on. A template that came up twice counts once.
    """
    if not counts:
        return {}
    known: dict[str, Scored] = {}
    for one in sorted(
        scored, key=lambda one: (one.position.conversation, one.position.round, one.position.restart)
    ):
        known.setdefault(one.key, one)
    in_turn = list(known.values())
    return {count: in_turn[:count] for count in sorted(set(counts)) if 0 < count <= len(in_turn)}


async def _hand_made(config: SearchConfig, evaluator: Evaluator) -> list[Scored]:
    """Score hand-made templates, if there are several; their best one is a baseline of its own."""
    templates = list(evaluator.info.baselines.get(HAND_MADE, ()))
    if len(templates) < 2:
        return []
    answers = await measured(lambda: [checked(verdict) for verdict in evaluator.score(templates)])
    return [
        Scored(
            template=Template.parse(template, max_words=None),
            score=answer,
            value=answer.value(config.objective),
            position=Position(0),
        )
        for template, answer in zip(templates, answers, strict=True)
        if isinstance(answer, Score)
    ]


def reason(error: Exception) -> str:
    """Return the message of an error, in characters that can be written down."""
    said = str(error) or type(error).__name__
    return said.encode("utf-8", "backslashreplace").decode("utf-8")
