r"""The prompt kind for a model that sees an image and answers in words: ``Which is it: {classes}?``.

An instruction has the slot ``{classes}`` exactly once. As a candidate it is one line, in which ``\n`` stands
for a line break; the scorer gets it with the line breaks. Where the slot stands alone on its line, the scorer
writes the classes as a numbered list, elsewhere as a row.

In an LLM's answer, each line with a list mark begins an instruction. If it has no slot yet, the lines up to
the next list mark or empty line belong to it; if it has, only indented ones do. If no such line is an
instruction, each paragraph with the slot is one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import product

from .kinds import (
    INSTRUCTION,
    CandidateError,
    KindWords,
    PromptKind,
    Proposals,
    check_words,
    goals_of,
    one_line,
    too_long,
)
from .replies import (
    FENCE,
    LIST_MARK,
    MARKS,
    MAX_ANSWER_CHARACTERS,
    MAX_LINES,
    MAX_PROPOSALS,
    MOST_ROUNDS,
    json_documents,
    strings_in,
    without_thinking,
)
from .template import CheckedText, check_characters, quoted, single_spaced, without_quotes
from .wording import Wordings, built_in, document

SLOT = "{classes}"
BREAK = r"\n"
MAX_CHARACTERS = 1_500
_TEXTS = document("instructions.toml")
CAPTIONS: tuple[str, ...] = tuple(_TEXTS["captions"].splitlines())
"""Instructions of different forms, written by hand."""
DEFAULT = CAPTIONS[0]

_BREAKS = re.compile(r"\s*(?:\\n|\r\n|[\n\r])\s*")
_SOME_BREAKS = re.compile(r"(?:\\n ?)+")
_PLACEHOLDERS = (
    "classes|class[ _-]?(?:names|list|labels)|list[ _-]of[ _-](?:the[ _-])?class(?:es|[ _-]names)|"
    "labels?|label[ _-]list|options?|categories|category[ _-]list|candidates?|choices|names"
)
_PLACEHOLDER = re.compile(
    rf"\$?\{{{{1,2}}\s*(?:{_PLACEHOLDERS})\s*\}}{{1,2}}|[\[<]\s*(?:the )?(?:{_PLACEHOLDERS})\s*[\]>]|\{{\}}",
    re.IGNORECASE,
)
_OTHER_SLOT = re.compile(r"\{[\w .:!\[\]-]{0,40}\}")
_WRAPPED = tuple(
    taken_off
    for name, taken_off in MARKS.items()
    if name not in ("labels", "filled examples", "explanations")
)
_LABEL = re.compile(
    r"(?:new |revised |improved )?(?:instruction|prompt)(?: ?(?:no\.?|#)? ?\d{1,3})?\s*[:=]\s+", re.I
)
_RULE = re.compile(r"\s*(?:[-*_=]\s?){3,}\s*")
_MOST_OF_A_BLOCK = 4 * MAX_CHARACTERS

WORDS = KindWords(
    noun="instruction",
    intro="A vision-language model gets one picture with an instruction, in which the slot {classes} is "
    "replaced by the list of all class names, and answers in words. An answer that names no class, or "
    "several, counts as wrong.",
    goals=goals_of("the instruction", "the one", "with which most of them are"),
    rule="every instruction has the slot {classes} exactly once, where the list of the classes goes, and "
    r"\n where a line breaks (alone between two of them the list is numbered)",
    unreadable="No instruction could be read in your answer. An instruction is one line with the slot "
    "{classes} exactly once.",
)
_OWN_RULE = WORDS.rule.partition(SLOT)[0]
"""Of a request that is repeated, this alone would be an instruction."""


@dataclass(frozen=True, slots=True)
class Instruction(CheckedText):
    r"""A checked instruction on one line; ``\n`` is a line break."""

    @classmethod
    def parse(cls, raw: str, *, max_words: int | None) -> Instruction:
        """Read an instruction; its slot may be written in other ways, such as ``[CLASSES]``.

        ``max_words`` counts the slot as a word, and line breaks not; None for no limit.

        Raises:
            CandidateError: The text is not an instruction.
        """
        if len(raw) > _MOST_OF_A_BLOCK:
            raise too_long(len(raw), MAX_CHARACTERS)
        text = _tidy(raw)
        if SLOT not in text:
            text = _PLACEHOLDER.sub(SLOT, text)
        _check(text)
        check_words(text, max_words, apart_from=BREAK)
        return cls(text)

    @property
    def scored_as(self) -> str:
        return self.text.replace(f" {BREAK} ", "\n")


def _tidy(raw: str) -> str:
    text = raw.strip()
    for _ in range(MOST_ROUNDS):
        before = text
        text = single_spaced(_BREAKS.sub(rf" \{BREAK} ", text))
        text = _SOME_BREAKS.sub(r"\\n ", text).strip()
        text = without_quotes(text.removeprefix(f"{BREAK} ").removesuffix(f" {BREAK}")).strip()
        if text == before:
            break
    return text


def _check(text: str) -> None:
    if not text.replace(BREAK, "").strip():
        raise CandidateError("empty", "it is empty")
    if len(text) > MAX_CHARACTERS:
        raise too_long(len(text), MAX_CHARACTERS)
    check_characters(text)
    if (slots := text.count(SLOT)) != 1:
        reason, count = ("several_slots", f"{slots} slots") if slots else ("no_slot", "no slot")
        raise CandidateError(reason, f"{quoted(text)} has {count} {SLOT}; write it exactly once")
    if stray := _OTHER_SLOT.search(text.replace(SLOT, "")):
        raise CandidateError("stray_brace", f"{quoted(text)} has {stray[0]}, and {SLOT} is the only slot")


@cache
def grammar() -> tuple[tuple[Instruction, ...], ...]:
    """Return the instructions of the grammar, one group for each form of the answer."""
    return tuple(
        tuple(
            Instruction.parse(" ".join(filter(None, sentences)), max_words=None)
            for sentences in product(
                _TEXTS["looks"], _TEXTS["lists" if form == "number" else "rows"].splitlines(), ends
            )
        )
        for form, ends in _TEXTS["ends"].items()
    )


class InstructionKind(PromptKind):
    """Search for instructions."""

    name = INSTRUCTION
    words = WORDS
    example = DEFAULT
    slot = SLOT
    frames = tuple(_TEXTS["frames"].splitlines())
    double_frames = tuple(_TEXTS["double_frames"].splitlines())
    fillers = tuple(_TEXTS["fillers"].splitlines())
    max_words = 60
    most_characters = MAX_CHARACTERS
    averaged = False
    default = DEFAULT.replace(f" {BREAK} ", "\n")

    @property
    def wordings(self) -> Wordings:
        return built_in("instruction_words.toml")

    def parse(self, raw: str, *, max_words: int | None) -> Instruction:
        return Instruction.parse(raw, max_words=max_words)

    def parse_scored(self, text: str) -> Instruction:
        return Instruction.parse(text, max_words=None)

    def read(self, answer: str) -> Proposals:
        whole = without_thinking(answer)
        text = whole[:MAX_ANSWER_CHARACTERS]
        marked, unmarked, complete = _blocks(text)
        documents = json_documents(text)
        strings = [string for document, _, _ in documents for string in strings_in(document, _has_slot)]
        if from_json := list(filter(_has_slot, strings)):
            marked, unmarked = from_json[:MAX_PROPOSALS], []
        reply = _read(marked, self.max_words)
        if not reply.candidates:
            reply = _read([*marked, *unmarked], self.max_words)
        if complete and len(whole) <= MAX_ANSWER_CHARACTERS:
            return reply
        message = f"only the first {MAX_LINES:,} lines and {MAX_ANSWER_CHARACTERS:,} characters were read"
        return reply.cut("answer_too_long", message)

    def starting(self, pool: str) -> Sequence[Sequence[Sequence[Instruction]]]:
        """Return the hand-made instructions as one group, or the grammar's, one group for each form."""
        if pool == "captions":
            return [[[Instruction.parse(text, max_words=None) for text in CAPTIONS]]]
        return [grammar()]


