"""Bind what a run executes, and where it sends, to the user and the folder that started it.

A run folder may come from somebody else, who chose its code, its addresses and the variable with the key. So
a store holds a signature for each such setting, made with a secret of the user's over the value and the run's
folder. Without it, the setting is used only if the user gives it again or trusts the run.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...evaluator.errors import UsageError
from ...evaluator.files import cache_dir, has_model_settings, new_file, replace_file
from ...evaluator.regular_files import open_regular
from ..config.fields import DEFAULT_BASE_URL, is_local, local_model, without_credentials
from ..config.schema import OPTIONS, SearchConfig
from ..config.sources import from_environment, values_of
from ..errors import UntrustedRunError
from ..text import printable
from .records import RunManifest, canonical

OF_LLM = frozenset({"llm", "base_url"})
OF_MODEL = frozenset({"model", "pretrained"})
OF_EVALUATOR = OF_MODEL | {"custom_scorer", "ray", "cache_dir", "scorer_url"}
_BYTES = 32
_DOES: Mapping[str, str] = {
    "custom_scorer": "run the code {}",
    "ray": "connect to the Ray cluster {}, whose answers may be code",
    "model": "load the model {}, whose files may name code",
    "pretrained": "load the model of {}, whose files may name code",
    "llm": "load the language model {}",
    "base_url": "send requests, with the key in OPENAI_API_KEY, to {}",
    "scorer_url": "send your images, with the key in SCORER_API_KEY or OPENAI_API_KEY, to {}",
    "track": "send figures to {}",
    "shared_cache": "read and write labels in {}",
    "cache_dir": "read and write features in {}",
}
_CODE_OF_A_MODEL = ("hf-hub:", "local-dir:")


def risks(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return, by setting, what a run with these public settings does that needs trust, in words."""
    is_own = settings.get("custom_scorer") is not None
    local = is_local(settings.get("llm"))
    harmless = {
        "llm": not (local and isinstance(local_model(str(settings["llm"])), Path)),
        "base_url": local or settings.get("base_url") == DEFAULT_BASE_URL,
        # At an endpoint, a model's name is just sent.
        "model": is_own
        or settings.get("scorer", "clip") != "clip"
        or not str(settings.get("model", "")).startswith(_CODE_OF_A_MODEL),
        "pretrained": is_own or not has_model_settings(str(settings.get("pretrained") or "")),
    }
    return {
        name: effect.format(_shown(settings[name]))
        for name, effect in _DOES.items()
        if settings.get(name) is not None and not harmless.get(name)
    }


def signatures(run_dir: Path, settings: Mapping[str, Any]) -> dict[str, str]:
    """Return this user's signatures of the settings of a run that need trust; none if no secret is kept."""
    names = risks(settings)
    secret = _secret(make=True) if names else None
    if secret is None:
        return {}
    return {name: _sign(secret, run_dir, name, settings[name]) for name in names}


def check_trusted(
    run_dir: Path,
    manifest: RunManifest,
    config: SearchConfig,
    *,
    safe: Iterable[str] = (),
) -> None:
    """Check that what a run needs trust for is this user's own.

    ``config`` is the stored one with the user's changes; ``safe`` names settings that the user gave again, or
    that are not used. What the environment sets to the same value is safe too.

    Raises:
        UntrustedRunError: A setting is not: the run was made elsewhere, has moved, or was edited.
    """
    settings = config.to_public()
    set_again = values_of(from_environment(os.environ)[0])
    by_user = {name for name, value in set_again.items() if _is_same(name, value, settings.get(name))}
    by_user |= {*safe, *(() if config.needs_llm else OF_LLM)}
    secret = _secret(make=False)
    untrusted = {}
    for name, effect in risks(settings).items():
        signature = manifest.signatures.get(name)
        expected = secret and _sign(secret, run_dir, name, settings[name]).encode()
        is_signed = expected and hmac.compare_digest(str(signature).encode("utf-8", "replace"), expected)
        if name not in by_user and not is_signed:
            untrusted[name] = effect
    if not untrusted:
        return
    to_give_again = ", ".join(f"`{name}`" for name in untrusted if OPTIONS[name].flag)
    raise UntrustedRunError(
        f"{run_dir} may not be yours: it was made elsewhere, by another user or by an earlier "
        f"version, has moved, or was edited. Its settings would {'; '.join(untrusted.values())}. "
        "If you trust this, resume it with `trust = true`"
        + (f", or give {to_give_again} again" if to_give_again else "")
    )


def check_model_trusted(file: Path, model: str, pretrained: str, *, trust: bool) -> None:
    """Raise UntrustedRunError if a file names a model that may run code, unless the user trusts it."""
    effects = risks({"model": model, "pretrained": pretrained})
    if effects and not trust:
        named = " and ".join(f"`{name}`" for name in effects)
        raise UntrustedRunError(
            f"{file} would {'; '.join(effects.values())}. If you trust this, use load(..., trust=True), or "
            f"give {named} too"
        )


def _shown(value: object) -> str:
    return printable(", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))


def _is_same(name: str, value: str, stored: Any) -> bool:
    is_address = name in ("base_url", "scorer_url")
    return bool(stored == (without_credentials(value).rstrip("/") if is_address else value))


def _sign(secret: bytes, run_dir: Path, name: str, value: Any) -> str:
    text = canonical([str(run_dir.resolve()), name, value])
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()


def _secret(*, make: bool) -> bytes | None:
    """Return the user's secret, from a file in the cache folder that only the user can read; None without."""
    with suppress(OSError, UsageError):
        path = cache_dir() / f"run-secret-{os.getuid() if os.name == 'posix' else 'user'}"
        if make and not path.exists():
            with new_file(path) as draft:
                replace_file(draft, secrets.token_bytes(_BYTES))
        with open_regular(path) as file:
            secret, status = file.read(_BYTES + 1), os.fstat(file.fileno())
        is_private = os.name != "posix" or (status.st_uid == os.getuid() and not status.st_mode & 0o077)
        return secret if is_private and len(secret) == _BYTES else None
    return None
