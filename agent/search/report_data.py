"""Collect what the report shows beyond the result: decisions on test, pictures and ancestors."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Mapping, Sequence

from ...evaluator.scoring import Evaluator, Illustrator
from ...evaluator.threads import in_thread
from ..methods.memory import Entry
from ..position import LLM, Position
from ..results.details import BEST, Ancestor, Decisions, Details, Pick, Picture, lineage_of, shown_in
from ..results.gain import BEST_STARTING, DEFAULT_TEMPLATE, Examined
from ..results.result import Row
from .choice import row_of
from .measuring import measured
from .record import RestartRecord

MOST_PICTURES = 12
"""Of images that the best template puts right, and of those that it gets wrong."""
MOST_SHOWN = 8


async def details_of(
    evaluator: Evaluator,
    examined: Mapping[str, Examined],
    best: Entry,
    records: Sequence[RestartRecord],
    picks: Sequence[Pick] = (),
) -> Details:
    """Return what the report shows; what cannot be had is left out, as it must not cost a result.

    ``examined`` is the choice on the test images, by name; empty if the test split stayed closed.
    """
    decisions = await _decisions(evaluator, examined)
    baseline = next((name for name in (DEFAULT_TEMPLATE, BEST_STARTING) if name in examined), None)
    pictures: tuple[Picture, ...] = ()
    if decisions is not None and baseline is not None and isinstance(evaluator, Illustrator):
        pictures = await _pictures(evaluator, decisions, baseline)
    return Details(
        decisions=decisions,
        baseline=baseline,
        pictures=pictures,
        lineage=await in_thread(lambda: _lineage(row_of(1, best), records)),
        curve=tuple(picks),
    )


async def _decisions(evaluator: Evaluator, examined: Mapping[str, Examined]) -> Decisions | None:
    predicted = {name: one for name, one in examined.items() if one.predicted is not None}
    labels = next((one.labels for one in predicted.values() if one.labels is not None), None)
    if labels is None:
        return None
    key: str | None = None
    if isinstance(evaluator, Illustrator):
        try:
            key = await measured(lambda: evaluator.image_set("test")) or None
        except Exception:  # noqa: BLE001 - the report can do without
            key = None
    return Decisions(
        image_set=key,
        classes=tuple(evaluator.info.class_names),
        labels=tuple(labels),
        predicted={name: tuple(one.predicted or ()) for name, one in predicted.items()},
    )


async def _pictures(evaluator: Illustrator, decisions: Decisions, baseline: str) -> tuple[Picture, ...]:
    before, after = decisions.predicted.get(baseline), decisions.predicted.get(BEST)
    if before is None or after is None:
        return ()
    right, broken = list[int](), list[int]()
    for place, (true, was, now) in enumerate(zip(decisions.labels, before, after, strict=True)):
        if (was == true) != (now == true):
            (right if now == true else broken).append(place)
    chosen = [
        *_spread(right, [(decisions.labels[place], before[place]) for place in right]),
        *_spread(broken, [(decisions.labels[place], after[place]) for place in broken]),
    ]
    try:
        made = await measured(lambda: evaluator.thumbnails("test", chosen))
        return tuple(
            Picture(
                true=decisions.class_name(decisions.labels[place]),
                before=decisions.class_name(before[place]),
                after=decisions.class_name(after[place]),
                name=one.name,
                jpeg=base64.b64encode(one.jpeg).decode("ascii"),
            )
            for place, one in zip(chosen, made, strict=True)
            if one is not None
        )
    except Exception:  # noqa: BLE001 - the report can do without
        return ()


def _spread(places: Sequence[int], kinds: Sequence[tuple[int, int]]) -> list[int]:
    """Return some places: one of each kind in turn, the most frequent kinds first."""
    by_kind: dict[tuple[int, int], list[int]] = defaultdict(list)
    for place, kind in zip(places, kinds, strict=True):
        by_kind[kind].append(place)
    ordered = sorted(by_kind.values(), key=len, reverse=True)
    longest = len(ordered[0]) if ordered else 0
    turns = [group[turn] for turn in range(longest) for group in ordered if turn < len(group)]
    return turns[:MOST_PICTURES]


def _lineage(best: Row, records: Sequence[RestartRecord]) -> tuple[Ancestor, ...]:
    rows = [row_of(0, entry) for record in records for entry in record.scored]
    exchanges = {place: one for record in records for place, one in record.exchanges.items()}
    found = []
    for row in lineage_of(best, rows):
        place = Position(row.restart, row.conversation, row.round)
        samples = [one for one in exchanges if one[:3] == place[:3]] if row.source == LLM else []
        # Of several requests of a round the last one asked for templates.
        messages, answer = exchanges[max(samples)] if samples else ((), "")
        texts = [str(message["content"]) for message in messages if message["role"] != "system"]
        earlier = [
            one
            for one in rows
            if one.restart == row.restart and (one.conversation, one.round) < (row.conversation, row.round)
        ]
        shown = [one.template for one in shown_in(texts, earlier) if one.template != row.template]
        found.append(
            Ancestor(
                template=row.template,
                train=row.train,
                restart=row.restart,
                conversation=row.conversation,
                round=row.round,
                source=row.source,
                shown=tuple(shown[:MOST_SHOWN]),
                all_shown=len(shown),
                messages=tuple((message["role"], str(message["content"])) for message in messages),
                answer=answer,
            )
        )
    return tuple(found)
