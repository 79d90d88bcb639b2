"""Read the templates in an LLM's answer, whatever its form, with a reason for each refused line.

Proposals are:

- strings in JSON (of a list, or members such as ``template`` of objects), and lines with a list mark (a dash,
  star, bullet, or a number with a full stop, bracket or colon);
- where there is a slot: table cells, lines in a code fence, quoted texts that begin a line or follow a colon,
  and lines with a label such as "Template 3:";
- if none of these is a template, every other line with a slot.

Everything else is chatter and skipped silently: other lines, headings and rules (no slot, and a colon at the
end or no letters), a model's thinking, and what stands above the last heading such as "Step 2" or "Final"
that has a template below it. A request that is repeated holds candidates that are known.

``MARKS`` lists what is removed from a proposal. A quoted text with a slot is the whole proposal if it begins
the line or follows a colon, and no further word follows. Slots may be written as in ``template.with_slots``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from .kinds import CandidateError, Proposals, one_line
from .template import (
    MAX_CHARACTERS,
    SLOT,
    Template,
    single_spaced,
    with_slots,
)

MAX_ANSWER_CHARACTERS = 65_536
MAX_LINES = 2_000
MAX_LINE_CHARACTERS = 4 * MAX_CHARACTERS
MAX_PROPOSALS = 500
_SHOWN_CHARACTERS = 200

_UNSEEN = dict.fromkeys(map(ord, "\ufeff\u200b\u200e\u200f\u2060\u00ad"))
"""Characters that no reader sees and that void a line: byte order mark, zero-width space, soft hyphen."""
FENCE = re.compile(r"\s*(?:`{3,}|~{3,})")
_CONTROL = re.compile(r"<\|\w{1,20}\|>")
_STEP = re.compile(r"^[#*> \t]{0,8}(?:step \d{1,2}\b|final\b)[^\n]{0,80}$", re.IGNORECASE | re.MULTILINE)


def parse_reply(text: str) -> Proposals:
    """Read an answer by the rules above; never raise, and read a bounded part of a huge one."""
    answer = without_thinking(text)
    cut = _CONTROL.sub("\n", answer[:MAX_ANSWER_CHARACTERS].translate(_UNSEEN))
    if not (last := _last_step(cut)) or not (reply := _read(last)).candidates:
        reply = _read(cut)
    if len(answer) > MAX_ANSWER_CHARACTERS:
        message = f"only the first {MAX_ANSWER_CHARACTERS:,} characters were read"
        reply = reply.cut("answer_too_long", message)
    return reply


def _last_step(text: str) -> str:
    """Return the text under the last heading such as "Step 2" or "Final"; empty without one."""
    start = 0
    for heading in _STEP.finditer(text):
        if not _has_slot(heading.group()):
            start = heading.end()
    return text[start:] if start else ""


def _read(text: str) -> Proposals:
    marked, unmarked, complete = _sorted_lines(text)
    reply = _read_lines(marked)
    if not reply.candidates:
        reply = _read_lines([*marked, *unmarked])
    if complete and len(marked) + len(unmarked) <= MAX_PROPOSALS:
        return reply
    message = f"only the first {MAX_LINES:,} lines and {MAX_PROPOSALS} proposals were read"
    return reply.cut("too_many_lines", message)


def _sorted_lines(text: str) -> tuple[list[str], list[str], bool]:
    """Sort an answer's lines into marked proposals, unmarked lines with a slot, and chatter (dropped)."""
    from_json, rest = _strings_in_json(text)
    lines = rest.splitlines()
    marked, unmarked = from_json, list[str]()
    fenced = False
    for line in lines[:MAX_LINES]:
        if FENCE.match(line):
            fenced = not fenced
            continue
        short = line[:MAX_LINE_CHARACTERS]
        has_slot, ends = _has_slot(short), short.rstrip("*_ ").endswith(":")
        is_heading = ends or not any(map(str.isalpha, short))
        if has_slot and line.lstrip().startswith("|"):
            marked.extend(cell for cell in short.split("|") if _has_slot(cell))
        elif LIST_MARK.match(short.lstrip()) and (has_slot or not is_heading):
            marked.append(line)
        elif has_slot and not ends:
            labelled = LABEL.match(short.replace("*", "").lstrip())
            is_presented = fenced or labelled or any(quoted_proposals(without_marks(short)))
            (marked if is_presented else unmarked).append(line)
    return marked, unmarked, len(lines) <= MAX_LINES


def _read_lines(proposals: Sequence[str]) -> Proposals:
    texts = (
        (one_line(line[:MAX_LINE_CHARACTERS], _SHOWN_CHARACTERS), text)
        for line in proposals[:MAX_PROPOSALS]
        for text in _candidates(line)
    )
    return Proposals.of(texts, _template)


def _template(candidate: str) -> Template:
    if len(candidate) > MAX_LINE_CHARACTERS:
        return Template.parse(candidate)
    text = single_spaced(candidate)
    # Until nothing changes, so that a template that is read again comes out the same.
    for _ in range(MOST_ROUNDS):
        bare = alone(text)
        if bare == text:
            template = Template.parse(text)
            if template.text == text:
                return template
            bare = template.text
        text = bare
    raise CandidateError("untidy", "more is wrapped around it than can be taken off")


def _candidates(line: str) -> Iterator[str]:
    if len(line) > MAX_LINE_CHARACTERS:
        yield line
        return
    body = without_marks(single_spaced(line))
    spans = list(quoted_proposals(body))
    yield from spans or [body]


