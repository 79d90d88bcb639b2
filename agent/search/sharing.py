"""``--cache``: scores, and answers where asked for, taken from other runs and given to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...evaluator.scoring import EvaluatorInfo
from ..config.schema import SearchConfig
from ..store.shared import SharedAsker, SharedCache, SharedScorer
from .journal import Asker
from .scorebook import TemplateScorer


@contextmanager
def shared(
    config: SearchConfig, info: EvaluatorInfo, scorer: TemplateScorer, asker: Asker
) -> Iterator[tuple[TemplateScorer, Asker]]:
    """Give a scorer and an asker that look into the shared folder first; the given ones where there is none.

    A run still writes all that it uses into its own store: it can be resumed without the shared folder.

    Raises:
        StoreError: The folder cannot be used.
    """
    if config.shared_cache is None:
        yield scorer, asker
        return
    with SharedCache(config.shared_cache) as cache:
        space = f"{info.fingerprint}:{info.precision}:{config.objective}"
        if config.cache_answers:
            asker = SharedAsker(cache, asker, config.shown_url or str(config.llm))
        yield SharedScorer(cache, scorer, space), asker
