"""Check what works on this machine, and say how to fix what does not."""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import importlib.util
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...evaluator.counts import counted, how_to_install
from ...evaluator.errors import PromptclimbError, reason_of
from ...evaluator.network import check_url
from ...evaluator.scoring import DEFAULT_INSTRUCTION, DEFAULT_TEMPLATE, LONGEST_UNREADABLE, UNREADABLE
from ..config.fields import DEFAULT_BASE_URL, without_credentials
from ..config.schema import SearchConfig
from ..config.sources import on_command_line, spec_from_sources
from ..errors import ChatError
from ..llm.chat import ChatAnswer, ChatRequest
from ..llm.dialects import Dialect
from ..llm.endpoints import DEFAULT_KEY, Preflight, preflight
from ..llm.limiter import stated_limit
from ..llm.scorer import KEY, TrialAsk, scorer_key
from ..secrets import Secret, clean_key, split_query
from .options import add_json, given_settings
from .output import print_json, print_text
from .parser import Parser

if TYPE_CHECKING:
    from ..llm.client import OpenAIChat

Finding = tuple[Literal["ok", "note", "wrong"], str]
MOST_REQUESTS = 3
"""Most requests to an LLM: each refusal of an option takes another one."""
PATIENCE_S = 60.0
"""Seconds for an endpoint in all."""
LIST_S = 20.0
"""Seconds of these for its list of models, which is optional."""
_DRAWN = ("red circle", "blue square")
"""The classes of the drawn image, its own first."""
_PACKAGES = ("torch", "open_clip_torch", "openai", "aiohttp", "diskcache", "pydantic", "rich", "structlog")


def doctor(arguments: argparse.Namespace) -> int:
    """Check the installation; return 1 if something that every search needs is broken."""
    settings = given_settings(arguments)
    url = settings.get("base_url") or os.environ.get("OPENAI_BASE_URL")
    findings = [
        *((what, *_checked(check)) for what, check in _CHECKS.items()),
        *_endpoint(url, settings.get("llm")),
        *_scorer(settings),
    ]
    if arguments.as_json:
        print_json([dict(zip(("what", "state", "text"), finding, strict=True)) for finding in findings])
    else:
        for what, state, text in findings:
            print_text(f"{'WRONG' if state == 'wrong' else state:5} {what}: {text}\n")
    return 1 if any(state == "wrong" for _what, state, _text in findings) else 0