_MEMBERS = frozenset(
    name + plural
    for name in ("template", "instruction", "caption", "prompt", "proposal", "text")
    for plural in ("", "s")
)
_MAX_DOCUMENTS = 100
_MAX_STRINGS = 1_000
_MOST_READINGS = 4
"""Failed decoding that is allowed, in lengths of the text: each unclosed bracket begins a document."""
_START = re.compile(r"^[ \t]*(?=[\[{])", re.MULTILINE)


def json_documents(text: str, start: re.Pattern[str] = _START) -> Iterator[tuple[Any, int, int]]:
    """Yield the JSON documents of an answer with their begin and end; never raise, and read a bounded part.

    A document begins where ``start`` matches what stands before it, by default at the begin of a line.
    """
    decoder = json.JSONDecoder()
    done = wasted = documents = 0
    for match in start.finditer(text):
        if match.end() < done:
            continue
        if documents >= _MAX_DOCUMENTS or wasted > _MOST_READINGS * len(text):
            return
        documents += 1
        try:
            document, done = decoder.raw_decode(text, match.end())
        except json.JSONDecodeError as error:
            wasted += error.pos - match.end()
        except (ValueError, RecursionError):  # a number of thousands of digits; brackets in brackets
            wasted += len(text) - match.end()
        else:
            yield document, match.start(), done


def strings_in(document: Any, has_slot: Callable[[str], bool]) -> list[str]:
    """Return the proposals of a JSON document: the strings of a list, and of an object those in its place.

    These are its members named ``template``, ``caption``, ``prompt`` and the like, or else those with a slot.
    """
    strings: list[str] = []
    waiting: list[tuple[Any, bool]] = [(document, True)]
    while waiting and len(strings) <= _MAX_STRINGS:
        value, named = waiting.pop()
        if isinstance(value, str):
            if named or has_slot(value):
                strings.append(value)
        elif isinstance(value, list):
            waiting.extend((item, named) for item in reversed(value))
        elif isinstance(value, dict):
            members = [(item, True) for name, item in value.items() if name.lower() in _MEMBERS]
            waiting.extend(reversed(members or [(item, False) for item in value.values()]))
    return strings


def _has_slot(text: str) -> bool:
    return SLOT in with_slots(text)


def _strings_in_json(text: str) -> tuple[list[str], str]:
    """Take the proposals out of an answer's JSON documents; return them and the other text.

    A document without a proposal is text like any other: "[] of {}" and "{}" are lines with a slot.
    """
    proposals: list[str] = []
    rest: list[str] = []
    done = 0
    for document, start, end in json_documents(text):
        strings = strings_in(document, _has_slot)
        if strings and len(proposals) + len(strings) <= _MAX_STRINGS:
            proposals += strings
            rest.append(text[done:start])
            done = end
    return proposals, "\n".join([*rest, text[done:]])


MOST_ROUNDS = 8
"""Most passes over ``MARKS``. They end when nothing changes, so a template that is read again comes out the
same; the bound keeps the time in proportion to the line's length, whatever an LLM writes."""

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


def _without_first(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def taken_off(text: str) -> str:
        match = pattern.match(text)
        return text[match.end() :] if match and match.end() < len(text) else text

    return taken_off


def _without_leading_marks(text: str) -> str:
    bare = _without_first(_LEADING_MARKS)(text)
    # A star right before a word is a bullet, unless it is one half of an emphasis.
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
        score = _BARE_SCORE.search(text, tail)
        return text[: score.start()].rstrip() if score else text
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
    arrow = _ARROW.search(text, _after_slots(text))
    return text[: arrow.start()] if arrow and SLOT in text else text


def _without_explanation(text: str) -> str:
    if SLOT not in text:
        return text
    for explanation in _EXPLANATION.finditer(text, _after_slots(text)):
        head, tail = text[: explanation.start()], text[explanation.end() :]
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


MARKS: Mapping[str, Callable[[str], str]] = {
    "escapes of Markdown": lambda text: _ESCAPE.sub(r"\1", text),
    "list marks": _without_leading_marks,
    "labels": _without_first(LABEL),
    "labels in bold": _without_first(_BOLD_LABEL),
    "scores": _without_scores,
    "remarks": _without_remark,
    "filled examples": _without_example,
    "explanations": _without_explanation,
    "emphasis": _without_emphasis,
    "commas and the like": _without_commas,
    "brackets of a list": lambda text: _LIST_BRACKETS.sub("", text),
    "quotes without a partner": _without_lone_quote,
}
"""What is written around a template and is not part of it, each with what takes it off a line."""


@lru_cache(maxsize=1024)
def without_marks(line: str) -> str:
    """Remove everything that ``MARKS`` names."""
    text = line.strip()
    for _ in range(MOST_ROUNDS):
        before = text
        for taken_off in MARKS.values():
            text = taken_off(text).strip()
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
    """Return the first quoted proposal of a line, else the line without its marks."""
    body = without_marks(with_slots(text))
    return next(quoted_proposals(body), body)


_THOUGHT = "(?:seed:)?(?:think|thinking|thoughts?|reasoning|reflection|scratchpad|analysis)"
_CHANNEL = r"<\|channel\|>\s{0,9}%s\s{0,9}<\|message\|>"
_OPENS = re.compile(
    rf"<{_THOUGHT}>|\[THINK\]|<\|begin_of_thought\|>|◁think▷|{_CHANNEL % 'analysis'}", re.IGNORECASE
)
_CLOSES = re.compile(
    rf"</{_THOUGHT}>|\[/THINK\]|<\|end_of_thought\|>|◁/think▷|{_CHANNEL % 'final'}", re.IGNORECASE
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
