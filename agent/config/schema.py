"""Every setting of a search, as one frozen value that is checked when built.

The command line, settings file, environment and option reference are made from these declarations: a field's
name is its flag. Settings that *decide* are the run's identity: with the same answers they give the same
result, and a run resumes only with the same ones, except that ``resumable="more"`` ones may grow, and
``"yes"`` ones may change until the run has chosen.

``cli.options`` makes a setting's flag, ``sources`` joins file, environment and flags into a ``SearchConfig``,
``as_opened`` adds what the data decide, and ``search.identity`` checks it on resume.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import field_validator, model_validator

from ...evaluator.counts import how_to_install
from ...evaluator.files import UserPath
from ...evaluator.network import check_url
from ...evaluator.scoring import EvaluatorInfo
from ...evaluator.settings import Group, Option, Scope, Settings, one_of, options_of, setting
from ...evaluator.spec import API, BY_IMAGE, EvaluatorSpec
from ...prompts.kinds import CLASS_NAMES, INSTRUCTION, KINDS, TEMPLATE, PromptKind, kind_named
from ..events.trackers.known import parse_track, tracker_forms
from ..methods.guided import MOST_FREE
from ..methods.registry import ABOUT, LLM_METHOD, METHOD, METHODS
from ..prices import MOST_DOLLARS, CallPrice, Price
from .fields import (
    CONCURRENCY,
    DEFAULT_BASE_URL,
    LONGEST_MINUTES,
    LONGEST_S,
    MOST_A_MINUTE,
    MOST_ATTEMPTS,
    REQUEST_TIMEOUT_S,
    RETRY_ATTEMPTS,
    SCORER_CONCURRENCY,
    WORD,
    ExtraBody,
    Style,
    TokenPrice,
    check_llm,
    is_local,
    parse_description,
    parse_initial,
    parse_scorer_price,
    placeless_llm,
    style_of,
    without_credentials,
)

DESCRIPTION_TIP = (
    "Tip: `describe = TEXT` says what kind of images these are; it helps most where they are of an unusual "
    "kind"
)
COST_NEEDS_PRICE = (
    "`max_cost` needs the LLM's price: give `price = IN/OUT`, dollars per million tokens (0/0: free)"
)
MOST_ROUNDS = 10_000
"""Most restarts, conversations or rounds, so that a mistyped number does not fill the memory."""
MOST_COUNTED = 10**15
MAY_EXCEED = "one answer that costs more than expected may exceed it"
FEW_INITIAL, MANY_INITIAL = 80, 250
"""Default starting templates per restart: the paper's number, and one for cheap scores."""
IMAGE_INITIAL = 40
"""The same where each template takes a request an image."""
DESCRIBED_INITIAL = 4
"""The same where scores cost and there is a description: templates made of it are better."""
FEWER_BY_IMAGE: Mapping[str, int] = MappingProxyType({"restarts": 1, "name_rounds": 1})
"""Smaller defaults there."""
DESCRIBED_PROPOSALS = 8
"""Proposals per round there, with a description: in place of starting templates."""
MOST_FROM_FILE = 100
_TEXTS = 25_000
"""Most texts from a restart's starting templates: one per template and class."""
LEAST_FREE = 5
"""Free candidates per request: ``MOST_FREE``, or none if fewer than this."""
_TEXTS_FREE = 1_000

_COUNT: Mapping[str, Any] = {"ge": 1, "le": MOST_ROUNDS}
_MORE: Mapping[str, Any] = {**_COUNT, "decides": True, "resumable": "more"}


