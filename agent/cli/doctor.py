"""``doctor``: what works on this machine, and what to do about what does not."""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import importlib.util
import os
import platform
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal

from ...evaluator.counts import counted, how_to_install
from ...evaluator.errors import PromptclimbError
from ..config.fields import DEFAULT_BASE_URL, check_url, without_credentials
from ..llm.dialects.keys import clean_key
from ..llm.endpoints import DEFAULT_KEY
from ..llm.preflight import Seen, look
from ..llm.probe import REQUESTS, probe
from ..secrets import Secret, split_query
from .endpoint_lines import lines_of
from .options import add_json, given_settings
from .output import print_json, print_text

if TYPE_CHECKING:
    from .parser import Commands

State = Literal["ok", "note", "wrong"]
PATIENCE_S = 60.0
"""What an endpoint gets in all."""
LIST_S = 20.0
"""What of that its list of models gets, which it need not have."""
_PACKAGES = ("torch", "open_clip_torch", "openai", "aiohttp", "diskcache", "pydantic", "rich", "structlog")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's."""

    what: str
    state: State
    text: str


def doctor(arguments: argparse.Namespace) -> int:
    """Check the installation; exit code 1 if something that every search needs is broken."""
    url = given_settings(arguments).get("base_url") or os.environ.get("OPENAI_BASE_URL")
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("python", _python),
        ("packages", _packages),
        ("cache", _cache),
        ("devices", _devices),
        ("bundled models", _bundled),
        ("local LLM", _local),
        ("key", _key),
    ]
    findings = [_checked(what, check) for what, check in checks]
    findings += _endpoint(url, given_settings(arguments).get("llm"))
    if arguments.as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            mark = {"ok": "ok   ", "note": "note ", "wrong": "WRONG"}[finding.state]
            print_text(f"{mark} {finding.what}: {finding.text}\n")
    return 1 if any(finding.state == "wrong" for finding in findings) else 0


def _checked(what: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except (PromptclimbError, ImportError, OSError) as error:
        return Finding(what, "wrong", str(error) or type(error).__name__)


def _python() -> Finding:
    return Finding(
        "python", "ok", f"{platform.python_version()} on {platform.platform()}, {os.cpu_count()} CPUs"
    )


def _packages() -> Finding:
    versions: list[str] = []
    missing: list[str] = []
    for name in _PACKAGES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Finding("packages", "wrong", f"missing: {', '.join(missing)}; run `make install`")
    return Finding("packages", "ok", ", ".join(versions))


def _cache() -> Finding:
    from ...evaluator.user_paths import cache_dir

    folder = cache_dir()
    with tempfile.TemporaryFile(dir=folder):
        pass
    return Finding("cache", "ok", str(folder))


def _devices() -> Finding:
    from ...evaluator.clip.models import devices

    return Finding("devices", "ok", ", ".join(devices()))


def _bundled() -> Finding:
    from ...evaluator.clip.models import check_bundled
    from ...evaluator.pico.models import bundled_models

    names = [str(model["name"]) for model in bundled_models()]
    for name in names:
        check_bundled(name)
    return Finding("bundled models", "ok", ", ".join(names))


def _local() -> Finding:
    from ..llm.local import is_available

    reason = is_available()
    if reason is None:
        return Finding("local LLM", "ok", "--llm local can be used")
    return Finding("local LLM", "note", f"{reason}; {how_to_install('local')} brings it")


def _key() -> Finding:
    if clean_key(os.environ.get(DEFAULT_KEY, ""), DEFAULT_KEY):
        return Finding("key", "ok", f"{DEFAULT_KEY} is set")
    return Finding("key", "note", f"{DEFAULT_KEY} is not set; --llm local and servers of your own need none")


async def _listing(address: str, key: Secret | None, model: str) -> Seen:
    """Return what a look at an endpoint shows in time."""
    try:
        async with asyncio.timeout(LIST_S):
            return await look(address, key, key_env=DEFAULT_KEY, model=model)
    except TimeoutError:
        shown = split_query(without_credentials(address))[0]
        return Seen(note=f"{shown}/models did not answer within {LIST_S:.0f} s")


def _endpoint(url: str | None, model: str | None) -> list[Finding]:
    key = os.environ.get(DEFAULT_KEY, "").strip()
    if url is None and not key:
        return [Finding("endpoint", "note", "none given and no key: not tried")]
    secret = Secret(key) if key else None
    try:
        address = check_url(url) or DEFAULT_BASE_URL
        seen = asyncio.run(_listing(address, secret, model or ""))
    except (ValueError, PromptclimbError) as error:
        return [Finding("endpoint", "wrong", str(error))]
    found = [_listed(split_query(without_credentials(address))[0], seen)]
    model = model or (seen.models[0] if len(seen.models) == 1 else None)
    if model is None:
        advice = f"give --llm MODEL to see what it can do, in {REQUESTS} requests at most"
        return [*found, Finding("chat", "note", advice)]
    return [*found, *_asked(address, secret, model, seen.context)]


def _listed(shown: str, seen: Seen) -> Finding:
    if seen.note is not None:
        return Finding("endpoint", "note", seen.note)
    if seen.status != HTTPStatus.OK:
        return Finding("endpoint", "note", f"{shown}/models answers HTTP {seen.status}; a search would go on")
    models = f", {counted(len(seen.models), 'model')}" if seen.models else ""
    return Finding("endpoint", "ok", f"{shown} answers{models}")


def _asked(address: str, key: Secret | None, model: str, context: int | None) -> list[Finding]:
    async def within() -> list[Finding]:
        async with asyncio.timeout(PATIENCE_S - LIST_S):
            probed = await probe(address, key, model)
        return [Finding(f"chat, {what}", "ok", text) for what, text in lines_of(probed, context)]

    try:
        return asyncio.run(within())
    except TimeoutError:
        return [Finding("chat", "wrong", f"{model} has not answered within {PATIENCE_S - LIST_S:.0f} s")]
    except PromptclimbError as error:
        return [Finding("chat", "wrong", f"{model} does not answer: {error}")]


def add_parser(commands: Commands, line: str) -> None:
    """Add ``doctor``."""
    parser = commands.add_parser("doctor", help=line)
    parser.add_argument(
        "--base-url",
        default=argparse.SUPPRESS,
        metavar="URL",
        help="endpoint to try (default: $OPENAI_BASE_URL)",
    )
    parser.add_argument(
        "--llm",
        default=argparse.SUPPRESS,
        metavar="MODEL",
        help=f"its model, to see what it can do: {REQUESTS} requests at most, which may cost a little",
    )
    add_json(parser)
    parser.set_defaults(run=doctor)
