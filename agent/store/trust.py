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
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...evaluator.errors import UsageError
from ...evaluator.files import cache_dir, has_model_settings
from ...evaluator.messages import Setting
from ...evaluator.settings import with_current_names
from ..config.fields import DEFAULT_BASE_URL, is_local, local_model, without_credentials
from ..config.schema import OPTIONS, SearchConfig
from ..config.sources import from_environment
from ..errors import UntrustedRunError
from ..regular_files import open_regular
from ..text import printable
from .disk import canonical
from .manifest import RunManifest

OF_LLM = frozenset({"llm", "base_url", "endpoints"})
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
    "shared_cache": "read and write scores in {}",
    "cache_dir": "read and write features in {}",
}
_CODE_OF_A_MODEL = ("hf-hub:", "local-dir:")


def risks(settings: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return, by setting, what a run with these public settings does that needs trust, in words."""
    found = {name: settings[name] for name in _DOES if settings.get(name) is not None}
    pool = settings.get("endpoints") or ()
    local = is_local(settings.get("llm"))
    if not (local and isinstance(local_model(str(settings["llm"])), Path)):
        found.pop("llm", None)
    if local or pool or found.get("base_url") == DEFAULT_BASE_URL:
        found.pop("base_url", None)
    if "custom_scorer" in found or not str(found.get("model", "")).startswith(_CODE_OF_A_MODEL):
        found.pop("model", None)
    if settings.get("scorer", "clip") != "clip":
        found.pop("model", None)  # a name at the endpoint
    if "custom_scorer" in found or not has_model_settings(str(found.get("pretrained", ""))):
        found.pop("pretrained", None)
    said = {name: [_DOES[name].format(_shown(value))] for name, value in found.items()}
    if pool and not local:
        said["endpoints"] = [
            f"send requests, with the key in {_shown(one.get('key_env', 'OPENAI_API_KEY'))}, to "
            f"{_shown(without_credentials(one['base_url']))}"
            for one in pool
        ]
    return said


def signatures(run_dir: Path, settings: Mapping[str, Any]) -> dict[str, str]:
    """Return this user's signatures of the settings of a run that need trust; none if no secret is kept."""
    settings = with_current_names(settings, SearchConfig)
    names = risks(settings)
    secret = _secret(make=True) if names else None
    if secret is None:
        return {}
    return {
        OPTIONS[name].stored_name: _sign(secret, run_dir, OPTIONS[name].stored_name, settings[name])
        for name in names
    }


def check_trusted(
    run_dir: Path,
    manifest: RunManifest,
    config: SearchConfig,
    *,
    safe: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
) -> None:
    """Check that what a run needs trust for is this user's own.

    ``config`` is the stored one with the user's changes; ``safe`` names settings that the user gave again, or
    that are not used. What ``environment`` (default: ``os.environ``) sets to the same value is safe too.

    Raises:
        UntrustedRunError: A setting is not: the run was made elsewhere, has moved, or was edited.
    """
    settings = config.to_public()
    found = risks(settings)
    given = {*safe, *(() if config.needs_llm else OF_LLM), *_from_environment(settings, environment)}
    signed = manifest.signatures
    secret = _secret(make=False)
    for name in [*found]:
        if name in given or (
            secret and _is_signed(secret, run_dir, OPTIONS[name].stored_name, settings[name], signed)
        ):
            del found[name]
    if not found:
        return
    lines = "".join(f"  {line}\n" for lines in found.values() for line in lines)
    parts: list[object] = []
    for index, name in enumerate(name for name in found if OPTIONS[name].flag):
        parts += [", " if index else ", or give ", Setting(name)]
    raise UntrustedRunError(
        f"{run_dir} may not be yours: it was made elsewhere, by another user or by an earlier version, has "
        f"moved, or was edited. Resuming it would\n{lines}"
        "If you trust this, resume it with ",
        Setting("trust", True),
        *parts,
        " again" if parts else "",
    )


def _shown(value: object) -> str:
    return printable(", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))


def _from_environment(settings: Mapping[str, Any], environment: Mapping[str, str] | None) -> set[str]:
    given, _ = from_environment(os.environ if environment is None else environment)
    return {name for name, value in given.items() if _same(name, value, settings.get(name))}


def _same(name: str, given: str, stored: Any) -> bool:
    is_address = name in ("base_url", "scorer_url")
    return bool(stored == (without_credentials(given).rstrip("/") if is_address else given))


def _is_signed(secret: bytes, run_dir: Path, name: str, value: Any, signed: Mapping[str, Any]) -> bool:
    found = signed.get(name)
    right = _sign(secret, run_dir, name, value)
    return isinstance(found, str) and bool(
        hmac.compare_digest(found.encode("utf-8", "replace"), right.encode())
    )


def _sign(secret: bytes, run_dir: Path, name: str, value: Any) -> str:
    text = canonical([str(run_dir.resolve()), name, value])
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()


def _secret(*, make: bool) -> bytes | None:
    """Return the user's secret, from a file in the cache folder that only the user can read; None without."""
    with suppress(OSError, UsageError):
        path = cache_dir() / f"run-secret-{os.getuid() if os.name == 'posix' else 'user'}"
        if make and not path.exists():
            _make(path)
        with open_regular(path) as file:
            found, about = file.read(_BYTES + 1), os.fstat(file.fileno())
        private = os.name != "posix" or (about.st_uid == os.getuid() and not about.st_mode & 0o077)
        return found if private and len(found) == _BYTES else None
    return None


def _make(path: Path) -> None:
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
        try:
            os.link(part, path)
        except FileExistsError:
            pass  # another process was faster
        except OSError:  # a file system without hard links
            Path(part).replace(path)
    finally:
        Path(part).unlink(missing_ok=True)