class LLMSettings(Settings):
    """The LLM, its endpoint, and what each request says besides its messages."""

    group: ClassVar[Group] = "LLM"

    llm: str | None = setting(
        None,
        "the LLM: its name at the endpoint; or on this machine (extra [local]): `local`, `local:1.5b`, or "
        "your own file, `local:FILE.gguf`",
        decides=True,
        first=8,
        show="MODEL|local",
        min_length=1,
    )
    base_url: str | None = setting(
        None,
        "OpenAI-compatible endpoint (default: $OPENAI_BASE_URL, then OpenAI)",
        first=9,
        show="URL",
        repr=False,
    )
    price: TokenPrice = setting(
        None,
        "price of the LLM: dollars per million tokens in and out, such as 0.15/0.60, or in, cached and out: "
        "0.15/0.075/0.60; auto: from an installed table of vendors' prices",
        first=10,
        show="IN/OUT|auto",
    )
    temperature: float = setting(1.0, "sampling temperature", decides=True, ge=0, le=2, file_only=True)
    answer_tokens: int = setting(512, "tokens per answer at most", ge=16, le=1_000_000, file_only=True)
    reasoning_effort: str | None = setting(
        None,
        "how much a reasoning model thinks, in the endpoint's words: none, minimal, low, medium, high ... "
        "(default: the endpoint's)",
        decides=True,
        show="LEVEL",
        pattern=WORD,
    )
    extra_body: ExtraBody = setting(
        None,
        "further members of each request, such as '{\"top_p\": 0.9}'; never a key",
        decides=True,
        show="JSON",
    )
    _llm = field_validator("llm")(check_llm)
    _url = field_validator("base_url")(check_url)

    @property
    def placeless_llm(self) -> str | None:
        """The LLM's name, independent of where the user's own file lies."""
        return placeless_llm(self.llm)

    @property
    def is_local(self) -> bool:
        """Whether the search itself runs the LLM on this machine."""
        return is_local(self.llm)

    @property
    def llm_url(self) -> str:
        """The address of the LLM's endpoint; for a local LLM it is not used."""
        return self.base_url or DEFAULT_BASE_URL

    @property
    def priced(self) -> bool:
        """Whether the LLM's price is known."""
        return self.price is not None or self.is_local


class SearchSettings(Settings):
    """The search: its method, input and size."""

    group: ClassVar[Group] = "Search"

    method: str = setting(METHOD, ABOUT, decides=True, first=12, show="NAME")
    search_for: str = setting(
        TEMPLATE,
        "what to search for: template; class-names (templates, then better class names; with "
        "`shots = 0` the LLM's first names alone); instruction (for `scorer = chat`)",
        decides=True,
        first=7,
        show="KIND",
    )
    name_rounds: int = setting(
        4,
        "rounds of new class names, after a first reading (`search_for = class-names`; "
        f"{FEWER_BY_IMAGE['name_rounds']} with `scorer = zero-shot`)",
        decides=True,
        **_COUNT,
        file_only=True,
    )
    describe: str | None = setting(
        None,
        "the kind of images, not the classes, such as `satellite images, seen from above`; or a file with it",
        decides=True,
        first=4,
        show="TEXT|FILE",
    )
    blind: bool = setting(
        False,
        "give the method neither the description nor the class names (pn, p, ape and opro never have them)",
        decides=True,
    )
    restarts: int = setting(
        4,
        "restarts, each from its own sample of starting templates (default: 4; "
        f"{FEWER_BY_IMAGE['restarts']} with `scorer = chat` or zero-shot)",
        **_MORE,
    )
    conversations: int = setting(
        2,
        "conversations per restart, each starting from the best templates so far",
        **_MORE,
    )
    rounds: int = setting(6, "rounds per conversation; a round is typically one request", **_MORE)
    proposals: int = setting(
        5,
        f"templates asked for per round (default: 5; {DESCRIBED_PROPOSALS} with a description and "
        "`scorer = chat` or zero-shot)",
        decides=True,
        ge=1,
        le=100,
    )
    starting_pool: Literal["general", "captions", "grammar"] | None = setting(
        None,
        "built-in starting templates: general (published lists and captions that fit most images first), "
        "captions (308, written for this project) or grammar (5,267, made of media, views and more) "
        "(default: general with a description, else grammar)",
        decides=True,
        file_only=True,
    )
    initial: int | Path | None = setting(
        None,
        "starting templates per restart: how many, or your own file, of which at most "
        f"{MOST_FROM_FILE} are drawn (default: {FEW_INITIAL} to {MANY_INITIAL}, by the number of classes; "
        f"{IMAGE_INITIAL} with `scorer = chat` or zero-shot; {DESCRIBED_INITIAL} if scores cost and the "
        "method uses a description)",
        decides=True,
        show="N|FILE",
        reads="file",
        from_data=True,
    )
    racing: Literal["auto", "off"] = setting(
        "auto",
        "auto: ask a model behind an API about more and more images, and drop templates that fall behind; "
        "off: score every template on all images",
        decides=True,
        file_only=True,
    )

    _search_for = field_validator("search_for")(one_of("kind of prompt", KINDS))
    _method = field_validator("method")(one_of("method", METHODS))
    _describe = field_validator("describe", mode="before")(parse_description)
    _initial = field_validator("initial", mode="before")(parse_initial)

    @property
    def kind(self) -> PromptKind:
        return kind_named(self.search_for)

    @property
    def all_rounds(self) -> int:
        return self.restarts * self.conversations * self.rounds

    @property
    def pool_name(self) -> str:
        """The built-in pool: without a description, general templates alone find less."""
        return self.starting_pool or ("general" if self.description else "grammar")

    @property
    def draws_from_many(self) -> bool:
        """Whether starting templates come from a large pool, not from captions alone or a file."""
        return self.pool_name != "captions" and not isinstance(self.initial, Path)

    @property
    def description(self) -> str:
        """The description for a method; empty for none."""
        return "" if self.blind else self.describe or ""


