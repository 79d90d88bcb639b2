"""Endpoints as they were seen to answer: a recorded reply, and when it is given."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from aiohttp import web

from promptclimb.agent.errors import ChatError
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.llm.client import OpenAIChat
from tests.fakes.served import Loopback
from tests.paths import ROOT

FOLDER = ROOT / "tests" / "data" / "dialects"
ANSWER = "- a photo of a {}"
NOW = "NOW+"
"""In a recorded text, stands for a Unix time in milliseconds, so many seconds ahead: `NOW+40s`."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One file of `tests/data/dialects`.

    Attributes:
        vendor: Whose endpoint it is.
        base_url: Its address.
        key_env: The variable that holds its key; empty where it needs none.
        differs: What is particular, in a few words.
        source: Where it was seen.
        asks: What is particular of the request that meets it.
        turns: Turns that the conversation has behind it.
        when: When the reply is given, see `RecordedServer`.
        reply: Status, headers and body.
        meets: The error that an attempt meets before the one that is answered; None for none.
        sends: Members of the request that is answered.
        leaves_out: Members that it lacks.
        wasted: Requests before it.
        bills: Tokens of messages and of the answer that the recorded reply is billed for; None if it is
            billed for nothing.
    """

    vendor: str
    base_url: str
    key_env: str
    differs: str
    source: str
    asks: dict[str, Any]
    turns: int
    when: dict[str, Any]
    reply: dict[str, Any]
    meets: dict[str, Any] | None
    sends: dict[str, Any]
    leaves_out: list[str]
    wasted: int
    bills: list[int] | None = None


def recorded() -> dict[str, Recorded]:
    """Every recorded reply by the name of its file."""
    return {
        path.stem: Recorded(**json.loads(path.read_text("utf-8"))) for path in sorted(FOLDER.glob("*.json"))
    }


async def adapting(chat: OpenAIChat, request: ChatRequest) -> ChatAnswer:
    """Ask once more after each refusal that shows another form of the request, as the asker does."""
    while True:
        try:
            return await chat.chat(request)
        except ChatError as error:
            if not error.adapted:
                raise


@dataclass
class RecordedServer(Loopback):
    """The endpoint; an async context manager.

    The recorded reply is given `when` a request `has` a member or `lacks` it, has one `above` or `below` a
    number, has a message of a `role`, has a `repeated_role`, is `longer_than` a share of the first request's
    text; to so many `times` requests; or `always`. All else is answered.
    """

    record: Recorded
    seen: list[dict[str, Any]] = field(default_factory=list)

    def routes(self) -> Sequence[web.RouteDef]:
        return (web.post("/v1/chat/completions", self._chat),)

    async def _chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.seen.append(body)
        if not self._applies(body):
            return web.json_response(_completion())
        reply = self.record.reply
        text = json.dumps(reply["body"])
        if NOW in text:
            seconds = text.partition(NOW)[2].partition("s")[0]
            text = text.replace(f"{NOW}{seconds}s", f"{(time.time() + float(seconds)) * 1000:.0f}")
        return web.Response(
            status=reply["status"], headers=reply["headers"], text=text, content_type="application/json"
        )

    def _applies(self, body: dict[str, Any]) -> bool:
        when, roles = self.record.when, [message["role"] for message in body["messages"]]
        applies = {
            "always": lambda _: True,
            "times": lambda times: len(self.seen) <= times,
            "has": lambda name: name in body,
            "lacks": lambda name: name not in body,
            "above": lambda tops: any(body.get(name, 0) > top for name, top in tops.items()),
            "below": lambda tops: any(body.get(name, top) < top for name, top in tops.items()),
            "role": lambda role: role in roles,
            "repeated_role": lambda _: any(role == next_role for role, next_role in pairwise(roles)),
            "longer_than": lambda share: _length(body) > share * _length(self.seen[0]),
        }
        return any(applies[name](value) for name, value in when.items())


def _length(body: dict[str, Any]) -> int:
    return sum(len(message["content"]) for message in body["messages"])


def _completion() -> dict[str, Any]:
    message = {"role": "assistant", "content": ANSWER}
    usage = {"prompt_tokens": 4000, "completion_tokens": 8, "total_tokens": 4008}
    return {"choices": [{"index": 0, "finish_reason": "stop", "message": message}], "usage": usage}
