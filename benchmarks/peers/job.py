"""What the comparison is made of: its rows, and one cell as a value that goes to a process of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from promptclimb.evaluator.spec import DEFAULT_AUGMENTATIONS

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
        player: Who searches: ``our``, or a peer's package.
        method: Which of its methods.
        described: Whether its LLM gets the description.
        pool: Whether a peer begins with the best of ``INITIAL`` templates; ours does anyhow.
        package: What it comes from; empty for this project.
        views: Augmented copies of each image that it chooses by; ours alone can.
        recorded: Its name in recorded rows and in keys of cells, if that differs.
    """

    name: str
    player: str
    method: str
    described: bool = False
    pool: bool = False
    package: str = ""
    views: int = 0
    recorded: str = ""


def _peer(name: str, player: str, method: str, package: str) -> tuple[Row, ...]:
    return (
        Row(
            f"{name}, with description",
            *(player, method),
            described=True,
            package=package,
            recorded=f"{name}, told",
        ),
        Row(f"{name}, without description", player, method, package=package, recorded=f"{name}, untold"),
        Row(
            f"{name}, with description, from our starting templates",
            *(player, method),
            described=True,
            pool=True,
            package=package,
            recorded=f"{name}, told, from the pool",
        ),
    )


ROWS = (
    Row("guided, with description", OURS, "guided", described=True, recorded="guided, told"),
    Row(
        "guided, with description, augmented copies",
        *(OURS, "guided"),
        described=True,
        views=DEFAULT_AUGMENTATIONS,
        recorded="guided, told, by altered views",
    ),
    Row("guided, class names only", OURS, "guided", recorded="guided, untold"),
    Row("pn", OURS, "pn"),
    Row("random", OURS, "random"),
    *_peer("GEPA", "gepa", "gepa", "gepa"),
    *_peer("OPRO", "promptolution", "opro", "promptolution"),
    *_peer("EvoPromptGA", "promptolution", "evopromptga", "promptolution"),
    *_peer("CAPO", "promptolution", "capo", "promptolution"),
)
NAMES: Mapping[str, str] = {row.recorded: row.name for row in ROWS if row.recorded}
"""The names of rows by their recorded ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One cell: who searches, on what, for how long, and whom it may ask.

    Attributes:
        row: Name of its row.
        data: The data set.
        seed: Of the few shots and of the search.
        shots: Training images a class.
        model: The black box.
        sentence: What the pictures show; empty for a row without description.
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
        """Identify this cell in a file of finished ones.

        Ours differ in the number of their calls alone, so that a cell may stand in both tables; but for
        ``guided`` with description, which scores free candidates if that costs nothing (see ``Dear``).
        """
        named = asdict(self) | {"row": self.of.recorded or self.row}
        if self.of.player == OURS:
            scores_free = self.of.method == "guided" and self.of.described
            named |= {"calls": self.rounds, **({} if scores_free and self.scorings else {"scorings": None})}
        return json.dumps({name: value for name, value in named.items() if name != "patient"}, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cell is played.

    Attributes:
        folder: What is left there is resumed by those that can.
        base_url: The endpoint, counted for this cell alone.
    """

    folder: Path
    base_url: str


@dataclass(frozen=True, slots=True)
class Pick:
    """What a search came to.

    Attributes:
        text: The template, or what a peer takes for one.
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
