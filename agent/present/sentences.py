"""Scores, gains, usage and orders in words, for the terminal, the report page and the result.

Accuracies are in percent, a custom scorer's numbers as they are; candidates have the noun of their kind.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from ...evaluator.counts import counted, enumerated
from ...evaluator.datasets.values import UNUSED_IMAGES
from ...evaluator.pico.models import TOY_MODEL
from ...evaluator.scoring import BARE_NAME, BASELINE_DEFAULT, CHOSEN
from ...prompts.kinds import TEMPLATE, CandidateNoun
from ..config.sources import on_command_line, typed
from ..events import types as events
from ..events.types import UsageChanged, UsageEvent
from ..limits import COST, LIMIT_BY_KEY, MINUTES
from ..llm.local_models import shown_llm
from ..methods.registry import METHODS
from ..position import INITIAL, LLM
from ..results.accuracies import ORIGINAL_NAMES, WITH_IMAGES, WITHOUT_SEARCH, baseline_name, score_text
from ..results.gain import ONLY_TEXTS, may_be_chance
from ..results.result import (
    COMMON_WORDS,
    FIRST_READING,
    LATER_ROUND,
    NO_NEW_NAME,
    PROMINENT,
    UNCHECKED,
    ApiUsage,
    Best,
    GroupAccuracies,
    Row,
    SearchResult,
    Usage,
)
from ..results.run_dir import CLASSIFIER, CONFIG, own_labels
from ..text import printable

MOST_NAMES = 12
"""Most new class names of one source in a line."""
LEAST_UNLIKE = 0.1
"""Difference between labelled images, held out, and test images from which they may be of another kind."""
UNSUPPORTED = "Unsupported: no labelled image of the class is classified correctly"
_FROM = {
    FIRST_READING: "From the LLM's first reading",
    LATER_ROUND: "From the LLM's later rounds",
    COMMON_WORDS: "From common words",
}
_REPLACE, _START = "its names replace the original ones", "the search {} from its names"
NameEvent: TypeAlias = events.NamesRead | events.NameRoundFinished | events.NamesChosen


def what_may_help(result: SearchResult) -> str:
    """Return what to do where training images were unused, or no texts beat the plain ones; else empty."""
    if result.best.unchecked:
        if result.best.class_names:
            return ""
        return (
            "What may help: another LLM (`llm = MODEL`); a larger `answer_tokens`, if answers were empty or "
            "cut; labelled images, an image or two of each class (`shots = 1`)."
        )
    unused = unused_images(result.notes)
    more = unused or "more labelled images"
    baselines = (result.baselines.get(name) for name in (BARE_NAME, BASELINE_DEFAULT))
    plain = (result.without_search, *baselines)
    is_plain = any(group is not None and group.templates == result.texts.templates for group in plain)
    if not is_plain or result.best.class_names or result.recommended.test is None:
        return f"What usually helps most: {unused}." if unused else ""
    names = (
        "; if the model may not know the class names, `search_for = class-names` with `llm = MODEL`"
        if result.best.class_names is None and result.prompts == TEMPLATE
        else ""
    )
    return f"No searched words beat the plain ones. What may help: {more}; other words in `describe`{names}."


def unlike_labelled(result: SearchResult) -> str:
    """Return that far fewer test images are right than labelled ones that were held out; empty if not."""
    learned, sizes = result.with_images, result.dataset.sizes
    if learned is None or learned.test is None or learned.train is None:
        return ""
    labelled = sizes.train + sizes.val
    held_out = (sizes.train * learned.train + sizes.val * (learned.val or 0.0)) / labelled
    return unlike((held_out, labelled), (learned.test, sizes.test))


def unlike(held_out: tuple[float, int], test: tuple[float, int]) -> str:
    """Return that test images seem unlike the labelled ones, by the share that is right of so many images."""
    error = math.sqrt(sum(share * (1 - share) / images for share, images in (held_out, test)))
    if held_out[0] - test[0] < max(LEAST_UNLIKE, 4 * error):
        return ""
    return (
        f"The test images seem unlike the labelled ones: {100 * held_out[0]:.0f} % of the labelled images "
        f"are right when held out, {100 * test[0]:.0f} % of the test images. What may help: labelled images "
        "like those."
    )


def unused_images(notes: Mapping[str, Any]) -> str:
    """Return how to use the training images that the default shots left unused; empty if there are none."""
    lines = notes.get(CHOSEN)
    line = next((line for line in lines if UNUSED_IMAGES in str(line)), "") if isinstance(lines, list) else ""
    used = line.partition(":")[0].removeprefix("using ")
    return f'`shots = "all"`, as only {used} were used' if line else ""


def save_without_search(result: SearchResult, run_dir: Path, folder: str) -> str:
    """Return the command that saves the best without a search; empty if the search beats it.

    It lacks the program's name. ``folder`` is that of the run as it is typed.
    """
    gap = result.recommended.over.get(WITHOUT_SEARCH)
    if gap is None or gap.same_template or gap.verdict == "better" or not (run_dir / CLASSIFIER).is_file():
        return ""
    # What a model behind an API answered in the search is not paid for again.
    kept = f" {typed('shared_cache', folder)}" if own_labels(run_dir) else ""
    return f"evaluate {typed('config', f'{folder}/{CONFIG}')} {typed('save', 'best.safetensors')}{kept}"


def about_test(result: SearchResult) -> str:
    """Describe the test split in a sentence."""
    if not result.dataset.sizes.test:
        return "There are no test images."
    if result.status == "stopped":
        return "The test images are held out until the search is finished."
    if result.test_opened is not None and result.test_opened > 1:
        return f"Test was evaluated {result.test_opened} times, each after the search had chosen."
    return "Test was evaluated once, after the search had chosen."


REJECTED: Mapping[str, str] = MappingProxyType(
    {
        "answer_too_long": "answers too long to be read to their ends",
        "control_character": "with a control character",
        "duplicate": "proposed twice in one answer",
        "empty": "empty",
        "scorer_failed": "that make the scorer fail",
        "known": "known already",
        "markup": "names with markup",
        "name_of_another_class": "names of another class",
        "no_slot": "without the slot",
        "own_name": "names that a class has already",
        "proposed_for_another_class": "names proposed for another class before",
        "several_slots": "with more than one slot {classes}",
        "slot": "names with a slot or a brace",
        "not_a_number": "scored with something that is not a number",
        "stray_brace": "with a brace outside a slot",
        "too_long": "with too many characters",
        "too_many_lines": "answers with too many lines to be read to their ends",
        "too_many_proposals": "beyond the number asked for",
        "too_many_tokens": "too long for the model's text encoder",
        "too_many_words": "with too many words",
        "unknown_class": "names for a class that there is not",
    }
)
"""Reasons of a rejection in words, after the number of lines; another evaluator may have more."""


def gains_in_words(gains: Mapping[str, float], words: CandidateNoun, *, percent: bool) -> list[str]:
    """Return ``3.1 points over the default template`` for each gain by baseline; of a loss, ``below``."""

    def text(gain: float) -> str:
        points = f"{abs(100 * gain):.1f} points" if percent else f"{abs(gain):.4g}"
        return f"{points} {'below' if gain < 0 and not points.startswith('0.0 ') else 'over'} the"

    return [f"{text(gain)} {baseline_name(name, words)}" for name, gain in gains.items()]


def without_images(result: SearchResult, texts: GroupAccuracies | Best) -> str:
    """Say how the recommended form, if it learned from images, differs from texts alone; else empty."""
    learnt, test = result.with_images, result.recommended.test
    if result.recommended.form != WITH_IMAGES or learnt is None:
        return ""
    percent, unit = result.has_accuracies, " %" if result.has_accuracies else ""
    alone, recommended = (score_text(share, percent=percent, unit=unit) for share in (texts.test, test))
    measured, images = test is not None and texts.test is not None, counted(learnt.images, "labelled image")
    if result.only_texts_renamed:
        differs = f"has your own class names and learned from {images}"
        if not measured:
            return f"the recommended classifier {differs}; these texts have the new names"
        shares = f"has {recommended} on test; these texts have {alone}"
        return f"the recommended classifier, which {differs}, {shares}"
    figures = f": these texts have {alone} on test, the classifier {recommended}" if measured else ""
    return f"what the {images} taught is left out{figures}"


def made_by_llm(result: SearchResult) -> tuple[int, int] | None:
    """Return how many of the new templates the LLM made, and of how many; None for no LLM or no new ones."""
    sources = [row.source for row in result.leaderboard]
    new = len(sources) - sources.count(INITIAL)
    if llm_of_templates(result) is None or None in sources or not new:
        return None
    return sources.count(LLM), new


def without_progress(result: SearchResult) -> str:
    """Say that no round beat the starting candidates in training; empty if one did, or none ran."""
    whole = [row for row in result.leaderboard if row.images is None]
    starting = max((row.train for row in whole if not row.round), default=None)
    rounds = {row.round for row in result.leaderboard if row.round}
    noun = result.words.noun
    if starting is None or not rounds:
        return ""
    if result.objective != "accuracy":  # others are shown with validation images and copies
        # With new class names another one may be best.
        is_starting = any(
            row.rank == 1 and not row.round and row.template == result.best.template for row in whole
        )
        return f"The best {noun} is a starting one: no round found a better one" if is_starting else ""
    if any(row.train > starting for row in whole):
        return ""
    scores = "scores higher on the training images than the best starting"
    return f"No round found {result.words.a_noun} that {scores} {noun}"


def proposes_by_llm(method: str) -> bool:
    """Return whether a method asks the LLM for templates; True for one that is not known here."""
    known = METHODS.get(method)
    return known is None or known.asks_llm


def method_text(started: events.SearchStarted) -> str:
    """Return the method of a search, and the LLM if it is asked for class names alone."""
    text = f"method {started.method}"
    if started.llm is None or proposes_by_llm(started.method):
        return text
    return f"{text}, then class names by {shown_llm(started.llm)}"


def llm_of_templates(result: SearchResult) -> str | None:
    """Return the LLM that was asked for templates; None if it was asked for class names alone, or not."""
    asked = proposes_by_llm(result.method)
    return shown_llm(result.llm.model) if asked and result.llm.model is not None else None


def chosen_by_more(rows: Iterable[Row]) -> bool:
    """Return whether the final choice uses more than the training images."""
    return any(row.val is not None or row.copies is not None for row in rows)


def about_order(rows: Sequence[Row], words: CandidateNoun, *, chosen: bool) -> str:
    """Describe the order of rows in words; ``chosen`` if they are the final leaderboard."""
    text = "Best first, in the order of the final choice: by training score."
    if not chosen:
        text = "Best first by training score so far; validation images and augmented copies count at the end."
    elif chosen_by_more(rows):
        val, copies = (any(getattr(row, name) is not None for row in rows) for name in ("val", "copies"))
        also = [name for name, used in (("validation images", val), ("augmented copies", copies)) if used]
        text = (
            f"Best first, in the order of the final choice, which counts {enumerated(also)} too: "
            f"another {words.noun} may have the best training score."
        )
    if any(row.images is not None for row in rows):
        text += (
            " Those that a race dropped come last, by an estimate; their accuracy is that on the few images "
            "that they were asked on."
        )
    return text


def spent_text(usage: UsageEvent | ApiUsage, whose: str, *, calls: str = "") -> str:
    """Say what an LLM or a scorer behind an API was asked and cost: ``LLM: 3 calls, 12 tokens, $0.0012``.

    ``calls`` replaces the number of calls, where it is shown with its limit.
    """
    texts = [calls or counted(usage.calls, "call")]
    if usage.tokens:
        kinds = kinds_of_tokens(usage)
        texts.append(f"{usage.tokens:,} tokens" + (f" ({kinds})" if kinds else ""))
    if usage.cost_usd:  # a local LLM and an unknown price have none
        texts.append(f"${usage.cost_usd:.4f}")
    return f"{whose}{', '.join(texts)}{unreported(usage)}"


def spent_rows(usage: UsageEvent | ApiUsage, whose: str = "") -> dict[str, str]:
    """Return what an LLM or a scorer behind an API was asked and cost, by what it is."""
    failed = f"{counted(usage.failed_calls, 'failed attempt')}, {usage.retries:,} retries"
    rows = {f"{whose}calls": f"{usage.calls:,} ({failed})"}
    if usage.tokens or not whose:
        kinds = kinds_of_tokens(usage)
        tokens = f"{usage.prompt_tokens:,} in, {usage.completion_tokens:,} out"
        rows[f"{whose}tokens"] = tokens + (f" ({kinds})" if kinds else "")
    return rows | {f"{whose}cost": cost_text(usage.cost_usd) + unreported(usage)}


def kinds_of_tokens(usage: UsageEvent | ApiUsage) -> str:
    """Return the cached and reasoning tokens in words; empty if none are reported."""
    if not isinstance(usage, Usage | UsageChanged):
        return ""
    kinds = {
        "from the prompt cache": usage.cached_tokens,
        "written to it": usage.cache_written_tokens,
        "of reasoning": usage.reasoning_tokens,
    }
    return ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count)


NO_MONEY = "$0.0000"
"""Less than is worth a word."""


def unreported(usage: UsageEvent | ApiUsage) -> str:
    """Return in words the upper bound on unreported usage, to append; empty for none."""
    money = f"${usage.estimated_usd:.4f}" if usage.estimated_usd else ""
    if money == NO_MONEY:
        return ""
    if usage.estimated_tokens:
        most = f"{usage.estimated_tokens:,} more tokens{money and f' ({money})'}"
    elif money:
        most = f"{money} more"
    else:
        return ""
    return f", and at most {most} that the endpoint did not report"


def cost_text(dollars: float | None) -> str:
    """Return a cost in words; None for an unknown one."""
    if dollars is None:
        return "unknown (no price given)"
    return f"${dollars:.4f}" if dollars else "nothing"


def event_text(name: str | None, time: str | None) -> str:
    """Return the latest event of a log in words, with its time in ISO 8601; empty for none."""
    if not name or not time:
        return ""
    # A search that stopped has "finished" as well.
    words = "end of the session" if name == events.SearchFinished.name else name
    return f"{words.replace('.', ' ').replace('_', ' ')}, {time[:19].replace('T', ' ')} UTC"


def left_text(key: str, value: float) -> str:
    """Return what is left of a limit, by its key: ``$0.0150``, ``1,200 tokens``."""
    if key == COST.key:
        return f"${value:.4f}"
    if key == MINUTES.key:
        return f"{value:,.1f} minutes"
    return f"{value:,.0f} {LIMIT_BY_KEY[key].unit if key in LIMIT_BY_KEY else key}s"


def result_lines(result: SearchResult, run_dir: Path | None, opening_s: float = 0.0) -> list[str]:
    """Return what is said of a result below its table: the gain, what was spent, and notes."""
    lines = verdict_lines(verdict) if (verdict := result.recommended.verdict) else []
    # The verdict mentions a toy model, and the whole note came when it was opened.
    prominent = [name for name in PROMINENT if name in result.notes and not (verdict and name == TOY_MODEL)]
    if result.best.class_names is not None and not result.is_unread:
        # The verdict says it, but not that of an earlier version.
        about = f". {UNSUPPORTED}" if result.best.unsupported and "unsupported" not in (verdict or "") else ""
        lines += [f"{_new_names(result.best)}{about}", *filter(None, [names_read(result)])]
    lines += filter(None, [on_command_line(names_hint(result))])
    opening = f", after {opening_s:,.0f} s of opening data and model" if opening_s >= 1 else ""
    lines.append(f"{_spent(result)}{opening}")
    if (counts := made_by_llm(result)) is not None:
        new = counted(counts[1], f"new {result.words.noun}")
        lines.append(f"The LLM proposed {counts[0] or 'none'} of {new}")
    lines += filter(None, [without_progress(result)])
    if result.usage.failed_calls:
        lines.append(f"{counted(result.usage.failed_calls, 'attempt')} failed")
    if result.skipped:
        lines.append(f"skipped without an answer: {counted(result.skipped, 'round')}")
    lines += [f"note: {printable(on_command_line(str(result.notes[name])))}" for name in prominent]
    if result.stop_reason:
        lines.append(f"stopped early: {on_command_line(result.stop_reason)}")
    if result.recommended.test is None or (result.test_opened or 0) > 1:
        lines.append(about_test(result))
    if run_dir is not None:
        lines.append(f"files: {run_dir}")
    return lines


def verdict_lines(verdict: str) -> list[str]:
    """Return a verdict with its sentence on texts alone, and what follows, on a line of their own."""
    first, texts, rest = verdict.partition(f" {ONLY_TEXTS}")
    return [first, *([f"{ONLY_TEXTS}{rest}"] if texts else [])]


def name_line(event: NameEvent) -> str:
    """Return the terminal's line on an event of the search for class names."""
    if isinstance(event, events.NamesRead):
        # Without labelled images the search is over with these names.
        used = _START.format("starts") if event.images else _REPLACE
        return _naming(event.read, event.classes, used if event.taken else "")
    start, when = "class names", "kept"
    if isinstance(event, events.NameRoundFinished):
        # All names tried are compared again at the end, and fewer may be kept.
        start, when = str(event.position), "for now"
    renamed = counted(event.renamed, "new name")
    images = counted(event.images, "labelled image")
    return f"{start}: {renamed} {when}, {event.right:,} of {images} correct"


