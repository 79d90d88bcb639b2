"""Searches with an LLM of your own: any object with ``chat(messages)`` that answers with a text.

This one stands in for a real model: it takes the templates that it is shown apart and puts the parts together
anew. Replace its body with a call to whatever you have.
"""

from __future__ import annotations

import random
import re

from promptclimb.evaluator.fakes import FakeEvaluator

from promptclimb import SearchConfig, search_sync


class Recombiner:
    """Answers with templates made of the words in the request."""

    def __init__(self, seed: int = 1) -> None:
        self._rng = random.Random(seed)

    def chat(self, messages: list[dict[str, str]]) -> str:
        """Return one answer: a list of five templates."""
        shown = re.findall(r"^- (.*\{\}.*?)(?: \(.*)?$", messages[0]["content"], re.MULTILINE)
        starts = [template.partition("{}")[0] for template in shown]
        ends = [template.partition("{}")[2] for template in shown]
        return "\n".join(f"- {self._rng.choice(starts)}{{}}{self._rng.choice(ends)}" for _ in range(5))


def main() -> None:
    """Climb words that a hash scores, so that no model is needed."""
    config = SearchConfig(data="words", llm="recombiner", restarts=4, resets=2, iterations=8, initial=30)
    result = search_sync(config, evaluator=FakeEvaluator(), chat=Recombiner())
    start = result.baselines["initial pool"]["test"]
    print(f"best initial template {start:.1%}, best found {result.best.test:.1%}: {result.best.template}")


if __name__ == "__main__":
    main()
