"""Whether our account equals the vendor's: calls of all kinds against an endpoint with a bill of its own.

A real HTTP endpoint on loopback, asked by the proposer through the SDK on aiohttp; time is virtual (deadlines
and pauses pass by jumping), sockets are real. The endpoint draws a kind for each request:

- reported as tokens: plain, cached, written to the cache for minutes or an hour, thinking inside and outside
  the answer, in the dialects of OpenAI, xAI, DeepSeek, Anthropic (cached tokens beside the others) and
  LiteLLM (inside); prompts beyond a length at which all tokens cost more; answers served as ``flex``, or
  as standard though ``flex`` was asked for
- reported as money: OpenRouter, with and without a key of the user's own, and xAI
- unusable, and billed: no text, nothing but thinking, an error beside its usage
- billed, and never reported: no usage, JSON cut short, a connection broken after the answer, a deadline, 504
- not billed: 429, 500, 503

It adds up what it bills with decimals and prices of its own, and apart from that what it reports. Then:

- ``difference_usd``: what we know to have been billed less what it reports; 0 to the picodollar
- ``bounded``: whether what it never reports is at most our estimate
- ``budgets``, ``overruns``: searches under ``--max-cost``, several calls at once, and how many of them the
  endpoint billed for more than that; ``used`` is the least share of a budget that one of them was billed
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from aiohttp import web
from genai_prices.types import ClauseEquals, ModelInfo, ModelPrice, PriceVariant, Tier, TieredPrices

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import argument_parser
from promptclimb.agent.errors import BudgetSpentError, RequestFailedError
from promptclimb.agent.llm.ask import Endpoint, EndpointAsker
from promptclimb.agent.llm.budget import Budget, Limits
from promptclimb.agent.llm.chat import ChatRequest
from promptclimb.agent.llm.client import OpenAIChat
from promptclimb.agent.llm.price_table import TablePrice
from promptclimb.agent.prices import PICODOLLARS
from tests.fakes.clock import run_virtual
from tests.fakes.served import Loopback

CALLS, BUDGETS, AT_ONCE = 10_000, 40, 12
MAX_TOKENS = 200
STEP = 150
"""Tokens of messages above which all tokens of a call cost more."""
DOLLARS = {
    "standard": {"in": "0.75", "cached": "0.075", "written": "0.9375", "kept": "1.5", "out": "4.5"},
    "long": {"in": "1.5", "cached": "0.15", "written": "1.875", "kept": "3", "out": "6.75"},
    "flex": {"in": "0.375", "cached": "0.0375", "written": "0.9375", "kept": "1.5", "out": "2.25"},
}
"""US dollars for a million tokens."""
HANG_S = 1e6

REPORTED = (
    *("plain", "cached", "written", "kept", "thinking", "outside", "deepseek", "anthropic", "litellm"),
    *("flex", "standard", "openrouter", "own_key", "ticks"),
)
UNUSABLE = ("no_text", "all_thinking", "error_with_usage")
UNREPORTED = ("no_usage", "cut_json", "broken", "deadline", "504")
UNBILLED = ("429", "500", "503")
CACHED = ("cached", "deepseek", "anthropic", "litellm", "flex", "openrouter", "own_key", "no_usage")
"""Kinds whose prompts are read from a cache in part."""
KINDS = (*REPORTED * 3, *UNUSABLE, *UNREPORTED, *UNBILLED)


@dataclass
class Tokens:
    """What one answer is made of."""

    prompt: int
    completion: int
    cached: int = 0
    written: int = 0
    kept: int = 0
    thought: int = 0
    flex: bool = False

    @property
    def dollars(self) -> Decimal:
        """What it is billed."""
        price = {kind: Decimal(each) for kind, each in DOLLARS["flex" if self.flex else "standard"].items()}
        if self.prompt > STEP and not self.flex:
            price = {kind: Decimal(each) for kind, each in DOLLARS["long"].items()}
        plain = self.prompt - self.cached - self.written - self.kept
        amounts = {"in": plain, "cached": self.cached, "written": self.written, "kept": self.kept}
        amounts["out"] = self.completion
        return sum((price[kind] * amount for kind, amount in amounts.items()), Decimal()) / 10**6


@dataclass
class Vendor(Loopback):
    """The endpoint, and its bill."""

    seed: int = 0
    reported: Decimal = Decimal()
    unreported: Decimal = Decimal()
    kinds: Counter[str] = field(default_factory=Counter)

    def routes(self) -> Sequence[web.RouteDef]:
        return (web.post("/v1/chat/completions", self._chat),)

    @property
    def billed(self) -> Decimal:
        """All of it, in dollars."""
        return self.reported + self.unreported

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        number = self.kinds.total()
        rng = random.Random(hashlib.sha256(f"{self.seed}:{number}".encode()).digest())
        kind = rng.choice(KINDS)
        self.kinds[kind] += 1
        await asyncio.sleep(rng.uniform(0.1, 2.0))
        if kind in UNBILLED:
            return web.json_response({"error": {"message": "not now"}}, status=int(kind))
        size = sum(len(str(message["content"]).encode()) for message in body["messages"])
        tokens = self._tokens(kind, size, rng)
        if kind in UNREPORTED:
            self.unreported += tokens.dollars
            return await self._unreported(kind, request, tokens)
        self.reported += tokens.dollars
        return web.json_response(_reply(kind, tokens))

    def _tokens(self, kind: str, size: int, rng: random.Random) -> Tokens:
        prompt = max(int(size * rng.uniform(0.22, 0.3)), 8)
        tokens = Tokens(prompt, rng.randint(5, MAX_TOKENS))
        if kind in CACHED:
            tokens.cached = rng.randint(0, prompt)
        if kind in ("written", "anthropic", "litellm", "broken"):
            tokens.written = rng.randint(0, prompt - tokens.cached)
        if kind == "kept":
            tokens.kept = rng.randint(0, prompt)
        if kind in ("thinking", "outside", "ticks", "all_thinking"):
            tokens.thought = rng.randint(1, tokens.completion)
        tokens.flex = kind in ("flex", "no_usage")
        return tokens

    async def _unreported(self, kind: str, request: web.Request, tokens: Tokens) -> web.StreamResponse:
        reply = _reply("plain", tokens)
        if kind == "deadline":
            await asyncio.sleep(HANG_S)
        if kind == "504":
            return web.json_response({"error": {"message": "the upstream took too long"}}, status=504)
        if kind == "no_usage":
            return web.json_response({name: value for name, value in reply.items() if name != "usage"})
        body = json.dumps(reply).encode()
        if kind == "cut_json":
            return web.Response(body=body[: len(body) // 2], content_type="application/json")
        response = web.StreamResponse(headers={"Content-Length": str(len(body))})
        await response.prepare(request)
        await response.write(body[: len(body) // 3])
        if request.transport is not None:
            request.transport.abort()
        return response


def _reply(kind: str, tokens: Tokens) -> dict[str, Any]:
    text = "" if kind in ("no_text", "all_thinking") else "- a photo of a {}"
    finish = "length" if kind == "all_thinking" else "stop"
    message = {"role": "assistant", "content": text}
    reply: dict[str, Any] = {
        "model": "fake",
        "choices": [{"index": 0, "finish_reason": finish, "message": message}],
        "usage": _DIALECTS.get(kind, _openai)(tokens),
        "service_tier": "flex" if tokens.flex else "default",
    }
    if kind == "error_with_usage":
        reply |= {"choices": [], "error": {"code": 502, "message": "the provider failed in the middle"}}
    return reply


def _openai(tokens: Tokens) -> dict[str, Any]:
    return {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.completion,
        "total_tokens": tokens.prompt + tokens.completion,
        "prompt_tokens_details": {"cached_tokens": tokens.cached, "cache_write_tokens": tokens.written},
        "completion_tokens_details": {"reasoning_tokens": tokens.thought},
    }


def _outside(tokens: Tokens) -> dict[str, Any]:
    return _openai(tokens) | {"completion_tokens": tokens.completion - tokens.thought}


def _ticks(tokens: Tokens) -> dict[str, Any]:
    return _outside(tokens) | {"cost_in_usd_ticks": int(tokens.dollars * 10**10)}


def _deepseek(tokens: Tokens) -> dict[str, Any]:
    return {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.completion,
        "total_tokens": tokens.prompt + tokens.completion,
        "prompt_cache_hit_tokens": tokens.cached,
        "prompt_cache_miss_tokens": tokens.prompt - tokens.cached,
    }


def _anthropic(tokens: Tokens) -> dict[str, Any]:
    return {
        "input_tokens": tokens.prompt - tokens.cached - tokens.written - tokens.kept,
        "output_tokens": tokens.completion,
        "cache_read_input_tokens": tokens.cached,
        "cache_creation_input_tokens": tokens.written + tokens.kept,
        "cache_creation": {
            "ephemeral_5m_input_tokens": tokens.written,
            "ephemeral_1h_input_tokens": tokens.kept,
        },
    }


def _litellm(tokens: Tokens) -> dict[str, Any]:
    usage = _openai(tokens)
    usage["prompt_tokens_details"] = {"cached_tokens": tokens.cached, "cache_creation_tokens": tokens.written}
    return usage | {
        "cache_read_input_tokens": tokens.cached,
        "cache_creation_input_tokens": tokens.written,
    }


def _openrouter(tokens: Tokens) -> dict[str, Any]:
    return _openai(tokens) | {"cost": float(tokens.dollars), "is_byok": False}


def _own_key(tokens: Tokens) -> dict[str, Any]:
    fee = tokens.dollars / 20
    details = {"upstream_inference_cost": float(tokens.dollars - fee)}
    return _openai(tokens) | {"cost": float(fee), "is_byok": True, "cost_details": details}


_DIALECTS: dict[str, Callable[[Tokens], dict[str, Any]]] = {
    "outside": _outside,
    "ticks": _ticks,
    "deepseek": _deepseek,
    "anthropic": _anthropic,
    "kept": _anthropic,
    "litellm": _litellm,
    "openrouter": _openrouter,
    "own_key": _own_key,
}


def tariff() -> TablePrice:
    """Return the endpoint's prices as the price table has them."""
    names = {"in": "input", "cached": "cache_read", "written": "cache_write", "kept": "cache_write_1h"}
    names["out"] = "output"

    def price(kind: str) -> TieredPrices:
        long = Tier(start=STEP, price=Decimal(DOLLARS["long"][kind]))
        return TieredPrices(base=Decimal(DOLLARS["standard"][kind]), tiers=[long])

    standard = ModelPrice(**{f"{name}_mtok": price(kind) for kind, name in names.items()})
    flex = ModelPrice(**{f"{name}_mtok": Decimal(DOLLARS["flex"][kind]) for kind, name in names.items()})
    variant = PriceVariant(when={"service_tier": "flex"}, prices=flex)
    match = ClauseEquals(equals="fake")
    return TablePrice(ModelInfo(id="fake", match=match, prices=standard, price_variants=[variant]), {})


