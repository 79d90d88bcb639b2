"""An LLM's answer, whatever its form, turned into templates, with a reason for each line refused.

What counts as a proposal, and what as chatter that is passed over in silence:

- A string in a JSON document (a list of strings, or of objects with a member such as ``template``), a line
  that begins with a list mark (a dash, star, bullet, or a number with a full stop, bracket or colon), and,
  where there is a slot, a table cell, a line in a code fence, a quoted text that begins a line or follows a
  colon, and a line with a label such as "Template 3:": these are proposals.
- If none of them is a template, every other line that has a slot is a proposal as well. Otherwise other
  lines are chatter.
- Lines without a slot that end in a colon, or that have no letters, are headings and rules: chatter.
  So is a model's thinking (``prompts.thinking``), and our own request, repeated (``prompts.echoes``).
- Where a heading such as "Step 2" or "Final" stands above a template, what stands above the last of them is
  the way there: chatter.

What is taken off a proposal is told in ``prompts.marks``, rule by rule. Where a quoted text with a slot
begins the line or follows a colon, and is not followed by a further word, it alone is the proposal. How the
slot may be written is told in ``prompts.slots``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from .documents import strings_in_json
from .echoes import is_echo, without_echoes
from .lines import one_line
from .marks import LABEL, LIST_MARK, MOST_ROUNDS, alone, quoted_proposals, without_marks
from .slots import with_slots
from .template import DEFAULT_MAX_WORDS, MAX_CHARACTERS, SLOT, Template, TemplateError, single_spaced
from .thinking import without_thinking

MAX_ANSWER_CHARACTERS = 65_536
MAX_LINES = 2_000
MAX_LINE_CHARACTERS = 4 * MAX_CHARACTERS
MAX_PROPOSALS = 500
_SHOWN_CHARACTERS = 200

_UNSEEN = dict.fromkeys(map(ord, "\ufeff\u200b\u200e\u200f\u2060\u00ad"))
"""Characters that no reader sees and that void a line: byte order mark, zero-width space, soft hyphen."""
_FENCE = re.compile(r"\s*(?:`{3,}|~{3,})")
_CONTROL = re.compile(r"<\|\w{1,20}\|>")
_STEP = re.compile(r"^[#*> \t]{0,8}(?:step \d{1,2}\b|final\b)[^\n]{0,80}$", re.IGNORECASE | re.MULTILINE)


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


def parse_reply(text: str, *, max_words: int | None = DEFAULT_MAX_WORDS) -> Reply:
    """Read an answer by the rules above. Never raises, and reads a bounded part of a huge one.

    Args:
        text: the LLM's answer.
        max_words: the most words that a template may have; None for no limit.
    """
    answer = without_thinking(text)
    cut = _CONTROL.sub("\n", answer[:MAX_ANSWER_CHARACTERS].translate(_UNSEEN))
    if not (last := _last_step(cut)) or not (reply := _read(last, max_words)).templates:
        reply = _read(cut, max_words)
    if len(answer) > MAX_ANSWER_CHARACTERS:
        message = f"only the first {MAX_ANSWER_CHARACTERS:,} characters were read"
        reply = Reply(reply.templates, (*reply.refused, _end("answer_too_long", message)))
    return reply


def _last_step(text: str) -> str:
    """Return what stands under the last heading such as "Step 2" or "Final"; nothing where there is none."""
    start = 0
    for heading in _STEP.finditer(text):
        if SLOT not in with_slots(heading.group()):
            start = heading.end()
    return text[start:] if start else ""


def _read(text: str, max_words: int | None) -> Reply:
    marked, unmarked, complete = _proposals(text)
    reply = _judge(marked, max_words)
    if not reply.templates:
        reply = _judge([*marked, *unmarked], max_words)
    if complete and len(marked) + len(unmarked) <= MAX_PROPOSALS:
        return reply
    message = f"only the first {MAX_LINES:,} lines and {MAX_PROPOSALS} proposals were read"
    return Reply(reply.templates, (*reply.refused, _end("too_many_lines", message)))


def _end(reason: str, message: str) -> Refusal:
    return Refusal("", reason, message)


def _proposals(text: str) -> tuple[list[str], list[str], bool]:
    """Sort an answer's lines into marked proposals, unmarked lines with a slot, and chatter (dropped)."""
    from_json, rest = strings_in_json(text)
    lines = rest.splitlines()
    marked, unmarked = [text for text in from_json if not is_echo(text)], list[str]()
    fenced = False
    for line in without_echoes(lines[:MAX_LINES]):
        if _FENCE.match(line):
            fenced = not fenced
            continue
        short = line[:MAX_LINE_CHARACTERS]
        has_slot = SLOT in with_slots(short)
        if has_slot and line.lstrip().startswith("|"):
            marked.extend(cell for cell in short.split("|") if SLOT in with_slots(cell))
        elif LIST_MARK.match(short.lstrip()) and not _is_heading(short, has_slot=has_slot):
            marked.append(line)
        elif has_slot and not short.rstrip("*_ ").endswith(":"):
            (marked if fenced or _is_presented(short) else unmarked).append(line)
    return marked, unmarked, len(lines) <= MAX_LINES


def _is_presented(line: str) -> bool:
    if LABEL.match(line.replace("*", "").lstrip()):
        return True
    return next(quoted_proposals(without_marks(line)), None) is not None


def _is_heading(line: str, *, has_slot: bool) -> bool:
    if has_slot:
        return False
    return line.rstrip("*_ ").endswith(":") or not any(character.isalpha() for character in line)


def _judge(proposals: list[str], max_words: int | None) -> Reply:
    templates: dict[str, Template] = {}
    refused: list[Refusal] = []
    for line in proposals[:MAX_PROPOSALS]:
        for found in _templates(line, max_words):
            if isinstance(found, Refusal):
                refused.append(found)
            elif found.key in templates:
                refused.append(Refusal(_one_line(line), "duplicate", "it stands in this answer already"))
            else:
                templates[found.key] = found
    return Reply(tuple(templates.values()), tuple(refused))


def _templates(line: str, max_words: int | None) -> Sequence[Template | Refusal]:
    """Return what a proposal holds; the same line, which restarts come upon again and again, is read once."""
    if len(line) > MAX_LINE_CHARACTERS:
        return _read_line.__wrapped__(line, max_words)
    return _read_line(line, max_words)


@lru_cache(maxsize=10_000)
def _read_line(line: str, max_words: int | None) -> Sequence[Template | Refusal]:
    found: list[Template | Refusal] = []
    for candidate in _candidates(line):
        try:
            found.append(_template(candidate, max_words))
        except TemplateError as error:
            found.append(Refusal(_one_line(line), error.reason, str(error)))
    return tuple(found)


def _template(candidate: str, max_words: int | None) -> Template:
    if len(candidate) > MAX_LINE_CHARACTERS:
        return Template.parse(candidate, max_words=max_words)
    text = single_spaced(candidate)
    # Until nothing changes, so that a template which is read again comes out the same.
    for _ in range(MOST_ROUNDS):
        bare = alone(text)
        if bare == text:
            template = Template.parse(text, max_words=max_words)
            if template.text == text:
                return template
            bare = template.text
        text = bare
    raise TemplateError("untidy", "more is wrapped around it than can be taken off")


def _candidates(line: str) -> Iterator[str]:
    if len(line) > MAX_LINE_CHARACTERS:
        yield line
        return
    body = without_marks(single_spaced(line))
    spans = list(quoted_proposals(body))
    yield from spans or [body]


def _one_line(line: str) -> str:
    return one_line(line[:MAX_LINE_CHARACTERS], _SHOWN_CHARACTERS)
