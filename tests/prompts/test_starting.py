"""Pools: the built-in one, template files of every kind, draws."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.prompts.starting import PoolError, draw, parse_file
from promptclimb.prompts.template import Template
from promptclimb.prompts.template_kind import BUILT_IN, KIND

(POOL,) = KIND.starting("captions")


def read(content: str, name: str = "pool.txt") -> list[str]:
    return [template.text for template in parse_file(content, name, KIND)]


def test_the_built_in_pool_is_large_valid_tidy_and_without_duplicates() -> None:
    """At least 240 templates, each within the default limits and no two of them spellings of one."""
    parsed = [Template.parse(text) for text in BUILT_IN]
    assert len(parsed) >= 240
    assert [template.text for template in parsed] == list(BUILT_IN)
    assert len({template.key for template in parsed}) == len(parsed)
    assert KIND.example in BUILT_IN


def test_the_built_in_pool_is_varied() -> None:
    """No opening of three words stands under more than a tenth of the pool, except "a {} in/on"."""
    openings = [" ".join(text.split()[:3]) for text in BUILT_IN if not text.startswith("a {} ")]
    assert max(openings.count(opening) for opening in set(openings)) <= len(BUILT_IN) / 10
    assert len({word for text in BUILT_IN for word in text.split()}) > 350


@pytest.mark.parametrize(
    "content",
    [
        "a photo of a {}\n{} in fog\n",
        "a photo of a {}\n\n# a remark\n  {} in fog",
        '["a photo of a {}", "{} in fog"]',
        ' [\n"a photo of a {}",\n"{} in fog"\n]\n',
        "a photo of a {c}\n{class_name} in fog",
        '["a photo of a {c}", "{c} in fog"]',
        "\"a photo of a {}\"\n'{} in fog'",
        "a photo of a [CLASS]\n[CLASS] in fog",
        "[CLASS] in fog\na photo of a [CLASS]",
    ],
)
def test_files_are_read_in_many_forms(content: str) -> None:
    """Lines or a JSON list, with remarks, quotes and other tools' slots."""
    assert sorted(read(content)) == ["a photo of a {}", "{} in fog"]


def test_order_repetitions_and_long_templates_are_kept() -> None:
    """Scores come back in the file's order; a user's templates may be longer than an LLM's."""
    long = "w " * 20 + "{}"
    assert read(f"b {{}}\na {{}}\nb {{}}\n{long}\n") == ["b {}", "a {}", "b {}", long]


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("", "a.txt", "it holds no template"),
        (" \n\n", "a.json", "it holds no template"),
        ("# nothing\n", "a.txt", "it holds no template"),
        ("[]", "a.json", "it holds no template"),
        ("a {}\na photo of a dog\n", "a.txt", "line 2: 'a photo of a dog' has no slot"),
        ("a dog\n{}\na cat\n", "a.txt", r"line 1: .*no slot.*\(1 more like it\)"),
        ("a {}\n\n{foo} {}\n", "a.txt", "line 3: .*brace"),
        ("a {}\nb\x00 {}\n", "a.txt", r"line 2: character 2 is U\+0000"),
        ("a {}\nb\x0b{}\n", "a.txt", r"line 2: character 2 is U\+000B"),
        ('["a {}",\n "b {}",\n oops]', "a.json", "Invalid JSON: .* at line 3"),
        ('["a {}",\n "b {}"', "a.txt", "Invalid JSON: .* at line 2"),
        ('{"a": "b {}"}', "a.json", "Input should be a valid (list|array)"),
        ('["a {}",\n\n 7]', "a.json", "item 2: Input should be a valid string"),
        ('["a {}",\n"no slot here"]', "a.json", "item 2: .*no slot"),
        ("[" * 100_000, "a.json", "Invalid JSON: recursion limit"),
        (f"[{'9' * 5000}]", "a.json", ""),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_bad_files_are_named_with_the_place(content: str, name: str, message: str) -> None:
    """Every message names the file and the line or item, and says what is wrong."""
    with pytest.raises(PoolError, match=f"^{name}: {message}"):
        read(content, name)


@given(
    st.one_of(
        st.text(max_size=80),
        st.lists(
            st.sampled_from(["[", "]", '"', ",", "{}", "a ", "\n", "\\", "7", "{", "}", ":", "#"]),
            max_size=25,
        ).map("".join),
    )
)
def test_any_text_gives_templates_or_a_clear_error(content: str) -> None:
    """Fuzzing: nothing but PoolError comes out, and it names the file."""
    candidates, message = list[str](), ""
    try:
        candidates = read(content)
    except PoolError as error:
        message = str(error)
    assert candidates or message.startswith("pool.txt: ")


def test_draws_depend_on_the_generator_alone_and_do_not_repeat() -> None:
    """The same seed draws the same templates; another seed others; none twice."""
    first = draw(POOL, 100, random.Random(1))
    assert first == draw(POOL, 100, random.Random(1))
    assert first != draw(POOL, 100, random.Random(2))
    assert len({template.key for template in first}) == 100
    assert draw([[Template("{}")]], 1, random.Random(0)) == [Template("{}")]


GROUPS = [[Template.parse(f"{kind} {number} {{}}") for number in range(30)] for kind in ("a", "b", "c", "d")]


def test_a_varied_draw_takes_from_every_group_in_turn() -> None:
    """As many of each as can be, none twice, decided by the stream."""
    drawn = draw(GROUPS, 10, random.Random(1))
    assert drawn == draw(GROUPS, 10, random.Random(1)) != draw(GROUPS, 10, random.Random(2))
    assert len(set(drawn)) == 10
    assert sorted(sum(candidate in group for candidate in drawn) for group in GROUPS) == [2, 2, 3, 3]


def test_a_varied_draw_prefers_words_that_were_not_drawn() -> None:
    """Of one group with two words, neither comes thrice before the other has come."""
    group = [Template.parse(f"{word} {{}} {number}") for word in ("red", "blue") for number in range(20)]
    drawn = draw([group, []], 10, random.Random(3))
    assert 3 <= sum("red" in candidate.text for candidate in drawn) <= 7


def test_a_varied_draw_may_take_all_and_no_more() -> None:
    """Groups that are used up are passed over."""
    groups = [GROUPS[0], [], GROUPS[1][:1]]
    assert len(set(draw(groups, 31, random.Random(1)))) == 31
    for wanted in (0, 32):
        with pytest.raises(PoolError, match="from a pool of 31: ask for 1 to 31"):
            draw(groups, wanted, random.Random(1))
