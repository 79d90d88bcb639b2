"""The text of a dry run: upper bounds of a search, and of a scorer behind an API."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import indent

from ...evaluator.counts import counted, enumerated
from ...evaluator.scoring import EvaluatorInfo
from ..config.schema import SearchConfig
from ..config.sources import flag_of
from ..limits import LIMIT_SETTINGS, MINUTES, SCORER_CALLS
from ..llm.ask import MORE_TOKENS
from ..prices import Spent
from ..search.bound import Bound, ScorerBound
from ..search.name_search import most_read, readings_asked, requests_at_most
from ..text import printable, visible

_LONGEST = (
    "This is an upper bound: every request and answer is taken to be the longest possible "
    f"(answers: {MORE_TOKENS} times answer_tokens, because a reasoning model can be asked again with more)."
)
_FAILED = "Failed attempts that the endpoint bills come on top; only the limits bound them."


def split_text(info: EvaluatorInfo) -> str:
    """Return the data set, the model and the numbers of images."""
    sizes = ", ".join(f"{size:,} {split}" for split, size in info.sizes.items() if size)
    model = f"{info.model} ({info.pretrained})" if info.pretrained else info.model
    images = f"{sizes} images" if sizes else "number of images unknown"
    return printable(f"{info.dataset} with {model}: {images}")


def plan_text(config: SearchConfig) -> str:
    """Return the numbers of restarts, conversations and rounds."""
    if config.unchecked:
        return "the names are not checked: no labelled image is looked at"
    names = ("restart", "conversation", "round")
    return " x ".join(counted(getattr(config, f"{name}s"), name) for name in names)


def names_text(config: SearchConfig, class_names: Sequence[str]) -> str:
    """Return what the LLM is asked about class names, with an example; empty if it is not asked."""
    if not config.kind.renames_classes or config.llm is None:
        return ""
    labels = range(min(len(class_names), most_read(config)))
    requests = readings_asked(config, class_names, labels)
    classes = f"{len(labels):,} of {counted(len(class_names), 'class', 'classes')}"
    plan = f"class names: {counted(len(requests), 'request')} for a first reading of {classes}"
    if not config.unchecked:
        more = requests_at_most(config, class_names) - len(requests)
        plan += f", then at most {counted(more, 'request')} in {counted(config.name_rounds, 'round')}"
    example = "\n\n".join(message["content"] for message in requests[0][0])
    return f"{plan}. The first request:\n\n{indent(visible(example), '    ')}\n\n"


def missing_text(missing: Sequence[str]) -> str:
    """Return what the runs of a study download first, as a line; empty for nothing."""
    return f"not here yet, and downloaded by the run: {printable(enumerated(missing))}\n" if missing else ""


def bound_text(config: SearchConfig, bound: Bound, noun: str, scorer: ScorerBound | None = None) -> str:
    """Return a bound in lines.

    ``config`` is that of the search, or of one of several with the same limits; ``noun`` names a candidate.
    """
    lines, calls = [], bound.calls
    if calls:
        priced = (
            f"dollars unknown: give {flag_of('price')}"
            if bound.cost_usd is None
            else f"at most ${bound.cost_usd:.4f}"
        )
        dollars = "no cost; the LLM runs here" if config.is_local else priced
        lines += [f"at most {counted(calls, 'request')}", f"at most {bound.tokens:,} tokens", dollars]
    if not config.unchecked:
        lines.append(f"at most {bound.evaluations:,} {noun}s scored")
    if scorer is not None:
        lines += _scorer_lines(config, scorer)
    names = LIMIT_SETTINGS if calls else (MINUTES.setting,)  # without requests, the others bind nothing
    if scorer is not None:
        names = (*LIMIT_SETTINGS, SCORER_CALLS.setting)
    values = {name: getattr(config, name) for name in names}
    limits = ", ".join(f"{flag_of(name)} {value:g}" for name, value in values.items() if value is not None)
    if calls or scorer is not None or limits:
        lines.append(f"limits: {limits or 'none'}")
    if calls:
        lines.append(_LONGEST)
    if calls or scorer is not None:
        lines.append(_FAILED)
    return "\n".join(lines) + "\n"


def _scorer_lines(config: SearchConfig, bound: ScorerBound) -> list[str]:
    def text(spent: Spent) -> str:
        tokens = [f"{spent.estimated_tokens:,} tokens"] if spent.estimated_tokens else []
        dollars = [] if config.scorer_price is None else [f"${spent.estimated_usd:.4f}"]
        return ", ".join([counted(spent.calls, "request"), *tokens, *dollars])

    unknown = "" if config.scorer_price is not None else f"; dollars unknown: give {flag_of('scorer_price')}"
    return [
        f"scorer, without limits: at most {text(bound.total)}{unknown}",
        f"  {text(bound.final)} of these for the final evaluation on test, kept from the start with 2 % more",
    ]
