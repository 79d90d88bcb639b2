"""The text of a dry run: upper bounds of a search, and of a scorer behind an API."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import indent

from ...evaluator.counts import counted, enumerated
from ...evaluator.scoring import EvaluatorInfo
from ..config.schema import SearchConfig
from ..config.sources import flag_of
from ..limits import ALL_LIMIT_SETTINGS, LIMIT_SETTINGS, MINUTES
from ..llm.ask import MORE_TOKENS
from ..prices import Spent
from ..search.bound import Bound, ScorerBound
from ..search.name_search import most_read, readings_asked, requests_at_most
from ..text import printable, visible

_LONGEST = (
    "Every request and answer counts as the longest possible (an answer: "
    f"{MORE_TOKENS} times answer_tokens, as a reasoning model may need)."
)
_FAILED = "Billed failures{} come on top, up to the limits."
_REPEATED = ", and a few requests repeated after refusals,"


def split_text(info: EvaluatorInfo) -> str:
    """Return the data set, the model and the numbers of images."""
    sizes = ", ".join(f"{size:,} {split}" for split, size in info.sizes.items() if size)
    model = f"{info.model} ({info.pretrained})" if info.pretrained else info.model
    images = f"{sizes} images" if sizes else "number of images unknown"
    return printable(f"{info.dataset} with {model}: {images}")


def plan_text(config: SearchConfig) -> str:
    """Return the number of rounds, and of what they are in."""
    if config.unchecked:
        return "the names are not checked: no labelled image is looked at"
    of_each = (counted(config.restarts, "restart"), counted(config.conversations, "conversation"))
    return f"{counted(config.all_rounds, 'round')} ({' x '.join(of_each)} x {config.rounds})"


def names_text(config: SearchConfig, class_names: Sequence[str]) -> tuple[str, str]:
    """Return where class names come from, and the first request to the LLM; empty if there is none."""
    if not config.kind.renames_classes:
        return "", ""
    if config.llm is None:
        return f"class names: from a list of common words, as no LLM is named ({flag_of('llm')})\n", ""
    labels = range(min(len(class_names), most_read(config)))
    requests = readings_asked(config, class_names, labels)
    classes = f"{len(labels):,} of {counted(len(class_names), 'class', 'classes')}"
    plan = f"class names: {counted(len(requests), 'request')} for a first reading of {classes}"
    if not config.unchecked:
        more = requests_at_most(config, class_names) - len(requests)
        plan += f", then at most {counted(more, 'request')} in {counted(config.name_rounds, 'round')}"
    example = "\n\n".join(message["content"] for message in requests[0][0])
    return f"{plan}\n", f"\nThe first request for class names:\n\n{indent(visible(example), '    ')}\n"


def missing_text(missing: Sequence[str]) -> str:
    """Return what the runs of a study download first, as a line; empty for nothing."""
    return f"not here yet, and downloaded by the run: {printable(enumerated(missing))}\n" if missing else ""


def bound_text(
    config: SearchConfig, bound: Bound, noun: str, scorer: ScorerBound | None = None, *, heading: str
) -> str:
    """Return a bound in lines.

    ``config`` is that of the search, or of one of several with the same limits; ``noun`` names a candidate.
    """
    lines, calls = [heading], bound.calls
    if calls:
        dollars = _dollars(bound.cost_usd, "price")
        dollars = "no cost, as it runs here" if config.is_local else dollars
        lines.append(f"  LLM: {counted(calls, 'request')}, {bound.tokens:,} tokens, {dollars}")
    if scorer is not None:
        lines += _scorer_lines(config, scorer)
        if calls and bound.cost_usd is not None and config.scorer_price is not None:
            lines.append(f"  together: ${bound.cost_usd + scorer.total.estimated_usd:.4f}")
    if not config.unchecked:
        lines.append(f"  {bound.evaluations:,} {noun}s scored")
    names = LIMIT_SETTINGS if calls else (MINUTES.setting,)  # without requests, the others bind nothing
    if scorer is not None:
        names = ALL_LIMIT_SETTINGS
    values = {name: getattr(config, name) for name in names}
    limits = ", ".join(f"{flag_of(name)} {value:g}" for name, value in values.items() if value is not None)
    if calls or scorer is not None or limits:
        lines.append(f"limits: {limits or 'none'}")
    if calls:
        lines.append(_LONGEST)
    if calls or scorer is not None:
        lines.append(_FAILED.format("" if scorer is None else _REPEATED))
    return "\n".join(lines) + "\n"


def _dollars(dollars: float | None, setting: str) -> str:
    return f"dollars unknown: give {flag_of(setting)}" if dollars is None else f"${dollars:.4f}"


def _scorer_lines(config: SearchConfig, bound: ScorerBound) -> list[str]:
    def text(spent: Spent) -> str:
        tokens = [f"{spent.estimated_tokens:,} tokens"] if spent.estimated_tokens else []
        dollars = [] if config.scorer_price is None else [f"${spent.estimated_usd:.4f}"]
        return ", ".join([counted(spent.calls, "request"), *tokens, *dollars])

    unknown = "" if config.scorer_price is not None else f", {_dollars(None, 'scorer_price')}"
    return [
        f"  scorer: {text(bound.total)}{unknown}",
        f"    of these for the final test: {text(bound.final)} (a limit keeps 2 % more)",
    ]
