"""Read, check and adapt what a search is given: scorer, LLM, starting candidates, files, Python objects."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ...evaluator.custom import ScorerEvaluator, pinned
from ...evaluator.errors import ConfigError, DataError, PromptclimbError, named
from ...evaluator.files import read_text, user_path
from ...evaluator.messages import shown
from ...evaluator.open import open_evaluator
from ...evaluator.remote.asking import ApiAsk
from ...evaluator.scoring import Evaluator, batches_at_once
from ...evaluator.threads import in_thread, outliving_its_waiter
from ...prompts.kinds import INSTRUCTION, TEMPLATE, Candidate, CandidateError, kind_named
from ...prompts.starting import MAX_FILE_BYTES, PoolError, parse_file
from ..config.schema import OPTIONS, SearchConfig
from ..errors import FatalChatError, TransientChatError, UnusableAnswerError
from ..events.types import Event, ImagesEncoded, Listener, Noted
from ..llm.chat import ChatAnswer, ChatRequest
from ..text import tokens_in, whole_characters
from .name_choice import check_renames

MISTAKES = (TypeError, AttributeError, NameError, ImportError, AssertionError, NotImplementedError,
            SystemExit)  # fmt: skip
"""Program errors rather than network errors: the next attempt would fail in the same way."""
# A dataclass alone takes no config.
_ANSWER = TypeAdapter(ChatAnswer | str | None, config=ConfigDict(strict=True, revalidate_instances="always"))


async def ready_evaluator(
    config: SearchConfig,
    custom: object | None,
    listener: Listener,
    *,
    ask: ApiAsk | None = None,
    labels: Path | None = None,
    encode: bool = True,
) -> Evaluator:
    """Adapt a custom scorer, or open the evaluator that the config names; see ``open_evaluator``.

    Raises:
        UsageError: It cannot be used, has invalid hand-made templates, or cannot share scores.
    """
    kind, name = config.kind, config.custom_scorer or config.model
    if custom is None:
        check_scorer_takes(config)
    else:
        name = name_of(custom)
    if config.unchecked and (custom is not None or config.custom_scorer is not None):
        raise ConfigError(f"`shots = 0` does not apply to custom scorers such as {name}; leave it out")
    evaluator = await _open(config, custom, listener, ask, labels, encode=encode)
    if isinstance(evaluator, ScorerEvaluator):
        evaluator.compare_with(kind.default)
    info = evaluator.info
    for baseline, templates in info.baselines.items():
        for template in templates:
            try:
                kind.parse_scored(template)
            except CandidateError as error:
                raise ConfigError(
                    f"{name}: {template!r} in info.baselines[{baseline!r}] is not {kind.words.a_noun}: "
                    f"{error}"
                ) from error
    if kind.renames_classes:
        check_renames(evaluator, name, labels=not config.unchecked)
    return evaluator


def check_scorer_takes(config: SearchConfig) -> None:
    """Raise ConfigError if instructions are for a scorer that takes none; no custom one is to be given."""
    if config.search_for == INSTRUCTION and config.scorer != "chat" and config.custom_scorer is None:
        raise ConfigError(
            f'`search_for = "{INSTRUCTION}"` needs a model that answers in words, and `scorer = '
            f'{config.scorer}` does not: add `scorer = "chat"`, or give your own scorer '
            "(`custom_scorer`)",
        )


def check_custom_takes(config: SearchConfig) -> None:
    """Raise ConfigError for a setting of CLIP models beside a custom scorer, on which it has no effect."""
    if unused := config.unused_beside("a custom scorer"):
        raise ConfigError(unused)


async def _open(
    config: SearchConfig,
    custom: object | None,
    listener: Listener,
    ask: ApiAsk | None,
    labels: Path | None,
    *,
    encode: bool,
) -> Evaluator:
    """Load data and model in a thread; decode every image that the run will need, the test images too."""
    loop = asyncio.get_running_loop()

    def emit(event: Event) -> None:
        # The thread that reads the last images may outlive an interrupted loop.
        if not loop.is_closed():
            loop.call_soon_threadsafe(listener, event)

    def report(line: str) -> None:
        emit(Noted(text=line))

    def progress(done: int, of: int, with_copies: bool) -> None:
        emit(ImagesEncoded(done=done, of=of, with_copies=with_copies))

    def opened() -> Evaluator:
        return open_evaluator(
            config,
            custom,
            report=report,
            progress=progress,
            look_ahead=encode,
            encode=encode,
            ask=ask,
            labels=labels,
        )

    return await in_thread(opened)


def pinned_evaluator(config: SearchConfig) -> SearchConfig:
    """Return a config whose custom scorer is found from any folder, so that its run can be resumed."""
    if config.custom_scorer is None:
        return config
    return config.model_copy(update={"custom_scorer": pinned(config.custom_scorer)})


def read_template_file(file: Path | str, setting: str, prompts: str = TEMPLATE) -> list[Candidate]:
    """Read a JSON list of candidates, or one a line; ConfigErrors name ``setting``.

    A text with a brace that names no file is a candidate itself.
    """
    kind = kind_named(prompts)
    if not str(file):
        raise ConfigError(
            f"{setting}: it is empty; give a file, or {kind.words.a_noun} with the slot {kind.slot}"
        )
    path = user_path(file, setting)
    try:
        if not path.exists():
            if "{" in str(file):
                return [kind.parse_own(str(file))]
            if " " in path.name and not path.suffix:  # words rather than a file's name
                words = str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
                raise DataError(
                    f"{words!r} has no slot {kind.slot}, which {kind.words.a_noun} needs; "
                    "there is no file of that name either"
                )
            raise DataError(
                f"there is no file {path}; {kind.words.a_noun} in its place has the slot {kind.slot}"
            )
        text = read_text(path, what=f"file of {kind.words.noun}s", most=MAX_FILE_BYTES)
        return parse_file(text, str(path), kind)
    except (CandidateError, DataError, PoolError) as error:
        raise ConfigError(f"{setting}: {error}") from error


def read_pool(config: SearchConfig) -> list[Candidate]:
    """Return the pool of starting candidates; raise ConfigError if it is unreadable or too small."""
    kind = config.kind
    noun = kind.words.noun
    if isinstance(config.initial, Path):
        pool = read_template_file(config.initial, "`initial`", config.search_for)
        unique = list({candidate.key: candidate for candidate in pool}.values())
        if len(unique) < 2:
            initial = f"`initial = {config.initial}`"
            raise ConfigError(f"{initial}: it has one {noun}; a restart needs at least 2")
        return unique
    tiers = kind.starting(config.pool_name)
    pool = [candidate for groups in tiers for group in groups for candidate in group]
    if config.initial is not None and config.initial > len(pool):
        initial = f"`initial = {config.initial}`"
        raise ConfigError(f"{initial}: the built-in pool has {len(pool)} {noun}s")
    return pool


def check_paths(config: SearchConfig, *, names_only: bool) -> None:
    """Raise ConfigError if a file or folder of a resumed run is gone.

    With ``names_only``, ``data`` and ``pretrained`` are names, as the evaluator comes from Python.
    """
    for name, option in OPTIONS.items():
        path = getattr(config, name)
        if not option.reads or (names_only and isinstance(path, str)):
            continue
        if isinstance(path, str | Path) and Path(path).is_absolute() and not Path(path).exists():
            raise ConfigError(
                f"{path} is not there any more. If it has moved, give `{name} = PLACE` (its content "
                "decides, not where it lies)",
            )


def check_other_data(config: SearchConfig) -> None:
    """Raise DataError if other data than the run's are not there."""
    from ...evaluator.datasets.loading import check_data_exist  # slow to import

    check_data_exist(config)