def _new_names(best: Best) -> str:
    """Return the new names by where they come from, of each kind those first that are to be read."""
    if not best.class_names:
        return f"class names: {NO_NEW_NAME if best.unchecked else 'no new name was accepted'}"
    if best.unchecked:
        return f"class names, {UNCHECKED}: {_listed(best.class_names)}"
    about, names = "class names, kept for their scores, not for what they mean", best.new_names
    ordered = sorted(names, key=lambda name: name not in best.unsupported)
    unknown = {name: names[name] for name in ordered if name not in best.name_sources}
    if unknown:  # a result, or a search, of an earlier version
        about += f": {_listed(unknown)}"
    for source, words in _FROM.items():
        if of_source := {name: names[name] for name in ordered if best.name_sources.get(name) == source}:
            about += f". {words}: {_listed(of_source)}"
    return about


def _listed(names: Mapping[str, str]) -> str:
    changes = [f"{printable(old)} -> {printable(new)}" for old, new in list(names.items())[:MOST_NAMES]]
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return f"{'; '.join(changes)}{more}"


def names_hint(result: SearchResult) -> str:
    """Say that the model may not know the class names, where images tell the classes apart and texts do not.

    Empty if nothing says so, or if other names were searched for.
    """
    plain = [result.baselines.get(name) for name in (BARE_NAME, BASELINE_DEFAULT)]
    images = result.with_images
    if images is None or images.test is None or result.best.class_names is not None:
        return ""
    if may_be_chance(result, images.test) or not all(
        group is not None and may_be_chance(result, group.test) for group in plain
    ):
        return ""
    return (
        "plain texts may be no better than chance, and the labelled images are better: the model may not "
        'know the class names; `search_for = "class-names"` with `llm = MODEL` asks for others'
    )


