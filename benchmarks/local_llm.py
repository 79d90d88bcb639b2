"""How fast and how useful the local language models are, through the real server and our own requests.

    python benchmarks/local_llm.py --json

For each model (fetched if it is not there) and each way to run it: tokens a second of prompt and answer, as
llama.cpp counts them, and CPU seconds a token, which depend less on what else the machine does. Then
conversations of method p, of a few turns each, against a word-based scorer: seconds a turn, valid templates
of all lines that were meant as one, and valid ones that nobody had proposed before, of all that were asked
for. ``plain`` is the request as it is, ``schema`` the same with the answer held to a JSON list of texts,
``grammar`` with it held to lines with one slot each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import aiohttp

from promptclimb.agent.llm.local_models import model_name
from promptclimb.agent.llm.local_server import LlamaServer, LlamaSettings, free_threads, make_ready
from promptclimb.evaluator.fakes import FakeEvaluator
from promptclimb.evaluator.scoring import Score
from promptclimb.prompts.replies import parse_reply
from promptclimb.prompts.requests import ChatMessage, Outcome, Wanted, feedback, request_p
from promptclimb.prompts.starting import draw
from promptclimb.prompts.template import TEMPLATE_WORDS, Template
from promptclimb.prompts.template_kind import BUILT_IN, KIND

PROPOSALS = 5
WANTED = Wanted(words=TEMPLATE_WORDS, proposals=PROPOSALS, max_words=15)
STARTING = KIND.starting("captions")
GRAMMAR = 'root ::= line{5}\nline ::= "- " [^{}\\n]* "{}" [^{}\\n]* "\\n"\n'
SCHEMA = {
    "type": "array",
    "items": {"type": "string", "pattern": "^[^{}\\n]{0,60}\\{\\}[^{}\\n]{0,60}$"},
    "minItems": PROPOSALS,
    "maxItems": PROPOSALS,
}
FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "schema": {"response_format": {"type": "json_schema", "json_schema": {"name": "t", "schema": SCHEMA}}},
    "grammar": {"grammar": GRAMMAR},
}


class Asked:
    """A server, and what its answers took."""

    def __init__(self, server: LlamaServer) -> None:
        self._server = server
        key = server.key.reveal()
        self.session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {key}"}, timeout=aiohttp.ClientTimeout(total=None)
        )
        self.timings: list[dict[str, float]] = []

    async def chat(
        self, messages: Sequence[ChatMessage], *, seed: int, tokens: int = 160, **form: Any
    ) -> str:
        """Return an answer."""
        body = {"messages": list(messages), "max_tokens": tokens, "seed": seed, "top_p": 0.95, **form}
        async with self.session.post(f"{self._server.base_url}/chat/completions", json=body) as reply:
            found = await reply.json()
        if reply.status != 200:
            raise RuntimeError(found)
        self.timings.append(found["timings"])
        return str(found["choices"][0]["message"]["content"])

    def cpu_s(self) -> float:
        """CPU seconds of the server up to now."""
        fields = Path(f"/proc/{self._server.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float:
        """Resident memory of the server, in MB."""
        pages = int(Path(f"/proc/{self._server.pid}/statm").read_text("ascii").split()[1])
        return round(pages * resource.getpagesize() / 1e6, 1)

    def rate(self, kind: str) -> float | None:
        """Tokens a second of ``prompt`` or ``predicted``."""
        seconds = sum(one[f"{kind}_ms"] for one in self.timings) / 1e3
        return round(sum(one[f"{kind}_n"] for one in self.timings) / seconds, 2) if seconds else None


@asynccontextmanager
async def served(llm: str, **settings: int) -> AsyncIterator[Asked]:
    """Run a model on a server of its own."""
    file = await make_ready(llm, lambda _: None)
    server = LlamaServer(LlamaSettings(model=file, name=model_name(llm), **settings))
    await server.start()
    asked = Asked(server)
    try:
        yield asked
    finally:
        await asked.session.close()
        await server.close()


async def speed(asked: Asked, slots: int, tokens: int) -> dict[str, Any]:
    """Ask for as many answers at once as there are slots, twice, each of so many tokens."""
    opening = request_p([Outcome(text) for text in BUILT_IN[:15]], wanted=WANTED)
    began, cpu = time.monotonic(), asked.cpu_s()
    for wave in range(2):
        calls = [
            asked.chat(opening, seed=10 * wave + one, tokens=tokens, ignore_eos=True) for one in range(slots)
        ]
        await asyncio.gather(*calls)
    count = sum(one["predicted_n"] for one in asked.timings)
    wall = time.monotonic() - began
    return {
        "prompt_tokens_s": asked.rate("prompt"),
        "answer_tokens_s_a_stream": asked.rate("predicted"),
        "answer_tokens_s": round(count / wall, 2),
        "cpu_s_a_token": round((asked.cpu_s() - cpu) / count, 4),
        "memory_mb": asked.memory_mb(),
    }


async def restart(asked: Asked, form: dict[str, Any], seed: int, turns: int) -> dict[str, float]:
    """Hold one conversation of method p; return what came of it."""
    scorer = FakeEvaluator(seed=seed)
    scores = _scored(scorer, [template.text for template in draw(STARTING, 40, random.Random(seed))])
    best = sorted(scores, key=lambda text: -scores[text])
    messages = request_p([Outcome(text) for text in best[:15]], wanted=WANTED)
    known = {Template.parse(text).key for text in scores}
    total = {"turns": 0, "valid": 0, "meant": 0, "new": 0}
    began = time.monotonic()
    for turn in range(turns):
        text = await asked.chat(messages, seed=1000 * seed + turn, **form)
        reply = parse_reply(text)
        fresh = {one.key: one for one in reply.candidates[:PROPOSALS] if one.key not in known}
        total["turns"] += 1
        total["valid"] += len(reply.candidates)
        total["meant"] += len(reply.candidates) + len(reply.refused)
        total["new"] += len(fresh)
        known |= fresh.keys()
        before, now = max(scores.values()), _scored(scorer, [one.text for one in fresh.values()])
        scores |= now
        outcomes = [Outcome(text, score) for text, score in now.items()]
        reply = feedback(outcomes, best_before=before, wanted=WANTED)
        messages = [*messages, {"role": "assistant", "content": text}, reply]
    return {**total, "seconds": time.monotonic() - began}


def _scored(scorer: FakeEvaluator, texts: Sequence[str]) -> dict[str, float]:
    pairs = zip(texts, scorer.score(texts), strict=True)
    return {text: result.train for text, result in pairs if isinstance(result, Score)}


async def gains(llm: str, form: str, turns: int, restarts: int) -> dict[str, Any]:
    """Hold several conversations and sum up."""
    async with served(llm, threads=1) as asked:
        found = [await restart(asked, FORMS[form], seed, turns) for seed in range(1, restarts + 1)]
    total = {name: sum(one[name] for one in found) for name in found[0]}
    return {
        "llm": llm,
        "form": form,
        "turns": int(total["turns"]),
        "seconds_a_turn": round(total["seconds"] / total["turns"], 2),
        "valid_share": round(total["valid"] / max(total["meant"], 1), 3),
        "new_of_asked": round(total["new"] / total["turns"] / PROPOSALS, 3),
    }


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all of it."""
    found: dict[str, list[dict[str, Any]]] = {"speed": [], "conversations": []}

    def note(kind: str, row: dict[str, Any]) -> None:
        found[kind].append({**row, "load": round(os.getloadavg()[0], 1)})
        print(json.dumps(found[kind][-1]), file=sys.stderr, flush=True)

    for llm in options.llm.split(","):
        for way in options.ways.split(","):
            threads, slots = map(int, way.split("x"))
            async with served(llm, threads=threads, slots=slots) as asked:
                row = await speed(asked, slots, options.tokens)
            note("speed", {"llm": llm, "threads": threads, "slots": slots, **row})
        for form in filter(None, options.forms.split(",")):
            note("conversations", await gains(llm, form, options.turns, options.restarts))
    return {"cores": os.cpu_count(), "threads_chosen": free_threads(), **found}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--llm", default="local:0.5b,local:1.5b", help="models, with commas between")
    parser.add_argument("--forms", default="plain,schema,grammar", help=f"of {', '.join(FORMS)}")
    parser.add_argument("--turns", type=int, default=4, help="turns a conversation (default 4)")
    parser.add_argument("--restarts", type=int, default=3, help="conversations (default 3)")
    parser.add_argument("--ways", default="1x1,2x1,1x4", help="threads x slots (default 1x1,2x1,1x4)")
    parser.add_argument("--tokens", type=int, default=48, help="tokens of an answer for the speed (48)")
    parser.add_argument("--json", action="store_true", help="print JSON (it always does)")
    print(json.dumps(asyncio.run(run(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
