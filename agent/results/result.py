"""The result of a search and its document, ``result.json``.

Fields may be added without a new schema: readers ignore unknown fields, and later fields have defaults.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, TypeAlias, TypeVar

from pydantic import (
    ConfigDict,
    Field,
    JsonValue,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    TypeAdapter,
    ValidationError,
)

from ...evaluator.counts import counted, enumerated
from ...evaluator.errors import UsageError
from ...evaluator.messages import first_problem, shown
from ...evaluator.pico.models import TOY_MODEL
from ...evaluator.scoring import (
    BARE_NAME,
    BASELINE_DEFAULT,
    OPENAI_7,
    OPENAI_80,
    OTHER_MODEL,
    Form,
    Inspection,
    Share,
    Shots,
    Split,
    Unanswered,
)
from ...prompts.kinds import KINDS, TEMPLATE, CandidateError, CandidateNoun, KindWords, PromptKind, kind_named
from ..prices import Spent, totals
from ..text import printable
from .accuracies import (
    BEST,
    NEW_NAMES,
    ORIGINAL_NAMES,
    TEXTS,
    WITH_IMAGES,
    WITHOUT_SEARCH,
    Accuracy,
    AccuracyRow,
    AccuracyTable,
    Difference,
    baseline_name,
    way_name,
)

if TYPE_CHECKING:
    import pandas

SCHEMA = 5
MOST_CONFUSIONS = 20
Status = Literal["finished", "stopped"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
T = TypeVar("T")
_IF_ANY = Field(exclude_if=lambda value: not value)
"""Leaves a member without content out of the document."""
_Text: TypeAlias = Annotated[str, Field(min_length=1)]
_Texts: TypeAlias = Annotated[tuple[_Text, ...], Field(min_length=1)]
AllUnanswered: TypeAlias = Annotated[Mapping[Split, Unanswered], _IF_ANY]

NameSource: TypeAlias = Literal["first reading", "later round", "common words"]
"""Where a new class name comes from: what the LLM said first, its later answers, or the built-in words."""
FIRST_READING: Final = "first reading"
LATER_ROUND: Final = "later round"
COMMON_WORDS: Final = "common words"
UNLEARNED = "images_unlearned"
FORM_CHOSEN_BY = "form_chosen_by"
UNREAD = "unreadable_answers"
EMPTY = "empty_answers"
NOTHING_USABLE = "nothing_usable"
UNASKED = "llm_not_asked"
RACED = "racing"
NO_COST = "no_cost_reported"
"""Names of a search's notes; a custom scorer may add others."""
UNCHECKED = "unchecked: no labelled image was looked at"
WITH_ORIGINAL_NAMES = ", with the original class names"
"""Said of a classifier of labelled images beside texts with new names."""
_LEARNED = "learned from images"
AVERAGED = "averaged texts"
"""What several templates of the search together are called in sentences."""
NO_NEW_NAME = "no usable new name came from the LLM, and no labelled image was looked at"
"""What is said in place of ``UNCHECKED`` where there is nothing to check."""
PROMINENT = (
    TOY_MODEL,
    UNREAD,
    OTHER_MODEL,
    RACED,
    UNLEARNED,
    EMPTY,
    NOTHING_USABLE,
    UNASKED,
)
"""Notes without which the figures would be misread."""


class OtherSchemaError(ValueError):
    """A result was written by a version with another form of it."""


def parsed(kind: type[T], document: Mapping[str, Any], name: str) -> T:
    """Return the dataclass that a JSON object holds, checking every type; unknown members are ignored.

    Raises:
        ValueError: A member is missing or of another type; the message calls the document ``name``.
    """
    model: Any = kind
    try:
        value: T = adapter(model).validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        raise ValueError(f"not {name}: {first_problem(error)}") from error
    return value


@cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    """Return the JSON adapter of a persisted dataclass."""
    return TypeAdapter(kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Numbers of images."""

    train: NonNegativeInt = 0
    val: NonNegativeInt = 0
    test: NonNegativeInt = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """The searched data.

    Attributes:
        classes: Number of classes; 0 if the evaluator does not say.
        shots: Training images per class; ``all`` for every labelled image.
        seed: Seed of the few-shot sample and of the search.
    """

    name: str
    classes: NonNegativeInt
    shots: Shots
    seed: NonNegativeInt
    sizes: Sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The scored model: its name, and the tag or file of its weights."""

    name: str
    pretrained: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Llm:
    """The LLM that proposed.

    Attributes:
        model: None if no LLM was asked.
        base_url: None for an LLM in this process: a local one, or a Python object.
    """

    model: str | None
    base_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """One template with its accuracies, as fractions of 1; None for a split that was not measured.

    Attributes:
        class_names: The new name of each class that got one, by its own name; None if none were searched for.
        unsupported: Of these classes, those of which no labelled image is classified correctly.
        unchecked: The new names are an LLM's, and no labelled image was looked at.
        name_sources: Where new names come from, by class: the first reading, a later round, common words.
        unanswered: The shares of images without a class, by split; empty if all have one.
    """

    template: _Text
    train: float | None
    val: float | None
    test: float | None
    class_names: Annotated[Mapping[str, _Text] | None, Field(exclude_if=lambda names: names is None)] = None
    unsupported: Annotated[tuple[str, ...], _IF_ANY] = ()
    unchecked: Annotated[bool, _IF_ANY] = False
    name_sources: Annotated[Mapping[str, NameSource], _IF_ANY] = field(default_factory=dict)
    unanswered: AllUnanswered = field(default_factory=dict)

    def __post_init__(self) -> None:
        for member, classes in (("unsupported", self.unsupported), ("name_sources", self.name_sources)):
            if not (self.class_names or {}).keys() >= set(classes):
                # Without backticks: ``class_names`` is a setting too, and would be shown as its option.
                raise ValueError(f"a class in {member} has no new name in class_names")

    @property
    def new_names(self) -> dict[str, str]:
        """The new name of each class, with a mark if it is unsupported or not checked."""
        marks, mark = dict.fromkeys(self.unsupported, " (unsupported)"), " (not checked)" * self.unchecked
        return {name: f"{new}{marks.get(name, mark)}" for name, new in (self.class_names or {}).items()}

    @property
    def templates(self) -> tuple[str, ...]:
        return (self.template,)

    @property
    def remark(self) -> str:
        """What the accuracies need beside the template, such as ``, with 2 new class names``; or empty."""
        if not self.class_names:
            return ""
        doubted = f", {len(self.unsupported)} of them unsupported" if self.unsupported else ""
        doubted = ", not checked" if self.unchecked else doubted
        return f", with {counted(len(self.class_names), 'new class name')}{doubted}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadNames:
    """What the LLM said that the classes are, before it was asked for names of those often wrong.

    Attributes:
        names: Its likeliest other name for each class, by the class's own name.
        classes: Number of classes that it was asked about.
        taken: Whether the search started from these names: all together they were better, or at least not
            worse where the original ones were no better than chance.
    """

    names: Mapping[str, _Text]
    classes: NonNegativeInt
    taken: bool

    def __post_init__(self) -> None:
        if len(self.names) > self.classes:
            raise ValueError("more classes have a name than were asked about")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupAccuracies:
    """One template or several averaged ones, with their accuracies; None if it was not measured.

    ``unanswered`` has the shares of images without a class, by split; it is empty if all have one.
    """

    templates: _Texts
    train: float | None
    val: float | None = None
    test: float | None
    unanswered: AllUnanswered = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WithImages(GroupAccuracies):
    """A classifier that learned from labelled images, near ``templates``; train and val are held out.

    Attributes:
        images: Number of labelled images.
        strength: How much it was held near the texts; None if it is the texts' classifier.
        original_names: It has the original class names, though the texts have new ones: those were chosen one
            by one on the same images, and bring nothing beside them.
        midway: Learning started midway between ``templates`` and the best without a search; None in the
            result of an earlier version, which did not say.
    """

    train: Share | None
    val: Share | None = None
    test: Share | None
    images: NonNegativeInt
    strength: NonNegativeFloat | None
    original_names: Annotated[bool, _IF_ANY] = False
    midway: Annotated[bool | None, Field(exclude_if=lambda midway: midway is None)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WithoutSearch(GroupAccuracies):
    """What is best without a search, chosen by the labelled images, as ``evaluate`` recommends it.

    Attributes:
        name: The name of its texts: a baseline's, or OpenAI's seven templates.
        images: Number of labelled images that it learned from, near ``templates``; 0 for the texts alone. Of
            what was learned, train and val are held out.
    """

    name: str
    images: NonNegativeInt = 0

    def title(self, words: CandidateNoun) -> str:
        """Return what it is in words."""
        return way_name(self.name, words) + " with images" * (self.images > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the leaderboard.

    Attributes:
        rank: 1 for the best; 0 before the search has chosen.
        val: Validation accuracy; None without a validation split.
        restart: The restart that found it.
        conversation: 0 for a starting template.
        round: 0 for a starting template.
        source: ``initial``, ``llm``, or the method that made it without an LLM, such as ``combine``.
        copies: Accuracy on augmented copies of the training and validation images; None without any.
        images: Training images that ``train`` is the accuracy on, if a race dropped it; None for all.
        estimate: Its accuracy on all training images, estimated, if a race dropped it.
        unanswered: The shares of training images without a class; None if all have one.
        objective: What the rows are ordered by, validation images and augmented copies included; None if that
            is their accuracy.
    """

    rank: NonNegativeInt = 0
    template: _Text
    train: float
    val: float | None = None
    restart: NonNegativeInt
    conversation: NonNegativeInt
    round: NonNegativeInt
    source: str | None = None
    copies: float | None = None
    images: PositiveInt | None = None
    estimate: float | None = None
    unanswered: Annotated[Unanswered | None, _IF_ANY] = None
    objective: Annotated[float | None, Field(exclude_if=lambda value: value is None)] = None

    @property
    def comparable(self) -> float:
        """What can be compared with that of other templates: the objective, the estimate or ``train``."""
        if self.objective is not None:
            return self.objective
        return self.train if self.estimate is None else self.estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """Versions of the software; None for a package that was not loaded."""

    program: str
    python: str
    torch: str | None = None
    open_clip: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiUsage:
    """Usage of an LLM or of a scorer behind an API, over all sessions of a run.

    Attributes:
        calls: Requests that were answered, or may have been billed.
        failed_calls: Attempts without a usable answer.
        retries: Attempts after the first.
        cost_usd: US dollars as reported by the endpoint, else by the price; None if neither is known.
        estimated_tokens: Upper bound for attempts with unreported usage; counts against limits.
        estimated_usd: Upper bound on their cost; None without a price.
    """

    calls: NonNegativeInt = 0
    failed_calls: NonNegativeInt = 0
    retries: NonNegativeInt = 0
    prompt_tokens: NonNegativeInt = 0
    completion_tokens: NonNegativeInt = 0
    cost_usd: NonNegativeFloat | None = None
    estimated_tokens: NonNegativeInt = 0
    estimated_usd: NonNegativeFloat | None = None

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @classmethod
    def of(cls, spent: Spent, *, priced: bool, **more: Any) -> Self:
        """Return the usage of an account; ``priced`` if its price is known."""
        is_cost_known = priced or 0 < spent.calls == spent.vendor_calls
        cost = round(spent.cost_usd, 9) if is_cost_known else None
        most = round(spent.estimated_usd, 9) if priced else None
        return totals(cls, spent, cost_usd=cost, estimated_usd=most, **more)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage(ApiUsage):
    """Usage of the LLM.

    Attributes:
        replayed: Answers that this session found on disk.
        cached_tokens: Tokens sent that a vendor's cache held.
        cache_written_tokens: Tokens sent that were written to it.
        reported_usd: The reported part of ``cost_usd``; None if nothing was reported.
    """

    replayed: NonNegativeInt = 0
    cached_tokens: NonNegativeInt = 0
    cache_written_tokens: NonNegativeInt = 0
    reasoning_tokens: NonNegativeInt = 0
    reported_usd: NonNegativeFloat | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommended:
    """The form of the result to use, chosen before the test split was opened.

    Attributes:
        test: Its accuracy on test; None if it was not measured.
        over: Its difference on test to each baseline and other form, by name.
        texts_over: The differences of the texts alone to what people use today without images, if the form
            is with images.
        verdict: What to use, in sentences, and what limits that; empty without ``test``.
    """

    form: Form
    test: float | None
    over: Mapping[str, Difference] = field(default_factory=dict)
    texts_over: Annotated[Mapping[str, Difference], _IF_ANY] = field(default_factory=dict)
    verdict: str = ""

    @property
    def name(self) -> str:
        """Its name among decisions and accuracies."""
        return BEST if self.form == "template" else self.form

    @property
    def reference(self) -> str | None:
        """The better on test of the bare class name and the default template; None for neither."""
        plain = [name for name in (BARE_NAME, BASELINE_DEFAULT) if name in self.over]
        return min(plain, key=lambda name: self.over[name].points, default=None)


def keeps_original_names(group: Best | GroupAccuracies) -> bool:
    """Return whether a group has the original class names though the texts have new ones."""
    return isinstance(group, WithImages) and group.original_names


def are_shares(values: Iterable[float | None]) -> bool:
    """Return whether all values may be accuracies, which lie in [0, 1]."""
    return all(value is None or 0.0 <= value <= 1.0 for value in values)


def _row(
    name: str, title: str, group: Best | GroupAccuracies, gain: Difference | None = None, start: str = ""
) -> AccuracyRow:
    values = zip(SPLITS, (group.train, group.val, group.test), strict=True)
    cells: dict[str, Accuracy] = {
        split: Accuracy(value=value, unanswered=group.unanswered.get(split)) for split, value in values
    }
    return AccuracyRow(name=name, title=title, templates=group.templates, start=start, cells=cells, gain=gain)


def kind_of(prompts: str) -> PromptKind:
    """Return a kind of prompts; of one that is not known here, that of templates."""
    return kind_named(prompts if prompts in KINDS else TEMPLATE)


def words_of(prompts: str) -> KindWords:
    """Return how to speak of a kind of prompts."""
    return kind_of(prompts).words


def words_of_all(kinds: Iterable[str]) -> CandidateNoun:
    """Return how to speak of candidates of these kinds together: as of prompts, if no name fits all."""
    nouns = {words_of(kind).noun for kind in kinds} or {words_of(TEMPLATE).noun}
    return CandidateNoun(noun=nouns.pop() if len(nouns) == 1 else "prompt")


def texts_in_words(
    texts: tuple[str, ...],
    groups: Mapping[str, GroupAccuracies],
    words: CandidateNoun,
    *,
    rival: WithoutSearch | None,
    renamed: bool,
    unchecked: bool = False,
) -> str:
    """Return what texts of a result are: those of the best way without a search, the best template, or texts.

    ``groups`` are its baselines, ``renamed`` whether it has new class names; ``unchecked``: nothing chose.
    """
    if rival is not None and rival.templates == texts and not renamed:
        return way_name(rival.name, words)
    plain = [name for name in (BARE_NAME, BASELINE_DEFAULT) if name in groups and not renamed]
    names = (baseline_name(name, words) for name in plain if groups[name].templates == texts)
    best = words.noun if unchecked else f"best {words.noun}"
    return next(names, best if len(texts) == 1 else AVERAGED)


def with_article(texts: str) -> str:
    """Return what texts are, as it stands in a sentence: ``the best template``, ``OpenAI's 80 templates``."""
    return texts if texts in (OPENAI_7, OPENAI_80) else f"the {texts}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """The result of a search; ``to_json`` returns the document in ``result.json``.

    Attributes:
        status: ``finished``, or ``stopped`` by a limit or an outage.
        best: The template that the selection rule puts first, with the accepted class names.
        baselines: By name: hand-made templates, and the best starting template.
        leaderboard: Every scored template, best first.
        evaluated: Number of distinct templates scored.
        rejected: Rejected lines and templates, by reason.
        wall_s: Seconds of active time in all sessions.
        texts: Averaged templates if they beat the best without a search on the labelled images, else that;
            one that is listed twice weighs twice. With new class names ``best``.
        with_images: ``texts`` with the labelled images; None without features or images.
        without_search: What ``evaluate`` recommends, to compare with; None without labelled images.
        recommended: The form to use.
        skipped: Rounds without an answer after all retries.
        budget: What is left of each limit that was set.
        notes: Warnings and other facts by a short name. A custom scorer may add any JSON value.
        inspection: Accuracy of the recommended form on test by class; None if test was not evaluated or the
            evaluator does not give classes.
        started: Start of the run, in ISO 8601.
        device: Where the model computed; None if the evaluator does not say.
        test_opened: How often test was evaluated over the run's life.
        limits: The limits that stopped it, by the names in ``budget``: ``calls``, ``tokens``, ``cost_usd``,
            ``minutes``, ``scorer_calls``.
        metrics: What stands beside accuracies on test, by name of the templates and of the measure: mean
            recall per class, and with more than ten classes acc@5.
        scorer_usage: None unless a model behind an API scored.
        prompts: The prompt kind of ``best``, ``texts`` and ``leaderboard``.
        names_read: What the LLM said that the classes are; None if it was not asked.
        run_dir: The absolute folder that it was read from; not in the document, ignored in comparisons.
    """

    status: Status
    stop_reason: str | None
    dataset: Dataset
    model: Model
    llm: Llm
    method: str
    objective: str
    best: Best
    baselines: Mapping[str, GroupAccuracies]
    leaderboard: tuple[Row, ...]
    usage: Usage
    evaluated: NonNegativeInt
    rejected: Mapping[str, NonNegativeInt]
    wall_s: NonNegativeFloat
    texts: GroupAccuracies
    with_images: WithImages | None
    recommended: Recommended
    without_search: WithoutSearch | None = None
    skipped: NonNegativeInt = 0
    budget: Mapping[str, NonNegativeFloat] = field(default_factory=dict)
    notes: Mapping[str, JsonValue] = field(default_factory=dict)
    inspection: Inspection | None = None
    versions: Versions | None = None
    started: str | None = None
    device: str | None = None
    test_opened: NonNegativeInt | None = None
    limits: tuple[str, ...] = ()
    prompts: str = TEMPLATE
    names_read: ReadNames | None = None
    scorer_usage: Annotated[ApiUsage | None, _IF_ANY] = None
    metrics: Annotated[Mapping[str, Mapping[str, Share]], _IF_ANY] = field(default_factory=dict)
    run_dir: Path | None = field(default=None, compare=False)

    __pydantic_config__ = ConfigDict(allow_inf_nan=False)

    @property
    def groups(self) -> list[Best | GroupAccuracies]:
        """All that was measured: forms and baselines."""
        others = [group for group in (self.with_images, self.without_search) if group is not None]
        return [self.best, self.texts, *self.baselines.values(), *others]

    @property
    def recommended_group(self) -> Best | GroupAccuracies:
        """The recommended form with its accuracies."""
        if self.recommended.form == WITH_IMAGES:
            assert self.with_images is not None, "otherwise it is not recommended"
            return self.with_images
        return self.best if self.recommended.form == "template" else self.texts

    @property
    def new_names(self) -> dict[str, str]:
        """The new name of each class in the recommended form, with a mark if it is doubted."""
        return {} if keeps_original_names(self.recommended_group) else self.best.new_names

    @property
    def only_texts_renamed(self) -> bool:
        """Whether the texts have new class names, and the recommended classifier the original ones."""
        return bool(self.best.class_names) and not self.new_names

    @property
    def remark(self) -> str:
        """What the recommended form needs beside its texts, such as ``, with 2 new class names``."""
        return WITH_ORIGINAL_NAMES if self.only_texts_renamed else self.best.remark

    @property
    def texts_in_words(self) -> str:
        """What the texts are, such as ``the best template`` or ``the bare class name``."""
        return self._in_words(self.texts, renamed=bool(self.best.class_names))

    @property
    def form_in_words(self) -> str:
        """The recommended form, such as ``a classifier from 9 labelled images and the texts``."""
        group = self.recommended_group
        images = counted(group.images, "labelled image") if isinstance(group, WithImages) else ""
        learnt = f"a classifier from {images} and " if images else ""
        return f"{learnt}{self._in_words(group, renamed=bool(self.new_names))}{self.remark}"

    def _in_words(self, group: Best | GroupAccuracies, *, renamed: bool) -> str:
        texts = texts_in_words(
            group.templates,
            self.baselines,
            self.words,
            rival=self.without_search,
            renamed=renamed,
            unchecked=self.best.unchecked,
        )
        return with_article(texts)

    @property
    def _start(self) -> str:
        """What the classifier of labelled images starts from; templates that no row above has follow."""
        learnt, rival = self.with_images, self.without_search
        assert learnt is not None, "otherwise it has no row"
        noun = TEXTS if self.texts.templates != self.best.templates else self.words.noun
        above = "" if learnt.original_names else f"the {noun} above"
        if learnt.strength is None:
            return above
        if learnt.midway and rival is not None:
            ends = filter(None, (above, with_article(way_name(rival.name, self.words))))
            return f"{_LEARNED}, starting from the mean of {' and '.join(ends)}" + " and" * (not above)
        if learnt.midway is None and above:
            return _LEARNED
        return f"{_LEARNED}, starting from {above}".rstrip()

    @property
    def is_unread(self) -> bool:
        """Whether a search for names alone was stopped: there is nothing to recommend."""
        return self.best.unchecked and self.status == "stopped"

    @property
    def complete(self) -> bool:
        """Whether the search is over and its test split, if any, was evaluated."""
        return self.status == "finished"

    @property
    def has_accuracies(self) -> bool:
        """Whether the scores may be accuracies: a custom scorer may give any number."""
        groups = self.groups
        tests = [group.test for group in groups]
        scored = [*groups, *self.leaderboard]
        return are_shares([*tests, *(score for row in scored for score in (row.train, row.val))])

    @property
    def words(self) -> KindWords:
        return words_of(self.prompts)

    def scored_as(self, *texts: str) -> tuple[str, ...]:
        """Return candidates of this result as the templates that the scorer got; other texts unchanged."""
        kind, scored = kind_of(self.prompts), []
        for text in texts:
            with suppress(CandidateError):
                text = kind.parse_own(text).scored_as
            scored.append(text)
        return tuple(scored)

    def to_frame(self) -> pandas.DataFrame:
        """Return the leaderboard as a pandas DataFrame, a row for each scored template, best first.

        Raises:
            UsageError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise UsageError("to_frame needs pandas: pip install pandas") from error
        return pandas.DataFrame([asdict(row) for row in self.leaderboard])

    @property
    def accuracies(self) -> AccuracyTable:
        """The forms of the result, then what there is without a search, each with the gain over it.

        Empty if there is nothing to recommend.
        """
        over = self.recommended.over
        best = f"{'' if self.best.unchecked else 'best '}{self.words.noun}"
        forms: list[tuple[str, str, Best | GroupAccuracies]] = [
            (BEST, f"{best}{self.best.remark}", self.best)
        ]
        if self.texts.templates != self.best.templates:
            forms.append((TEXTS, TEXTS, self.texts))
        if self.with_images is not None:
            title = f"with {counted(self.with_images.images, 'image')}"
            title += ", original names" if self.with_images.original_names else ""
            shown = self.with_images.templates if self.with_images.original_names else ()
            forms.append((WITH_IMAGES, title, replace(self.with_images, templates=shown)))
        rows = [
            _row(
                name,
                f"{title} (recommended)" if name == self.recommended.name else title,
                group,
                over.get(name),
                self._start if name == WITH_IMAGES else "",
            )
            for name, title, group in forms
        ]
        baselines = self.baselines
        # The best template without its new names is one row with the baselines that it equals.
        original, rival = baselines.get(ORIGINAL_NAMES), self.without_search
        same = {
            name: baseline_name(name, self.words)
            for name, group in baselines.items()
            if original is not None
            and name != ORIGINAL_NAMES
            and not name.startswith(NEW_NAMES)
            and group.templates == original.templates
        }
        if rival is not None:
            title = f"{WITHOUT_SEARCH}: {rival.title(self.words)}"
            title += ", original names" if self.best.class_names else ""
            rows.append(_row(WITHOUT_SEARCH, title, rival, over.get(WITHOUT_SEARCH)))
            baselines = {
                name: group for name, group in baselines.items() if rival.images or name != rival.name
            }
        rows += [
            _row(
                name,
                f"{best} with the {name}"
                + (f" (also {with_article(enumerated(same.values()))})" if same else "")
                if name == ORIGINAL_NAMES
                else baseline_name(name, self.words),
                group,
                over.get(name),
            )
            for name, group in baselines.items()
            if name not in same
        ]
        rows = [] if self.is_unread else rows
        # Without labelled images, or without a validation split, a column would be empty.
        measured = {name for row in rows for name, cell in row.cells.items() if cell.value is not None}
        columns = tuple(name for name in SPLITS if name in measured | {"test"})
        return AccuracyTable(columns=columns, rows=tuple(rows), percent=self.has_accuracies)

    def __str__(self) -> str:
        """Return the accuracies as a table and what to use, for ``print``."""
        table = self.accuracies
        title = printable(f"{self.dataset.name}: {table.unit}")
        return "\n".join(filter(None, (title, str(table), printable(self.recommended.verdict))))

    def _repr_html_(self) -> str:
        """Return the accuracies as a table, for notebooks."""
        table = self.accuracies
        rows = [
            "".join(f"<td>{escape(cell).replace(chr(10), '<br>')}</td>" for cell in line)
            for line in table.lines(self.words.noun)
        ]
        verdict = f"<p>{escape(printable(self.recommended.verdict))}</p>" if self.recommended.verdict else ""
        caption = f"<caption>{escape(table.unit)}</caption>"
        return f"<table>{caption}<tr>{'</tr><tr>'.join(rows)}</tr></table>{verdict}"

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, in the documented order."""
        # The folder may be moved with its files.
        document = adapter(SearchResult).dump_python(self, mode="json", exclude={"run_dir"}, warnings=False)
        return {"schema": SCHEMA, **document}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> SearchResult:
        """Return the result that a document holds.

        Raises:
            OtherSchemaError: It has another schema.
            ValueError: It is not a result.
        """
        if not isinstance(document, Mapping):
            raise ValueError("not a result: not a JSON object")
        if document.get("schema") != SCHEMA:
            raise OtherSchemaError(
                f"it is a result of schema {document.get('schema')!r}, and this version reads schema "
                f"{SCHEMA}; use the version that made it"
            )
        members = {name: value for name, value in document.items() if name != "run_dir"}
        result = parsed(cls, members, "a result")
        if contradiction := _contradiction(result):
            raise ValueError(f"not a result: {contradiction}")
        return result

    def dumps(self) -> str:
        """Return the text of ``result.json``.

        Raises:
            ValueError: A figure is nan or infinite, which JSON cannot hold.
        """
        return json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _contradiction(result: SearchResult) -> str:
    """Return which members of a document contradict each other; empty if none do."""
    sizes, learnt = result.dataset.sizes, result.with_images
    if result.recommended.form == WITH_IMAGES and learnt is None:
        return "recommended.form: with_images is null"
    if result.recommended.test != result.recommended_group.test:
        return f"recommended.test: {result.recommended.name}.test is another"
    # Other numbers than accuracies come from a custom scorer without features of images.
    if (learnt is not None or result.scorer_usage is not None) and not result.has_accuracies:
        return "an accuracy in it is below 0 or above 1"
    if learnt is not None and not sizes.train + sizes.val:
        return "with_images: there are no labelled images in dataset.sizes"
    if not sizes.test and any(group.test is not None for group in result.groups):
        return "dataset.sizes.test: there are accuracies on test"
    if result.inspection is not None:
        classes = {by_class.name for by_class in result.inspection.classes}
        if unknown := [name for name in result.best.class_names or () if name not in classes]:
            return f"best.class_names: {shown(unknown[0])} is not a class of the data"
    if result.prompts in KINDS:  # a later version may have others
        texts = result.scored_as(*(text for group in result.groups for text in group.templates))
        for text in texts:
            try:
                kind_of(result.prompts).parse_scored(text)
            except CandidateError as error:
                return f"{shown(text)} is not {result.words.a_noun}: {error}"
    return ""


def left_of_both(llm: Mapping[str, float], scorer: Mapping[str, float]) -> dict[str, float]:
    """Return what is left of each limit of LLM and scorer.

    They share the limit on cost; of two reports on it the lower one is the later, as cost only grows.
    """
    return {name: min(left[name] for left in (llm, scorer) if name in left) for name in {**llm, **scorer}}