def names_read(result: SearchResult) -> str:
    """Say how the first names of the LLM did; empty if it was not asked what the classes are."""
    if (first_reading := result.names_read) is None:
        return ""
    unasked = result.dataset.classes - first_reading.classes
    others = f"; it was not asked about {counted(unasked, 'class', 'classes')}" if unasked > 0 else ""
    # Later rounds may have replaced some of them.
    used = _REPLACE if first_reading.names == result.best.class_names else _START.format("started")
    naming = _naming(len(first_reading.names), first_reading.classes, used if first_reading.taken else "")
    original, chance = result.baselines.get(ORIGINAL_NAMES), ""
    if original and may_be_chance(result, original.test):
        subject = ", which" if naming.endswith("original ones") else "; the original names"
        chance = f"{subject} may be no better than chance"
    return f"{naming}{chance}{others}"


def _naming(named: int, classes: int, used: str) -> str:
    """Say how many classes got another name by the LLM, and how it was used; empty if they were not."""
    together = f"; {used or 'used all at once, its names are no better than yours'}" if named else ""
    return f"the LLM gave another name to {named:,} of {counted(classes, 'class', 'classes')}{together}"


def _spent(result: SearchResult) -> str:
    usage, scorer = result.usage, result.scorer_usage
    texts = [f"{counted(result.evaluated, result.words.noun)} scored"] if result.leaderboard else []
    if result.llm.model is not None:
        texts.append(spent_text(usage, "LLM: "))
    if scorer is not None:
        texts.append(spent_text(scorer, "scorer: "))
        if usage.cost_usd and scorer.cost_usd:
            texts.append(f"${usage.cost_usd + scorer.cost_usd:.4f} in all")
    texts.append(f"{result.wall_s:,.0f} s of active time")
    return "; ".join(texts)