def request(number: int) -> ChatRequest:
    """Return a request like a restart's: some templates, a few of them or many."""
    lines = "\n".join(f"- a photo of a {{}}, seen {number} times" for _ in range(1 + number * 7 % 24))
    return ChatRequest(
        messages=({"role": "user", "content": lines},), model="fake", max_tokens=MAX_TOKENS, seed=number
    )


async def spend(
    seed: int, *, calls: int | None = None, dollars: float | None = None
) -> tuple[Vendor, Budget]:
    """Ask until so many requests have come, or the budget is spent; return both accounts."""
    async with Vendor(seed) as vendor, OpenAIChat(vendor.base_url, max_connections=AT_ONCE) as chat:
        budget = Budget(Limits(cost_usd=dollars))
        asker = EndpointAsker(
            Endpoint(name="fake", client=chat, price=tariff()),
            budget=budget,
            attempt_s=60.0,
            give_up_after_s=1e9,
        )

        async def restart(number: int) -> None:
            turn = 0
            while calls is None or vendor.kinds.total() < calls:
                turn += 1
                try:
                    await asker.ask(request(turn * AT_ONCE + number))
                except RequestFailedError:
                    continue
                except BudgetSpentError:
                    return

        async with asyncio.TaskGroup() as group:
            for number in range(AT_ONCE):
                group.create_task(restart(number))
    return vendor, budget


