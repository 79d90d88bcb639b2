"""``--cache``: scores, and answers where asked for, taken from other runs and given to them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from ...evaluator.scoring import EvaluatorInfo, TemplateScorer
from ..config.schema import SearchConfig
from ..llm.endpoint import Asker, Endpoint
from ..store.shared import SharedAsker, SharedCache, SharedScorer


@contextmanager
def shared(
    config: SearchConfig,
    info: EvaluatorInfo,
    scorer: TemplateScorer,
    asker: Asker,
    given: Mapping[str, str],
    endpoints: Sequence[Endpoint],
) -> Iterator[tuple[TemplateScorer, Asker]]:
    """Yield a scorer and an asker that look into the shared folder first; those given where there is none.

    A run still writes all that it uses into its own store: it can be resumed without the shared folder.

    Args:
        config: Names the folder, and the endpoints whose answers may be shared.
        info: What scores are of.
        scorer: Computes what is not there.
        asker: Gets what is not there.
        given: The user's own objects by name; answers of a chat of theirs are not those of an endpoint.
        endpoints: Who is asked; a model's file is told by its content.

    Raises:
        StoreError: The folder cannot be used.
    """
    if config.shared_cache is None:
        yield scorer, asker
        return
    with SharedCache(config.shared_cache) as cache:
        space = f"{info.fingerprint}:{info.precision}:{config.objective}"
        if config.cache_answers:
            place = given.get("chat") or _asked_place(config, endpoints)
            asker = SharedAsker(cache, asker, place)
        yield SharedScorer(cache, scorer, space), asker


def _asked_place(config: SearchConfig, endpoints: Sequence[Endpoint]) -> str:
    """Return where requests are sent, and what a pool is asked for in place of what they say.

    A model of the user's own on this machine is a place by its content.
    """
    file = next((f"local:{one.content}" for one in endpoints if one.content), None)
    place = config.shown_url or file or str(config.llm)
    own = config.overrides if config.shown_url else []
    return f"{place} {json.dumps(own, sort_keys=True)}" if any(own) else place
