"""From chats to lists and back: what a base model is given to continue, and what is made of its lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.llm.local.answering import LINE_TOKENS, MAX_LINES_A_ROUND, answer
from promptclimb.agent.llm.local.generator import Sample, Sampling
from promptclimb.agent.llm.local.listing import (
    DEFAULT_WANTED,
    HEADING,
    MAX_SHOWN,
    MAX_WANTED,
    Listing,
    read_chat,
)
from promptclimb.prompts.replies import parse_reply
from promptclimb.prompts.requests import (
    Message,
    Outcome,
    feedback,
    request_ape,
    request_opro,
    request_p,
    request_pn,
)
from promptclimb.prompts.template import Template

BEST = [Outcome("a photo of a {}"), Outcome("a sketch of {}"), Outcome("an old {}")]
WORST = [Outcome("{} in a box"), Outcome("my favourite {}")]


class Lines:
    """A generator that gives scripted lines in turn, eight tokens each."""

    def __init__(self, *lines: str, complete: bool = True) -> None:
        self.script = lines
        self.complete = complete
        self.drawn = 0
        self.rounds: list[int] = []

    def read(self, prompt: str, cancelled: Callable[[], bool]) -> int:
        return 100

    def lines(self, seeds: Sequence[int], sampling: Sampling, cancelled: Callable[[], bool]) -> list[Sample]:
        assert len(set(seeds)) == len(seeds)
        self.rounds.append(len(seeds))
        texts = [self.script[(self.drawn + index) % len(self.script)] for index in range(len(seeds))]
        self.drawn += len(seeds)
        return [Sample(text, min(8, sampling.max_tokens), self.complete) for text in texts]

    def close(self) -> None:
        pass


def ask(
    generator: Lines, wanted: int = 3, *, max_tokens: int = 1_000, temperature: float = 1.0, **more: object
) -> list[str]:
    listing = Listing(("a photo of a {}",), frozenset({Template("a photo of a {}").key}), wanted, 15)
    sampling = Sampling(temperature=temperature, top_p=1.0, max_tokens=max_tokens)
    found = answer(generator, listing, sampling, seed="1", cancelled=lambda: False)
    assert found.completion_tokens <= max_tokens
    return found.text.splitlines()


def test_the_best_stand_last_and_the_worst_are_only_known() -> None:
    """The list ascends to the best template; bad ones are kept from being repeated, not shown."""
    listing = read_chat(request_pn(BEST, WORST, proposals=7, max_words=12))
    assert listing.shown == ("an old {}", "a sketch of {}", "a photo of a {}")
    assert listing.known == {Template(shown.template).key for shown in [*BEST, *WORST]}
    assert (listing.wanted, listing.max_words) == (7, 12)
    assert listing.prompt == f"{HEADING}\nan old <object>\na sketch of <object>\na photo of a <object>\n"


def test_turns_move_what_rose_to_the_end() -> None:
    """What rose or stayed joins the list by its score; what fell or was refused is only known."""
    turn = feedback(
        [
            Outcome("a drawing of {}", 0.75),
            Outcome("a print of {}", 0.7),
            Outcome("a dull {}", 0.1),
            Outcome("an even {}", 0.5),
            Outcome("no slot", reason="it has no slot"),
        ],
        best_before=0.5,
        proposals=2,
        max_words=15,
    )
    said: Message = {
        "role": "assistant",
        "content": "- a drawing of {}\n- a print of {}\n- a dull {}\n- an even {}",
    }
    listing = read_chat([*request_p(BEST, proposals=5, max_words=15), said, turn])
    assert listing.shown[-4:] == ("a photo of a {}", "an even {}", "a print of {}", "a drawing of {}")
    assert Template("a dull {}").key in listing.known
    assert "a dull {}" not in listing.shown
    assert listing.wanted == 2


def test_the_other_methods_are_read_too() -> None:
    """APE's one template and OPRO's trajectory, whose scores are no part of the caption."""
    assert read_chat(request_ape(BEST[0], proposals=4, max_words=15)).shown == ("a photo of a {}",)
    trajectory = [Outcome("my {}", 0.25), Outcome("an old {}", 0.5)]
    listing = read_chat(request_opro(trajectory, proposals=4, max_words=15))
    assert listing.shown == ("my {}", "an old {}")
    assert listing.wanted == 4


@pytest.mark.parametrize(
    ("content", "shown", "wanted"),
    [
        ("Good captions:\n1. a cat {}\n2. a dog {}\n\nGive me 8 more captions.", ("a cat {}", "a dog {}"), 8),
        ("hello", (), DEFAULT_WANTED),
        ("", (), DEFAULT_WANTED),
        ("Write 0 templates", (), 1),
        ("Write 9999 templates", (), MAX_WANTED),
        ("* a [CLASS] here\n* no slot here", ("a {} here",), DEFAULT_WANTED),
        ("write three templates of fewer than 9 words", (), DEFAULT_WANTED),
    ],
)
def test_any_other_chat_makes_a_list_too(content: str, shown: tuple[str, ...], wanted: int) -> None:
    """List lines with a slot are taken as they stand; without any, the prompt has an example of its own."""
    listing = read_chat([{"role": "user", "content": content}])
    assert (listing.shown, listing.wanted) == (shown, wanted)
    assert listing.prompt.endswith(" <object>\n") or shown
    assert listing.max_words == (9 if "9 words" in content else 15)


def test_a_long_list_keeps_its_best_end() -> None:
    """Only the best templates fit into the prompt, and the rest are still known."""
    best = [Outcome(f"a photo number {n} of a {{}}") for n in range(50)]
    listing = read_chat(request_p(best, proposals=5, max_words=15))
    assert len(listing.shown) == MAX_SHOWN
    assert listing.shown[-1] == best[0].template
    assert len(listing.known) == 50


@given(
    st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), st.text(max_size=100)), max_size=5)
)
def test_no_chat_makes_it_raise(turns: list[tuple[str, str]]) -> None:
    """Whatever the messages, there is a prompt and a number."""
    listing = read_chat([{"role": role, "content": text} for role, text in turns])
    assert listing.prompt.startswith(HEADING)
    assert 1 <= listing.wanted <= MAX_WANTED


def test_dropped_lines_are_drawn_again() -> None:
    """Lines without a slot, known, repeated or with slips do not count; others are drawn in their place."""
    generator = Lines(
        "a poster", "A photo of the <object>.", "an <url> of <object>", "<object> on <object>",
        "a cat <object>", "a Cat <object>", "a dog <object>", "", "a cow <object>",
    )  # fmt: skip
    assert ask(generator) == ["- a cat {}", "- a dog {}", "- a cow {}"]


def test_the_lines_drawn_are_bounded() -> None:
    """A model that only repeats itself is asked three times for each template, not for ever."""
    generator = Lines("a cat <object>")
    assert ask(generator, wanted=4) == ["- a cat {}"]
    assert generator.drawn == 12
    many = Lines("a cat <object>")
    ask(many, wanted=100, max_tokens=100_000)
    assert max(many.rounds) <= MAX_LINES_A_ROUND
    assert many.drawn == 300


def test_tokens_are_bounded_over_all_lines() -> None:
    """max_tokens holds for the lines of an answer together, dropped ones included."""
    generator = Lines("a poster")
    ask(generator, wanted=50, max_tokens=2 * LINE_TOKENS)
    assert generator.drawn * 8 <= 2 * LINE_TOKENS


def test_lines_that_did_not_end_are_dropped() -> None:
    """A caption cut off by the token limit is no caption; if all are, they are answered as they are."""
    assert ask(Lines("a cat <object>", complete=False), wanted=1) == ["- a cat {}"]
    assert parse_reply("\n".join(ask(Lines("a poster"), wanted=2))).refused[0].reason == "no_slot"


def test_temperature_zero_draws_one_line() -> None:
    """At temperature 0 every line would be the same."""
    generator = Lines("a cat <object>", "a dog <object>")
    assert ask(generator, temperature=0.0) == ["- a cat {}"]
    assert generator.drawn == 1
