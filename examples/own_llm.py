"""Search with a custom LLM: any object with ``chat(messages)`` that returns a text.

This one stands in for a model: it splits the templates in the request and combines the parts again. Replace
its body with a call to your model.
"""

from __future__ import annotations

import random
import re

from promptclimb import SearchConfig, search_sync
from promptclimb.evaluator.fakes import FakeEvaluator


class Recombiner:
    """Answer with templates made of the words in the request; the same request gets the same answer."""

    def chat(self, messages: list[dict[str, str]]) -> str:
        """Return one answer: a list of five templates."""
        rng = random.Random(repr(messages))
        shown = re.findall(r"^- (.*\{\}.*?)(?: \(.*)?$", messages[0]["content"], re.MULTILINE)
        starts = [template.partition("{}")[0] for template in shown]
        ends = [template.partition("{}")[2] for template in shown]
        return "\n".join(f"- {rng.choice(starts)}{{}}{rng.choice(ends)}" for _ in range(5))


def main() -> None:
    """Search words that a hash scores, so that no model is needed."""
    config = SearchConfig(
        data="words", llm="recombiner", method="pn", restarts=4, conversations=2, rounds=8, initial=10
    )
    result = search_sync(config, custom_scorer=FakeEvaluator(), chat=Recombiner())
    start = result.baselines["best starting template"].test
    print(f"best starting template {start:.1%}, best found {result.best.test:.1%}: {result.best.template}")


if __name__ == "__main__":
    main()
