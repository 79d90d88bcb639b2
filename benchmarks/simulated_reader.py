"""Whether bad templates help a reader that can read: `pn` against `p`, with a simulated LLM of known skill.

    python benchmarks/simulated_reader.py --json

No language model is asked. The reader counts, over all that it is shown, how much oftener a word stands in
templates that do well (or rose) than in those that do badly (or fell), and changes one of the best by one or
two words: by a word of high count with probability *skill*, else by any. It knows the words of the caption
grammar, and nothing of the pictures. A skill of 0 ignores what it is shown, 1 follows nothing else. So
this says what negative feedback can bring to a reader that uses it, not what an LLM makes of it. Prints test
accuracies of what was chosen, with differences paired by set: of each over `random`, and of `pn` over `p`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

# In front of this folder, where the name `evaluator` is another benchmark.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from descriptions import compared

from promptclimb import SearchConfig, search
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.evaluator.open import open_evaluator
from promptclimb.evaluator.scoring import Evaluator
from promptclimb.evaluator.spec import EvaluatorSpec
from promptclimb.prompts.template import SLOT, TEMPLATE_WORDS
from promptclimb.prompts.template_kind import all_of_grammar

TWELVE = (
    "displays,counted-things,signal-flags,semaphore-letters,braille-letters,morse-letters,"
    "backgrounds,frames,outer-shapes,outlines,photos,artworks"
)
ROUNDS: dict[str, Any] = {"restarts": 1, "conversations": 2, "rounds": 5, "proposals": 10, "initial": 80}
PREFERRED = 8
"""Of how many words of the highest counts an informed change takes one."""
_REPORTED = re.compile(r"- (.*) \((rose|fell) to [^()]*\)")


class Reader:
    """A chat LLM that counts words.

    Args:
        skill: The probability that a change follows the counts, 0 to 1.
        proposals: How many templates it writes.
    """

    in_flight = 1

    def __init__(self, skill: float, proposals: int) -> None:
        self._skill, self._proposals = skill, proposals
        self._words = sorted(
            {word for one in all_of_grammar() for word in str(one).split() if SLOT not in word}
        )

    def chat(self, request: ChatRequest) -> ChatAnswer:
        """Answer with changed templates; the same request gets the same answer."""
        rng = Random(request.hash)
        good, bad = _shown(message["content"] for message in request.messages if message["role"] == "user")
        counts = _counts(good, bad)
        lines = "\n".join(f"- {self._changed(rng.choice(good), counts, rng)}" for _ in range(self._proposals))
        return ChatAnswer(text=lines, prompt_tokens=1, completion_tokens=1)

    def _changed(self, template: str, counts: Mapping[str, float], rng: Random) -> str:
        words = template.split()
        for _ in range(rng.choice((1, 2))):
            informed = rng.random() < self._skill
            free = [place for place, word in enumerate(words) if SLOT not in word]
            if informed and counts:
                new = rng.choice(sorted(counts, key=lambda word: -counts[word])[:PREFERRED])
                old = min(free, key=lambda place: counts.get(words[place], 0.0), default=None)
            else:
                new, old = rng.choice(self._words), rng.choice(free) if free else None
            if old is None or rng.random() < 0.5:
                words.insert(rng.randint(0, len(words)), new)
            else:
                words[old] = new
        return " ".join(words)


def _shown(texts: Iterator[str]) -> tuple[list[str], list[str]]:
    """Return the templates that did well, and those that did badly, of what the user has said."""
    good, bad = [], []
    for text in texts:
        for paragraph in text.split("\n\n"):
            heading, *lines = paragraph.splitlines()
            listed = [line.removeprefix("- ") for line in lines]
            if heading == TEMPLATE_WORDS.heading("best"):
                good += listed
            elif heading == TEMPLATE_WORDS.heading("worst"):
                bad += listed
            for template, verb in _REPORTED.findall(paragraph):
                (good if verb == "rose" else bad).append(template)
    return good, bad


def _counts(good: Sequence[str], bad: Sequence[str]) -> Mapping[str, float]:
    """Return by how much oftener a word stands in a good template than in a bad one, as shares of each."""
    counts: defaultdict[str, float] = defaultdict(float)
    for templates, sign in ((good, 1), (bad, -1)):
        for template in templates:
            for word in {word for word in template.split() if SLOT not in word}:
                counts[word] += sign / len(templates)
    return counts


async def chosen(evaluator: Evaluator, method: str, skill: float | None, seed: int) -> dict[str, Any]:
    """Return what one search chose."""
    with tempfile.TemporaryDirectory() as folder:
        config = SearchConfig(
            data=evaluator.info.dataset,
            method=method,
            llm=None if skill is None else "simulated",
            seed=seed,
            starting_pool="captions",
            augmentations=0,
            prefer_readable=False,
            run_dir=Path(folder) / "run",
            **ROUNDS,
        )
        chat = None if skill is None else Reader(skill, config.proposals)
        result = await search(config, evaluator=evaluator, chat=chat)
    return {
        "set": evaluator.info.dataset,
        "seed": seed,
        "arm": method if skill is None else f"{method}, skill {skill:g}",
        "test": result.best.test,
        "initial": result.baselines["best starting template"].test,
        "template": result.best.template,
        "scored": result.evaluated,
    }


def main() -> None:
    """Read options, search, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=TWELVE, help="bundled sets")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--skills", default="0,0.5,1")
    parser.add_argument("--shots", type=int, default=16)
    parser.add_argument("--model", default="RN-pico")
    parser.add_argument("--rows", action="store_true", help="print every search too")
    parser.add_argument("--json", action="store_true", help="the document on one line")
    options = parser.parse_args()
    torch.set_num_threads(1)  # small matrices; on a busy machine several threads wait for each other
    skills = [float(text) for text in options.skills.split(",")]
    arms = [("random", None), *((method, skill) for skill in skills for method in ("p", "pn"))]
    rows = []
    for seed in map(int, options.seeds.split(",")):
        for data in options.data.split(","):
            spec = EvaluatorSpec(data=data, seed=seed, shots=options.shots, model=options.model)
            evaluator = open_evaluator(spec)
            rows += [asyncio.run(chosen(evaluator, method, skill, seed)) for method, skill in arms]
            print(f"{data} {seed}", file=sys.stderr, flush=True)
    names = list(dict.fromkeys(row["arm"] for row in rows))
    document: dict[str, Any] = {
        "reader": "simulated: counts words, no language model",
        "over_random": {name: compared(rows, name, "random", "test") for name in names},
        "pn_over_p": {
            f"{skill:g}": compared(rows, f"pn, skill {skill:g}", f"p, skill {skill:g}", "test")
            for skill in skills
        },
    }
    if options.rows:
        document["rows"] = rows
    print(json.dumps(document, indent=None if options.json else 2))


if __name__ == "__main__":
    main()