def account(calls: int) -> dict[str, Any]:
    """Compare both accounts of so many calls."""
    vendor, budget = run_virtual(spend(0, calls=calls))
    spent = budget.spent
    known = Decimal(spent.picodollars) / PICODOLLARS
    estimated = Decimal(spent.estimated_picodollars) / PICODOLLARS
    kinds = dict(sorted(vendor.kinds.items()))
    return {
        "requests": vendor.kinds.total(),
        "kinds": kinds,
        "billed_usd": float(vendor.billed),
        "known_usd": float(known),
        "difference_usd": float(known - vendor.reported),
        "unreported_usd": float(vendor.unreported),
        "estimated_usd": float(estimated),
        "bounded": vendor.unreported <= estimated,
        "calls_equal": spent.calls == sum(count for kind, count in kinds.items() if kind not in UNBILLED),
    }


def limits(budgets: int) -> dict[str, Any]:
    """Spend several budgets, each as far as it goes."""
    rng = random.Random(1)
    shares = []
    requests = 0
    for seed in range(1, budgets + 1):
        dollars = round(rng.uniform(0.005, 0.08), 4)
        vendor, _ = run_virtual(spend(seed, dollars=dollars))
        shares.append(float(vendor.billed / Decimal(str(dollars))))
        requests += vendor.kinds.total()
    return {
        "budgets": budgets,
        "requests": requests,
        "overruns": sum(share > 1 for share in shares),
        "used": {"least": round(min(shares), 4), "most": round(max(shares), 4)},
    }


def main() -> None:
    """Print the figures."""
    parser = argument_parser(__doc__)
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--budgets", type=int, default=BUDGETS)
    options = parser.parse_args()
    print(json.dumps({"account": account(options.calls), "limits": limits(options.budgets)}, indent=2))


if __name__ == "__main__":
    main()
