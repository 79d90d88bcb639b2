"""Answers without a template, over all restarts: a run stops rather than pay for nothing for hours."""

from __future__ import annotations

from ..errors import GaveUpError

MOST_EMPTY_IN_A_ROW = 12
"""As many as a restart asks for by default, 2 conversations of 6 rounds: by then a model has been told
several
times that nothing could be read, and has been asked anew in another conversation."""


class EmptyAnswers:
    """Counts the answers of a session in which no template could be read, one after the other.

    Answers on disk do not count: they are paid for. So a run that is gone on with asks as many times again.
    """

    def __init__(self) -> None:
        self._in_a_row = 0
        self._cut = 0

    def heard(self, *, empty: bool, cut: bool) -> None:
        """Note an answer that has just come.

        Args:
            empty: Whether it holds no template.
            cut: Whether it was cut at the most tokens allowed.
        """
        self._in_a_row = self._in_a_row + 1 if empty else 0
        self._cut = self._cut + cut if empty else 0

    def check(self) -> None:
        """Raise where asking once more is not worth it.

        Raises:
            GaveUpError: Too many of the last answers held nothing; says what to do.
        """
        if self._in_a_row < MOST_EMPTY_IN_A_ROW:
            return
        said = f"no template could be read in the last {self._in_a_row} answers"
        if self._cut:
            raise GaveUpError(f"{said}, {self._cut} of them cut for length: raise --answer-tokens")
        raise GaveUpError(f"{said}: choose another --llm in a new run, or raise --answer-tokens")
