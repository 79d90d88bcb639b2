"""Answer an instruction with a class list as a chat VLM might, from a CLIP model's logits. A simulation.

A CLIP model cannot converse. Three rules decide how well the answers do, so that instructions differ:

1. **The list.** The longest list in the text counts: a JSON list, numbered or lettered or bulleted lines,
   lines after a colon, numbers within a line, or a row with commas. Without a list of two, the answer names
   no class.
2. **The caption.** A quoted caption with a blank (``"a sketch of a ___"``) is the CLIP model's template.
   Otherwise the words that say what is shown make one: those before and after the list without sentences
   about the answer and without words that any instruction has. "Which road sign does this dark photo show?"
   makes "a road sign dark photo of a {}", and none make "{}".
3. **The form.** A class name is always right where the CLIP model is. A number or letter is one off for 8 %
   of the images, JSON is cut off for 2 %, and without a form the answer is a sentence, which names two
   classes for 10 %.

Temperature 0 gives the same answer to the same request; above it, the class is drawn by its probability.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal, TypeAlias

import numpy as np

AnswerForm: TypeAlias = Literal["name", "number", "json", "sentence"]
OFF_BY_ONE, CUT_OFF, TWO_NAMED = 0.08, 0.02, 0.10
"""Shares of the images for which a form fails: number, JSON, sentence."""
CAPTION_WORDS = 12
MOST_OPTION_WORDS = 12
"""Most words of an option; a longer line is a sentence of the instruction."""
NO_LIST = "I do not see which options there are."
NO_IMAGE = "I do not see an image."

_JSON_LIST = re.compile(r"\[[^\[\]]*\]")
_NUMBERED = re.compile(r"[ \t]*\(?(\d{1,4}|[A-Za-z])[.):\]][ \t]+(\S.*?)[ \t]*")
_BULLET = re.compile(r"[ \t]*[-*•][ \t]+(\S.*?)[ \t]*")
_INLINE = re.compile(r"(?<![\w.])\(?(\d{1,4})(?:[.):\]]|[ \t]*=)[ \t]*")
_SENTENCE_END = re.compile(r"(?<!\bSt)(?<!\bMt)(?<!\bDr)(?<!\bMr)[.?!](?=\s|$)")
_BRACKETS = re.compile(r"[(\[{]([^()\[\]{}]*[,;][^()\[\]{}]*)[)\]}]")
_INTRODUCTION = re.compile(
    r"\b(?:it|this|these|of|from|among|between|either|as|are|is|in|options|classes|labels)\b", re.I
)
_ITEM = re.compile(r'\s*"(?:[^"\\]|\\.)*"|[^,;]+')
_LAST = re.compile(r"\s*\b(?:and|or)\b\s+", re.I)
_TRAILING = re.compile(r"[\s,;.()]*(?:\b(?:and|or))?[\s,;.()]*$", re.I)
_AFTER_ROW = re.compile(r"\s+(?:is|are|does|do|can|would|best|fits|matches|appears|describes)\b", re.I)
"""Where a sentence goes on after a row."""

_BLANK = re.compile(r"_{2,}|\.{3}|…|\[[A-Za-z _]{1,20}\]|<[A-Za-z _]{1,20}>|\{[a-z]{0,12}\}")
_QUOTED = re.compile(r'["“`]([^"”`\n]{1,300})["”`]')
_ABOUT_ANSWER = re.compile(
    r"\b(?:answer|reply|respond|output|return|json|write|print|format|only|nothing else|explain|describe"
    r"|number|letter|index|digit|sentence|word)\b", re.I
)  # fmt: skip
_ASKS_NUMBER = re.compile(r"\b(?:number|index|digit|numeral|letter)\b", re.I)
_ASKS_SENTENCE = re.compile(r"\b(?:sentence|explain|describe|why|reasons?|step by step|think)\b", re.I)
_ASKS_NAME = re.compile(
    r"\b(?:only|just|exactly|nothing else|nothing more|(?:one|single) word|class name|no other"
    r"|verbatim|copy)\b", re.I
)  # fmt: skip
_KEY = re.compile(r'"(\w{1,40})"\s*:')
_WORDS = re.compile(r"[a-z][a-z-]*|\d+")
_CLAUSES = re.compile(r"[.?!;:\n]+")
_split = str.split
_IN_ANY = frozenset(
    _split(
        "a about above all also among an and any are as assign at be belong belongs below best between by "
        "can candidate candidates categories category choice choices choose class classes classification "
        "classified classify closest contain contains correct decide depict depicted depicts describes "
        "determine do does each either exactly fit fits following for from give given guess have here i "
        "identify if in into is it its label labels like likely list listed look looking main match "
        "matches me most name names of on one option options or out pick please possible question select "
        "see seen show showing shown shows task tell than that the their them then there these they this "
        "those to under use user visible was what which who will with would you your"
    )
)
"""Words without which an instruction can hardly be written."""
_SMALL = frozenset(_split("about and as at by for from in into of on or than the to under with a an"))
_INNER = frozenset(["of", "on", "in", "with", "under", "from"])
"""Prepositions that stay between words of a caption."""


@dataclass(frozen=True, slots=True)
class OptionList:
    """The options in a text, with the part of the text that they take.

    Attributes:
        names: In the order of the text.
        marks: Number or letter of each; empty without.
        start: Where the list begins in the text.
        end: Where it ends.
    """

    names: tuple[str, ...]
    marks: tuple[str, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ReadInstruction:
    """An instruction as the simulation understands it.

    Attributes:
        options: The list of classes; None without one.
        template: The CLIP model's template, with ``{}``.
        form: How to answer.
        key: The JSON object's key.
    """

    options: OptionList | None
    template: str
    form: AnswerForm
    key: str


def read_instruction(text: str, *, wants_json: bool = False) -> ReadInstruction:
    """Return what an instruction asks for, by the rules of this module."""
    options = find_options(text)
    rest = text if options is None else f"{text[: options.start]}\n{text[options.end :]}"
    form: AnswerForm = "sentence"
    if wants_json or re.search(r"\bjson\b", rest, re.I):
        form = "json"
    elif _ASKS_NUMBER.search(rest):
        form = "number"
    elif _ASKS_NAME.search(rest) or (not _ASKS_SENTENCE.search(rest) and _ABOUT_ANSWER.search(rest)):
        form = "name"
    key = _KEY.search(rest)
    return ReadInstruction(options, caption(rest), form, key[1] if key else "class")


def find_options(text: str) -> OptionList | None:
    """Return the longest list of at least two different options; of equal ones, the clearest."""
    best: OptionList | None = None
    for find in (_json_lists, _numbered_lines, _bulleted_lines, _lines_after_colon, _inline_numbers, _rows):
        for found in find(text):
            short = all(0 < len(name.split()) <= MOST_OPTION_WORDS for name in found.names)
            if short and len(set(found.names)) == len(found.names) >= 2:
                best = found if best is None or len(found.names) > len(best.names) else best
    return best


def caption(text: str) -> str:
    """Return the template that an instruction, without its list, makes for the CLIP model."""
    for quoted in _QUOTED.findall(text):
        before, *rest = _BLANK.split(quoted, maxsplit=1)
        if rest and re.search(r"[A-Za-z]", before + rest[0]):
            return f"{before.strip()} {{}} {rest[0].strip()}".strip()
    found: list[str] = []
    for clause in _CLAUSES.split(text):
        if not _ABOUT_ANSWER.search(clause):
            words = [word for word in _WORDS.findall(clause.lower()) if word not in _IN_ANY - _INNER]
            while words and words[-1] in _SMALL:
                words.pop()
            found += words[next((i for i, word in enumerate(words) if word not in _SMALL), len(words)) :]
    found = found[:CAPTION_WORDS]
    while found and found[-1] in _SMALL:
        found.pop()
    article = "an" if found and found[0][0] in "aeiou" else "a"
    return f"{article} {' '.join(found)} of a {{}}" if found else "{}"


def choose(logits: np.ndarray[tuple[int, ...], np.dtype[np.float32]], temperature: float, rng: Random) -> int:
    """Return the option of the largest logit; above temperature 0, one drawn by its probability."""
    if temperature <= 0:
        return int(logits.argmax())
    scaled = logits.astype(np.float64) / temperature
    weights = np.exp(scaled - scaled.max())
    return rng.choices(range(len(weights)), weights.tolist())[0]


def answer(asked: ReadInstruction, chosen: int, image: bytes, text: str) -> str:
    """Return the answer's words; which images a form fails for is fixed by image and text."""
    assert asked.options is not None
    names, marks = asked.options.names, asked.options.marks
    luck = Random(hashlib.sha256(image + b"\0" + text.encode("utf-8", "surrogatepass")).digest())
    unlucky = luck.random()
    other = (chosen + (1 if chosen + 1 < len(names) else -1)) % len(names)
    if asked.form == "name":
        return names[chosen]
    if asked.form == "number":
        place = other if unlucky < OFF_BY_ONE else chosen
        return marks[place] if marks else str(place + 1)
    if asked.form == "json":
        written = json.dumps({asked.key: names[chosen]}, ensure_ascii=False)
        return written[: written.index(":") + 1] if unlucky < CUT_OFF else written
    if unlucky < TWO_NAMED:
        return f"It could be {names[chosen]} or {names[other]}."
    return f"This looks like {names[chosen]}."


