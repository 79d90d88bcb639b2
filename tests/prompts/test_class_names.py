"""Reading names of classes from an LLM's answer, whatever it writes, and the requests for them."""

from __future__ import annotations

import json
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.prompts.class_names import (
    MAX_WORDS,
    MOST_CLASSES,
    MOST_IN_VIEW,
    READ_AT_ONCE,
    ClassRecord,
    NameReader,
    reading_request,
    rich_request,
    short_name_request,
    short_reading_request,
)

CLASSES = ("bat", "bow", "club", "1", "St. Bernard (dog)", "a: b")
TEMPLATE = "a photo of a {}."


def read(answer: str, *, only: int | None = None, cut: bool = False) -> list[tuple[int, str]]:
    """The names that a new reader accepts."""
    return list(NameReader(CLASSES, TEMPLATE).read(answer, only=only, cut=cut).names)


def reasons(answer: str) -> list[str]:
    """Why a new reader refuses lines."""
    return [line.reason for line in NameReader(CLASSES, TEMPLATE).read(answer).refused]


@pytest.mark.parametrize(
    "line",
    [
        "bat: baseball bat",
        "- bat: baseball bat",
        "1. **bat**: a baseball bat",
        "* `Bat` -> baseball bat.",
        "bat → “baseball bat”",
        "bat = a photo of a baseball bat.",
        "| bat | baseball bat |",
        "bat - baseball bat",
        "  BAT:   baseball   bat,",
        '{"bat": "baseball bat"}',
        '```json\n{"names": {"bat": ["baseball bat"]}}\n```',
        '[{"class": "bat", "name": "baseball bat"}]',
        '{"classes": [{"original_name": "bat", "new_names": ["baseball bat"], "why": "a wooden one"}]}',
        '{"class": "bat", "reading": "baseball bat"}\n{"class": "kite", "reading": "bird"}',
        '[{"class": "bat", "name": "baseball bat"}, {"class": "bow", "na',
        "<think>bat: cricket bat</think>\nbat: baseball bat",
    ],
)
def test_a_name_is_read_in_the_forms_that_models_write(line: str) -> None:
    """Marks, emphasis, arrows, tables, JSON, and the whole caption in place of the name."""
    assert read(line) == [(0, "baseball bat")]


def test_a_json_record_may_confirm_a_class() -> None:
    """Its own name in both fields; further records are read in their order."""
    reader = NameReader(CLASSES, TEMPLATE)
    answer = '[{"class": "bat", "name": "bat"}, {"class": "bat", "name": "flying bat"}]'
    assert reader.read(answer).names == ((0, "flying bat"),)
    assert reader.confirmed == {0}


@pytest.mark.parametrize(
    ("names", "alike", "renamable"),
    [
        (("Dog", "cat", "dog"), ["Dog", "dog"], {1}),
        # Cyrillic and Greek letters that look Latin; other words of these scripts are names of their own.
        (("cat", "c\u0430t", "C\u0391T", "\u03b1 helix", "helix"), ["cat", "c\u0430t", "C\u0391T"], {3, 4}),
    ],
)
def test_classes_whose_names_differ_by_case_or_lookalikes_alone_are_not_renamed(
    names: tuple[str, ...], alike: list[str], renamable: set[int]
) -> None:
    """A line fits them all."""
    reader = NameReader(names, TEMPLATE)
    assert (reader.alike, reader.renamable) == (alike, renamable)
    assert [line.reason for line in reader.read(f"{alike[0]}: tall bird").refused] == ["unknown_class"]


def test_lines_about_other_classes_leave_room_for_the_names() -> None:
    """What is read is bounded, and the right lines come first wherever they stand."""
    strangers = "\n".join(f"stranger {number}: a thing" for number in range(600))
    answer = NameReader(CLASSES, TEMPLATE).read(f"{strangers}\nbat: baseball bat\nclub: golf club")
    assert answer.names == ((0, "baseball bat"), (2, "golf club"))
    assert len(answer.refused) == 499
    assert answer.refused[-1].reason == "too_many_lines"


def test_class_names_may_hold_numbers_brackets_and_colons() -> None:
    """The list of classes decides what a class is called, not the form of the line."""
    assert read("1: one dot\n2. a: b: two letters\nSt. Bernard (dog): rescue dog") == [
        (3, "one dot"),
        (5, "two letters"),
        (4, "rescue dog"),
    ]


