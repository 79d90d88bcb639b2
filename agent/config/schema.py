"""Every option of a search, as one frozen value that is checked when it is built.

The command line's options are made from these fields (see ``agent.cli.options``), so nothing is said twice: a
field's name is its flag, its description the help text. Fields marked as *deciding* are the identity of a
run: with the same answers they give the same result, and a run cannot be resumed with others. The rest may
change between two stretches of a run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from .fields import (
    DEFAULT_BASE_URL,
    EndpointConfig,
    Price,
    about,
    check_url,
    known_method,
    known_objective,
    parse_initial,
    parse_price,
    setting,
    without_credentials,
)

DEFAULT_DATA = "backgrounds"
LOCAL_LLM = "local"


class SearchConfig(BaseModel):
    """What to search, with whom, how, and how far.

    The defaults: 16 shots, because the template that one image a class picks is mostly luck (``shots=1`` is
    the paper's setting); 4 restarts of 2 conversations of 6 turns, 5 proposals a turn: 48 requests, which a
    small hosted model answers for a few cents.

    Raises:
        pydantic.ValidationError: A value is out of range; ``agent.config.sources`` turns it into a
        ``ConfigError``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)

    # What is scored
    data: str = setting(
        DEFAULT_DATA,
        "data set by name (see `datasets`), or a folder of class folders",
        "task",
        decides=True,
        show="NAME|DIR",
        min_length=1,
    )
    data_root: Path | None = setting(None, "where data sets lie (default: $DATA)", "task", show="DIR")
    model: str = setting(
        "RN-pico",
        "open_clip's name of the model, or a bundled one (RN-pico, ViT-pico)",
        "task",
        decides=True,
        show="NAME",
        min_length=1,
    )
    pretrained: str = setting(
        "pico",
        "its weights: open_clip's tag, or a checkpoint file",
        "task",
        decides=True,
        show="TAG|FILE",
        min_length=1,
    )
    shots: int = setting(16, "training images a class", "task", decides=True, show="N", ge=1)
    seed: int = setting(
        1, "seed of the few-shot sample and of the search", "task", decides=True, show="N", ge=0, lt=2**63
    )
    class_names: str | None = setting(
        None,
        "openai, split, or a file with one class name a line",
        "task",
        decides=True,
        show="openai|split|FILE",
    )
    few_shot_file: Path | None = setting(
        None, "published few-shot indices to use instead of sampling", "task", decides=True, show="FILE"
    )
    objective: str = setting(
        "accuracy",
        "what is climbed: accuracy or class_mean; logprob and margin look at logits, "
        "so the model is no black box any more",
        "task",
        decides=True,
        show="NAME",
    )
    precision: Literal["fp32", "best"] = setting(
        "fp32", "fp32, or best: what the device does fastest", "task", decides=True, show="fp32|best"
    )
    allow_leak: bool = setting(
        False, "go on although an image lies in train and in test", "task", decides=True
    )
    on_bad_image: Literal["fail", "skip"] = setting(
        "fail", "what to do with an image that cannot be read", "task", decides=True, show="fail|skip"
    )
    device: str = setting(
        "auto", "auto, cpu, cuda, cuda:1, cuda:0,1 or mps", "task", show="DEVICE", min_length=1
    )

    ray: str | None = setting(
        None,
        "score on a Ray cluster: its address, or nothing for the one at hand",
        "task",
        show="[ADDRESS]",
        min_length=1,
    )

    # Who proposes
    llm: str | None = setting(
        None,
        "model that the endpoint knows, or `local` for the one that the extra [local] brings",
        "llm",
        decides=True,
        show="MODEL|local",
        min_length=1,
    )
    base_url: str | None = setting(
        None,
        "OpenAI-compatible endpoint (default: $OPENAI_BASE_URL, then OpenAI)",
        "llm",
        show="URL",
        repr=False,
    )
    endpoints: tuple[EndpointConfig, ...] = setting(
        (), "several endpoints as one pool (only in --config)", "llm", flag=""
    )
    price: Price | None = setting(
        None, "dollars for a million tokens in and out, such as 0.15/0.60", "llm", show="IN/OUT"
    )
    temperature: float = setting(1.0, "the LLM's temperature", "llm", decides=True, show="T", ge=0, le=2)
    answer_tokens: int = setting(
        512, "the longest answer asked for, in tokens", "llm", decides=True, show="N", ge=16
    )
    llm_fallback: Literal["random"] | None = setting(
        None,
        "method to use, and say so, where --llm local is not installed",
        "llm",
        decides=True,
        show="random",
    )

    # How it climbs
    method: str = setting(
        "pn",
        "pn (best and worst shown), p (best only) or random (no LLM)",
        "search",
        decides=True,
        show="NAME",
    )
    restarts: int = setting(
        4, "climbs, each from its own sample of initial templates", "search", decides=True, show="N", ge=1
    )
    resets: int = setting(
        2, "conversations a climb, each from the ranking as it stands", "search", decides=True, show="N", ge=1
    )
    iterations: int = setting(6, "turns a conversation", "search", decides=True, show="N", ge=1)
    proposals: int = setting(
        5, "templates asked for in a turn", "search", decides=True, show="N", ge=1, le=100
    )
    top_k: int = setting(
        15, "templates shown to the LLM, best and worst each", "search", decides=True, show="K", ge=1, le=1000
    )
    initial: int | Path = setting(
        80,
        "initial templates a climb, drawn from the built-in pool, or a file of your own "
        "(at most 100 a climb are drawn from it)",
        "search",
        decides=True,
        show="N|FILE",
    )
    max_words: int = setting(
        15, "the longest template, in words", "search", decides=True, show="N", ge=1, le=100
    )
    max_turns: int = setting(
        10,
        "turns of a conversation that the LLM is shown; older ones are left out",
        "search",
        decides=True,
        show="N",
        ge=1,
        le=1000,
    )
    ensemble_size: int = setting(
        3, "best templates that make the ensemble", "search", decides=True, show="N", ge=1, le=1000
    )

    # How fast
    concurrency: int = setting(
        4, "climbs, and requests in flight, at once", "pace", show="N", ge=1, le=100_000
    )
    rpm: float | None = setting(None, "requests a minute at most", "pace", show="N", gt=0)
    tpm: float | None = setting(None, "tokens a minute at most", "pace", show="N", gt=0)
    request_timeout: float = setting(
        120.0, "seconds that one attempt of a request may take", "pace", show="SECONDS", gt=0
    )
    retry_attempts: int = setting(8, "attempts a request", "pace", show="N", ge=1, le=1000)
    retry_seconds: float = setting(
        600.0, "seconds a request may take in all, waits included", "pace", show="SECONDS", gt=0
    )

    # How far
    max_calls: int | None = setting(None, "requests at most, over the whole run", "limits", show="N", ge=0)
    max_tokens: int | None = setting(None, "tokens at most, in and out", "limits", show="N", ge=0)
    max_cost: float | None = setting(None, "dollars at most; needs --price", "limits", show="DOLLARS", ge=0)
    max_minutes: float | None = setting(None, "minutes of active time at most", "limits", show="N", ge=0)
    give_up_after: float = setting(
        30.0, "minutes without one success after which the run stops", "limits", show="MINUTES", gt=0
    )

    # Where to
    run_dir: Path | None = setting(
        None, "the run's folder (default: a new one under runs/)", "run", show="DIR"
    )
    shared_cache: Path | None = setting(
        None,
        "share scores with other runs on the same data in this folder",
        "run",
        flag="cache",
        show="DIR",
    )
    cache_answers: bool = setting(False, "share the LLM's answers too (with --cache)", "run")

    _price = field_validator("price", mode="before")(parse_price)
    _url = field_validator("base_url")(check_url)

    _initial = field_validator("initial", mode="before")(parse_initial)
    _method = field_validator("method")(known_method)
    _objective = field_validator("objective")(known_objective)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.needs_llm and self.llm is None:
            raise ValueError(
                f"method {self.method!r} needs an LLM: give --llm MODEL, or --llm local for the one that "
                "comes with "
                "`pip install 'promptclimb[local]'`, or --method random for a search without one"
            )
        if self.cache_answers and self.shared_cache is None:
            raise ValueError("--cache-answers needs --cache DIR")
        if self.max_cost is not None and self.needs_llm and not self.priced:
            raise ValueError("--max-cost needs a price: give --price IN/OUT, dollars for a million tokens")
        return self

    @property
    def needs_llm(self) -> bool:
        """Whether the method asks a chat LLM."""
        from ..climb.methods import METHODS

        return METHODS[self.method].requests > 0

    @property
    def priced(self) -> bool:
        """Whether every endpoint's price is known."""
        if self.price is not None:
            return True
        return bool(self.endpoints) and all(endpoint.price is not None for endpoint in self.endpoints)

    @property
    def shown_url(self) -> str | None:
        """The endpoint's address as it may be written down: no user, no password."""
        if not self.needs_llm or self.llm == LOCAL_LLM:
            return None
        if self.endpoints:
            return ", ".join(without_credentials(endpoint.base_url) for endpoint in self.endpoints)
        return without_credentials(self.base_url or DEFAULT_BASE_URL)

    @property
    def steps(self) -> int:
        """Turns of all conversations of all climbs: the requests that a search makes when none fails."""
        return self.restarts * self.resets * self.iterations

    def identity(self) -> dict[str, Any]:
        """The fields that decide the result, as JSON values."""
        return self.model_dump(mode="json", include=set(deciding_fields()))

    def to_public(self) -> dict[str, Any]:
        """Every field that is set, as JSON values, without what is secret."""
        values = self.model_dump(mode="json", exclude_none=True)
        if "base_url" in values:
            values["base_url"] = without_credentials(values["base_url"])
        for endpoint in values.get("endpoints", ()):
            endpoint["base_url"] = without_credentials(endpoint["base_url"])
        return values


def deciding_fields() -> tuple[str, ...]:
    """Names of the fields that decide the result."""
    return tuple(name for name, field in SearchConfig.model_fields.items() if about(field)["decides"])