KIND = InstructionKind()


def _has_slot(text: str) -> bool:
    return SLOT in _PLACEHOLDER.sub(SLOT, text)


def _blocks(text: str) -> tuple[list[str], list[str], bool]:
    """Return the texts under list marks, other paragraphs with a slot, and whether all was read."""
    marked: list[str] = []
    unmarked: list[str] = []
    lines = text.splitlines()
    block: list[str] = []
    is_marked = False

    def end() -> None:
        whole = "\n".join(block)
        if is_marked:
            marked.append(whole)
        elif _has_slot(whole):
            unmarked.append(whole)
        block.clear()

    for line in lines[:MAX_LINES]:
        if not line.strip() or _RULE.fullmatch(line) or FENCE.match(line) or _OWN_RULE in line:
            end()
            is_marked = False
            continue
        if begins := LIST_MARK.match(line.lstrip()) is not None or _LABEL.match(line.lstrip()) is not None:
            end()
            is_marked = True
        elif is_marked and not line[0].isspace() and _has_slot(block[0]):
            end()
            is_marked = False
        if begins or sum(map(len, block)) <= _MOST_OF_A_BLOCK:
            block.append(line)
    end()
    return marked[:MAX_PROPOSALS], unmarked[:MAX_PROPOSALS], len(lines) <= MAX_LINES


def _read(blocks: Sequence[str], max_words: int) -> Proposals:
    texts = ((one_line(block[:_MOST_OF_A_BLOCK], 200), _unwrapped(block)) for block in blocks)
    return Proposals.of(texts, partial(Instruction.parse, max_words=max_words))


def _unwrapped(block: str) -> str:
    """Take off list marks, labels, scores, emphasis and the like."""
    if len(block) > _MOST_OF_A_BLOCK:
        return block
    text = _tidy(block)
    for _ in range(MOST_ROUNDS):
        before = text
        for taken_off in _WRAPPED:
            text = taken_off(text).strip()
        text = _tidy(_LABEL.sub("", text, count=1) if _LABEL.match(text) else text)
        if text == before:
            break
    return text
