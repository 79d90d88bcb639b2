"""The notes of a result: facts that belong beside the figures, by a short name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

UNOPENED = "test_unopened"
UNEXAMINED = "unexamined"
UNINSPECTED = "uninspected"
UNGROWN = "ensemble_ungrown"
UNPAIRED = "unpaired"
EMPTY = "empty_answers"
NOTHING_USABLE = "nothing_usable"
ENDED_EARLY = "ended_early"
LLM_FALLBACK = "llm_fallback"
"""The names of the notes that a search makes; ``Notes`` says what each tells."""
PROMINENT = (LLM_FALLBACK, ENDED_EARLY, UNOPENED, UNEXAMINED, EMPTY, NOTHING_USABLE)
"""Those without which the figures would be misread."""


class Notes(Mapping[str, Json]):
    """What ``result.json`` holds under ``notes``: a mapping that cannot be changed, its known names typed.

    A black box of the user's own may note whatever it likes, so the names are not a closed list; each known
    one is None, or empty, where there is nothing to note.
    """

    __slots__ = ("_said",)

    def __init__(self, said: Mapping[str, Json] | None = None) -> None:
        self._said = dict(said or {})

    def __getitem__(self, name: str) -> Json:
        return self._said[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._said)

    def __len__(self) -> int:
        return len(self._said)

    def __repr__(self) -> str:
        return f"Notes({self._said!r})"

    @property
    def data(self) -> tuple[str, ...]:
        """How the data were read: splits made by rule, leaks, copies; a sentence each."""
        return self._lines("data")

    @property
    def model(self) -> tuple[str, ...]:
        """What was corrected in the model; a sentence each."""
        return self._lines("model")

    @property
    def test_unopened(self) -> str | None:
        """Why a run that went to its end has no test accuracies."""
        return self._line(UNOPENED)

    @property
    def unexamined(self) -> str | None:
        """Why accuracies of ensembles are missing."""
        return self._line(UNEXAMINED)

    @property
    def uninspected(self) -> str | None:
        """Why nothing is told of the classes."""
        return self._line(UNINSPECTED)

    @property
    def ensemble_ungrown(self) -> str | None:
        """Why an ensemble was not chosen with care."""
        return self._line(UNGROWN)

    @property
    def unpaired(self) -> str | None:
        """Why the intervals of the gain are wider than need be."""
        return self._line(UNPAIRED)

    @property
    def empty_answers(self) -> str | None:
        """How many answers held no template."""
        return self._line(EMPTY)

    @property
    def nothing_usable(self) -> str | None:
        """That no answer at all held a new template that could be scored."""
        return self._line(NOTHING_USABLE)

    @property
    def ended_early(self) -> str | None:
        """Which restarts ended early, as they were asked to, and why."""
        return self._line(ENDED_EARLY)

    @property
    def llm_fallback(self) -> str | None:
        """Which method stood in for a local LLM that could not be had."""
        return self._line(LLM_FALLBACK)

    def _line(self, name: str) -> str | None:
        return None if (found := self._said.get(name)) is None else str(found)

    def _lines(self, name: str) -> tuple[str, ...]:
        found = self._said.get(name)
        return tuple(map(str, found)) if isinstance(found, list) else ()
