"""The examples in docs/method.md are made by the code, and so are further requests in tests/data/requests.md.

`python -m tests.test_method_page` (in the project's folder) writes the examples into both files again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pytest

from promptclimb.agent.methods.registry import METHODS
from promptclimb.prompts.kinds import CandidateError
from promptclimb.prompts.replies import parse_reply
from promptclimb.prompts.requests import (
    ChatMessage,
    Information,
    Outcome,
    Wanted,
    feedback,
    next_message,
    opening,
    plain_request,
    request_ape,
    request_opro,
    request_p,
    short_request,
)
from promptclimb.prompts.template import TEMPLATE_WORDS, Template
from promptclimb.prompts.template_kind import BUILT_IN, all_of_grammar
from promptclimb.prompts.wording import built_in
from tests.paths import ROOT

PAGE = ROOT / "docs" / "method.md"
FILES = (PAGE, ROOT / "tests" / "data" / "requests.md")
BLOCK = re.compile(r"<!-- example: (\w+) -->\n(.*?)<!-- end -->", re.DOTALL)

BEST = [
    Outcome("a sketch of a {}"),
    Outcome("a line drawing of a {}"),
    Outcome("a doodle of a {} in a notebook"),
]
WORST = [Outcome("a satellite view of {}"), Outcome("the reflection of a {} in a window")]
OUTCOMES = [
    Outcome("a quick pencil sketch of a {}", 0.625),
    Outcome("a {} drawn by a child", 0.5417),
    Outcome("a sketch of one {}", 0.5833),
    Outcome("a pencil sketch", reason="it has no slot {} for the class name"),
]
SPELLINGS = [
    "a photo of a {}",
    '"A photo of the {}."',
    "a photo of {}s",
    "a photo of a {}!",
    "a {} beside a {}",
]
NOT_TEMPLATES = [
    "a photo of a dog",
    "{foo} {}",
    "a photo\\nof a {}",
    '""',
]
LINES = [
    "- a photo of a {}",
    "**Plain**: `a photo of a {class_name}`",
    "- a photo of a {flower} (62.5 %)",
    '["a photo of a {}", "a sketch of {}"]',
    '{"template": "a photo of a <class>", "why": "plain"}',
    "- a {} in a lake: because water is good",
    "- a photo of a [COLOUR]",
    "- a photo of a flower",
    "Sure, here are some templates with {}:",
    "- every template has the slot {} where the name of the class goes",
]


def wanted(proposals: int, max_words: int = 15, objective: str = "accuracy") -> Wanted:
    """The part of a request that says what to write."""
    return Wanted(words=TEMPLATE_WORDS, proposals=proposals, max_words=max_words, objective=objective)


def said(content: str) -> str:
    return f"```text\n{content}\n```\n"


def conversation(messages: Sequence[ChatMessage]) -> str:
    """Messages one after the other, with their roles if there are several."""
    if len(messages) == 1:
        return said(messages[0]["content"])
    return said("\n\n".join(f"[{message['role']}]\n{message['content']}" for message in messages))


def keys() -> str:
    rows = [f"| `{text}` | `{Template.parse(text).key}` |" for text in SPELLINGS]
    return "\n".join(["| written | key |", "|---|---|", *rows]) + "\n"


def refused() -> str:
    rows = []
    for text in NOT_TEMPLATES:
        with pytest.raises(CandidateError) as caught:
            Template.parse(text.replace("\\n", "\n"))
        rows.append(f"| `{text}` | `{caught.value.reason}` | {caught.value} |")
    return "\n".join(["| written | reason | in words |", "|---|---|---|", *rows]) + "\n"


def lines() -> str:
    rows = []
    for line in LINES:
        reply = parse_reply(line)
        read = [f"`{template.text}`" for template in reply.candidates]
        read += [f"refused, `{refusal.reason}`" for refusal in reply.refused]
        code = f"`` {line} ``" if "`" in line else f"`{line}`"
        rows.append(f"| {code} | {', '.join(read) or 'chatter'} |")
    return "\n".join(["| the LLM writes | read as |", "|---|---|", *rows]) + "\n"


GIVEN = Information(description="tally marks", class_names=("one", "two", "three", "four"), angle="")
WANTED = Wanted(proposals=5, max_words=15, words=TEMPLATE_WORDS)
RANKED = [Outcome("a {} shown by strokes", 0.6771), Outcome("a beautiful {}", 0.6615)]


def guided() -> str:
    """The first request of a conversation with description."""
    worst = [Outcome("a {} lying on its side", 0.2917)]
    return conversation(opening(built_in(), GIVEN, WANTED, best=RANKED, worst=worst, anew=False))


def following() -> str:
    """A later request of it."""
    message = next_message(built_in(), WANTED, outcomes=OUTCOMES, best=RANKED, confused=[("four", "three")])
    return conversation([message])


EXAMPLES: dict[str, Callable[[], str]] = {
    "p": lambda: said(request_p(BEST, wanted=wanted(5))[0]["content"]),
    "feedback": lambda: said(feedback(OUTCOMES, best_before=0.5833, wanted=wanted(5))["content"]),
    "nothing": lambda: said(feedback([], best_before=0.5833, wanted=wanted(5))["content"]),
    "ape": lambda: said(request_ape(BEST[0], wanted=wanted(5))[0]["content"]),
    "opro": lambda: said(
        request_opro(
            [Outcome(shown.text, 0.5833 - step / 24) for step, shown in enumerate(BEST)][::-1],
            wanted=wanted(5),
        )[0]["content"]
    ),
    "guided": guided,
    "next": following,
    "plain": lambda: conversation(plain_request(built_in(), GIVEN.description)),
    "short": lambda: conversation(short_request(built_in(), GIVEN, proposals=5)),
    "keys": keys,
    "refused": refused,
    "lines": lines,
}


def test_every_example_is_what_the_code_gives() -> None:
    """The pages and the program agree."""
    found = dict(block for file in FILES for block in BLOCK.findall(file.read_text("utf-8")))
    assert sorted(found) == sorted(EXAMPLES)
    for name, text in found.items():
        assert text == EXAMPLES[name](), f"example {name}: run python -m tests.test_method_page"


def test_the_page_lists_every_method() -> None:
    """Each has its row, or shares one."""
    table = PAGE.read_text("utf-8").partition("|`--method`|")[2].partition("\n\n")[0]
    cells = re.findall(r"^\|(`[^|]+)\|", table, re.MULTILINE)
    assert sorted(re.findall(r"`([\w-]+)`", " ".join(cells))) == sorted(METHODS)


def test_the_page_counts_the_starting_templates() -> None:
    """The numbers of built-in templates on the page are the real ones."""
    page = PAGE.read_text("utf-8")
    assert f"{len(BUILT_IN)} caption templates" in page
    assert f"{len(all_of_grammar()):,} templates that a grammar makes" in page


if __name__ == "__main__":
    for file in FILES:
        text = file.read_text("utf-8")
        file.write_text(
            BLOCK.sub(lambda m: f"<!-- example: {m[1]} -->\n{EXAMPLES[m[1]]()}<!-- end -->", text), "utf-8"
        )
