"""Record the runs that ``test_recorded_runs`` holds the program to.

``python -m tests.agent.search.record_runs [NAME ...]``, in the project's folder, writes
``tests/data/recorded_runs/NAME.json`` anew, all of them by default. A run is recorded anew only where what is
said to an LLM, or what is made of its answers, was changed on purpose; the commit says which and why.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptclimb import SearchConfig, search
from promptclimb.agent.search import restart
from promptclimb.agent.store.run import Store
from tests.fakes.chat_by_hash import ChatByHash
from tests.fakes.clock import run_virtual
from tests.fakes.evaluators import FakeEvaluator
from tests.fakes.stored import answers
from tests.paths import ROOT

RUNS = ROOT / "tests" / "data" / "recorded_runs"
SMALL = {
    "augmentations": 0, "starting_pool": "captions", "data": "fake", "restarts": 2, "conversations": 2,
    "rounds": 3, "proposals": 3, "initial": 12,
}  # fmt: skip
PICTURES = {"data": "backgrounds", "shots": 4, "initial": 20}
SHOWN = {"TOP_K": 4, "MAX_TURNS": 2}
"""Fewer than a search shows, so that short runs leave some out."""


@dataclass(frozen=True)
class Recording:
    """What is recorded under a name: a config, and whether a bundled CLIP or words are scored."""

    config: dict[str, Any]
    words: dict[str, Any] | None = field(default_factory=dict)

    @property
    def evaluator(self) -> FakeEvaluator | None:
        """The scorer of words; None for pictures."""
        return None if self.words is None else FakeEvaluator(**self.words)


def _llm(method: str, **more: Any) -> dict[str, Any]:
    return {"method": method, "llm": "fake", **more}


RECORDINGS = {
    **{method: Recording(_llm(method)) for method in ("pn", "p", "ape", "opro")},
    "random": Recording({"method": "random"}),
    "pn-without-val": Recording(_llm("pn", seed=5), {"val": False, "seed": 3}),
    "opro-class-mean": Recording(_llm("opro", objective="class_mean")),
    "real-pn": Recording(_llm("pn", **PICTURES), None),
    "real-logprob": Recording(_llm("pn", **PICTURES, objective="logprob"), None),
}


def record(recording: Recording) -> dict[str, Any]:
    """Make one run and return what is held of it."""
    config = {**SMALL, **recording.config}
    chat = ChatByHash()
    vars(restart).update(SHOWN)
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        run = run_virtual if recording.words is not None else asyncio.run
        work = search(
            SearchConfig(**config, run_dir=run_dir),
            custom_scorer=recording.evaluator,
            chat=chat if "llm" in config else None,
        )
        document = run(work).to_json()
        asked = {request.hash: request for request in chat.asked}
        with Store.open(run_dir) as store:
            turns = [
                {
                    "position": list(position),
                    "request": stored.request_hash,
                    "messages": list(asked[stored.request_hash].messages),
                    "temperature": asked[stored.request_hash].temperature,
                    "max_tokens": asked[stored.request_hash].max_tokens,
                    "seed": asked[stored.request_hash].seed,
                    "answer": stored.answer.text,
                }
                for position, stored in answers(store).items()
            ]
        leaderboard = (run_dir / "leaderboard.csv").read_text("utf-8")
    kept = {name: document[name] for name in ("rejected", "best", "texts")}
    return {"config": config, "turns": turns, "leaderboard": leaderboard, **kept}


if __name__ == "__main__":
    for name in sys.argv[1:] or RECORDINGS:
        text = json.dumps(record(RECORDINGS[name]), indent=1, ensure_ascii=False)
        (RUNS / f"{name}.json").write_text(text + "\n", "utf-8")