def test_commas_and_several_names_of_one_class_are_kept() -> None:
    """A comma is part of a name; each line is one name."""
    assert read("bat: bat, a kind of sports equipment\nbat: cricket bat") == [
        (0, "bat, a kind of sports equipment"),
        (0, "cricket bat"),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("bat: a {} of wood", "slot"),
        ("bat: {class} of wood", "slot"),
        ("bat: <b>baseball</b> bat", "markup"),
        ("bat: baseball &amp; bat", "markup"),
        ("bat: [bat](https://example.org)", "markup"),
        (f"bat: {'very ' * MAX_WORDS}old bat", "too_many_words"),
        (f"bat: {'x' * 120}", "too_long"),
        ("bat: base\u202eball", "control_character"),
        ("bat: ...", "empty"),
        ("bat: Bow", "name_of_another_class"),
        ("bat: the bat", "own_name"),
        ("bats: baseball bat", "unknown_class"),
    ],
)
def test_what_is_no_name_is_refused_with_a_reason(line: str, reason: str) -> None:
    """Slots, markup, long texts, invisible characters, another class's name, and unknown classes."""
    assert read(line) == []
    assert reasons(line) == [reason]


def test_one_name_never_belongs_to_two_classes() -> None:
    """The class for which a name was proposed first keeps it, in later answers too and in any spelling."""
    reader = NameReader(CLASSES, TEMPLATE)
    first = reader.read("bat: playing card\nbow: the Playing Card.")
    assert first.names == ((0, "playing card"),)
    assert [line.reason for line in first.refused] == ["proposed_for_another_class"]
    assert reader.read("club: a playing card").names == ()
    assert reader.read("bat: playing card").names == ((0, "playing card"),)


def test_chatter_is_skipped() -> None:
    """Sentences around the lines are no proposals."""
    answer = "Here are the names:\n\nbat: baseball bat\n\nI hope that this helps!"
    assert read(answer) == [(0, "baseball bat")]
    assert reasons(answer) == []


def test_the_last_line_of_a_cut_answer_is_left_out() -> None:
    """A name that was cut is another name."""
    assert read("bat: baseball bat\nbow: rib", cut=True) == [(0, "baseball bat")]


def test_a_short_answer_has_names_of_the_class_that_was_asked_for() -> None:
    """One name a line; marks and explanations of small models go."""
    answer = "Sure!\n- baseball bat\n- bat, a flying animal\n- cricket bat: for cricket\n- bat: vampire bat"
    assert read(answer, only=0) == [
        (0, "baseball bat"),
        (0, "bat, a flying animal"),
        (0, "cricket bat"),
        (0, "vampire bat"),
    ]
    assert read("baseball bat\ncricket bat", only=0) == [(0, "baseball bat"), (0, "cricket bat")]


LINES = st.lists(
    st.tuples(
        st.sampled_from([*CLASSES, "other", ""]),
        st.sampled_from([": ", " -> ", "|", " - ", "", "="]),
        st.text(max_size=40),
    ),
    max_size=20,
)


@given(st.one_of(st.text(), LINES.map(lambda parts: "\n".join(map("".join, parts)))), st.booleans())
def test_reading_never_raises_and_gives_checked_names(answer: str, short: bool) -> None:
    """Whatever is written: a known class, no brace, few words, no other class's name, each name one owner."""
    read = NameReader(CLASSES, TEMPLATE).read(answer, only=2 if short else None)
    owners: dict[str, int] = {}
    for label, name in read.names:
        assert 0 <= label < len(CLASSES)
        assert name == " ".join(name.split())
        assert 0 < len(name.split()) <= MAX_WORDS
        assert not set(name) & set("{}<>\n")
        assert name not in CLASSES
        assert owners.setdefault(name, label) == label
    assert all(len(line.line) <= 200 and line.reason and line.message for line in read.refused)


