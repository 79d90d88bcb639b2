"""How well the local language model continues a list of templates: raw lines, answers, and a longer climb.

    python benchmarks/local_llm.py --json

Prints ``raw`` (of 20 lines drawn: valid, distinct, new to the list), ``answer`` (of 20 templates asked for:
how many came, all of them valid, distinct and new to the chat), ``climb`` (the same in conversations of ten
turns that ask for five, new to everything tried before) and CPU seconds, which do not depend on what else
the machine does.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from promptclimb.agent.llm.local.answering import answer
from promptclimb.agent.llm.local.generator import Generator, Sampling
from promptclimb.agent.llm.local.listing import SLOT_WORD, read_chat
from promptclimb.agent.llm.local.llama import LlamaGenerator
from promptclimb.agent.llm.local.model_file import model_file
from promptclimb.evaluator.fakes import FakeEvaluator
from promptclimb.evaluator.scoring import Score
from promptclimb.prompts.pools import BUILT_IN, draw
from promptclimb.prompts.replies import parse_reply
from promptclimb.prompts.requests import Message, Outcome, feedback, request_p, request_pn
from promptclimb.prompts.template import SLOT, Template, TemplateError

LINES = 20
SAMPLING = Sampling(temperature=1.0, top_p=0.95, max_tokens=2_000)


def never() -> bool:
    """No benchmark is cancelled."""
    return False


def opening(seed: int) -> list[Message]:
    """Return a request with 15 good and 15 bad templates, drawn from the built-in pool."""
    drawn = [Outcome(template.text) for template in draw(BUILT_IN, 30, random.Random(seed))]
    return request_pn(drawn[:15], drawn[15:], proposals=LINES, max_words=15)


def raw(generator: Generator, seed: int) -> dict[str, int]:
    """Draw 20 lines and keep all of them, as the model gives them."""
    listing = read_chat(opening(seed))
    generator.read(listing.prompt, never)
    one = Sampling(temperature=1.0, top_p=0.95, max_tokens=28)
    seeds = [1_000 * seed + index for index in range(LINES)]
    samples = [*generator.lines(seeds[:10], one, never), *generator.lines(seeds[10:], one, never)]
    keys: list[str] = []
    for sample in samples:
        try:
            keys.append(Template.parse(sample.text.replace(SLOT_WORD, SLOT)).key)
        except TemplateError:
            continue
    return {"valid": len(keys), "distinct": len(set(keys)), "new": len(set(keys) - listing.known)}


def answered(generator: Generator, seed: int) -> int:
    """Ask for 20 templates; how many come that are new to the chat."""
    listing = read_chat(opening(seed))
    reply = parse_reply(answer(generator, listing, SAMPLING, seed=str(seed), cancelled=never).text)
    return len({template.key for template in reply.templates} - listing.known)


def climb(generator: Generator, seed: int, *, turns: int = 10, proposals: int = 5) -> float:
    """Return a conversation against a word-based scorer: the share of what was asked for that was new."""
    scorer = FakeEvaluator(seed=seed)
    scores = _scored(scorer, [template.text for template in draw(BUILT_IN, 80, random.Random(seed))])
    best = sorted(scores, key=lambda text: -scores[text])
    messages = request_p([Outcome(text) for text in best[:15]], proposals=proposals, max_words=15)
    known = {Template.parse(text).key for text in scores}
    new = 0
    for turn in range(turns):
        text = answer(generator, read_chat(messages), SAMPLING, seed=f"{seed}/{turn}", cancelled=never).text
        fresh = [template for template in parse_reply(text).templates if template.key not in known]
        known |= {template.key for template in fresh}
        new += len(fresh)
        before = max(scores.values())
        now = _scored(scorer, [template.text for template in fresh])
        scores |= now
        outcomes = [Outcome(text, score) for text, score in now.items()]
        told = feedback(outcomes, best_before=before, proposals=proposals, max_words=15)
        messages = [*messages, {"role": "assistant", "content": text}, told]
    return new / (turns * proposals)


def _scored(scorer: FakeEvaluator, texts: Sequence[str]) -> dict[str, float]:
    pairs = zip(texts, scorer.score(texts), strict=True)
    return {text: result.train for text, result in pairs if isinstance(result, Score)}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=5, help="different prompts (default 5)")
    parser.add_argument("--json", action="store_true", help="print JSON (it always does)")
    prompts = parser.parse_args().prompts
    generator = LlamaGenerator(model_file())
    start = time.process_time()
    lines = [raw(generator, seed) for seed in range(prompts)]
    raw_s = time.process_time() - start
    answers = [answered(generator, seed) for seed in range(prompts)]
    answer_s = time.process_time() - start - raw_s
    climbs = [climb(generator, seed) for seed in range(max(1, prompts // 2))]
    climb_s = time.process_time() - start - raw_s - answer_s
    generator.close()
    document = {
        "prompts": prompts,
        "lines": LINES,
        "raw": {name: sum(line[name] for line in lines) / prompts for name in ("valid", "distinct", "new")},
        "raw_cpu_s_a_line": round(raw_s / prompts / LINES, 3),
        "answer": {"asked": LINES, "came": sum(answers) / prompts, "fewest": min(answers)},
        "answer_cpu_s_a_template": round(answer_s / max(sum(answers), 1), 3),
        "climb": {"turns": 10, "asked_a_turn": 5, "new_share": round(sum(climbs) / len(climbs), 3)},
        "climb_cpu_s_a_turn": round(climb_s / len(climbs) / 10, 3),
    }
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
