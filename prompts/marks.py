"""What is taken off a proposal: one rule a line of ``MARKS``, each with an example.

The rules are gone through until none of them changes anything, so that a template which is read again comes
out the same. Each takes a time in proportion to the length of the line, and what is wrapped in more layers
than ``MOST_ROUNDS`` is no template: nothing that an LLM writes makes the reading slow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .slots import with_slots
from .template import SLOT

MOST_ROUNDS = 8

_LIST_MARK = r"(?:[-+•‣◦▪●·–—>]|\*(?!\*)|\(?\d{1,3}[.):\]](?!\d)|[A-Za-z]\)\s)\s*(?:\[[ xX✓]?\]\s+)?"
LIST_MARK = re.compile(_LIST_MARK)
_LEADING_MARKS = re.compile(rf"(?:(?!\*\S){_LIST_MARK}|#+\s*)+")
LABEL = re.compile(
    r"(?:(?:new |revised |improved |my |caption |prompt )?"
    r"(?:template|caption|prompt|proposal|option|answer|candidate|idea)s?"
    r"(?: ?(?:no\.?|number|#)? ?\d{1,3})?\s*[:=]\s+)+",
    re.IGNORECASE,
)
_BOLD_LABEL = re.compile(r"(?:\*\*[^*{}\[\]<>]{1,40}(?::\*\*|\*\*\s*:)\s*)+(?=\S)")
_BRACKETED_SCORE = re.compile(
    r"\((?:[^()]{0,60}\d\s?%[^()]{0,60}|[-+−]?\d{1,4}\.\d{2,6}|"
    r"(?:rose to|fell to|stayed at) [-+−]?\d[^()]{0,60})\)"
)
_BARE_SCORE = re.compile(r"(?:\||:|=|->|=>|→|[-–—]\s)\s*\d{1,3}(?:[.,]\d+)?\s?%\Z")
_MOST_OF_A_SCORE = 20
_NOT_TRIED, _MOST_NOT_TRIED = "(not tried: ", 215
_REMARK = re.compile(
    r"\((?:new|revised|improved|original|modified|updated|unchanged|same|best|variation|variant)"
    r"(?: \d{1,3})?\)",
    re.IGNORECASE,
)
_ARROW = re.compile(r"\s(?:->|=>|-->|→|⇒|➜)\s")
_EXPLAINS = (
    r"(?:because|since|as it|it|this|which|keeps|adds|uses|emphasi[sz]es|highlights|captures|focuses|"
    r"suggests|simple and)\b"
)
_EXPLANATION = re.compile(
    rf":\s|\s?[;,–—-]\s(?={_EXPLAINS})|\s\((?={_EXPLAINS})|\s(?=because\b)", re.IGNORECASE
)
QUOTED = re.compile(
    r"""(?<!\w)(?:f?"([^"]+)"|“([^“”]+)”|``?([^`]+)``?|\*\*([^*]+)\*\*|f?'((?:[^']|(?<=\w)'(?=\w))+)'|‘((?:[^‘]|(?<=\w)’)+)’)(?!\w)"""
)
_GOES_ON = re.compile(rf"\s*(?!{_EXPLAINS})[\w{{\[<'’]", re.IGNORECASE)
_LIST_BRACKETS = re.compile(r"""\A[\[(]\s?(?=["'“])|(?<=["'”])\s?,?\s?[\])]\Z""")
_ESCAPE = re.compile(r"\\([\\`*_{}\[\]()#+.!\"'-])")


@dataclass(frozen=True, slots=True)
class Mark:
    """A thing that is written around a template and is no part of it.

    Attributes:
        name: What it is.
        taken_off: Takes it off a line without spaces around it; a line that has none is left as it is.
        written: A line that has one.
        read: The same line without it.
    """

    name: str
    taken_off: Callable[[str], str]
    written: str
    read: str


