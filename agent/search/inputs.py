"""Read and check what a search needs before its restarts begin, and identify a run."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ...evaluator.counts import counted
from ...evaluator.custom.adapter import ScorerEvaluator, as_evaluator, pinned
from ...evaluator.errors import AskingEndedError, ConfigError, DataError
from ...evaluator.files import MOST_SETTINGS_BYTES, read_text, user_path
from ...evaluator.open import open_evaluator
from ...evaluator.remote.asking import ApiAsk
from ...evaluator.scoring import Evaluator, EvaluatorInfo, NamePredictor
from ...evaluator.threads import in_thread
from ...prompts.kinds import INSTRUCTION, TEMPLATE, Candidate, CandidateError, kind_named
from ...prompts.requests import PROMPTS_VERSION
from ...prompts.starting import PoolError, read_file
from ...prompts.wording import Wordings, WordingsError, with_changes
from ..config.schema import OPTIONS, SearchConfig
from ..config.sources import flag_of
from ..errors import EndpointError, StoreMismatchError, why_ended
from ..events.types import Event, ImagesEncoded, Listener, Noted
from ..results.result import LLM_FALLBACK
from ..store.run import Store
from ..store.shared import check_cache
from .user_objects import name_of

LLM_CONTENT = "llm_content"
"""Identity key: the content hash of the user's own model file."""
IMAGE_NAMES, MOST_NAMED = "files", 3
"""The store's note of the images' names, and how many of them a message names."""
EXTENDABLE = tuple(name for name, option in OPTIONS.items() if option.resumable == "more")
"""Settings that may be increased when a run is resumed."""


async def ready_evaluator(
    config: SearchConfig,
    given: object | None,
    listener: Listener,
    *,
    ask: ApiAsk | None = None,
    labels: Path | None = None,
) -> Evaluator:
    """Return the given evaluator, or open the one that the config names; see ``open_evaluator``.

    Raises:
        UsageError: It cannot be used, has invalid hand-made templates, or cannot share scores.
    """
    kind = kind_named(config.prompts)
    if given is None:
        check_scorer_takes(config)
        evaluator, name = await _open(config, listener, ask, labels), config.evaluator or config.model
    else:
        evaluator, name = as_evaluator(given, config), name_of(given)
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
    if config.searches_names:
        _check_renames(evaluator, name)
    if config.shared_cache is not None and not info.shareable:
        raise ConfigError(
            f"{name} has no fingerprint, so {flag_of('shared_cache')} cannot share its scores: give it an "
            "attribute `fingerprint`, a text that is another one whenever its scores are"
        )
    return evaluator


def check_scorer_takes(config: SearchConfig) -> None:
    """Raise ConfigError if instructions are for a scorer that takes none; no custom one is to be given."""
    if config.prompts == INSTRUCTION and config.scorer != "chat" and config.evaluator is None:
        raise ConfigError(
            f"--prompts instruction needs a model that answers in words, and --scorer {config.scorer} does "
            "not: add --scorer chat, or give your own scorer (--evaluator)"
        )


def _check_renames(evaluator: Evaluator, name: str) -> None:
    """Raise ConfigError if an evaluator cannot score other names of single classes."""
    info = evaluator.info
    known = len(info.class_names) == info.classes > 0 and info.sizes.get("train", 0) > 0
    if known and isinstance(evaluator, NamePredictor):
        return
    raise ConfigError(
        f"--prompts class-names cannot score names with {name}: give it a method "
        "`predict_named(template, renamings, split)` (see evaluator.scoring.NamePredictor), and its classes "
        "and few-shot images in `info.class_names` and `info.sizes`; or search with --prompts template"
    )


async def _open(
    config: SearchConfig, listener: Listener, ask: ApiAsk | None, labels: Path | None
) -> Evaluator:
    """Load data and model in a thread; decode every image that the run will need, the test images too."""
    loop = asyncio.get_running_loop()

    def emit(event: Event) -> None:
        # The thread that reads the last images may outlive an interrupted loop.
        if not loop.is_closed():
            loop.call_soon_threadsafe(listener, event)

    def report(line: str) -> None:
        emit(Noted(text=line))

    def progress(done: int, of: int, copies: bool) -> None:
        emit(ImagesEncoded(done=done, of=of, copies=copies))

    try:
        return await in_thread(
            lambda: open_evaluator(
                config, report=report, progress=progress, look_ahead=True, ask=ask, labels=labels
            )
        )
    except AskingEndedError as error:
        raise why_ended(error) from error