def name_of(user_object: object) -> str:
    """Return the name of an object's class, or of a function, for people: ``module.Class``."""
    named: Any = user_object if inspect.isroutine(user_object) else type(user_object)
    return f"{named.__module__}.{named.__qualname__}"


class UserChat:
    """Make an object with a method ``chat`` a ``Client``.

    ``chat(request)`` takes a ``ChatRequest`` and returns a ``ChatAnswer``; ``chat(messages)`` takes
    ``[{"role", "content"}]`` and may return a text, which is counted as free. The parameter's name decides.
    Either may be plain or async. A plain one blocks, so it runs in a thread: one call at a time, or as many
    as an attribute ``in_flight`` says. A call abandoned at a deadline counts until it returns.

    ``scrub`` takes secrets out of what it raises. ``in_flight`` is None for any number.

    Raises:
        ConfigError: It has no method ``chat``, or its ``in_flight`` is not a number from 1 to 256.
    """

    def __init__(self, chat: object, *, scrub: Callable[[str], str] = str) -> None:
        self._name = type(chat).__name__
        self._scrub = scrub
        self._call: Callable[[Any], Any] = getattr(chat, "chat", None)  # type: ignore[assignment]  # checked
        if not callable(self._call) or isinstance(chat, type):
            what = f"the class {chat.__name__}" if isinstance(chat, type) else self._name
            raise ConfigError(f"an LLM is an object with a method chat(messages); {what} is not one")
        self._takes_request = next(iter(inspect.signature(self._call).parameters), "") == "request"
        self._blocks = not inspect.iscoroutinefunction(self._call)
        calls = getattr(chat, "in_flight", 1 if self._blocks else None)
        self.in_flight = None if calls is None else batches_at_once(self._name, calls)
        self._room = asyncio.Semaphore(self.in_flight or 1)

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        """Ask the object; see ``Client``.

        Raises:
            TransientChatError: It raised anything but our own errors and program mistakes.
            UnusableAnswerError: It returned None.
            FatalChatError: It has a mistake, asks to leave the program, or returned neither a text nor a
                ``ChatAnswer``.
        """
        argument = request if self._takes_request else [dict(message) for message in request.messages]
        try:
            answer = await self._in_thread(argument) if self._blocks else self._call(argument)
            if inspect.isawaitable(answer):
                answer = await answer
        except PromptclimbError:
            raise
        except (Exception, SystemExit) as error:
            message = self._scrub(f"{self._name}.chat failed: {named(error)}")
            if not isinstance(error, MISTAKES):
                raise TransientChatError(message) from error
            frame = traceback.extract_tb(error.__traceback__)[-1]
            raise FatalChatError(f"{message} ({frame.filename}, line {frame.lineno})") from error
        if answer is None:
            raise UnusableAnswerError(f"{self._name}.chat answered with nothing", reason="no_content")
        if isinstance(answer, str):
            answer = ChatAnswer(text=whole_characters(answer), model=request.model)
        with suppress(ValidationError):
            checked = _ANSWER.validate_python(answer)
            if isinstance(checked, ChatAnswer) and checked.usage.possible:
                text, usage = whole_characters(checked.text), checked.usage
                # No text is made of no tokens: they are estimated, or limits would never bind.
                known = checked.usage_known and bool(usage.total or usage.vendor_picodollars)
                written = max(checked.written, tokens_in(text))
                return replace(checked, text=text, usage_known=known, written=written)
        raise FatalChatError(
            f"{self._name}.chat must answer with a text or a ChatAnswer; it answered {shown(answer)}"
        )

    async def _in_thread(self, argument: object) -> Any:
        await self._room.acquire()
        running = asyncio.ensure_future(in_thread(lambda: self._call(argument)))
        running.add_done_callback(lambda _done: self._room.release())
        return await outliving_its_waiter(running)
