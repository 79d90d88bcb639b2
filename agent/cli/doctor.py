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
from typing import Any, Literal

from ...evaluator.counts import counted, how_to_install
from ...evaluator.errors import PromptclimbError
from ...evaluator.network import check_url
from ...evaluator.scoring import DEFAULT_INSTRUCTION, DEFAULT_TEMPLATE, LONGEST_UNREADABLE, UNREADABLE
from ..config.fields import DEFAULT_BASE_URL, without_credentials
from ..config.schema import SearchConfig
from ..config.sources import flag_of, spec_from_sources
from ..llm.endpoints import DEFAULT_KEY, PARAMETERS, PROBE_REQUESTS, Preflight, Probed, preflight, probe
from ..llm.headers import clean_key, stated_limit
from ..llm.scorer_calls import KEY
from ..llm.scorer_endpoint import TrialAsk, scorer_key
from ..secrets import Secret, split_query
from .options import add_json, given_settings
from .output import print_json, print_text
from .parser import Parser

Finding = tuple[Literal["ok", "note", "wrong"], str]
PATIENCE_S = 60.0
"""Seconds for an endpoint in all."""
LIST_S = 20.0
"""Seconds of these for its list of models, which is optional."""
_DRAWN = ("red circle", "blue square")
"""The classes of the drawn image, its own first."""
_PACKAGES = ("torch", "open_clip_torch", "openai", "aiohttp", "diskcache", "pydantic", "rich", "structlog")


