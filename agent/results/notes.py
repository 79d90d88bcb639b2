"""The sentences of a result's notes on its search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...evaluator.counts import counted, enumerated
from ...evaluator.scoring import Score
from ...prompts.kinds import CandidateNoun
from ..prices import Spent

BY_LOGPROB = "accuracy and log-probabilities of the labelled images, compared after the search"


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