DOCUMENTS = st.recursive(
    st.text(max_size=8) | st.none() | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*CLASSES, "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(DOCUMENTS)
def test_any_json_is_read_without_an_error(document: object) -> None:
    """Lists, numbers and nesting where names should be."""
    NameReader(CLASSES, TEMPLATE).read(json.dumps(document))


@pytest.mark.parametrize(
    "piece", ["bat: ", "bat" + " " * 3000, "a:b|c->d=", "{" * 500, "[{", "bat: x\n", ": " * 50, "- " * 40]
)
def test_reading_takes_time_in_proportion_to_the_length(piece: str) -> None:
    """A huge answer is read in piece, and quickly."""
    reader = NameReader(CLASSES, TEMPLATE)
    began = time.process_time()
    reader.read(piece * (400_000 // len(piece)))
    assert time.process_time() - began < 5


def record(name: str = "bat") -> ClassRecord:
    """How a class does."""
    return ClassRecord(
        name=name, current="cricket bat", images=20, before=3, right=11, taken_for=[("bow", 6)],
        tried=[("cricket bat", 9, 1), ("vampire bat", 0, 2)],
    )  # fmt: skip


def test_a_rich_request_says_what_is_known_of_each_class() -> None:
    """Template, description, classes, counts, and what each name did."""
    (message,) = rich_request("a drawing of a {}", CLASSES, [record()], description="small drawings")
    text = message["content"]
    for fact in (
        "'a drawing of a {}'",
        "What the pictures show: small drawings",
        "There are 6 classes",
        "- bat: 11 of 20 as 'cricket bat', 3 before; taken for bow (6)",
        "    tried: cricket bat (+9 -1)",
        "Write 4 new names",
        "CLASS: NAME",
    ):
        assert fact in text


def test_a_request_for_many_classes_asks_for_one_name_each() -> None:
    """So that an answer of the usual length holds them all."""
    (message,) = rich_request("a {}", CLASSES, [record()] * MOST_CLASSES, description="")
    assert "Write one new name for each" in message["content"]
    assert "What the pictures show" not in message["content"]


def test_a_short_request_is_examples_and_the_class() -> None:
    """A small model gets neither scores nor lists."""
    messages = short_name_request("club")
    assert [message["role"] for message in messages] == ["system", *["user", "assistant"] * 3, "user"]
    assert messages[-1]["content"] == "club"


def test_a_request_for_what_classes_are_has_all_names_in_view() -> None:
    """So that the language is recognised; it asks about some of them."""
    (message,) = reading_request(CLASSES, CLASSES[:2], description="small drawings")
    text = message["content"]
    assert "What the pictures show: small drawings" in text
    assert "All classes: bat, bow, club, 1, St. Bernard (dog), a: b." in text
    assert "Say what each of these classes is:\n- bat\n- bow\n\n" in text
    assert "CLASS: NAME" in text
    many = [f"class number {number} of very many" for number in range(5000)]
    (message,) = reading_request(many, many[:READ_AT_ONCE], description="")
    assert len(message["content"]) < 5000


def test_a_small_model_is_asked_what_one_class_is_with_others_in_view() -> None:
    """The class first, and twelve at most."""
    many = [f"laji {number}" for number in range(400)]
    last = short_reading_request(many, "laji 300")[-1]["content"]
    assert last.startswith("laji 300, laji 0, laji 1, ")
    assert last.count(",") == MOST_IN_VIEW - 1
    assert last.endswith("\nWhat is 'laji 300'?")


def test_readings_may_be_shared_by_classes() -> None:
    """In one spelling; another class's own name is refused, and a later proposal is its first class's."""
    reader = NameReader(CLASSES, TEMPLATE)
    read = reader.read("bat: dog\nbow: the Dog.\nclub: bat", shared=True)
    assert read.names == ((0, "dog"), (1, "dog"))
    assert [line.reason for line in read.refused] == ["name_of_another_class"]
    assert reader.read("club: DOG\nbat: dog").names == ((2, "dog"),)


def test_a_class_is_confirmed_by_its_own_name_first() -> None:
    """A name after it is what else the class may be; one before it is what it is."""
    reader = NameReader(CLASSES, TEMPLATE)
    reader.read("bat: bat\nbat: baseball bat\nbow: ribbon\nbow: bow\nclub: golf club")
    assert reader.confirmed == {0}


def test_a_common_word_has_its_article() -> None:
    """As captions have it."""
    names = NameReader(["bat", "bow"], TEMPLATE).kind_names(0, random.Random(1))
    assert {"bat, an animal", "bat, a tool"} <= set(names)


def test_a_common_word_that_is_another_class_is_left_out() -> None:
    """Its pictures are of that class; the order of the others stays."""
    names = NameReader(["bat", "bow"], TEMPLATE).kind_names(0, random.Random(1))
    beside = NameReader(["bat", "Animal", "tools", "boxes"], TEMPLATE).kind_names(0, random.Random(1))
    assert beside == [name for name in names if name not in ("bat, an animal", "bat, a tool", "bat, a box")]


def test_the_longest_class_name_that_a_line_begins_with_is_meant() -> None:
    """A class name may begin with that of another class."""
    reader = NameReader(["a: b", "a"], "a photo of a {}")
    assert reader.read("a: b: dog\na: cat").names == ((0, "dog"), (1, "cat"))


def test_long_class_names_are_asked_for_in_full() -> None:
    """An answer is read by the whole name."""
    names = [f"a name of a class that goes on for more than sixty characters until {end}" for end in "xy"]
    (request,) = reading_request(names, names, description="")
    assert all(f"- {name}\n" in str(request["content"]) for name in names)


def test_the_name_of_another_class_is_known_whatever_its_spelling() -> None:
    """Common words make no name that a class has."""
    reader = NameReader(["bat", "Bat, a tool"], "a photo of a {}")
    assert reader.is_own_name("bat, a tool")
    assert not reader.is_own_name("bat, an animal")
