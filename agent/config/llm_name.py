"""Read what ``--llm`` says: a model of an endpoint, or a local one, and how large its name says it is."""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from typing import Literal, TypeAlias

from ...evaluator.settings import BY_CONTENT, shown
from ...evaluator.user_paths import user_path

LOCAL_LLM = "local"
LOCAL_MODELS = ("0.5b", "1.5b")
"""Names of the models that can be fetched; the first is what ``local`` alone stands for."""
_NAMED = f"{LOCAL_LLM}:"
_FILE = ".gguf"

Style: TypeAlias = Literal["rich", "short"]
"""A conversation with lists and scores, or requests that stand by themselves."""
SMALL = 4e9
"""Parameters up to which a model gets short requests: at 1.5 billion, lists in a request cost more than they
bring (docs/method.md)."""
_SIZE = re.compile(r"(?<![\w.])(?:\d+x)?(\d+(?:\.\d+)?) ?([bm])(?![a-z0-9])", re.IGNORECASE)


def is_local(llm: str | None) -> bool:
    """Return whether a model runs on this machine, started by the search."""
    return llm is not None and (llm == LOCAL_LLM or llm.startswith(_NAMED))


def local_model(llm: str) -> str | Path:
    """Return the name of a local model that can be fetched, or the user's own file."""
    named = llm.removeprefix(LOCAL_LLM).removeprefix(":") or LOCAL_MODELS[0]
    # A link may lead to a file without the ending, as in the cache of Hugging Face's library.
    return user_path(named, f"--llm {LOCAL_LLM}", follow_links=False) if _is_file(named) else named


def absolute_llm(llm: str) -> str:
    """Return what ``--llm`` says with the absolute path of a model's file, if it names one."""
    found = local_model(llm) if is_local(llm) else None
    return f"{_NAMED}{found}" if isinstance(found, Path) else llm


def placeless_llm(llm: str | None) -> str | None:
    """Return what ``--llm`` says with a word for a model's file, which its content identifies."""
    if llm is None or not is_local(llm):
        return llm
    return f"{_NAMED}{BY_CONTENT}" if _is_file(llm) else llm


def check_llm(llm: str | None) -> str | None:
    """Return what ``--llm`` says; raise ValueError if it is a local model that does not exist."""
    if llm is None or not is_local(llm) or llm == LOCAL_LLM:
        return llm
    named = llm.removeprefix(_NAMED)
    if named not in LOCAL_MODELS and not _is_file(named):
        names = ", ".join(f"{_NAMED}{name}" for name in LOCAL_MODELS)
        raise ValueError(
            f"{shown(named)} is not a local model: write {names}, or {_NAMED}FILE{_FILE} for your own file"
        )
    return llm


def style_of(llm: str | None) -> Style | None:
    """Return the style of requests that suits a model; None if its name does not say how large it is.

    Args:
        llm: Its name. The local one is small, unless its name says otherwise.
    """
    local = is_local(llm)
    # A model of one's own is named by its file: the folders around it say nothing, and may change.
    named = PurePath(llm or "").name if local else llm or ""
    sizes = [float(number) * (1e9 if unit in "bB" else 1e6) for number, unit in _SIZE.findall(named)]
    if sizes:
        return "short" if max(sizes) <= SMALL else None
    return "short" if local else None


def _is_file(named: str) -> bool:
    return named.lower().endswith(_FILE)