def _json_lists(text: str) -> Iterator[OptionList]:
    for found in _JSON_LIST.finditer(text):
        try:
            names = json.loads(found[0])
        except (ValueError, RecursionError):
            continue  # brackets of another kind
        if all(isinstance(name, str) for name in names):
            yield OptionList(tuple(names), (), *found.span())


def _lines(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    for line in text.splitlines(keepends=True):
        yield start, line.rstrip("\r\n")
        start += len(line)


def _numbered_lines(text: str) -> Iterator[OptionList]:
    run: list[tuple[str, str, int, int]] = []
    for start, line in _lines(text):
        found = _NUMBERED.fullmatch(line)
        follows = bool(
            found and (_follows(run[-1][0], found[1]) if run else found[1] in {"0", "1", "A", "a"})
        )
        if run and not follows:
            yield _of_run(run)
            run = []
            follows = bool(found and found[1] in {"0", "1", "A", "a"})
        if found and follows:
            run.append((found[1], _unquoted(found[2]), start, start + len(line)))
    if run:
        yield _of_run(run)


def _of_run(run: Sequence[tuple[str, str, int, int]]) -> OptionList:
    marks = tuple(mark for mark, *_rest in run)
    return OptionList(tuple(name for _mark, name, *_rest in run), marks, run[0][2], run[-1][3])


def _follows(before: str, mark: str) -> bool:
    if before.isdecimal():
        return mark.isdecimal() and int(mark) == int(before) + 1
    return len(mark) == 1 and ord(mark) == ord(before) + 1


def _bulleted_lines(text: str) -> Iterator[OptionList]:
    run: list[tuple[str, str, int, int]] = []
    for start, line in [*_lines(text), (len(text), "")]:
        if found := _BULLET.fullmatch(line):
            run.append(("", _unquoted(found[1]), start, start + len(line)))
        elif run:
            yield replace(_of_run(run), marks=())
            run = []


def _lines_after_colon(text: str) -> Iterator[OptionList]:
    run: list[tuple[str, str, int, int]] | None = None
    for start, line in [*_lines(text), (len(text), "")]:
        plain = line.strip()
        if run is not None and plain and not plain.endswith((".", "?", "!", ":")):
            run.append(("", _unquoted(plain), start, start + len(line)))
            continue
        if run:
            yield replace(_of_run(run), marks=())
        run = [] if plain.endswith(":") else None


def _inline_numbers(text: str) -> Iterator[OptionList]:
    for start, line in _lines(text):
        run: list[re.Match[str]] = []
        for found in [*_INLINE.finditer(line), None]:
            if found and (_follows(run[-1][1], found[1]) if run else found[1] in {"0", "1"}):
                run.append(found)
                continue
            if len(run) >= 2:
                ends = [*(one.start() for one in run[1:]), _end_of_sentence(line, run[-1].end())]
                names = [line[one.end() : end] for one, end in zip(run, ends, strict=True)]
                yield OptionList(
                    tuple(_unquoted(_TRAILING.sub("", name)) for name in names),
                    tuple(one[1] for one in run),
                    start + run[0].start(),
                    start + ends[-1],
                )
            run = [found] if found and found[1] in {"0", "1"} else []


def _end_of_sentence(line: str, start: int) -> int:
    found = _SENTENCE_END.search(line, start)
    return found.start() if found else len(line)


def _rows(text: str) -> Iterator[OptionList]:
    """Yield rows such as ``a, b, c``: each sentence's part after its introduction."""
    for start, line in _lines(text):
        place = 0
        while place < len(line):
            end = _end_of_sentence(line, place)
            if found := _row(line, place, end):
                yield replace(found, start=start + found.start, end=start + found.end)
            place = end + 1


def _row(line: str, place: int, end: int) -> OptionList | None:
    """Return the row in one sentence: after a colon, in brackets, or after a word such as ``of``."""
    comma = max(line.rfind(mark, place, end) for mark in ",;")
    if comma < 0:
        return None
    colon = line.rfind(": ", place, comma)
    bracket = _BRACKETS.search(line, place, end)
    if colon >= 0:
        begin = colon + 1
    elif bracket:
        begin, end = bracket.span(1)
    else:
        first = min(at for mark in ",;" if (at := line.find(mark, place, end)) >= 0)
        begin = max((one.end() for one in _INTRODUCTION.finditer(line, place, first)), default=place)
    items = [one.strip() for one in _ITEM.findall(line[begin:end]) if one.strip()]
    if not items:
        return None
    *names, last = items
    if not last.startswith('"') and (over := _AFTER_ROW.search(last)):
        end = line.index(last, begin) + over.start()
        last = last[: over.start()]
    names += [last] if last.startswith('"') else [part for part in _LAST.split(last, maxsplit=1) if part]
    return OptionList(tuple(map(_unquoted, names)), (), begin, end)


def _unquoted(name: str) -> str:
    if len(name) >= 2 and name[0] == name[-1] == '"':
        try:
            written = json.loads(name)
        except ValueError:
            return name[1:-1]
        return written if isinstance(written, str) else name
    if len(name) >= 2 and (name[0], name[-1]) in {("'", "'"), ("“", "”"), ("`", "`"), ("‘", "’")}:
        return name[1:-1]
    return name
