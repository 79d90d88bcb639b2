"""Our own request in an answer is no proposal."""

from __future__ import annotations

import pytest

from promptclimb.prompts.echoes import is_echo
from promptclimb.prompts.measures import MEASURES
from promptclimb.prompts.pools import BUILT_IN
from promptclimb.prompts.replies import parse_reply
from promptclimb.prompts.requests import (
    Outcome,
    feedback,
    request_ape,
    request_opro,
    request_p,
    request_pn,
)

BEST = [Outcome("a photo of a {}"), Outcome("a sketch of {}")]
WORST = [Outcome("{} in a box"), Outcome("my favourite {}")]
SCORED = [
    Outcome("a photo of a {}", 0.5),
    Outcome("a sketch of {}", 0.25),
    Outcome("no", reason="it has no slot {}"),
]


@pytest.mark.parametrize("proposals", [1, 5])
@pytest.mark.parametrize("objective", MEASURES)
@pytest.mark.parametrize("form", ["{}", "### Step 1\n{}", "> {}", "Sure! The task:\n\n{}"])
def test_a_request_that_is_repeated_holds_no_template(objective: str, proposals: int, form: str) -> None:
    """Neither rules nor lists come back as proposals; what the model adds below does."""
    for text in (
        request_pn(BEST, WORST, proposals=proposals, max_words=15, objective=objective)[0]["content"],
        request_p(BEST, proposals=proposals, max_words=15, objective=objective)[0]["content"],
        request_ape(BEST[0], proposals=proposals, max_words=15, objective=objective)[0]["content"],
        request_opro(SCORED[:2], proposals=proposals, max_words=15, objective=objective)[0]["content"],
        feedback(SCORED, best_before=0.3, proposals=proposals, max_words=15, objective=objective)["content"],
        feedback([], best_before=0.3, proposals=proposals, max_words=15, objective=objective)["content"],
    ):
        echoed = form.replace("{}", text.replace("\n", "\n> ") if form.startswith(">") else text, 1)
        assert parse_reply(echoed).templates == ()
        reply = parse_reply(f"{echoed}\n\n- a {{}} in ink\n")
        assert [template.text for template in reply.templates] == ["a {} in ink"]
        assert reply.refused == ()


def test_no_caption_passes_for_an_echo() -> None:
    """The phrases are those of a request and of nothing else."""
    assert not any(is_echo(text) for text in BUILT_IN)
    assert is_echo("3. **Every template** has the slot {} somewhere")


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
    assert ([template.text for template in reply.templates], reply.refused) == (["a {} in ink"], ())


def test_steps_without_a_template_at_their_end_are_read_from_the_beginning() -> None:
    """A remark at the end does not void an answer."""
    answer = "Step 1: new ones\n- a {} in ink\n\nStep 2: check\nAll rules are kept."
    assert [template.text for template in parse_reply(answer).templates] == ["a {} in ink"]
