"""Lists of classes in instructions, and what models' answers are read as."""

from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.evaluator.errors import DataError
from promptclimb.evaluator.remote.answers import MOST_CHARACTERS, ListedClasses

NAMES = ["bat", "sea lion", "lion", "dog", "strawberry", "bus", "T-shirt", "bird's nest"]
OPTIONS = ListedClasses(NAMES, seed=3)
NUMBER = {
    line.split(". ", 1)[1]: number for number, line in enumerate(OPTIONS.fill("{classes}").splitlines(), 1)
}
LETTER = {name: "ABCDEFGH"[number - 1] for name, number in NUMBER.items()}

RECORDED: dict[str | None, tuple[str, ...]] = {
    "bat": (
        *("bat", "Bat", "BAT.", "  bat\n", "a bat", "The bat.", "Bats", "'bat'", '"bat"', "“bat”"),
        *("`bat`", "**Bat**", "**Answer:** *bat*", "- bat", "ｂａｔ", "\u200bbat\ufeff", "bat 🦇"),
        *('{"class": "bat"}', '{"class_name": "Bat", "confidence": 0.98}'),
        *('{"reasoning": "No dog, no lion.", "label": "bat"}', '{"result": {"answer": "bat"}}'),
        *('["bat"]', '```json\n{"class": "bat"}\n```', "```\nbat\n```", 'Here it is: {"class": "bat"}'),
        *("This is a bat.", "I'm not sure, but it looks like a bat."),
        "<think>It could be a dog or a lion.</think>\n\nbat",
        "<think>A dog?</think>The picture shows a bat.",
        "It has wings and hangs from a branch.\nAnswer: bat",
        "Not a dog, not a bus.\n<answer>bat</answer>",
        "A dog would have longer legs.\nSo \\boxed{\\text{bat}}",
        *("A dog would have longer legs.\n\nbat", "Bat\n\nIt has wings, which a dog has not."),
        *('{"class_description": "dark, more like a dog", "class": "bat"}', '{"predicted_class": "bat"}'),
        *("This is a bat, not a dog.", "A bat and not a dog or a sea lion", "It's a bat. It is not a dog."),
        *("Answer: bat, not bus", "**Bat**, no dog."),
        *("Answer:\n\nbat", "答案：bat", "I see a dog. Answer: bat"),
        *("Answer: a dog, at first. No, answer: **bat**", "My answer:\nIt is a bat.", "これはbatです。"),
    ),
    "strawberry": ("strawberries",),
    "bus": (*("Buses.", json.dumps({"option": NUMBER["bus"]})),),
    "sea lion": (*("sea_lion", "Sea-Lion", "The image shows a **sea lion** on a rock."),),
    "bird's nest": (*("bird’s nest", "birds nest"),),
    "T-shirt": ("t shirt",),
    "dog": (
        *(f"{NUMBER['dog']}", f"{NUMBER['dog']}.", f"({NUMBER['dog']})", f"Option {NUMBER['dog']}"),
        *(f"{NUMBER['dog']}. dog", f"The answer is {NUMBER['dog']}.", f"Option {NUMBER['dog']} (dog)"),
        "Two dogs, running.",
    ),
    "lion": (
        *(LETTER["lion"], f"({LETTER['lion']})", f"{LETTER['lion']}) lion"),
        "The animal in this picture appears to be a lion.",
        "It is no dog. It has a mane.\n\nFinal answer: **lion**",
    ),
    # Counted as wrong: none, several, a denial, a question.
    None: (
        *("", "   \n", "I'm sorry, I can't help with that.", "unknown", "None of the above"),
        *("bat or dog", "bat, dog", "bat\ndog\nlion", "1. bat\n2. dog\n3. lion"),
        *("It could be a bat, a dog or a lion.", "This is not a bat.", "It isn’t a bat."),
        *("I am not sure whether this is a bat", "Is this a bat?", "combat boots", "wombat"),
        *('["bat", "dog"]', '{"bat": 0.6, "dog": 0.4}', '{"class": "unknown", "note": "perhaps a bat"}'),
        *('{"class": null}', "Answer: bat or dog", "<think>It is a bat", "0", "99"),
        '{"class_description": "like a dog", "predicted_class": "bat"}',
        *("Not a bat, or a dog", "This is a bat, not a bat.", "Is it a bat, not a dog?", "no bat, no dog"),
        *("I do not see a bat, not a dog", "a bat, not a dog, a bus", "A bat or a bus, not a dog"),
        *("a bat, not a dog. Or is it a bus", "I would not call it a bat, nor a dog"),
        *(f"{NUMBER['dog']}. bat", "0.87", "[1] and [2] are references"),
    ),
}
"""Answers of models by the class that they name."""