class LimitSettings(Settings):
    """Request rates, and what a run may spend."""

    group: ClassVar[Group] = "Limits"

    concurrency: int = setting(
        CONCURRENCY, "restarts that run, and requests that are open, at once", ge=1, le=100_000
    )
    rpm: float | None = setting(
        None,
        "requests to the LLM per minute at most, beside what the endpoint announces",
        gt=0,
        le=MOST_A_MINUTE,
    )
    tpm: float | None = setting(
        None,
        "tokens to and from the LLM per minute at most, beside what the endpoint announces",
        gt=0,
        le=MOST_A_MINUTE,
    )
    request_timeout: float = setting(
        REQUEST_TIMEOUT_S,
        "seconds that one attempt may take; with `llm = local` at least 1,200",
        show="SECONDS",
        gt=0,
        le=LONGEST_S,
        file_only=True,
    )
    retry_attempts: int = setting(
        RETRY_ATTEMPTS, "attempts per request", ge=1, le=MOST_ATTEMPTS, file_only=True
    )
    max_calls: int | None = setting(
        None,
        "requests to the LLM at most over the whole run; those count that are answered or billed",
        ge=0,
        le=MOST_COUNTED,
    )
    max_tokens: int | None = setting(
        None,
        "tokens to and from the LLM at most; one answer that is charged at more than expected may exceed it",
        ge=0,
        le=MOST_COUNTED,
    )
    max_minutes: float | None = setting(
        None, "minutes of running at most, over the whole run", ge=0, le=LONGEST_MINUTES
    )
    give_up_after: float = setting(
        30.0,
        "minutes without a success after which the run stops",
        show="MINUTES",
        gt=0,
        le=LONGEST_MINUTES,
        file_only=True,
    )


class OutputSettings(Settings):
    """Destinations of the run's files, shared scores and figures."""

    group: ClassVar[Group] = "Output"

    run_dir: UserPath | None = setting(None, "the run's folder (default: a new one under runs/)", first=6)
    track: tuple[str, ...] | None = setting(
        None,
        f"send metrics to trackers, several with commas: {tracker_forms()}; "
        "none: stop sending to the earlier ones",
        show="NAME[:PLACE]",
    )

    _track = field_validator("track", mode="before")(parse_track)


class ScoringConfig(EvaluatorSpec):
    """What scores, and what a scorer behind an API may use: all that is needed without a search.

    Without a search, ``shared_cache`` is the folder of the labels, and ``max_cost`` bounds the scorer alone.
    """

    group: ClassVar[Group] = "Limits"

    scorer_concurrency: int = setting(
        SCORER_CONCURRENCY,
        "requests to the scorer in flight at once",
        applies_to=API,
        ge=1,
        le=1000,
        file_only=True,
    )
    scorer_rpm: float | None = setting(
        None, "requests to the scorer per minute at most", applies_to=API, gt=0, le=MOST_A_MINUTE
    )
    scorer_price: Price | CallPrice | None = setting(
        None,
        "price of the scorer: dollars per million tokens in and out, such as 0.15/0.60, or per request: "
        "0.002/call",
        applies_to=API,
        show="IN/OUT|N/call",
    )
    max_scorer_calls: int | None = setting(
        None,
        "requests to the scorer at most, including those of the final evaluation",
        applies_to=API,
        ge=0,
        le=MOST_COUNTED,
    )
    max_cost: float | None = setting(
        None,
        f"dollars for requests at most; needs their price; {MAY_EXCEED}",
        first=11,
        show="DOLLARS",
        ge=0,
        le=MOST_DOLLARS,
    )
    shared_cache: UserPath | None = setting(
        None,
        "folder in which runs share the labels that a model behind an API gave",
        applies_to=API,
        group="Output",
    )

    _scorer_price = field_validator("scorer_price", mode="before")(parse_scorer_price)

    @property
    def is_api(self) -> bool:
        return self.scorer != "clip"

    @property
    def asks_by_image(self) -> bool:
        """Whether each candidate takes a request an image."""
        return self.scorer in BY_IMAGE

    @model_validator(mode="after")
    def _limits_fit(self) -> Self:
        if self.scorer == "zero-shot" and isinstance(self.scorer_price, Price):
            raise ValueError(
                '`scorer = "zero-shot"` has no tokens to pay for; give `scorer_price = N/call`, '
                "dollars per request",
            )
        if self.max_cost is not None and self.is_api and self.scorer_price is None:
            raise ValueError(
                "`max_cost` needs the scorer's price: give `scorer_price = N/call`, dollars per "
                "request, or `scorer_price = IN/OUT`, dollars per million tokens (not with "
                "zero-shot)",
            )
        return self


