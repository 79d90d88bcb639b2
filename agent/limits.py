"""The limits that a user may set for a run: their settings, their keys in results and events, their units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple

from ..evaluator.counts import enumerated


class RunLimit(NamedTuple):
    """One limit.

    Attributes:
        setting: Its name in a config.
        key: Its name in ``limits`` and ``budget`` of a result, in errors, and in ``left`` of events.
        unit: Singular.
    """

    setting: str
    key: str
    unit: str

    def text(self, amount: float) -> str:
        """Return an amount in words: ``1 call``, ``1,200 tokens``, ``0.0016 US dollars``."""
        return f"{amount_text(amount)} {self.unit if amount == 1 else self.unit + 's'}"


CALLS = RunLimit("max_calls", "calls", "call")
TOKENS = RunLimit("max_tokens", "tokens", "token")
COST = RunLimit("max_cost", "cost_usd", "US dollar")
MINUTES = RunLimit("max_minutes", "minutes", "minute")
SCORER_CALLS = RunLimit("max_scorer_calls", "scorer_calls", "scorer call")
"""Limits a scorer behind an API; ``COST`` is what it shares with the LLM."""

LIMITS = (CALLS, TOKENS, COST, MINUTES)
"""The limits of a search, which a suite sets for all its runs together."""
LIMIT_SETTINGS = tuple(limit.setting for limit in LIMITS)
ALL_LIMIT_SETTINGS = (*LIMIT_SETTINGS, SCORER_CALLS.setting)
LIMIT_BY_KEY: Mapping[str, RunLimit] = MappingProxyType(
    {limit.key: limit for limit in (*LIMITS, SCORER_CALLS)}
)


def amount_text(amount: float) -> str:
    """Return a number in full, without an exponent or needless zeros: ``0.0000165``, ``1``, ``1,200``."""
    return f"{Decimal(f'{amount:.15g}').normalize():,f}"


def why_spent(reached: Sequence[str], near: Sequence[str], over: str = "") -> str:
    """Return which limits are reached, and which the next request may exceed.

    Args:
        reached: Amounts in words.
        near: Amounts in words.
        over: What the limits hold for, if more than a run.
    """
    clauses = []
    if reached:
        noun, verb = ("limit", "is") if len(reached) == 1 else ("limits", "are")
        clauses.append(f"the {noun} of {enumerated(reached)}{over} {verb} reached")
    if near:
        noun = "limit" if len(near) == 1 else "limits"
        clauses.append(f"the next request may exceed the {noun} of {enumerated(near)}{over}")
    return ", and ".join(clauses)