@pytest.mark.parametrize(
    ("answer", "name"), [(answer, name) for name, answers in RECORDED.items() for answer in answers]
)
def test_a_recorded_answer_is_read_as_its_class_or_not_at_all(answer: str, name: str | None) -> None:
    """Forms that models answer in."""
    label = OPTIONS.read(answer)
    assert (None if label is None else NAMES[label]) == name


def test_a_slot_alone_on_its_line_is_a_numbered_list_and_elsewhere_a_row() -> None:
    """In the same order."""
    options = ListedClasses(["bat", "cat"], seed=1)
    first, second = options.fill("{classes}?")[:-1].split(", ")
    assert {first, second} == {"bat", "cat"}
    assert options.fill("One of:\n {classes}\nNumber?") == f"One of:\n1. {first}\n2. {second}\nNumber?"


def test_the_order_is_fixed_by_the_seed_alone() -> None:
    """Another seed gives another one."""
    rows = [ListedClasses(NAMES, seed).fill("{classes}!") for seed in (1, 1, 2)]
    assert rows[0] == rows[1] != rows[2]


def test_names_that_could_be_confused_are_json_strings() -> None:
    """All of them, if one has to be; so written, they are read."""
    names = ["cat, domestic", 'the "cat"', "two\nlines", "{classes}", "plain"]
    row = ListedClasses(names, seed=1).fill("[{classes}]")
    assert sorted(json.loads(row)) == sorted(names)
    assert "\n" not in row
    lines = ListedClasses(names, seed=1).fill("{classes}").splitlines()
    assert [json.loads(line.split(". ", 1)[1]) for line in lines] == json.loads(row)
    for label, name in enumerate(names):
        assert ListedClasses(names, seed=1).read(json.dumps(name)) == label


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ("これは猫です。", "猫"),
        ("这张图片里有一只狗", "狗"),
        ("图中的动物是「斑马」。", "斑马"),
        ("写真にはネコが写っています", "ネコ"),
        ("นี่คือช้าง", "ช้าง"),
        ("猫かもしれません。", "猫"),
        # A longer name, another katakana word, several, denials, a question.
        ("熊猫です", "熊猫"),
        ("これはネコノメソウです", None),
        ("猫和狗", None),
        ("这不是猫。", None),
        ("猫ではありません。", None),
        ("猫じゃない", None),
        ("นี่ไม่ใช่ช้าง", None),
        ("是猫吗？", None),
        ("非洲象", "非洲象"),
        ("这不是普通的猫。这是不倒翁。", None),
        ("这是不倒翁。", "不倒翁"),
    ],
)
def test_a_name_in_a_script_without_spaces_needs_no_word_border(answer: str, name: str | None) -> None:
    """Each such character is a word, so longer names still come first."""
    names = ["猫", "狗", "熊猫", "斑马", "马", "ネコ", "ช้าง", "非洲象", "不倒翁"]
    options = ListedClasses(names, seed=0)
    label = options.read(answer)
    assert (None if label is None else names[label]) == name
    second = options.fill("{classes}").splitlines()[1].removeprefix("2. ")
    assert [names[options.read(option) or 0] for option in ("2", "B")] == [second] * 2


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ("C#", "C#"),
        ("The code is written in C#.", "C#"),
        ("The code is written in C++.", "C++"),
        ("The code is written in C.", "C"),
        ("### C", "C"),
        ("# Python #", "Python"),
    ],
)
def test_a_hash_at_the_end_of_a_word_belongs_to_it(answer: str, name: str | None) -> None:
    """Elsewhere it is a mark of a heading or a number."""
    names = ["C", "C++", "C#", "Python"]
    label = ListedClasses(names, seed=0).read(answer)
    assert (None if label is None else names[label]) == name


def test_a_number_is_no_option_where_names_are_numbers() -> None:
    """It may mean the name."""
    for names in (["one", "two", "three"], ["I", "II", "III"], ["3 dots", "4 dots"]):
        assert ListedClasses(names, seed=1).read("2") is None
    numbers = ListedClasses(["3", "1", "2"], seed=1)
    answers = ("2", '{"class": 2}', '{"class": "2"}', '{"class": 2.0}', '{"class": 7}', '{"class": true}')
    assert [numbers.read(answer) for answer in answers] == [2, 2, 2, 2, None, None]
    assert ListedClasses(["0.5", "1.5"], seed=1).read('{"class": 1.5}') == 1