def pinned_evaluator(config: SearchConfig) -> SearchConfig:
    """Return a config whose custom scorer is found from any folder, so that its run can be resumed."""
    if config.evaluator is None:
        return config
    return config.model_copy(update={"evaluator": pinned(config.evaluator)})


async def try_local_llm(
    config: SearchConfig, emit: Listener, earlier_notes: Mapping[str, Any] | None
) -> tuple[SearchConfig, dict[str, str]]:
    """Fetch and load a local LLM on trial, if a method may replace it; return the config and notes.

    ``earlier_notes`` are those of a resumed run, None for a new one. A run that began without an LLM
    continues without; the LLM of one that began with it is not loaded on trial.
    """
    if not may_fall_back(config):
        return config, {}
    if LLM_FALLBACK in (earlier_notes or {}):
        return without_llm(config), {}
    from ..llm.local_server import is_available, make_loaded, make_ready

    llm = config.llm or ""
    if is_available(llm) is None:
        with suppress(EndpointError):  # it is remembered
            if earlier_notes is None:
                await make_loaded(llm, emit, slots=config.llm_slots)
            else:
                await make_ready(llm, emit)
    if (reason := is_available(llm)) is None:
        return config, {}
    method = config.llm_fallback
    note = f"the local LLM cannot be used ({reason}): searching without an LLM, by method {method}"
    note += ", and for class names by common kinds of things" if config.searches_names else ""
    emit(Noted(text=note))
    return without_llm(config), {LLM_FALLBACK: note}


def fallen_back(
    config: SearchConfig, earlier_notes: Mapping[str, Any] = MappingProxyType({})
) -> SearchConfig:
    """Return the config of ``try_local_llm`` as far as it is known in this process; nothing is fetched."""
    if not may_fall_back(config):
        return config
    from ..llm.local_server import is_available

    usable = LLM_FALLBACK not in earlier_notes and is_available(config.llm or "") is None
    return config if usable else without_llm(config)


def without_llm(config: SearchConfig) -> SearchConfig:
    """Return the config with the method that replaces the local LLM."""
    return config.model_copy(update={"method": config.llm_fallback, "llm": None})


def may_fall_back(config: SearchConfig) -> bool:
    """Return whether a method may replace the local LLM."""
    return config.is_local and config.llm_fallback is not None and config.needs_llm


def read_template_file(file: Path | str, option: str, prompts: str = TEMPLATE) -> list[Candidate]:
    """Read a JSON list of candidates, or one a line; ConfigErrors name ``option``."""
    try:
        return read_file(user_path(file, option), kind_named(prompts))
    except PoolError as error:
        raise ConfigError(f"{option}: {error}") from error


def read_pool(config: SearchConfig) -> list[Candidate]:
    """Return the pool of starting candidates; raise ConfigError if it is unreadable or too small."""
    kind = kind_named(config.prompts)
    noun = kind.words.noun
    if isinstance(config.initial, Path):
        pool = read_template_file(config.initial, "--initial", config.prompts)
        unique = list({candidate.key: candidate for candidate in pool}.values())
        if len(unique) < 2:
            raise ConfigError(f"--initial {config.initial}: it has one {noun}; a restart needs at least 2")
        return unique
    pool = [one for group in kind.starting(config.starting_pool) for one in group]
    if config.initial is not None and config.initial > len(pool):
        raise ConfigError(f"--initial {config.initial}: the built-in pool has {len(pool)} {noun}s")
    return pool


def read_wordings(config: SearchConfig) -> Wordings:
    """Return the texts of the method ``guided``; raise ConfigError if the user's file cannot be used."""
    kind = kind_named(config.prompts)
    if config.wordings is None:
        return kind.wordings
    try:
        path = user_path(config.wordings, "--wordings")
        text = read_text(path, what="wordings file", most=MOST_SETTINGS_BYTES)
        return with_changes(text, kind.wordings, slot=kind.slot)
    except (DataError, WordingsError) as error:
        raise ConfigError(f"--wordings {config.wordings}: {error}") from error


