"""The head of a page: what was searched, the verdict in one sentence, and the figures that carry it."""

from __future__ import annotations

from typing import NamedTuple

from ...evaluator.counts import counted
from .figures import about_test, difference_text, has_accuracies, made_by_llm, score_text
from .gain import DEFAULT_TEMPLATE
from .gain_rows import told
from .guessing import verdict_on
from .notes import PROMINENT
from .result import SearchResult, Sizes
from .run_view import RunView


class Card(NamedTuple):
    """A figure at the head of the page."""

    name: str
    value: str
    about: str


def _what_was(result: SearchResult) -> str:
    data, sizes = result.dataset, result.dataset.sizes
    # A black box of the user's own need not say of what it is made.
    classes = f"{data.classes} classes" if data.classes else data.name
    images = (
        f", {data.shots} shots, seed {data.seed}: {sizes.train} training, {sizes.val} validation and "
        f"{sizes.test} test images"
        if sizes != Sizes()
        else f", seed {data.seed}"
    )
    asked = f"proposed by {result.llm.model}" if result.llm.model else "proposed without an LLM"
    if (made := made_by_llm(result)) is not None and made[0] < made[1]:
        asked += f" ({made[0]:,} of the {made[1]:,} new ones, the others without an LLM)"
    weights = f" ({result.model.pretrained})" if result.model.pretrained else ""
    searched = f", objective {result.objective}" if has_accuracies(result) else ""
    return (
        f"{result.model.name}{weights} on {classes}{images}. Templates {asked}, "
        f"method {result.method}{searched}."
    )


def what(view: RunView) -> str:
    """Return what is searched, with what."""
    return _what_was(view.result) if view.result is not None else _what_runs(view)


def _what_runs(view: RunView) -> str:
    started = view.state.started
    if not started:
        return "The search has not begun to restart."
    who = f"proposed by {started.get('llm')}" if started.get("llm") else "proposed without an LLM"
    return f"{started.get('model')}. Templates {who}, method {started.get('method')}."


def verdict(view: RunView) -> str:
    """Return the page in one sentence: what was gained, or how far the search is."""
    result, state = view.result, view.state
    if result is not None and (on_test := verdict_on(result)):
        return f"{on_test}."
    rows = view.rows
    if not rows:
        return "Nothing was scored yet."
    best = f"{_shown(result.best.train if result else rows[0].train, view)} on the training images"
    if over_plain := _over_plain(view):
        best += f", {over_plain} over the {DEFAULT_TEMPLATE}"
    if result is not None and result.status == "finished":
        return f"The best template has {best}; nothing is known of it on test images. {about_test(result)}"
    of = state.started.get("rounds")
    done = f"{state.rounds:,} of {of:,} rounds" if isinstance(of, int) else f"{state.rounds:,} rounds"
    how = {"live": "the search is running", "stopped": "the search was stopped"}
    return (
        f"Not finished: {how.get(state.state, 'the search was interrupted')} after {done}. The best template "
        f"so far has {best}; the test images stay sealed until the search has chosen."
    )


def _over_plain(view: RunView) -> str:
    """Return the train gain over the default template as text; empty if it is not known."""
    plain, rows = view.state.plain, view.rows
    if plain is None or not rows:
        return ""
    best = rows[0].train if view.result is None else view.result.best.train
    return difference_text(best - plain, percent=view.percent)


def _shown(value: float | None, view: RunView) -> str:
    return score_text(value, percent=view.percent) + (" %" if view.percent else "")


def warnings(view: RunView) -> list[str]:
    """Return without what the figures would be misread."""
    result = view.result
    if result is None:
        return []
    found = []
    if result.stop_reason:
        found.append(f"Stopped before its end: {result.stop_reason}.")
    if result.skipped:
        failed = result.usage.failed_calls
        found.append(
            f"{counted(result.skipped, 'round')} without an answer; {counted(failed, 'attempt')} failed."
        )
    if result.objective in ("logprob", "margin"):
        found.append("The objective looks at logits: this was no black-box search.")
    return found + [str(result.notes[name]) for name in PROMINENT if name in result.notes]


def cards(view: RunView) -> list[Card]:
    """Return the figures that carry the verdict."""
    result = view.result
    if result is None:
        rows = view.rows
        best = [Card("best so far", _shown(rows[0].train, view), "train")] if rows else []
        if over_plain := _over_plain(view):
            best.append(Card(f"over {DEFAULT_TEMPLATE}", over_plain, "train"))
        return [*best, Card("templates scored", f"{len(rows):,}", "")]
    split = next((one for one in ("test", "val", "train") if getattr(result.best, one) is not None), "train")
    found = [Card("best found", _shown(getattr(result.best, split), view), split)]
    for name, one in (result.gain.over if result.gain else {}).items():
        said = told(one)
        found.append(Card(f"over {name}", said.points, said.interval))
    return [*found, Card("ensemble", _shown(getattr(result.ensemble, split), view), split)]
