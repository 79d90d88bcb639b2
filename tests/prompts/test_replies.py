"""Answers of every form: which lines are templates, which are refused and why, which are chatter."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.prompts.kinds import Proposals
from promptclimb.prompts.replies import (
    MARKS,
    MAX_ANSWER_CHARACTERS,
    MAX_LINE_CHARACTERS,
    MAX_PROPOSALS,
    parse_reply,
    without_marks,
    without_thinking,
)
from promptclimb.prompts.template import Template
from promptclimb.prompts.template_kind import BUILT_IN

ANSWERS = st.lists(
    st.sampled_from(
        ["{}", "{class}", "[CLASS NAME]", "CLASS", "{foo}", "{", "}", "- ", "* ", "1. ", "2) ", "> ",
         "\n", " ", "a photo of a ", '"', "'", "“", "”", "`", "```", "**", "_", "[", "]", ",", ":",
         "|", "(62 %)", "62 %", "\\", "\t", "<think>", "</think>", "x", '{"template": "', "%s", "#", "$"]
    ),
    max_size=30,
).map("".join)  # fmt: skip


def texts(answer: str) -> list[str]:
    return [template.text for template in parse_reply(answer).candidates]


def reasons(reply: Proposals) -> list[str]:
    return [refusal.reason for refusal in reply.refused]


@pytest.mark.parametrize(
    "line",
    [
        "- a photo of a {}", "* a photo of a {}", "• a photo of a {}", "– a photo of a {}",
        "1. a photo of a {}", "12) a photo of a {}", "(3) a photo of a {}", "> - 1. a photo of a {}",
        "- [ ] a photo of a {}", '- "a photo of a {}"', "- “a photo of a {}”,", "- `a photo of a {}`",
        "- 'a photo of a {}'", '- "a photo of a {}', "**a photo of a {}**", "- *a photo of a {}*",
        "1. **Plain:** a photo of a {}", '1. **Plain**: "a photo of a {}"',
        "- **a photo of a {}**: leaves nothing out", '- "a photo of a {}" – leaves nothing out',
        "Template 1: a photo of a {}", "- a photo of a {} (62.5 %)",
        "- a photo of a {} (rose to 62.5 % from 58.3 %)", "- a photo of a {} -> 62%", "a photo of a {}",
        '"a photo of a {}"', "- a photo of a {class}", "- a photo of a {class_name}", "- a photo of a {0}",
        "- a photo of a {{}}", "- a photo of a { }", "- a photo of a {flower}", "- a photo of a ${class}",
        "- a photo of a [class]", "- a photo of a [CLASS NAME]", "- a photo of a []",
        "- a photo of a <class>", "- a photo of a <Class Name>", "- a photo of a CLASS",
        '- a photo of a "CLASS"', '- "a photo of a [class]"', "- a photo of a **{class}**",
        "- a photo of a `[class]`", "- a photo of a %s", "- a photo of a {}{}", "- a photo of a [number]",
        "- a photo of a <number>", "- a photo of a [COLOUR]", "- a photo of a <insert the class name here>",
        "- a photo of a [name of the class]", "- a photo of a [class-name placeholder]",
        "- a photo of a &lt;class&gt;", "- a photo of a ｛｝", r"- a photo of a \{\}",
        "| 1 | a photo of a {} | 62 % |", "```\na photo of a {}\n```", '```json\n["a photo of a {}"]\n```',
        '["a photo of a {}"]', '[{"template": "a photo of a {class}", "why": "it says nothing of {}"}]',
        '{"templates": ["a photo of a {}"]}', '{"best": {"idea": "a photo of a {}", "score": 1e999}}',
        '[\n  "a photo of a {}",\n', 'templates = [\n  f"a photo of a {class_name}",\n]',
        "<think>\n- a draft of a {}\n</think>\n\n- a photo of a {}",
        "- a draft of a {}\n</think>\n- a photo of a {}",
        "<thinking>\n- a draft of a {}\n</thinking>\n- a photo of a {}",
        "<reasoning>\n- a draft of a {}\n</reasoning>\n- a photo of a {}",
        "<|channel|>analysis<|message|>- a draft of a {}<|end|>"
        "<|start|>assistant<|channel|>final<|message|>\n- a photo of a {}",
        "\ufeff- a photo of a {}", "- a pho\u00adto of\u200b a {}",
        "- a photo of a {} (not tried: it was tried before)",
        "- a photo of a {} (not tried: it has no slot {} for the class name)",
    ],
)  # fmt: skip
def test_one_template_in_many_forms(line: str) -> None:
    """Marks, quotes, code, JSON, labels, scores and placeholders all come down to the same template."""
    assert parse_reply(line) == Proposals((Template("a photo of a {}"),), ())


def test_chatter_is_passed_over() -> None:
    """Salutations, headings, rules and prose with a slot are no proposals where a list is given."""
    answer = (
        "Sure! Here are two templates with the {} slot:\n\n**Close views:**\n- a close-up of a {}\n"
        "1. Far views:\n2. a distant {}\n---\n\nI kept {} in each of them. Good luck!"
    )
    assert parse_reply(answer) == Proposals((Template("a close-up of a {}"), Template("a distant {}")), ())


def test_unmarked_lines_count_where_no_marked_line_is_a_template() -> None:
    """A bare caption is found even when dashes are used for remarks, and the remarks are refused."""
    reply = parse_reply("a drawing of a {}\n\n- it is shorter\n- it is clearer")
    assert [template.text for template in reply.candidates] == ["a drawing of a {}"]
    assert reasons(reply) == ["no_slot", "no_slot"]


def test_a_labelled_or_quoted_line_is_separated_from_the_prose_about_it() -> None:
    """Without a list, what is presented as a template counts, and remarks with a slot do not."""
    answer = (
        "**Template:** `a faded {} on old paper`\n**Reasoning:** The slot {} stays.\n\n"
        'My second idea: "a {} in ink"\nIt keeps {} short.'
    )
    assert texts(answer) == ["a faded {} on old paper", "a {} in ink"]


def test_one_bad_line_does_not_void_the_answer() -> None:
    """Each proposal is judged alone, and each one refused has its reason in words."""
    reply = parse_reply(
        f"- a photo\n- {{foo}} {{}}\n- {'w ' * 15}{{}}\n"
        f"- a sketch of {{}}\n- “A sketch of a {{}}.”\n- {'x' * 600}{{}}"
    )
    assert [template.text for template in reply.candidates] == ["a sketch of {}"]
    assert reasons(reply) == ["no_slot", "stray_brace", "too_many_words", "duplicate", "too_long"]
    assert reply.refused[2].message == "it has 16 words, at most 15 are allowed"
    assert all(len(refusal.line) <= 200 for refusal in reply.refused)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("- a {class} beside another {class}", ["a {} beside another {}"]),
        ("- a [class], a type of [category]", ["a {}, a type of {}"]),
        ('- a sign that says "no {} allowed" on a wall', ['a sign that says "no {} allowed" on a wall']),
        ("- “{}” in quotes", ["“{}” in quotes"]),
        ("- a CLASS next to a {}", ["a CLASS next to a {}"]),
        ("- {adjective} {noun} {}", []),
        ("- {adjective} and {other}", []),
        ("- a class of {} in session", ["a class of {} in session"]),
        ("- a [red] {} and a [blue] one", ["a [red] {} and a [blue] one"]),
        ("- a [red] or [blue] thing", []),
        ("- a photo of a dog<br>", []),
        ("- a photo of a [dog](there)", []),
        ("<answer>", []),
        ("[Templates]", []),
        ("- 3D render of a {}", ["3D render of a {}"]),
        ("- a child's drawing of a {}", ["a child's drawing of a {}"]),
        ('- "a {} in fog" or "a {} in rain"', ['"a {} in fog" or "a {} in rain"']),
    ],
)
def test_what_the_rules_leave_alone(line: str, expected: list[str]) -> None:
    """Several slots, inner quotes and numbers that are words stay; two unknown names are refused."""
    assert texts(line) == expected


def test_json_with_text_around_it_and_items_that_are_not_templates() -> None:
    """A document is read where it begins a line; its strings are judged as proposals."""
    reply = parse_reply(
        'Here you are:\n[\n "a {} in fog",\n {"caption": "dog"},\n 7, null, ["a {} in rain"]\n]\n'
        "Have fun with {}!"
    )
    assert [template.text for template in reply.candidates] == ["a {} in fog", "a {} in rain"]
    assert reasons(reply) == ["no_slot"]


@pytest.mark.parametrize(
    "answer",
    [
        "- a {}\n" + "x" * 10_000_000, "- " + "x{} " * 300_000 + "\n- a {}", "[" * 200_000,
        '{"a":' * 100_000, "[" + '"a {}",' * 100_000, json.dumps([f"{n} {{}}" for n in range(5_000)]),
        "\n".join(f"- {n} {{}}" for n in range(100_000)), '"' * 65_000, "'a {}" * 12_000,
        "(" * 65_000 + "5 %", " " * 65_000 + "%", "- " * 32_000, "**a " * 16_000, "<think>" * 9_000,
        "\\" * 65_000, "[1" + "0" * 5_000 + "]",
    ],
    ids=lambda answer: answer[:12].strip() or "blank",
)  # fmt: skip
def test_huge_and_hostile_answers_are_bounded(answer: str) -> None:
    """A huge answer is read in part, and that is said."""
    reply = parse_reply(answer)
    assert len(reply.candidates) + len(reply.refused) <= MAX_PROPOSALS + 2
    assert sum(len(refusal.line) for refusal in reply.refused) <= 200 * (MAX_PROPOSALS + 2)
    assert ("answer_too_long" in reasons(reply)) == (len(answer) > MAX_ANSWER_CHARACTERS)


@given(
    st.one_of(
        st.text(max_size=200),
        ANSWERS,
        st.binary(max_size=200).map(lambda b: b.decode("utf-8", "surrogateescape")),
    )
)
def test_no_text_raises_and_every_template_reads_back(answer: str) -> None:
    """Whatever an LLM answers, the templates are valid, distinct, and come out the same when read again."""
    reply = parse_reply(answer)
    assert len({template.key for template in reply.candidates}) == len(reply.candidates)
    for template in reply.candidates:
        assert Template.parse(template.text) == template
        assert texts(f"- {template.text}") == [template.text]
    assert all(refusal.message and refusal.reason for refusal in reply.refused)
    assert all(len(refusal.line.splitlines()) <= 1 for refusal in reply.refused)


@pytest.mark.parametrize("form", ["- {t}", "3. {t}", '- "{t}"', "* `{t}`", "{t}", "- **{t}**"])
def test_every_built_in_template_survives_every_form(form: str) -> None:
    """The pool itself, shown to a model and echoed in any form, reads back word for word."""
    answer = "\n".join(form.replace("{t}", template) for template in BUILT_IN)
    if form == '- "{t}"':
        answer = "\n".join(line for line in answer.splitlines() if line.count('"') == 2)
    read_back = texts(answer)
    for template in BUILT_IN:
        assert template in read_back or template not in answer or '"' in template


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        *(
            (f"<{name}>", f"</{name}>")
            for name in ("think", "Thinking", "thought", "reasoning", "seed:think")
        ),
        ("[THINK]", "[/THINK]"),
        ("<|begin_of_thought|>", "<|end_of_thought|>"),
        ("◁think▷", "◁/think▷"),
        ("<|channel|>analysis<|message|>", "<|start|>assistant<|channel|>final<|message|>"),
    ],
)
def test_thinking_goes_by_many_names(opening: str, closing: str) -> None:
    """Closed, opened by the server and closed by the model, or cut before it was closed."""
    assert without_thinking(f"{opening}\n- a {{}}\n{closing}\n\n- one {{}}") == "- one {}"
    assert without_thinking(f"- a {{}}\n{closing}- one {{}}") == "- one {}"
    assert without_thinking(f"- one {{}}\n{opening}- a {{}}") == "- one {}"
    assert without_thinking(f"{opening}- a {{}}") == ""


@given(st.text(max_size=60))
def test_a_text_without_it_is_left_as_it_is(text: str) -> None:
    """To the character: requests repeat answers, and a resumed run repeats its requests."""
    if "think" not in text.casefold():
        assert without_thinking(text) == text or "<" in text


PIECES = (
    *("- ", "1. ", "# ", "- #", "template: ", "**a:** ", "> - ", "[x] ", '"', "'", "“a” ", "\\", "**", "*a "),
    *(" (5 %)", " (new)", " -> a", ": a", " because", "\\*", "%", ",;", ")", " ", "{", "[a] ", "“'`\""),
)
FORMS = ("{wrapped}a {{}}", "- a {{}}{wrapped}", "- a {{}}{wrapped}%", "a {{}} {wrapped})")


def steps(work: Callable[[], object]) -> int:
    """Calls that a piece of work makes, of Python's functions and of C's."""
    count = 0

    def called(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


EXAMPLES = {
    "escapes of Markdown": (r"a \{\} in fog", "a {} in fog"),
    "list marks": ("> - 1. [x] ## a {} in fog", "a {} in fog"),
    "labels": ("New template 3: a {} in fog", "a {} in fog"),
    "labels in bold": ("**Mist:** a {} in fog", "a {} in fog"),
    "scores": ("a {} in fog (rose to 62.5 % from 58.3 %)", "a {} in fog"),
    "remarks": ("a {} in fog (new)", "a {} in fog"),
    "filled examples": ("a {} in bloom -> rose", "a {} in bloom"),
    "explanations": ("a {} in a lake: because water is good", "a {} in a lake"),
    "emphasis": ("**a {} in fog**", "a {} in fog"),
    "commas and the like": ("a {} in fog,", "a {} in fog"),
    "brackets of a list": ('["a {} in fog"', '"a {} in fog"'),
    "quotes without a partner": ('"a {} in fog', "a {} in fog"),
}
"""A line with each mark, and without it."""


@pytest.mark.parametrize("mark", MARKS)
def test_each_rule_takes_off_what_it_names(mark: str) -> None:
    """Its own example loses it, and a line without it is left as it is."""
    written, read = EXAMPLES[mark]
    assert MARKS[mark](written) == read
    assert MARKS[mark]("a {} in a thin fog") == "a {} in a thin fog"
    assert without_marks(written) == without_marks(read)


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("form", FORMS)
def test_no_line_takes_many_steps_however_much_is_wrapped_around_it(form: str, piece: str) -> None:
    """A thousand marks are taken off together, or not at all: not one by one, each through the whole line."""
    plain = steps(lambda: parse_reply("- a photo of a {}"))
    wrapped = piece * ((MAX_LINE_CHARACTERS - 20) // len(piece))
    # A mark of its own may be looked at once, in one call of C, for each of its characters.
    assert steps(lambda: parse_reply(form.format(wrapped=wrapped))) < 40 * plain + 6 * len(wrapped)


def test_more_layers_than_anybody_writes_are_refused() -> None:
    """What does not settle is no template, and says so."""
    reply = parse_reply("- " + "- **a:** template: " * 60 + "a {}")
    assert [refusal.reason for refusal in reply.refused] == ["untidy"]
    assert reply.candidates == ()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("- a {} in a lake: because water is good", "a {} in a lake"),
        ("- a photo of a {}: keeps it simple", "a photo of a {}"),
        ("- a photo of a {} - keeps it simple", "a photo of a {}"),
        ("- a photo of a {} (this is plain)", "a photo of a {}"),
        ('- "a photo of a {}" because it is simple', "a photo of a {}"),
        ("- a {} in bloom -> rose", "a {} in bloom"),
        ("- a {} in fog (new)", "a {} in fog"),
        ("- a {} in fog (-2.250)", "a {} in fog"),
        ("- a {} in fog (fell to -2.25001 from -2.25000)", "a {} in fog"),
        # What only looks like one of them is left.
        ("- a caption: a {}", "a caption: a {}"),
        ("- {}: a portrait", "{}: a portrait"),
        ("- a {} - oil on canvas", "a {} - oil on canvas"),
        ("- a {} (close up)", "a {} (close up)"),
        ('- a {} with a sign "open: all day"', 'a {} with a sign "open: all day"'),
        ("- *a {} in fog*", "a {} in fog"),
        ("*a {} in fog", "a {} in fog"),
    ],
)
def test_what_follows_a_template_is_taken_off(line: str, expected: str) -> None:
    """An explanation, an example, a remark and a score go; a caption's own colon, dash and brackets stay."""
    assert [template.text for template in parse_reply(line).candidates] == [Template(expected).text]


@pytest.mark.parametrize(
    "answer",
    [
        "### Step 1: what they share\n- a photo of a {}\n- The {} stands last\n\n"
        "### Step 2: new ones\n- a {} in ink",
        "- The first list has {} near the end\n\nFinal:\n- a {} in ink",
        "**Final templates**\n\n1. a {} in ink",
    ],
)
def test_of_an_answer_in_steps_the_last_one_counts(answer: str) -> None:
    """What stands above it is the way there."""
    reply = parse_reply(answer)
    assert ([template.text for template in reply.candidates], reply.refused) == (["a {} in ink"], ())


def test_steps_without_a_template_at_their_end_are_read_from_the_beginning() -> None:
    """A remark at the end does not void an answer."""
    answer = "Step 1: new ones\n- a {} in ink\n\nStep 2: check\nAll rules are kept."
    assert [template.text for template in parse_reply(answer).candidates] == ["a {} in ink"]