def check_places(config: SearchConfig, *, names_only: bool) -> None:
    """Raise ConfigError if a file or folder of a resumed run is gone; also check its shared cache.

    With ``names_only``, ``data`` and ``pretrained`` are names, as the evaluator comes from Python.
    """
    check_cache(config.shared_cache)
    for name, option in OPTIONS.items():
        place = getattr(config, name)
        if not option.reads or (names_only and isinstance(place, str)):
            continue
        if isinstance(place, str | Path) and Path(place).is_absolute() and not Path(place).exists():
            raise ConfigError(
                f"{place} is not there any more. If it has moved, give {flag_of(name)} PLACE "
                f"(its content decides, not where it lies)"
            )


def identity_of(
    config: SearchConfig,
    info: EvaluatorInfo,
    pool: list[Candidate],
    wordings: Wordings,
    llm_content: str | None = None,
) -> dict[str, Any]:
    """Return all that decides the result of a run, besides the LLM's answers; files by their content."""
    return {
        **config.identity(),
        "fingerprint": info.fingerprint,
        "pool": pool_hash(pool),
        "prompts_version": PROMPTS_VERSION,
        **({} if config.wordings is None else {"wordings": wordings.hash}),
        **({} if llm_content is None else {LLM_CONTENT: llm_content}),
    }


def pool_hash(pool: list[Candidate]) -> str:
    """Return a hash of the starting candidates."""
    texts = "\n".join(candidate.text for candidate in pool)
    return hashlib.sha256(texts.encode()).hexdigest()[:16]


def known_identity(config: SearchConfig, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's identity before anything is opened; content hashes come from the earlier identity."""
    mine = config.identity()
    now = {name: value for name, value in before.items() if name not in OPTIONS} | mine
    from_data = (name for name, option in OPTIONS.items() if option.from_data)
    now |= {name: before.get(name) for name in from_data if getattr(config, name) is None}
    if config.wordings is not None and before.get("wordings"):
        now["wordings"] = before["wordings"]
    return now


def check_content(store: Store, info: EvaluatorInfo) -> None:
    """Raise StoreMismatchError, with names of files, if images or weights of a resumed run have changed."""
    before = store.manifest.content
    if store.manifest.identity.get("fingerprint") == info.fingerprint or not before or not info.content:
        return
    names: set[str] = set(store.note(IMAGE_NAMES) or ())
    files = set(info.files)
    changes = [
        f"{counted(len(found), 'image is', 'images are')} {what}: {_some(found)}"
        for what, found in (("gone", names - files), ("new", files - names))
        if found and names and files
    ]
    if not changes and before.get("weights") != info.content["weights"]:
        changes = ["the model's weights are others"]
    elif not changes and before.get("shots") != info.content["shots"]:
        changes = ["an image among the shots, or a class name, is another"]
    if changes:
        raise StoreMismatchError(
            f"{info.dataset} has changed since the run started, so its scores do not fit: "
            f"{'; '.join(changes)}. Restore what was there, under the same names, or start a new run",
            differences=tuple(changes),
        )


def _some(names: Collection[str]) -> str:
    return ", ".join(sorted(names)[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")


def extension_of(config: SearchConfig, before: Mapping[str, Any]) -> dict[str, int]:
    """Return the settings by which a resumed run is extended, with their new values; empty for none.

    New rounds are allowed only with one conversation per restart: later conversations would begin from
    another ranking, and their answers on disk would belong to other requests.

    Raises:
        StoreMismatchError: A value decreases, or answers that were paid for could not be used.
    """
    changed = {
        name: getattr(config, name) for name in EXTENDABLE if before.get(name) != getattr(config, name)
    }
    had = {name: int(before.get(name, 0)) for name in changed}

    def refused(name: str, why: str) -> StoreMismatchError:
        return StoreMismatchError(
            f"--{name} {changed[name]}: the run was started with {had[name]}; {why}",
            differences=(f"{name}: it was {had[name]}, now {changed[name]}",),
        )

    for name in changed:
        if changed[name] < had[name]:
            raise refused(name, "a run can be given more, but not less")
    if "rounds" in changed and before.get("conversations") != 1 and config.needs_llm:
        more = [f"--{name} {int(before.get(name, 0)) + 1}" for name in ("conversations", "restarts")]
        raise refused(
            "rounds",
            "each restart has several conversations, and those after the first would begin from another "
            f"ranking, so their answers would be paid for again; give {' or '.join(more)} instead",
        )
    return changed