def test_an_article_is_no_mention_of_a_class_of_that_letter() -> None:
    """Only at the end of a clause."""
    options = ListedClasses(["A", "B", "I"], seed=1)
    assert [options.read(text) for text in ("This is a B.", "The letter is A.", "I see a sign")] == [
        1,
        0,
        None,
    ]


def test_names_with_one_normal_form_differ_by_exact_spelling_only() -> None:
    """Other spellings are ambiguous."""
    options = ListedClasses(["Bat", "bat", "C++", "C#"], seed=1)
    assert [options.read(text) for text in ("Bat", "bat", "BAT", "C++", "C#")] == [0, 1, None, 2, 3]


def test_a_list_that_is_too_long_is_refused_with_the_limit() -> None:
    """A thousand short names fit."""
    with pytest.raises(DataError, match=f"2,000 class names .* at most {MOST_CHARACTERS:,}"):
        ListedClasses([f"a class of the number {number}" for number in range(2_000)], seed=1)
    ListedClasses([f"class {number}" for number in range(1_000)], seed=1)


MANY = ListedClasses([f"class x{number} of many" for number in range(1_000)], seed=1)
HOSTILE = ["(", "\n", "{", "[", '"', "```", "1)", " ", "-", "`a ", "<think>", '{"a":', " - ", "<answer>"]


@pytest.mark.parametrize("piece", [*HOSTILE, "a class ", "answer is ", "not ", "answer:\n", "\\boxed{"])
def test_long_answers_take_bounded_time(piece: str) -> None:
    """With a thousand classes and 100 kB."""
    start = time.process_time()
    assert MANY.read(piece * (100_000 // len(piece))) is None
    assert time.process_time() - start < 2


PIECES = ["bat", "sea lion", "not", "a", "1", ".", "\n", "{", '"class"', ":", "}", "**", "Answer:", "?"]
texts = st.text(max_size=60) | st.lists(st.sampled_from(PIECES)).map(" ".join)


WORDS = ["a", "the", "not", "no", "nor", "or", "and", "it is", "looks", ",", ".", ";", "- ", "but", "sure"]


@given(st.lists(st.sampled_from(WORDS) | st.sampled_from(NAMES[:4])).map(" ".join))
def test_a_class_that_is_denied_is_never_read(answer: str) -> None:
    """Wherever a denial stands right before its name, or before those joined with it."""
    label = OPTIONS.read(answer)
    denied = re.findall(rf"\b(?:not|nor|no)(?: (?:a|the|or|and|{'|'.join(NAMES[:4])}))+", answer)
    names = {NAMES[0], *NAMES[2:4]} | ({"sea lion"})
    text = " ".join(denied).replace("sea lion", "sea-lion")
    shown = {name for name in names if re.search(rf"(?<!-)\b{name.replace(' ', '-')}\b", text)}
    assert label is None or NAMES[label] not in shown


@given(st.lists(st.sampled_from(NAMES), min_size=2, unique=True), st.sampled_from([", not a ", ". Not the "]))
def test_what_is_affirmed_before_all_that_is_denied_is_read(names: list[str], joint: str) -> None:
    """However many are denied."""
    affirmed, *others = names
    assert OPTIONS.read(f"This is a {affirmed}{joint}{' or a '.join(others)}.") == NAMES.index(affirmed)


@given(texts)
def test_reading_never_raises(answer: str) -> None:
    """Whatever a model answers."""
    assert OPTIONS.read(answer) in {None, *range(len(NAMES))}


@given(st.lists(st.text(min_size=1, max_size=12), unique=True, min_size=1, max_size=8), st.integers(0, 9))
def test_every_class_name_is_read_as_its_class(names: list[str], seed: int) -> None:
    """Whatever the others are; alone, and in the form that a schema enforces."""
    options = ListedClasses(names, seed)
    assert [options.read(name) for name in names] == list(range(len(names)))
    by_schema = [json.dumps({"class": name}) for name in names]
    assert [options.read(answer) for answer in by_schema] == list(range(len(names)))
    assert options.fill("no slot") == "no slot"
