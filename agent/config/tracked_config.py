"""Who watches a search: the part of a config that decides nothing and costs nothing."""

from __future__ import annotations

from pydantic import field_validator

from ...evaluator.settings import setting
from ..events.trackers.known import parse_track
from .llm_config import LLMConfig


class TrackedConfig(LLMConfig):
    """Where the figures of a search go while it runs."""

    track: tuple[str, ...] | None = setting(
        None,
        "send figures to trackers, several with commas: mlflow[:URI], trackio[:PROJECT], wandb[:PROJECT], "
        "tensorboard[:DIR], otel[:URL]; none: not to those of before any more",
        "run",
        show="NAME[:PLACE]",
    )

    _track = field_validator("track", mode="before")(parse_track)
