"""What the league is made of: its rows, and one cell as a value that goes to a process of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from promptclimb.evaluator.spec import DEFAULT_VIEWS

OURS = "our"
"""Who searches, where it is this project."""
RESULT = "cell.json"
"""What a cell leaves in its folder in the end."""
INITIAL, PROPOSALS = 80, 5
"""Templates that a search of ours begins with, and asks for in each call."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the tables.

    Attributes:
        name: As it is shown.
        player: Who searches: ``our``, or a neighbour's package.
        method: Which of its methods.
        told: Whether it is told the sentence on what the pictures show.
        pool: Whether a neighbour begins with the best of ``INITIAL`` templates; ours does anyhow.
        package: What it comes from; empty for this project.
        views: Altered views of each image that it chooses by; ours alone can.
    """

    name: str
    player: str
    method: str
    told: bool = False
    pool: bool = False
    package: str = ""
    views: int = 0


def _neighbour(name: str, player: str, method: str, package: str) -> tuple[Row, ...]:
    return (
        Row(f"{name}, told", player, method, told=True, package=package),
        Row(f"{name}, untold", player, method, package=package),
        Row(f"{name}, told, from the pool", player, method, told=True, pool=True, package=package),
    )


ROWS = (
    Row("guided, told", OURS, "guided", told=True),
    Row("guided, told, by altered views", OURS, "guided", told=True, views=DEFAULT_VIEWS),
    Row("guided, untold", OURS, "guided"),
    Row("pn", OURS, "pn"),
    Row("random", OURS, "random"),
    *_neighbour("GEPA", "gepa", "gepa", "gepa"),
    *_neighbour("OPRO", "promptolution", "opro", "promptolution"),
    *_neighbour("EvoPromptGA", "promptolution", "evopromptga", "promptolution"),
    *_neighbour("CAPO", "promptolution", "capo", "promptolution"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One cell: who searches, on what, for how long, and whom it may ask.

    Attributes:
        row: Name of its row.
        data: The data set.
        seed: Of the few shots and of the search.
        shots: Training images a class.
        model: The black box.
        sentence: What the pictures show; empty where nobody is told.
        calls: LLM calls at most.
        scorings: Templates scored on all images at most; None where calls alone bound it.
        llm: What the endpoint calls its model.
        patient: Whether an answer may take hours, since the LLM runs on this machine.
        evaluator: Another black box, ``MODULE:FACTORY``; empty for the model.
    """

    row: str
    data: str
    seed: int
    shots: int
    model: str
    sentence: str
    calls: int
    scorings: int | None
    llm: str
    patient: bool = True
    evaluator: str = ""

    @property
    def of(self) -> Row:
        """Its row."""
        return next(row for row in ROWS if row.name == self.row)

    @property
    def rounds(self) -> int:
        """Rounds of a search of ours, each with at most one call; it begins with ``INITIAL`` templates."""
        if self.scorings is None:
            return self.calls
        rounds = max((self.scorings - INITIAL) // PROPOSALS, 1)
        return rounds if self.of.method == "random" else min(rounds, self.calls)

    @property
    def key(self) -> str:
        """What tells this cell from others in a file of finished ones.

        Ours differ in the number of their calls alone, so that a cell may stand in both tables; but for
        ``guided`` that is told, which scores beside its requests where that costs nothing (see ``Dear``).
        """
        named = asdict(self)
        if self.of.player == OURS:
            aside = self.of.method == "guided" and self.of.told
            named |= {"calls": self.rounds, **({} if aside and self.scorings else {"scorings": None})}
        return json.dumps({name: value for name, value in named.items() if name != "patient"}, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cell is played.

    Attributes:
        folder: What is left there is gone on with by whoever can.
        base_url: The endpoint, counted for this cell alone.
    """

    folder: Path
    base_url: str


@dataclass(frozen=True, slots=True)
class Pick:
    """What a search came to.

    Attributes:
        text: The template, or what a neighbour takes for one.
        scored: Templates scored, each on all images; a template that was seen on some of them counts as the
            share of these.
        templates: Distinct ones among them.
        ended: What ended it.
    """

    text: str
    scored: float
    templates: int
    ended: str


Player = Callable[[Job, Place], Pick]
