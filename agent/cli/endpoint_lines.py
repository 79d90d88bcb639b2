"""What the doctor says of a chat endpoint that it asked."""

from __future__ import annotations

from collections.abc import Iterator

from ...evaluator.counts import counted
from ..llm.endpoints import PARAMETERS, Probed
from ..llm.headers import stated_limit


def lines_of(probed: Probed, context: int | None) -> Iterator[tuple[str, str]]:
    """Yield what was seen: each thing with its name.

    Args:
        probed: What the endpoint was seen to do.
        context: Tokens that its list of models says the context holds; None where it does not say.
    """
    answer, dialect = probed.answer, probed.dialect
    speed = answer.completion_tokens / max(probed.took_s, 1e-3)
    tokens = f", {speed:.0f} tokens a second" if answer.completion_tokens else ""
    yield "answer", f"in {probed.took_s:.1f} s{tokens}; {counted(probed.requests, 'request')} made"
    taken = [dialect.instead.get(name, name) for name in PARAMETERS if name not in dialect.left_out]
    refused = [name for name in PARAMETERS if name in dialect.left_out]
    yield (
        "parameters",
        f"takes {', '.join(taken) or 'none'}" + (f"; refuses {', '.join(refused)}" if refused else ""),
    )
    if ceilings := [f"{name} {top:g}" for name, top in dialect.most.items()]:
        yield "ceilings", ", ".join(ceilings)
    if dialect.merged:
        yield "system messages", "none; they go with the first message of the user"
    if dialect.streams:
        yield "answers", "in pieces alone"
    yield "usage", "reported" if answer.usage_known else "not reported: limits count what was reserved"
    yield "rate limits", ", ".join(_limits(probed)) or "not reported"
    yield "seed", _seed(probed)
    yield "JSON schema", _schema(probed)
    yield "thinking", "shown, and left out of answers" if answer.thought else "none seen"
    yield "context", f"{context:,} tokens" if context else "not reported"


def _limits(probed: Probed) -> Iterator[str]:
    for kind in ("requests", "tokens"):
        known = stated_limit(probed.answer.headers, kind)
        if known.limit is not None:
            yield f"{known.limit:,.0f} {kind}"
        elif known.remaining is not None:
            yield f"{known.remaining:,.0f} {kind} left"


def _seed(probed: Probed) -> str:
    if "seed" in probed.dialect.left_out:
        return "refused: each request is a draw of its own"
    if probed.repeats is None:
        return "taken; whether it repeats was not tried"
    return "taken, and repeats" if probed.repeats else "taken, but the same request got another answer"


def _schema(probed: Probed) -> str:
    if "response_format" in probed.dialect.left_out:
        return "refused"
    return "held" if probed.holds_schema else "taken, but the answer does not follow it"
