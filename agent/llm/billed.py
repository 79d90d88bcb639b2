"""From the body of a reply to what the vendor billed for it.

How vendors count, each as its pages and the users' reports have it:

- OpenAI, Azure, OpenRouter, Mistral, vLLM: what was read from the cache (``cached_tokens`` in
  ``prompt_tokens_details``) and written to it (``cache_write_tokens``) is part of ``prompt_tokens``, and
  thinking (``completion_tokens_details.reasoning_tokens``) part of ``completion_tokens``.
- xAI, and Gemini's compatible endpoint: thinking is not in ``completion_tokens``, but in ``total_tokens``
  (https://docs.x.ai/developers/rate-limits: it is billed at the price of the answer).
- DeepSeek: ``prompt_cache_hit_tokens``, a part of ``prompt_tokens``
  (https://api-docs.deepseek.com/guides/kv_cache). Moonshot: ``cached_tokens`` beside ``prompt_tokens``.
- Anthropic: ``cache_read_input_tokens`` and ``cache_creation_input_tokens`` are not part of ``input_tokens``
  (https://github.com/langchain-ai/langchain/issues/32818). LiteLLM sends the same two names as parts of its
  ``prompt_tokens`` (https://github.com/BerriAI/litellm/issues/11364), so there the total decides.
- OpenRouter tells what it charged: ``cost``, in credits of one dollar, and where the user's own key paid the
  vendor behind it, that part in ``cost_details.upstream_inference_cost``
  (https://openrouter.ai/docs/use-cases/usage-accounting). xAI tells it in ticks of 1e-10 dollars:
  ``cost_in_usd_ticks`` (https://docs.x.ai/developers/cost-tracking).

Tokens of sound and pictures are part of the same sums; a search sends and asks for text alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any, TypeGuard

from ..rates import PICODOLLARS
from ..token_usage import TokenUsage

_READ = (
    ("prompt_tokens_details", "cached_tokens"),
    ("input_tokens_details", "cached_tokens"),
    ("prompt_cache_hit_tokens",),
    ("cache_read_input_tokens",),
    ("cached_tokens",),
)
_WRITTEN = (
    ("prompt_tokens_details", "cache_write_tokens"),
    ("prompt_tokens_details", "cache_creation_tokens"),
    ("input_tokens_details", "cache_write_tokens"),
    ("cache_creation_input_tokens",),
)
_KEPT = (
    ("cache_creation", "ephemeral_1h_input_tokens"),
    ("prompt_tokens_details", "cache_creation_token_details", "ephemeral_1h_input_tokens"),
)
_THOUGHT = (
    ("completion_tokens_details", "reasoning_tokens"),
    ("output_tokens_details", "reasoning_tokens"),
    ("output_tokens_details", "thinking_tokens"),
    ("reasoning_tokens",),
)
_PICODOLLARS_A_TICK = 100
_MOST = 10**15
"""More than any answer has of anything; a larger number is a fault of the endpoint."""
_LONGEST_TIER = 40


def billed(reply: Mapping[str, Any]) -> TokenUsage | None:
    """Return what was billed, None where the reply does not say: no answer is made of no tokens.

    What vendors leave open is read as the dearer of what it may mean.

    Args:
        reply: A chat completion, as it was parsed.
    """
    found = reply.get("usage")
    if not isinstance(found, dict):
        return None
    reasoning = _most(found, _THOUGHT)
    prompt = _prompt(found, reasoning)
    total = _count(found.get("total_tokens"))
    completion = max(_completion(found), total - prompt)
    if reasoning > completion:  # It cannot be part of what is smaller.
        completion += reasoning
    if not prompt + completion:
        return None
    cached = min(_most(found, _READ), prompt)
    written = min(_most(found, _WRITTEN), prompt - cached)
    tier = reply.get("service_tier") or found.get("service_tier")
    return TokenUsage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        cache_written_tokens=written,
        kept_tokens=min(_most(found, _KEPT), written),
        reasoning_tokens=reasoning,
        told_picodollars=_told(found),
        service_tier=tier[:_LONGEST_TIER] if isinstance(tier, str) else None,
    )


def half_told(reply: Mapping[str, Any], *, answered: bool) -> bool:
    """Whether a reply says what one of its two halves was billed for, and nothing of the other.

    Where it tells a sum of tokens, or what it charged, that is enough.

    Args:
        reply: A chat completion, as it was parsed.
        answered: Whether it has a text, which is never made of no tokens.
    """
    usage = billed(reply)
    if usage is None or usage.told_picodollars is not None:
        return False
    found = reply["usage"]
    none = not answered and ("completion_tokens" in found or "output_tokens" in found)
    total = _count(found.get("total_tokens"))
    return not (usage.completion_tokens or none) or not (usage.prompt_tokens or total)


def _prompt(found: Mapping[str, Any], reasoning: int) -> int:
    """Return all tokens of the messages; Anthropic's two kinds of cached ones are counted beside them."""
    beside = sum(_count(found.get(f"cache_{what}_input_tokens")) for what in ("read", "creation"))
    if "prompt_tokens" not in found:
        return _count(found.get("input_tokens")) + beside
    prompt, total = _count(found.get("prompt_tokens")), _count(found.get("total_tokens"))
    extra = total - prompt - _completion(found)
    inside = beside <= prompt and total > 0 and (extra < beside or extra == reasoning)
    return prompt if inside else prompt + beside


def _completion(found: Mapping[str, Any]) -> int:
    return _count(found.get("completion_tokens", found.get("output_tokens")))


def _told(found: Mapping[str, Any]) -> int | None:
    """Return the picodollars that the endpoint says it charged, rounded up; None where it says nothing."""
    ticks = found.get("cost_in_usd_ticks")
    if _is_amount(ticks):
        return min(math.ceil(ticks), _MOST) * _PICODOLLARS_A_TICK
    dollars = found.get("cost")
    if not _is_amount(dollars):
        return None
    details = found.get("cost_details")
    behind = details.get("upstream_inference_cost") if isinstance(details, dict) else None
    own_key = found.get("is_byok")
    charged = Decimal(str(dollars))
    # Without ``is_byok``, a fee that is smaller than what it is a fee for tells the same.
    if _is_amount(behind) and (own_key is True or (own_key is None and behind > dollars)):
        charged += Decimal(str(behind))
    return int((min(charged, Decimal(_MOST)) * PICODOLLARS).to_integral_value(ROUND_CEILING))


def _most(found: Mapping[str, Any], places: tuple[tuple[str, ...], ...]) -> int:
    """Return a count that vendors put in one place or another, and some in several."""
    return max(_count(_at(found, place)) for place in places)


def _at(found: Mapping[str, Any], place: tuple[str, ...]) -> object:
    value: object = found
    for name in place:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _count(value: object) -> int:
    return min(int(value), _MOST) if _is_amount(value) else 0


def _is_amount(value: object) -> TypeGuard[int | float]:
    """Return whether a JSON value is a number that something can cost or count."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return value >= 0 and (isinstance(value, int) or math.isfinite(value))