def _first(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def taken_off(text: str) -> str:
        match = pattern.match(text)
        return text[match.end() :] if match and match.end() < len(text) else text

    return taken_off


def _without_leading_marks(text: str) -> str:
    bare = _first(_LEADING_MARKS)(text)
    # A star right before a word is a bullet, unless it is the one half of an emphasis.
    return bare[1:] if re.match(r"\*[^\s*]", bare) and not bare.endswith("*") else bare


def _without_scores(text: str) -> str:
    while True:
        bare = _without_score(text.rstrip())
        if bare == text:
            return text
        text = bare


def _without_score(text: str) -> str:
    if text.endswith("%"):
        tail = max(0, len(text) - _MOST_OF_A_SCORE)
        found = _BARE_SCORE.search(text, tail)
        return text[: found.start()].rstrip() if found else text
    if not text.endswith(")"):
        return text
    refused = text.rfind(_NOT_TRIED)
    if refused >= 0 and len(text) - refused <= _MOST_NOT_TRIED:
        return text[:refused].rstrip()
    opens = text.rfind("(")
    return text[:opens].rstrip() if opens >= 0 and _BRACKETED_SCORE.fullmatch(text, opens) else text


def _without_remark(text: str) -> str:
    opens = text.rfind("(")
    return text[:opens].rstrip() if opens > 0 and _REMARK.fullmatch(text, opens) else text


def _without_example(text: str) -> str:
    found = _ARROW.search(text, _after_slots(text))
    return text[: found.start()] if found and SLOT in text else text


def _without_explanation(text: str) -> str:
    if SLOT not in text:
        return text
    for found in _EXPLANATION.finditer(text, _after_slots(text)):
        head, tail = text[: found.start()], text[found.end() :]
        if not any(character.isalpha() for character in tail):
            return text
        # "{}: a portrait" is all one; so is what stands in quotes or brackets.
        if head.strip(" *_\"'`") != SLOT and head.count('"') % 2 == 0 and head.count("(") == head.count(")"):
            return head.rstrip()
        return text
    return text


def _after_slots(text: str) -> int:
    return text.rfind(SLOT) + len(SLOT) if SLOT in text else 0


def _without_emphasis(text: str) -> str:
    for mark in ("***", "**", "__", "*", "_", "~~"):
        inside = text[len(mark) : -len(mark)]
        if text.startswith(mark) and text.endswith(mark) and inside.strip() and mark not in inside:
            return inside.strip()
    return text


def _without_commas(text: str) -> str:
    return text if text.endswith("&gt;") else text.rstrip(",;\\ ")


def _without_lone_quote(text: str) -> str:
    for mark in '"`“”':
        if text.count(mark) == 1 and not ({"“", "”"} <= set(text)):
            text = text.removeprefix(mark).removesuffix(mark)
    return text


MARKS = (
    Mark("escapes of Markdown", lambda text: _ESCAPE.sub(r"\1", text), r"a \{\} in fog", "a {} in fog"),
    Mark("list marks", _without_leading_marks, "> - 1. [x] ## a {} in fog", "a {} in fog"),
    Mark("labels", _first(LABEL), "New template 3: a {} in fog", "a {} in fog"),
    Mark("labels in bold", _first(_BOLD_LABEL), "**Mist:** a {} in fog", "a {} in fog"),
    Mark("scores", _without_scores, "a {} in fog (rose to 62.5 % from 58.3 %)", "a {} in fog"),
    Mark("remarks", _without_remark, "a {} in fog (new)", "a {} in fog"),
    Mark("filled examples", _without_example, "a {} in bloom -> rose", "a {} in bloom"),
    Mark("explanations", _without_explanation, "a {} in a lake: because water is good", "a {} in a lake"),
    Mark("emphasis", _without_emphasis, "**a {} in fog**", "a {} in fog"),
    Mark("commas and the like", _without_commas, "a {} in fog,", "a {} in fog"),
    Mark("brackets of a list", lambda text: _LIST_BRACKETS.sub("", text), '["a {} in fog"', '"a {} in fog"'),
    Mark("quotes without a partner", _without_lone_quote, '"a {} in fog', "a {} in fog"),
)


def without_marks(line: str) -> str:
    """Take everything off that ``MARKS`` names, in as many rounds as are worth it."""
    text = line.strip()
    for _ in range(MOST_ROUNDS):
        before = text
        for mark in MARKS:
            text = mark.taken_off(text).strip()
        if text == before:
            break
    return text


def quoted_proposals(body: str) -> Iterator[str]:
    """Yield each quoted text with a slot that begins a line or follows a colon, and ends it."""
    for match in QUOTED.finditer(body):
        if not _opens(body, match.start()) or _GOES_ON.match(body, match.end()):
            continue
        inside = next(group for group in match.groups() if group is not None)
        slotted = with_slots(inside).strip()
        if SLOT in slotted and slotted != SLOT:
            yield inside


def _opens(body: str, start: int) -> bool:
    while start and body[start - 1].isspace():
        start -= 1
    return not start or body[start - 1] == ":"


def alone(text: str) -> str:
    """Return the first quoted proposal of a line, or the line without its marks where there is none."""
    body = without_marks(with_slots(text))
    return next(quoted_proposals(body), body)
