"""An LLM's answer, whatever its form, turned into templates, with a reason for each line refused.

What counts as a proposal, and what as chatter that is passed over in silence:

- A string in a JSON document (a list of strings, or of objects with a member such as ``template``), a line
  that begins with a list mark (a dash, star, bullet, or a number with a full stop, bracket or colon), and,
  where there is a slot, a table cell, a line in a code fence, a quoted text that begins a line or follows a
  colon, and a line with a label such as "Template 3:": these are proposals.
- If none of them is a template, every other line that has a slot is a proposal as well. Otherwise other
  lines are chatter.
- Lines without a slot that end in a colon, or that have no letters, are headings and rules: chatter.
  So is what stands before the last ``</think>``, or after a ``<think>`` that is never closed; other names
  for it, such as ``<reasoning>``, are read alike.

From a proposal are taken off: list marks, labels ("Template 3:"), markdown emphasis, quotes, a comma at the
end, a score in brackets at the end ("(62.5 %)"), and our own word on it, repeated ("(not tried: …)"). Where a
quoted text with a slot begins the line or follows a colon, and is not followed by a further word, it alone is
the proposal. How the slot may be written is told in ``prompts.slots``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .documents import strings_in_json
from .slots import with_slots
from .template import DEFAULT_MAX_WORDS, MAX_CHARACTERS, SLOT, Template, TemplateError

MAX_ANSWER_CHARACTERS = 65_536
MAX_LINES = 2_000
MAX_LINE_CHARACTERS = 4 * MAX_CHARACTERS
MAX_PROPOSALS = 500
_SHOWN_CHARACTERS = 200

_THINKING = r"(?:think|thinking|thoughts?|reasoning|reflection|scratchpad)"
_THOUGHT = re.compile(
    rf"\A.*(?:</{_THINKING}>|<\|channel\|>\s*final\s*<\|message\|>)|<{_THINKING}>.*\Z",
    re.DOTALL | re.IGNORECASE,
)
_UNSEEN = dict.fromkeys(map(ord, "\ufeff\u200b\u200e\u200f\u2060\u00ad"))
"""Characters that no reader sees and that void a line: byte order mark, zero-width space, soft hyphen."""
_FENCE = re.compile(r"\s*(?:`{3,}|~{3,})")
_MARK = re.compile(r"(?:[-+•‣◦▪●·–—>]|\*(?!\*)|\(?\d{1,3}[.):\]](?!\d)|[A-Za-z]\)\s)\s*(?:\[[ xX✓]?\]\s+)?")
_LABEL = re.compile(
    r"(?:new |revised |improved |my |caption |prompt )?"
    r"(?:template|caption|prompt|proposal|option|answer|candidate|idea)s?"
    r"(?: ?(?:no\.?|number|#)? ?\d{1,3})?\s*[:=]\s+",
    re.IGNORECASE,
)
_BOLD_LABEL = re.compile(r"\*\*[^*{}\[\]<>]{1,40}(?::\*\*|\*\*\s*:)\s*(?=.*\S)")
_SCORE = re.compile(
    r"\s*(?:\([^()]{0,60}\d\s?%[^()]{0,60}\)|\(not tried: .{0,200}\)"
    r"|(?:\||:|=|->|=>|→|[-–—]\s)\s*\d{1,3}(?:[.,]\d+)?\s?%)\s*$"
)
_QUOTED = re.compile(
    r"""(?<!\w)(?:f?"([^"]+)"|“([^“”]+)”|``?([^`]+)``?|\*\*([^*]+)\*\*|f?'((?:[^']|(?<=\w)'(?=\w))+)'|‘((?:[^‘]|(?<=\w)’)+)’)(?!\w)"""
)
_LIST_BRACKETS = re.compile(r"""\A[\[(]\s*(?=["'“])|(?<=["'”])\s*,?\s*[\])]\Z""")
_GOES_ON = re.compile(r"\s*[\w{\[<'’]")
_ESCAPE = re.compile(r"\\([\\`*_{}\[\]()#+.!\"'-])")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A proposal that is not a usable template.

    Attributes:
        line: what the LLM wrote, one line of at most 200 characters. Untrusted text.
        reason: a slug of ``prompts.template.TemplateError``, or ``duplicate`` (of another proposal of
            this answer), ``too_many_lines`` or ``answer_too_long`` (the rest was not read).
        message: the reason in words, fit to be told to the LLM.
    """

    line: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What an answer holds: templates in its order, no two with the same key, and the proposals refused."""

    templates: tuple[Template, ...]
    refused: tuple[Refusal, ...]


def without_thoughts(text: str) -> str:
    """Return an answer without what the model thought aloud before it; empty where it never ended."""
    return _THOUGHT.sub("\n", text)


