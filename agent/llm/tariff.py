"""What an endpoint charges by a row of a table: by the length of the prompt, and by how it was served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..rates import Rates
from ..token_usage import TokenUsage

Steps = tuple[tuple[int, Rates], ...]
"""Rates, and above how many tokens of messages each holds, from 0 up: for all tokens of a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """A price that is a ``Price``.

    An answer is charged as its endpoint says that it was served, since a vendor may serve otherwise than it
    was asked; one that does not say it is charged the dearer of the two.

    Attributes:
        standard: What is charged where nothing else is said.
        services: What is charged for other service tiers, ``flex`` for example, by the vendor's name of each.
        asked: The service tier that is asked for; None for none.
    """

    standard: Steps
    services: Mapping[str, Steps] = field(default_factory=dict)
    asked: str | None = None

    def charge(self, usage: TokenUsage) -> int:
        """Return what these tokens cost, in picodollars."""
        served = usage.service_tier
        if served is None:
            return max(_at(steps, usage.prompt_tokens).charge(usage) for steps in self._possible)
        return _at(self.services.get(served, self.standard), usage.prompt_tokens).charge(usage)

    def most(self, usage: TokenUsage) -> int:
        """Return what so many tokens cost at most, in picodollars.

        That is at the dearest step that the prompt may reach, whichever of its tokens are cached, and however
        it is served of what was asked for and what is standard.
        """
        return max(
            rates.most(usage)
            for steps in self._possible
            for above, rates in steps
            if above == 0 or above < usage.prompt_tokens
        )

    @property
    def _possible(self) -> list[Steps]:
        asked = self.services.get(self.asked) if self.asked is not None else None
        return [self.standard] if asked is None else [self.standard, asked]


def _at(steps: Steps, prompt_tokens: int) -> Rates:
    return next(rates for above, rates in reversed(steps) if above == 0 or above < prompt_tokens)
