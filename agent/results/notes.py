"""The sentences of a result's notes on its search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...evaluator.counts import counted, enumerated
from ...evaluator.errors import reason_of
from ...evaluator.scoring import Score
from ...prompts.kinds import CandidateNoun
from ..prices import Spent
from .result import (
    UNEXAMINED,
    UNGROWN,
    UNJUDGED,
    UNLEARNED,
    UNNAMED,
    UNOPENED,
    UNPAIRED,
)

BY_LOGPROB = "accuracy and log-probabilities of the labelled images, compared after the search"

_FAILED: Mapping[str, str] = {
    UNGROWN: "the averaged texts are the first {} of the ranking",
    UNJUDGED: "the texts are compared by their scores alone",
    UNLEARNED: "nothing was learnt from the labelled images",
    UNOPENED: "the test split could not be examined",
    UNEXAMINED: "the forms of the result could not be examined",
    UNPAIRED: "intervals are not paired, as no predictions could be had",
    UNNAMED: "the new class names could not be examined on {}",
}
"""What failed, by the name of its note; with a place for the number of templates, or the split."""


def failure_note(name: str, error: Exception, detail: str | int = "") -> str:
    """Say that a step at the end of a search failed, which does not cost the result."""
    cause = reason_of(error).encode("utf-8", "backslashreplace").decode("utf-8")  # it must be storable
    return f"{_FAILED[name].format(detail)}: {cause}"


def empty_answers_note(words: CandidateNoun, *, answers: int, empty: int, cut: int) -> str:
    """Say in how many answers no candidate could be read, and how many of those were cut for length."""
    text = f"no {words.noun} could be read in {empty:,} of {counted(answers, 'answer')}"
    return text + (f"; {cut:,} of them were cut: raise `answer_tokens`" if cut else "")


def racing_note(words: CandidateNoun, images_of_each: Sequence[int], images: int) -> str | None:
    """Say how many labels races saved, of candidates seen on so many images; None if none was dropped."""
    dropped = sum(seen < images for seen in images_of_each)
    asked, full = sum(images_of_each), images * len(images_of_each)
    if not dropped:
        return None
    return (
        f"racing asked for {asked:,} of the {full:,} labels of full scoring: {dropped:,} of "
        f"{len(images_of_each):,} {words.noun}s were dropped before they saw all images"
    )


def unread_answers_note(best: Score) -> str | None:
    """Say what share of the answers to the best instruction name no class; None if all name one."""
    if not best.unreadable:
        return None
    examples = best.unreadable_examples
    cut = any(example.startswith("(cut)") for example in examples)
    return (
        f"{100 * best.unreadable:.1f} % of the answers to the best instruction on train name no class, and "
        f"count as wrong, such as {enumerated(map(repr, examples))}"
        + ("; cut ones need a higher scorer_answer_tokens" if cut else "")
    )


def no_cost_note(accounts: Mapping[str, Spent]) -> str | None:
    """Say whose reports of no cost, or of a fee alone, were no price of its tokens; None for nobody's."""
    reports = [
        f"the {who} reports {'nothing but a fee' if spent.vendor_picodollars else 'a cost of zero'}"
        for who, spent in accounts.items()
        # A call with a fee alone is none whose cost is reported.
        if bool(spent.vendor_calls) != bool(spent.vendor_picodollars)
        and spent.picodollars > spent.vendor_picodollars
    ]
    return (
        f"{enumerated(reports)} for tokens that have a price: they count at that price" if reports else None
    )
