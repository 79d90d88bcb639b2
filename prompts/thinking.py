"""The text that a reasoning model writes before its answer, by whichever name it goes."""

from __future__ import annotations

import re

_NAME = "(?:seed:)?(?:think|thinking|thoughts?|reasoning|reflection|scratchpad|analysis)"
_CHANNEL = r"<\|channel\|>\s{0,9}%s\s{0,9}<\|message\|>"
_OPENS = re.compile(
    rf"<{_NAME}>|\[THINK\]|<\|begin_of_thought\|>|◁think▷|{_CHANNEL % 'analysis'}", re.IGNORECASE
)
_CLOSES = re.compile(
    rf"</{_NAME}>|\[/THINK\]|<\|end_of_thought\|>|◁/think▷|{_CHANNEL % 'final'}", re.IGNORECASE
)


def without_thinking(text: str) -> str:
    """Return an answer without what a reasoning model writes before it.

    Everything up to the last closing mark goes, and everything after an opening mark that is never closed. A
    text without thinking comes back unchanged.
    """
    start = 0
    for closing in _CLOSES.finditer(text):
        start = closing.end()
    opening = _OPENS.search(text, start)
    if opening is None and not start:
        return text
    return text[start : opening.start() if opening else len(text)].strip()