def parse_reply(text: str, *, max_words: int | None = DEFAULT_MAX_WORDS) -> Reply:
    """Read an answer by the rules above. Never raises, and reads a bounded part of a huge one.

    Args:
        text: the LLM's answer.
        max_words: the most words that a template may have; None for no limit.
    """
    cut = text[:MAX_ANSWER_CHARACTERS].translate(_UNSEEN)
    marked, unmarked, complete = _proposals(without_thoughts(cut))
    reply = _judge(marked, max_words)
    if not reply.templates:
        reply = _judge([*marked, *unmarked], max_words)
    ends = []
    if len(text) > MAX_ANSWER_CHARACTERS:
        ends.append(_end("answer_too_long", f"only the first {MAX_ANSWER_CHARACTERS:,} characters were read"))
    if not complete or len(marked) + len(unmarked) > MAX_PROPOSALS:
        message = f"only the first {MAX_LINES:,} lines and {MAX_PROPOSALS} proposals were read"
        ends.append(_end("too_many_lines", message))
    return Reply(reply.templates, (*reply.refused, *ends))


def _end(reason: str, message: str) -> Refusal:
    return Refusal("", reason, message)


def _proposals(text: str) -> tuple[list[str], list[str], bool]:
    """Sort an answer's lines into marked proposals, unmarked lines with a slot, and chatter (dropped)."""
    from_json, rest = strings_in_json(text)
    lines = rest.splitlines()
    marked, unmarked = list(from_json), list[str]()
    fenced = False
    for line in lines[:MAX_LINES]:
        if _FENCE.match(line):
            fenced = not fenced
            continue
        short = line[:MAX_LINE_CHARACTERS]
        has_slot = SLOT in with_slots(short)
        if has_slot and line.lstrip().startswith("|"):
            marked.extend(cell for cell in short.split("|") if SLOT in with_slots(cell))
        elif _MARK.match(short.lstrip()) and not _is_heading(short, has_slot=has_slot):
            marked.append(line)
        elif has_slot and not short.rstrip("*_ ").endswith(":"):
            (marked if fenced or _is_presented(short) else unmarked).append(line)
    return marked, unmarked, len(lines) <= MAX_LINES


def _is_presented(line: str) -> bool:
    if _LABEL.match(line.replace("*", "").lstrip()):
        return True
    return next(_quoted_proposals(_without_marks(line)), None) is not None


def _is_heading(line: str, *, has_slot: bool) -> bool:
    if has_slot:
        return False
    return line.rstrip("*_ ").endswith(":") or not any(character.isalpha() for character in line)


def _judge(proposals: list[str], max_words: int | None) -> Reply:
    templates: dict[str, Template] = {}
    refused: list[Refusal] = []
    for line in proposals[:MAX_PROPOSALS]:
        for candidate in _candidates(line):
            try:
                template = _template(candidate, max_words)
            except TemplateError as error:
                refused.append(Refusal(_one_line(line), error.reason, str(error)))
                continue
            if template.key in templates:
                refused.append(Refusal(_one_line(line), "duplicate", "it stands in this answer already"))
            else:
                templates[template.key] = template
    return Reply(tuple(templates.values()), tuple(refused))


def _template(candidate: str, max_words: int | None) -> Template:
    if len(candidate) > MAX_LINE_CHARACTERS:
        return Template.parse(candidate, max_words=max_words)
    text = candidate
    # Until nothing changes, so that a template which is read again comes out the same.
    while True:
        while (bare := _stripped(text)) != text:
            text = bare
        template = Template.parse(text, max_words=max_words)
        if template.text == text:
            return template
        text = template.text


def _candidates(line: str) -> Iterator[str]:
    if len(line) > MAX_LINE_CHARACTERS:
        yield line
        return
    body = _without_marks(line)
    spans = list(_quoted_proposals(body))
    yield from spans or [body]


def _stripped(text: str) -> str:
    body = _without_marks(with_slots(text))
    return next(_quoted_proposals(body), body)


def _without_marks(line: str) -> str:
    text = line.strip()
    while True:
        before = text
        text = _ESCAPE.sub(r"\1", text)
        for pattern in (_MARK, _LABEL, _BOLD_LABEL):
            if (match := pattern.match(text)) and match.end() < len(text):
                text = text[match.end() :]
        text = _without_emphasis(_SCORE.sub("", text).strip()).rstrip(",;\\ ").lstrip("#").strip()
        text = _without_lone_quote(_LIST_BRACKETS.sub("", text))
        if text == before:
            return text


def _without_emphasis(text: str) -> str:
    for mark in ("***", "**", "__", "*", "_", "~~"):
        inside = text[len(mark) : -len(mark)]
        if text.startswith(mark) and text.endswith(mark) and inside.strip() and mark not in inside:
            return inside.strip()
    return text


def _without_lone_quote(text: str) -> str:
    for mark in '"`“”':
        if text.count(mark) == 1 and not ({"“", "”"} <= set(text)):
            text = text.removeprefix(mark).removesuffix(mark)
    return text


def _quoted_proposals(body: str) -> Iterator[str]:
    for match in _QUOTED.finditer(body):
        inside = next(group for group in match.groups() if group is not None)
        opens = not body[: match.start()].strip() or body[: match.start()].rstrip().endswith(":")
        slotted = with_slots(inside).strip()
        if opens and SLOT in slotted and slotted != SLOT and not _GOES_ON.match(body, match.end()):
            yield inside


def _one_line(line: str) -> str:
    text = " ".join(line[:MAX_LINE_CHARACTERS].split())
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