class SearchConfig(OutputSettings, LimitSettings, SearchSettings, LLMSettings, ScoringConfig):
    """The config of a search.

    By default 4 restarts of 2 conversations of 6 rounds with 5 proposals each: 48 requests. A wrong value
    raises ConfigError, which names the field.
    """

    if TYPE_CHECKING:

        def __init__(self, **settings: Any) -> None: ...  # a path or a price may be a text

    @classmethod
    def of(cls, spec: EvaluatorSpec, **more: Any) -> Self:
        """Return a config with what is set in a specification, and more; all is checked again."""
        return cls(**{**{name: value for name, value in spec if name in spec.model_fields_set}, **more})

    @model_validator(mode="before")
    @classmethod
    def _of_others(cls, values: Any) -> Any:
        """Add the defaults that depend on the scorer and on the LLM."""
        if not isinstance(values, Mapping):
            return values
        defaults: dict[str, Any] = {"search_for": INSTRUCTION} if values.get("scorer") == "chat" else {}
        if values.get("scorer") in BY_IMAGE:
            defaults |= (
                {**FEWER_BY_IMAGE, "proposals": DESCRIBED_PROPOSALS}
                if values.get("describe")
                else FEWER_BY_IMAGE
            )
        # One that is named for class names is not asked for templates too: it adds nothing to these.
        if values.get("llm") is not None and values.get("search_for") != CLASS_NAMES:
            defaults["method"] = LLM_METHOD
        return {**defaults, **values}

    def with_chat(self, name: str) -> Self:
        """Return the config for an LLM object of this name, and its method unless another was chosen."""
        if self.llm is not None:
            return self
        is_chosen = "method" in self.model_fields_set or self.kind.renames_classes
        config = self if is_chosen else self.of(self, method=LLM_METHOD)
        return config.model_copy(update={"llm": name}) if config.can_use_llm else config

    @property
    def unchecked(self) -> bool:
        """Whether an LLM's class names are taken without a labelled image, and nothing is searched."""
        return self.shots == 0

    @property
    def all_rounds(self) -> int:
        return 0 if self.unchecked else super().all_rounds

    @property
    def most_initial(self) -> int:
        """Upper bound on starting templates per restart."""
        if isinstance(self.initial, Path):
            return MOST_FROM_FILE
        if self.initial is not None:
            return self.initial
        if self.asks_by_image:
            return self._costly_initial(IMAGE_INITIAL)
        # There are few captions, and a few of them show what they offer.
        return MANY_INITIAL if self.draws_from_many else FEW_INITIAL

    def _costly_initial(self, undescribed: int) -> int:
        """Return the starting templates per restart where scores cost."""
        described = self.description and METHODS[self.method].uses_description
        return DESCRIBED_INITIAL if described else undescribed

    @property
    def request_style(self) -> Style | None:
        """The style of requests, by the model's name; None if that gives no size."""
        return style_of(self.llm)

    @property
    def can_use_llm(self) -> bool:
        return METHODS[self.method].asks_llm or self.kind.renames_classes

    @property
    def needs_llm(self) -> bool:
        asks = METHODS[self.method].asks_llm or self.unchecked
        return asks or (self.can_use_llm and self.llm is not None)

    @property
    def asks_endpoints(self) -> bool:
        """Whether an LLM or a scorer is asked, so that requests may be open."""
        return self.needs_llm or self.is_api

    @property
    def uses_description(self) -> bool:
        renames = self.kind.renames_classes and self.llm is not None
        return METHODS[self.method].uses_description or renames

    @property
    def description_tip(self) -> str | None:
        """A tip on the description: to add one, or to leave a slot out; None if there is none to give."""
        if "{}" in (self.describe or ""):
            return "`describe` has a slot {}: it takes words on what the images show, and no template"
        if self.describe or self.blind or not self.uses_description:
            return None
        return DESCRIPTION_TIP

    @property
    def unused_description(self) -> str | None:
        """Why the description is not used; None if it is used or missing."""
        if not self.describe or (self.uses_description and not self.blind):
            return None
        why = "with `blind = true`" if self.uses_description else f"by method {self.method}"
        return f"`describe` is not used {why}"

    @property
    def missing_llm(self) -> str | None:
        """What to say if an LLM is needed but not named; a ``chat`` object needs no name."""
        if not self.needs_llm or self.llm is not None:
            return None
        local = f'or `llm = "local"` for one on this machine ({how_to_install("local")})'
        if self.unchecked:
            return f"`shots = 0` needs an LLM that says what the classes are: give `llm = MODEL`, {local}"
        return (
            f'method {self.method!r} needs an LLM: give `llm = MODEL`, or `method = "combine"` for '
            f"a search without one, {local}"
        )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.unchecked and not self.kind.renames_classes:
            raise ValueError(
                "`shots = 0` leaves no labelled image to choose by: with `search_for = "
                '"class-names"` it takes an LLM\'s names for the classes, unchecked. `promptclimb evaluate` '
                "measures what people use today on a folder of test images alone"
            )
        if self.scorer == "chat" and self.search_for != INSTRUCTION:
            raise ValueError(
                f'`scorer = "chat"` is asked by an instruction; give `search_for = "{INSTRUCTION}"`',
            )
        if self.kind.renames_classes and self.blind:
            raise ValueError(
                f"`search_for = {self.search_for}` shows the LLM the names of the classes; leave `blind "
                "= true` out",
            )
        if self.max_cost is not None and self.needs_llm and not self.priced:
            raise ValueError(f'{COST_NEEDS_PRICE}, or `price = "auto"`')
        return self

    @property
    def shown_url(self) -> str | None:
        """The endpoint's address as it may be stored, without user and password."""
        if not self.needs_llm or self.is_local:
            return None
        return without_credentials(self.llm_url)

    def as_opened(self, info: EvaluatorInfo) -> Self:
        """Return the config with the shots, augmented copies and starting templates that the data decide.

        If scores are cheap, three times as many starting templates beat most requests.
        Where each takes a request an image, half as many are drawn; where scores cost and there is a
        description, a few.
        """
        opened = super().as_opened(info)
        if opened.initial is not None:
            return opened
        number = self._costly_initial(FEW_INITIAL)
        if info.cheap:
            number = max(_TEXTS // max(info.classes, 1), FEW_INITIAL)
        return opened.model_copy(update={"initial": min(number, opened.most_initial)})

    def identity(self, *, without: Scope | None = None) -> dict[str, Any]:
        """Return the settings that decide the result; see ``Settings.identity``.

        A description is its text, even if it begins like a path.
        """
        identity = super().identity(without=without)
        if not self.kind.renames_classes:
            del identity["name_rounds"]
        return {
            **identity,
            "llm": self.placeless_llm,
            "describe": self.describe,
            "starting_pool": self.pool_name,
        }

    def to_public(self) -> dict[str, Any]:
        """Return every setting that is set, as JSON values without secrets."""
        unset = {
            name
            for name, option in OPTIONS.items()
            if option.technical and getattr(self, name) == option.default
        }
        values = self.model_dump(mode="json", exclude_none=True, exclude=unset)
        for name in {"base_url", "scorer_url"} & values.keys():
            values[name] = without_credentials(values[name])
        return values


OPTIONS: Mapping[str, Option] = options_of(SearchConfig)


def most_free(info: EvaluatorInfo) -> int:
    """Return how many free candidates may be scored beside a request; 0 if scores are not free."""
    number = min(_TEXTS_FREE // max(info.classes, 1), MOST_FREE)
    return number if info.cheap and number >= LEAST_FREE else 0
