"""What an endpoint can do, found in at most three requests."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from ..secrets import Secret
from .dialects.dialect import Dialect
from .types import ChatAnswer, ChatRequest

REQUESTS = 3
_SCHEMA = {
    "type": "object",
    "properties": {"fruits": {"type": "array", "items": {"type": "string"}}},
    "required": ["fruits"],
    "additionalProperties": False,
}
_EXTRA = {
    "top_p": 0.9,
    "stop": ["###"],
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "fruits", "strict": True, "schema": _SCHEMA},
    },
}
PARAMETERS = ("max_tokens", "temperature", "seed", *_EXTRA)
"""Optional parameters that are tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What an endpoint was seen to do.

    Attributes:
        answer: What it said.
        took_s: Seconds that the request with this answer took.
        dialect: What it was found to take.
        repeats: Whether the same seed gave the same text again; None where no request was left to see.
        holds_schema: Whether the answer is JSON by the schema asked for.
        requests: How many were made.
    """

    answer: ChatAnswer
    took_s: float
    dialect: Dialect
    repeats: bool | None
    holds_schema: bool
    requests: int


async def probe(base_url: str, key: Secret | None, model: str) -> Probed:
    """Ask an endpoint for a small thing, with every optional parameter, and once more for the same.

    Args:
        base_url: Its address.
        key: The key, or None.
        model: Which model.

    Raises:
        ChatError: It does not answer within three requests.
        ConfigError: The address or the key cannot be used.
    """
    from .openai_chat import OpenAIChat  # its SDK takes a second to load, and help needs none of it

    request = ChatRequest(
        messages=(
            {"role": "system", "content": "You answer in JSON."},
            {"role": "user", "content": 'Name three fruits, as {"fruits": ["...", "...", "..."]}.'},
        ),
        model=model,
        temperature=0.7,
        max_tokens=1000,
        seed=7,
        extra_body=json.dumps(_EXTRA, sort_keys=True),
    )
    async with OpenAIChat(base_url, key, most_refusals=REQUESTS - 1) as chat:
        started = time.monotonic()
        answer = await chat.chat(request)
        took_s = (time.monotonic() - started) / chat.requests
        repeats = None
        if chat.requests < REQUESTS:
            repeats = (await chat.chat(request)).text == answer.text
        return Probed(
            answer=answer,
            took_s=took_s,
            dialect=chat.dialect,
            repeats=repeats,
            holds_schema=_holds_schema(answer.text),
            requests=chat.requests,
        )


def _holds_schema(text: str) -> bool:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and isinstance(found.get("fruits"), list) and set(found) == {"fruits"}
