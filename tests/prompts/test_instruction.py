r"""The prompt kind ``instruction``: what is one, how LLMs' answers are read, and where a search begins."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.evaluator.remote.answers import ListedClasses
from promptclimb.evaluator.scoring import DEFAULT_INSTRUCTION
from promptclimb.prompts.instruction import CAPTIONS, KIND, MAX_CHARACTERS, SLOT, Instruction
from promptclimb.prompts.kinds import CandidateError, kind_named
from promptclimb.prompts.replies import MAX_ANSWER_CHARACTERS
from promptclimb.prompts.requests import SCALES, Outcome, Wanted, next_message, request_pn
from promptclimb.prompts.starting import PoolError, parse_file


def read(answer: str) -> list[str]:
    """The instructions read in an answer."""
    return [candidate.text for candidate in KIND.read(answer).candidates]


def refused(answer: str) -> list[str]:
    """Why others were refused."""
    return [refusal.reason for refusal in KIND.read(answer).refused]


@pytest.mark.parametrize(
    ("raw", "text", "scored_as"),
    [
        ("Which: {classes}?", "Which: {classes}?", "Which: {classes}?"),
        (r"Which?\n{classes}\nNumber:", r"Which? \n {classes} \n Number:", "Which?\n{classes}\nNumber:"),
        ("Which?\n  {classes}\r\n\nNumber:", r"Which? \n {classes} \n Number:", "Which?\n{classes}\nNumber:"),
        ('"One  of\t{classes}."', "One of {classes}.", "One of {classes}."),
        ("Is it [CLASSES]?", "Is it {classes}?", "Is it {classes}?"),
        ("One of <class names>.", "One of {classes}.", "One of {classes}."),
        ("One of {{options}}.", "One of {classes}.", "One of {classes}."),
        ("One of {}.", "One of {classes}.", "One of {classes}."),
        (*['{classes}: as {"class": "NAME"}'] * 3,),
        (r"\n{classes}\n", "{classes}", "{classes}"),
        (r"{classes}\n\n 0", r"{classes} \n 0", "{classes}\n0"),
    ],
)
def test_an_instruction_is_one_line_and_scored_with_its_line_breaks(
    raw: str, text: str, scored_as: str
) -> None:
    """Both forms are read as the same instruction."""
    instruction = KIND.parse(raw, max_words=60)
    assert (instruction.text, instruction.scored_as) == (text, scored_as)
    assert KIND.parse_own(instruction.text) == KIND.parse_scored(instruction.scored_as) == instruction


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", "empty"),
        (r" \n ", "empty"),
        ("What is it?", "no_slot"),
        ("{classes} or {classes}?", "several_slots"),
        ("{0} of {classes}", "stray_brace"),
        ("{classes.__init__.__globals__} {classes}", "stray_brace"),
        ("Say {name}, one of {classes}", "stray_brace"),
        ("word " * 60 + "{classes}", "too_many_words"),
        ("x" * MAX_CHARACTERS + "{classes}", "too_long"),
        ("x" * 10_000, "too_long"),
        ("a\x00{classes}", "control_character"),
        ("\u202e{classes} sessalc", "control_character"),
    ],
)
def test_other_texts_are_refused_with_a_reason(raw: str, reason: str) -> None:
    """Also in an answer."""
    with pytest.raises(CandidateError) as error:
        KIND.parse(raw, max_words=60)
    assert error.value.reason == reason
    assert refused(f"- {raw}") == [reason] or not raw.strip(r" \n")


def test_spellings_of_one_instruction_have_one_key() -> None:
    """Other words have another."""
    first, other = (KIND.parse_own(text) for text in ("Which: {classes}?", "which : {classes}?"))
    assert first.key == other.key
    assert KIND.parse_own("Which of {classes}?").key != first.key


@pytest.mark.parametrize(
    "answer",
    [
        "Sure!\n- Which: {classes}?\n- Name it, one of {classes}.\nGood luck!",
        '1. **Which: {classes}?**\n2. "Name it, one of {classes}."',
        "Instruction 1: Which: {classes}?\nInstruction 2: Name it, one of {classes}.",
        '["Which: {classes}?", "Name it, one of {classes}."]',
        '```json\n{"new": [{"text": "Which: {classes}?"}, {"text": "Name it, one of {classes}."}]}\n```',
        "<think>- {classes}? no</think>\n- Which: [CLASSES]?\n- Name it, one of [CLASSES].",
        "Which: {classes}?\n\nName it, one of {classes}.",
        "---\nWhich: {classes}?\n---\nName it, one of {classes}.\n---",
        "- Which: {classes}? (rose to 62.5 % from 58.3 %)\n- Name it, one of {classes}.",
    ],
)
def test_answers_are_read_whatever_their_form(answer: str) -> None:
    """Lists, JSON, labels, paragraphs, after thinking."""
    assert read(answer) == ["Which: {classes}?", "Name it, one of {classes}."]


def test_instructions_of_several_lines_are_read() -> None:
    """Under a list mark, in a paragraph, in JSON."""
    several = r"Look. \n {classes} \n Now?"
    assert read("1. Look.\n{classes}\nNow?\n2. Which: {classes}?") == [several, "Which: {classes}?"]
    assert read("- Look.\n  {classes}\n  Now?\n\nThat is all.") == [several]
    assert read("Look.\n{classes}\nNow?") == [several]
    assert read(r"- Look.\n{classes}\nNow?" + "\nThis one is a list.") == [several]
    assert read(json.dumps(["Look.\n{classes}\nNow?"])) == [several]


def test_what_repeats_our_request_is_no_instruction() -> None:
    """Nor is the same one twice."""
    wanted = Wanted(words=KIND.words, proposals=2, max_words=60)
    (message,) = request_pn([Outcome("Which: {classes}?")], [Outcome("{classes}")], wanted)
    assert set(read(message["content"])) <= {"Which: {classes}?", "{classes}"}
    assert refused("- Which: {classes}?\n- Which: {classes} ?") == ["duplicate"]


HOSTILE = (
    "- {classes}\n", "{", "- \\n", "- {classes} {classes} ", "<b>", "%s {0} ", "\n", "- x\n {classes}\n",
)  # fmt: skip


@pytest.mark.parametrize("piece", [*HOSTILE, '["', "**"])
def test_hostile_answers_take_bounded_time(piece: str) -> None:
    """A bounded part of them is read."""
    start = time.process_time()
    proposals = KIND.read(piece * (2 * MAX_ANSWER_CHARACTERS // len(piece)))
    assert time.process_time() - start < 2
    assert proposals.refused[-1].reason == "answer_too_long"
    assert all(len(refusal.line) <= 200 for refusal in proposals.refused)


def test_html_stays_text_and_format_strings_are_never_formatted() -> None:
    """Only the slot is filled."""
    (text,) = read("- <script>alert(1)</script> %s %(x)s one of {classes}")
    assert text == "<script>alert(1)</script> %s %(x)s one of {classes}"
    assert ListedClasses(["a", "b"], 1).fill(text).startswith("<script>alert(1)</script> %s %(x)s one of ")


PIECES = (
    *("- ", "{classes}", "\\n", "\n", "a", "{", "}", '"', "**", "1. ", "Instruction 2: ", "[CLASSES]", "`"),
)


@given(st.text(max_size=80) | st.lists(st.sampled_from(PIECES)).map("".join))
def test_reading_never_raises_and_what_it_reads_stays_the_same(answer: str) -> None:
    """Read again, an instruction comes out the same."""
    for candidate in KIND.read(answer).candidates:
        assert isinstance(candidate, Instruction)
        assert candidate.text.count(SLOT) == 1
        assert "\n" not in candidate.text
        assert KIND.parse(candidate.text, max_words=60) == candidate == KIND.parse_scored(candidate.scored_as)


def test_the_starting_instructions_are_of_many_forms_and_all_different() -> None:
    """A dozen by hand, some hundreds of the grammar."""
    ((captions,),), (grammar,) = KIND.starting("captions"), KIND.starting("grammar")
    assert KIND.starting("general") == [grammar]
    assert [candidate.text for candidate in captions] == list(CAPTIONS)
    assert len({candidate.key for candidate in captions}) == len(CAPTIONS) >= 12
    texts = [instruction for group in grammar for instruction in group]
    assert len({instruction.key for instruction in texts}) == len(texts) >= 300
    for group in (captions, *grammar):
        assert all(
            KIND.parse(instruction.text, max_words=KIND.max_words) == instruction for instruction in group
        )
    numbered = [instruction for instruction in texts if "\n{classes}" in instruction.scored_as]
    assert 0 < len(numbered) < len(texts)


def test_frames_and_the_default_are_instructions() -> None:
    """The default is written twice, as prompts/ and evaluator/ do not know each other."""
    for frame in (*KIND.frames, *KIND.double_frames):
        assert KIND.parse(frame.replace("<w>", "wings").replace("<v>", "tail"), max_words=KIND.max_words)
    assert kind_named("instruction") is KIND
    assert KIND.default == DEFAULT_INSTRUCTION == KIND.parse_own(KIND.example).scored_as


def test_its_wordings_have_the_texts_of_templates_and_one_more() -> None:
    """Each has a text of its own, in which the slot is written."""
    ours, templates = KIND.wordings, kind_named("template").wordings
    assert ours.texts.keys() - templates.texts.keys() == {"rich.unreadable"}
    assert templates.texts.keys() <= ours.texts.keys()
    for goal in map(KIND.words.goals.__getitem__, SCALES):
        assert SLOT in ours.say("rich.task", goal=goal)
    assert r"\n" in ours.texts["rich.form"]
    for _ask, answer in ours.examples:
        assert len(read(answer)) == 5


def test_unreadable_answers_are_fed_back_in_one_line() -> None:
    """Cut, whatever they hold; requests for templates have none."""
    wanted = Wanted(words=KIND.words, proposals=2, max_words=60)
    unreadable = (0.124, ["I see\nno {classes} <b>", "y" * 500])
    asked = {"outcomes": [], "best": [Outcome("{classes}?", 0.5)], "confused": [], "unreadable": unreadable}
    message = next_message(KIND.wordings, wanted, **asked)["content"]
    (line,) = [line for line in message.splitlines() if "named no class" in line]
    assert line.startswith("With the best one, 12 % of the answers named no class; for example: ")
    assert "'I see no {classes} <b>'; 'yyy" in line
    assert len(line) < 250
    templates = kind_named("template").wordings
    assert "named no class" not in next_message(templates, wanted, **asked)["content"]


def test_files_of_instructions_are_read() -> None:
    """One a line, or JSON with line breaks."""
    listed = json.dumps(["Which: {classes}?", "Look.\n{classes}"])
    lines = "Which: {classes}?\nLook.\\n{classes}\n"
    assert parse_file(lines, "own.txt", KIND) == parse_file(listed, "own.json", KIND)
    with pytest.raises(PoolError, match=r"line 1: .* has no slot \{classes\}.* an instruction looks"):
        parse_file("a photo of a cat\n", "own.txt", KIND)