def doctor(arguments: argparse.Namespace) -> int:
    """Check the installation; return 1 if something that every search needs is broken."""
    given = given_settings(arguments)
    url = given.get("base_url") or os.environ.get("OPENAI_BASE_URL")
    findings = [
        *((what, *_checked(check)) for what, check in _CHECKS.items()),
        *_endpoint(url, given.get("llm")),
        *_scorer(given),
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
        return "wrong", str(error) or type(error).__name__


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
    """Try an endpoint and what its model can do; by default OpenAI's if there is a key."""
    key = os.environ.get(DEFAULT_KEY, "").strip()
    if url is None and not key:
        yield "endpoint", "note", "none given and no key: not tried"
        return
    secret = Secret(key) if key else None
    try:
        address = check_url(url) or DEFAULT_BASE_URL
        seen = asyncio.run(_listing(address, secret, model or ""))
    except (ValueError, PromptclimbError) as error:
        yield "endpoint", "wrong", str(error)
        return
    shown = split_query(without_credentials(address))[0]
    if seen.note is not None:
        yield "endpoint", "note", seen.note
    elif seen.status != HTTPStatus.OK:
        yield "endpoint", "note", f"{shown}/models answers HTTP {seen.status}; a search would continue"
    else:
        models = f", {counted(len(seen.models), 'model')}" if seen.models else ""
        yield "endpoint", "ok", f"{shown} answers{models}"
    model = model or (seen.models[0] if len(seen.models) == 1 else None)
    if model is None:
        yield "chat", "note", f"give --llm MODEL to see what it can do, in {PROBE_REQUESTS} requests at most"
        return
    try:
        for what, text in asyncio.run(_asked(address, secret, model, seen.context)):
            yield f"chat, {what}", "ok", text
    except TimeoutError:
        yield "chat", "wrong", f"{model} has not answered within {PATIENCE_S - LIST_S:.0f} s"
    except PromptclimbError as error:
        yield "chat", "wrong", f"{model} does not answer: {error}"


def _scorer(given: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Try a scorer behind an API with a drawn image; nothing without an address."""
    if "scorer_url" not in given:
        return
    if "scorer" not in given or "model" not in given:
        yield "scorer", "note", "give --scorer KIND and --model NAME with --scorer-url to try it"
        return
    names = ("scorer_url", "scorer", "model", "scorer_dialect", "base_url")
    try:
        config = spec_from_sources({name: given[name] for name in names if name in given}, {})
        url = config.scorer_url or ""
        key = scorer_key(url, config.base_url, os.environ)
        ask = TrialAsk(url, key.secret, timeout_s=PATIENCE_S)
        started = time.monotonic()
        answer = _drawn_answer(config, ask)
    except TimeoutError:
        yield "scorer", "wrong", f"{given['model']} has not answered within {PATIENCE_S:.0f} s"
    except PromptclimbError as error:
        yield "scorer", "wrong", str(error)
    else:
        took = f"in {time.monotonic() - started:.1f} s, {counted(ask.requests, 'request')}"
        fits = answer == _DRAWN[0]
        yield "scorer", "ok" if fits else "note", f"answers {answer!r} for a drawn red circle; {took}"


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
        ((found,),) = evaluator.decide([[prompt]], [unlabelled(evaluator, [path])])
    label = int(found.predicted[0])
    return _DRAWN[label] if label != UNREADABLE else found.unreadable[0][:LONGEST_UNREADABLE]


async def _asked(address: str, key: Secret | None, model: str, context: int | None) -> list[tuple[str, str]]:
    async with asyncio.timeout(PATIENCE_S - LIST_S):
        return list(_abilities(await probe(address, key, model), context))


def _abilities(probed: Probed, context: int | None) -> Iterator[tuple[str, str]]:
    """Yield a name and a line for each ability of an endpoint; ``context`` is in tokens."""
    answer, dialect = probed.answer, probed.dialect
    speed = answer.completion_tokens / max(probed.took_s, 1e-3)
    tokens = f", {speed:.0f} tokens a second" if answer.completion_tokens else ""
    yield "answer", f"in {probed.took_s:.1f} s{tokens}; {counted(probed.requests, 'request')} made"
    taken = [dialect.instead.get(name, name) for name in PARAMETERS if name not in dialect.left_out]
    refused = [name for name in PARAMETERS if name in dialect.left_out]
    yield (
        "parameters",
        f"takes {', '.join(taken) or 'none'}" + (f"; refuses {', '.join(refused)}" if refused else ""),
    )
    if ceilings := [f"{name} {top:g}" for name, top in dialect.most.items()]:
        yield "ceilings", ", ".join(ceilings)
    if dialect.merged:
        yield "system messages", "none; they go with the first message of the user"
    if dialect.streams:
        yield "answers", "in pieces alone"
    yield "usage", "reported" if answer.usage_known else "not reported: limits count what was reserved"
    yield "rate limits", ", ".join(_limits(probed)) or "not reported"
    yield "seed", _seed(probed)
    yield "JSON schema", _schema(probed)
    yield "thinking", "shown, and left out of answers" if answer.thought else "none seen"
    yield "context", f"{context:,} tokens" if context else "not reported"


def _limits(probed: Probed) -> Iterator[str]:
    for kind in ("requests", "tokens"):
        known = stated_limit(probed.answer.headers, kind)
        if known.limit is not None:
            yield f"{known.limit:,.0f} {kind}"
        elif known.remaining is not None:
            yield f"{known.remaining:,.0f} {kind} left"


def _seed(probed: Probed) -> str:
    if "seed" in probed.dialect.left_out:
        return "refused: each request is a draw of its own"
    if probed.repeats is None:
        return "taken; whether it repeats was not tried"
    return "taken, and repeats" if probed.repeats else "taken, but the same request got another answer"


def _schema(probed: Probed) -> str:
    if "response_format" in probed.dialect.left_out:
        return "refused"
    return "held" if probed.holds_schema else "taken, but the answer does not follow it"


def add_options(parser: Parser) -> None:
    """Add the options of ``doctor``."""
    parser.usage = "%(prog)s [OPTION ...]"
    for name, show, text in (
        ("base_url", "URL", "LLM's endpoint to try (default: $OPENAI_BASE_URL)"),
        (
            "llm",
            "MODEL",
            f"LLM to try there: {PROBE_REQUESTS} requests at most, which may cost a little",
        ),
        ("scorer_url", "URL", "scorer behind an API to try with a drawn image, which may cost a little"),
        ("scorer", "KIND", "the scorer's kind: zero-shot, embeddings or chat"),
        ("model", "NAME", "the scorer's model"),
        ("scorer_dialect", "NAME", "the scorer's form of embeddings"),
    ):
        parser.add_argument(flag_of(name), default=argparse.SUPPRESS, metavar=show, help=text)
    add_json(parser)
