"""Every option of a search, as one frozen value that is checked when it is built.

The command line's options are made from these fields (see ``agent.cli.options``), so nothing is said twice: a
field's name is its flag, its description the help text. Fields marked as *deciding* are the identity of a
run: with the same answers they give the same result, and a run cannot be resumed with others. The rest may
change between two sessions of a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import field_validator, model_validator

from ...evaluator.counts import how_to_install
from ...evaluator.scoring import EvaluatorInfo
from ...evaluator.settings import about, known_name, setting
from ...evaluator.user_paths import UserPath
from .description import TELLING, UNTOLD, parse_description
from .fields import (
    DEFAULT_BASE_URL,
    INITIAL,
    LONGEST_MINUTES,
    MOST_DOLLARS,
    parse_initial,
    parse_share,
    without_credentials,
)
from .initial import most_initial, usual_initial
from .known_methods import KNOWN_METHODS, described
from .reading import Style
from .tracked_config import TrackedConfig
from .ways import deciding_ways

MOST_ROUNDS = 10_000
"""The most restarts, conversations of a restart, and rounds of a conversation: far more than pays, and few
enough that
a mistyped number does not fill the memory."""
_ROUNDS: Mapping[str, Any] = {"decides": True, "show": "N", "ge": 1, "le": MOST_ROUNDS}
MOST_COUNTED = 10**15
"""The most requests or tokens that a limit may say."""


class SearchConfig(TrackedConfig):
    """How to search, and how far.

    What is scored stands in ``EvaluatorSpec``, who is asked in ``LLMConfig``, who watches in
    ``TrackedConfig``.

    The defaults: 4 restarts of 2 conversations of 6 rounds, 5 proposals each: 48 requests, which a small
    hosted model answers for a few cents.

    Raises:
        ConfigError: A value is wrong; the message names the field.
    """

    # How it restarts
    method: str = setting("guided", described(), "search", decides=True, show="NAME")
    describe: str | None = setting(
        None,
        "what the pictures show, in your words: a sentence, or a file with one",
        "search",
        decides=True,
        show="TEXT|FILE",
    )
    blind: bool = setting(
        False,
        "tell the method neither what the pictures show nor the class names (pn, p, ape and opro never do)",
        "search",
        decides=True,
    )
    style: Style | None = setting(
        None,
        "how guided asks: rich, a conversation with scores, or short requests for a small model "
        "(default: by the model's name, else by its answers)",
        "search",
        decides=True,
        show="rich|short",
    )
    wordings: UserPath | None = setting(
        None, "texts of your own for the requests of guided, TOML", "search", decides=True, show="FILE"
    )
    restarts: int = setting(
        4,
        "restarts: restarts, each from its own sample of initial templates",
        "search",
        **_ROUNDS,
    )
    conversations: int = setting(
        2,
        "conversations a restart: conversations, each from the ranking as it stands",
        "search",
        **_ROUNDS,
    )
    rounds: int = setting(
        6,
        "rounds a conversation: requests of one conversation",
        "search",
        **_ROUNDS,
    )
    proposals: int = setting(
        5, "templates asked for in an round", "search", decides=True, show="N", ge=1, le=100
    )
    top_k: int = setting(
        15, "templates shown to the LLM, best and worst each", "search", decides=True, show="K", ge=1, le=1000
    )
    initial_pool: Literal["captions", "grammar"] = setting(
        "grammar",
        "built-in pool: captions (308, of a person's hand) or grammar (thousands, made of what captions say)",
        "search",
        decides=True,
        show="captions|grammar",
    )
    initial: int | Path | None = setting(None, INITIAL, "search", decides=True, show="N|FILE")
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
        3,
        "the ensemble begins with so many of the best, and grows while it gets better",
        "search",
        decides=True,
        show="N",
        ge=1,
        le=1000,
    )

    patience: int | None = setting(
        None,
        "end a restart after so many rounds without a better template",
        "search",
        **_ROUNDS,
    )
    until: float | None = setting(
        None,
        "end a restart once a template has this accuracy on train and val together, such as 0.95 or 95%",
        "search",
        decides=True,
        show="ACC",
        gt=0,
    )

    # How far
    max_calls: int | None = setting(
        None, "requests at most, over the whole run", "limits", show="N", ge=0, le=MOST_COUNTED
    )
    max_tokens: int | None = setting(
        None, "tokens at most, in and out", "limits", show="N", ge=0, le=MOST_COUNTED
    )
    max_cost: float | None = setting(
        None, "dollars at most; needs --price", "limits", show="DOLLARS", ge=0, le=MOST_DOLLARS
    )
    max_minutes: float | None = setting(
        None, "minutes of active time at most", "limits", show="N", ge=0, le=LONGEST_MINUTES
    )
    give_up_after: float = setting(
        30.0,
        "minutes without one success after which the run stops",
        "limits",
        show="MINUTES",
        gt=0,
        le=LONGEST_MINUTES,
    )

    # Where to
    run_dir: UserPath | None = setting(
        None, "the run's folder (default: a new one under runs/)", "run", show="DIR"
    )
    shared_cache: UserPath | None = setting(
        None,
        "share scores with other runs on the same data in this folder",
        "run",
        flag="cache",
        show="DIR",
    )
    cache_answers: bool = setting(False, "share the LLM's answers too (with --cache)", "run")

    _until = field_validator("until", mode="before")(parse_share)
    _describe = field_validator("describe", mode="before")(parse_description)
    _initial = field_validator("initial", mode="before")(parse_initial)

    @field_validator("method")
    @classmethod
    def _method(cls, name: str) -> str:
        return known_name("method", name, KNOWN_METHODS)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.needs_llm and self.llm is None:
            raise ValueError(
                f"method {self.method!r} needs an LLM: give {{llm=MODEL}}, or {{llm=local}} for the one that "
                f"{how_to_install('local')} brings, or {{method=combine}} for a search without one"
            )
        if self.cache_answers and self.shared_cache is None:
            raise ValueError("{cache_answers} needs {shared_cache=DIR}")
        if self.max_cost is not None and self.needs_llm and not self.priced:
            raise ValueError(
                "{max_cost} needs a price: give {price=IN/OUT}, dollars for a million tokens, or {price=auto}"
            )
        return self

    @property
    def needs_llm(self) -> bool:
        """Whether the method asks a chat LLM."""
        return KNOWN_METHODS[self.method].requests > 0

    @property
    def shown_url(self) -> str | None:
        """The endpoint's address as it may be written down: no user, no password."""
        if not self.needs_llm or self.is_local:
            return None
        if self.endpoints:
            return ", ".join(without_credentials(endpoint.base_url) for endpoint in self.endpoints)
        return without_credentials(self.base_url or DEFAULT_BASE_URL)

    @property
    def all_rounds(self) -> int:
        """Rounds of all conversations of all restarts."""
        return self.restarts * self.conversations * self.rounds

    @property
    def most_initial(self) -> int:
        """How many initial templates a restart has at most, whatever it is scored on."""
        return most_initial(self.initial, from_grammar=self.draws_from_grammar)

    @property
    def draws_from_grammar(self) -> bool:
        """Whether initial templates are drawn from the grammar, and not from the captions or a file."""
        return self.initial_pool == "grammar" and not isinstance(self.initial, Path)

    @property
    def description(self) -> str:
        """What a method is told that the pictures show; empty where nothing is."""
        return "" if self.blind else self.describe or ""

    @property
    def untold(self) -> str | None:
        """What a description could bring, as a line; None where one is given, or is of no use."""
        if self.describe or self.blind or self.method not in TELLING:
            return None
        return UNTOLD

    @property
    def unheard(self) -> str | None:
        """What becomes of a description that the method is not told, as a line; None where none is lost."""
        if not self.describe or (self.method in TELLING and not self.blind):
            return None
        why = "with --blind" if self.method in TELLING else f"by method {self.method}"
        return f"--describe is not used {why}"

    def as_opened(self, info: EvaluatorInfo) -> Self:
        """Return the config with the numbers that what it is scored on decides; initial templates too."""
        opened = super().as_opened(info)
        if opened.initial is not None:
            return opened
        return opened.model_copy(update={"initial": usual_initial(info, opened.most_initial)})

    def identity(self) -> dict[str, Any]:
        """Return the fields that decide the result; see ``Settings.identity``.

        A description is its text, also where that begins like a path. Of the endpoints of a pool decides what
        they are asked for, and not where they are or what they charge.
        """
        return {
            **super().identity(),
            "describe": self.describe,
            "endpoints": deciding_ways(self.to_public()),
        }

    def to_public(self) -> dict[str, Any]:
        """Return every field that is set, as JSON values, without what is secret."""
        unset = {
            name
            for name, field in type(self).model_fields.items()
            if about(field)["technical"] and getattr(self, name) == field.default
        }
        values = self.model_dump(mode="json", exclude_none=True, exclude=unset)
        if "base_url" in values:
            values["base_url"] = without_credentials(values["base_url"])
        for endpoint in values.get("endpoints", ()):
            endpoint["base_url"] = without_credentials(endpoint["base_url"])
        return values
