"""What a reasoning model writes before its answer, by whichever name it goes.

What stands before the last closing mark is no part of the answer, nor is what follows an opening mark that is
never closed: it was cut.
"""

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
    """Return the answer alone; a text without thinking is left as it is, to the character."""
    start = 0
    for closing in _CLOSES.finditer(text):
        start = closing.end()
    opening = _OPENS.search(text, start)
    if opening is None and not start:
        return text
    return text[start : opening.start() if opening else len(text)].strip()