def _checked(check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except (PromptclimbError, ImportError, OSError) as error:
        if isinstance(error, PromptclimbError):
            return "wrong", on_command_line(error.message)
        return "wrong", reason_of(error)


def _python() -> Finding:
    return "ok", f"{platform.python_version()} on {platform.platform()}, {os.cpu_count()} CPUs"


def _packages() -> Finding:
    versions: list[str] = []
    missing: list[str] = []
    for name in _PACKAGES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return "wrong", f"missing: {', '.join(missing)}; run `make install`"
    return "ok", ", ".join(versions)


def _cache() -> Finding:
    from ...evaluator.files import cache_dir

    folder = cache_dir()
    with tempfile.TemporaryFile(dir=folder):
        pass
    return "ok", str(folder)


def _devices() -> Finding:
    from ...evaluator.clip.models import devices

    return "ok", ", ".join(devices())


def _bundled() -> Finding:
    from ...evaluator.clip.models import check_bundled
    from ...evaluator.pico.models import bundled_models

    names = [str(model["name"]) for model in bundled_models()]
    for name in names:
        check_bundled(name)
    return "ok", ", ".join(names)


def _local() -> Finding:
    from ..llm.local_server import is_available

    reason = is_available()
    if reason is None:
        return "ok", "--llm local can be used"
    return "note", f"{reason}; {how_to_install('local')} installs it"


def _key(name: str, needless: str) -> Finding:
    if clean_key(os.environ.get(name, ""), name):
        return "ok", f"{name} is set"
    return "note", f"{name} is not set; {needless}"


_CHECKS: dict[str, Callable[[], Finding]] = {
    "python": _python,
    "packages": _packages,
    "cache": _cache,
    "devices": _devices,
    "bundled models": _bundled,
    "local LLM": _local,
    "key": lambda: _key(DEFAULT_KEY, "--llm local and your own servers need none"),
    "scorer's key": lambda: _key(
        KEY, "--scorer chat, zero-shot or embeddings need it unless their server takes none"
    ),
}


async def _listing(address: str, key: Secret | None, model: str) -> Preflight:
    try:
        async with asyncio.timeout(LIST_S):
            return await preflight(address, key, key_env=DEFAULT_KEY, model=model)
    except TimeoutError:
        shown = split_query(without_credentials(address))[0]
        return Preflight(note=f"{shown}/models did not answer within {LIST_S:.0f} s")


def _endpoint(url: str | None, model: str | None) -> Iterator[tuple[str, str, str]]:
    """Try an endpoint and its model; by default OpenAI's if there is a key."""
    key = os.environ.get(DEFAULT_KEY, "").strip()
    if url is None and not key:
        yield "endpoint", "note", f"not tried: give --base-url URL, or set {DEFAULT_KEY} for OpenAI's"
        return
    secret = Secret(key) if key else None
    try:
        address = check_url(url) or DEFAULT_BASE_URL
        listing = asyncio.run(_listing(address, secret, model or ""))
    except (ValueError, PromptclimbError) as error:
        text = str(error) if isinstance(error, ValueError) else on_command_line(error.message)
        yield "endpoint", "wrong", text
        return
    shown = split_query(without_credentials(address))[0]
    if listing.note is not None:
        yield "endpoint", "note", listing.note
    elif listing.status != HTTPStatus.OK:
        yield "endpoint", "note", f"{shown}/models answers HTTP {listing.status}; a search would continue"
    else:
        models = f", {counted(len(listing.models), 'model')}" if listing.models else ""
        yield "endpoint", "ok", f"{shown} answers{models}"
    model = model or (listing.models[0] if len(listing.models) == 1 else None)
    if model is None:
        yield "chat", "note", f"give --llm MODEL to try it, in {MOST_REQUESTS} requests at most"
        return
    try:
        for what, text in asyncio.run(_chat(address, secret, model)):
            yield f"chat, {what}", "ok", text
    except TimeoutError:
        yield "chat", "wrong", f"{model} has not answered within {PATIENCE_S - LIST_S:.0f} s"
    except PromptclimbError as error:
        yield "chat", "wrong", f"{model} does not answer: {on_command_line(error.message)}"


async def _chat(address: str, key: Secret | None, model: str) -> list[tuple[str, str]]:
    """Send a small request with every option of a search's, and return what the answer shows."""
    from ..llm.client import OpenAIChat  # its SDK takes a second to load, and help needs none of it

    request = ChatRequest(
        messages=(
            {"role": "system", "content": "You name things."},
            {"role": "user", "content": "Name three fruits."},
        ),
        model=model,
        temperature=0.7,
        max_tokens=1000,
        seed=7,
    )
    async with asyncio.timeout(PATIENCE_S - LIST_S), OpenAIChat(address, key) as chat:
        started = time.monotonic()
        answer = await _adapting(chat, request)
        took_s = (time.monotonic() - started) / chat.requests
        speed = answer.completion_tokens / max(took_s, 1e-3)
        tokens = f", {speed:.0f} tokens a second" if answer.completion_tokens else ""
        answered = f"in {took_s:.1f} s{tokens}; {counted(chat.requests, 'request')} made"
        return [("answer", answered), *_abilities(answer, chat.dialect)]


async def _adapting(chat: OpenAIChat, request: ChatRequest) -> ChatAnswer:
    """Send a request, in another form after each refusal that shows one."""
    while True:
        try:
            return await chat.chat(request)
        except ChatError as error:
            if not error.adapted or chat.requests == MOST_REQUESTS:
                raise


def _abilities(answer: ChatAnswer, dialect: Dialect) -> Iterator[tuple[str, str]]:
    """Yield a name and a line for each thing that an answer shows of an endpoint."""
    options = ("max_tokens", "temperature", "seed")
    taken = [dialect.instead.get(name, name) for name in options if name not in dialect.left_out]
    refused = [name for name in options if name in dialect.left_out]
    yield (
        "parameters",
        f"takes {', '.join(taken) or 'none'}" + (f"; refuses {', '.join(refused)}" if refused else ""),
    )
    if dialect.merged:
        yield "system messages", "none; they go with the first message of the user"
    if dialect.streams:
        yield "answers", "in pieces alone"
    yield "usage", "reported" if answer.usage_known else "not reported: limits count what was reserved"
    limits = []
    for kind in ("requests", "tokens"):
        known = stated_limit(answer.headers, kind)
        if known.limit is not None:
            limits.append(f"{known.limit:,.0f} {kind}")
        elif known.remaining is not None:
            limits.append(f"{known.remaining:,.0f} {kind} left")
    yield "rate limits", ", ".join(limits) or "not reported"
    yield "thinking", "shown, and left out of answers" if answer.thought else "none seen"


def _scorer(settings: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Try a scorer behind an API with a drawn image; nothing without an address."""
    if "scorer_url" not in settings:
        return
    if "scorer" not in settings or "model" not in settings:
        yield "scorer", "note", "give --scorer KIND and --model NAME with --scorer-url to try it"
        return
    names = ("scorer_url", "scorer", "model", "scorer_dialect", "base_url")
    try:
        config = spec_from_sources({name: settings[name] for name in names if name in settings}, {})
        url = config.scorer_url or ""
        key = scorer_key(url, config.base_url, os.environ)
        ask = TrialAsk(url, key.secret, timeout_s=PATIENCE_S)
        started = time.monotonic()
        answer = _drawn_answer(config, ask)
    except TimeoutError:
        yield "scorer", "wrong", f"{settings['model']} has not answered within {PATIENCE_S:.0f} s"
    except PromptclimbError as error:
        yield "scorer", "wrong", on_command_line(error.message)
    else:
        took = f"in {time.monotonic() - started:.1f} s, {counted(ask.requests, 'request')}"
        state = "ok" if answer == _DRAWN[0] else "note"
        yield "scorer", state, f"answers {answer!r} for a drawn red circle; {took}"


def _drawn_answer(config: SearchConfig, ask: TrialAsk) -> str:
    """Return the class that a scorer gives a drawn image, or an answer that names none."""
    from PIL import Image, ImageDraw

    from ...evaluator.remote.opening import open_unlabelled, unlabelled

    prompt = DEFAULT_INSTRUCTION if config.scorer == "chat" else DEFAULT_TEMPLATE
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "drawn.png")
        image = Image.new("RGB", (64, 64), "white")
        ImageDraw.Draw(image).ellipse((8, 8, 56, 56), fill="red")
        image.save(path)
        evaluator = open_unlabelled(config, _DRAWN, ask, None)
        ((decision,),) = evaluator.decide([[prompt]], [unlabelled(evaluator, [path])])
    label = int(decision.predicted[0])
    return _DRAWN[label] if label != UNREADABLE else decision.unreadable[0][:LONGEST_UNREADABLE]


def add_options(parser: Parser) -> None:
    """Add the options of ``doctor``."""
    parser.usage = "%(prog)s [OPTION ...]"
    for name, show, text in (
        ("base_url", "URL", "LLM's endpoint to try (default: $OPENAI_BASE_URL)"),
        (
            "llm",
            "MODEL",
            f"LLM to try there: {MOST_REQUESTS} requests at most, which may cost a little",
        ),
        ("scorer_url", "URL", "scorer behind an API to try with a drawn image, which may cost a little"),
        ("scorer", "KIND", "the scorer's kind: zero-shot, embeddings or chat"),
        ("model", "NAME", "the scorer's model"),
        ("scorer_dialect", "NAME", "the scorer's form of embeddings"),
    ):
        parser.add_argument(f"--{name.replace('_', '-')}", default=argparse.SUPPRESS, metavar=show, help=text)
    add_json(parser)
