"""What ``--llm`` says of the local language model: ``local``, ``local:NAME`` or ``local:FILE.gguf``."""

from __future__ import annotations

from pathlib import Path

from ...evaluator.settings import BY_CONTENT, shown
from ...evaluator.user_paths import user_path

LOCAL_LLM = "local"
LOCAL_MODELS = ("0.5b", "1.5b")
"""Names of the models that can be fetched; the first is what ``local`` alone stands for."""
_NAMED = f"{LOCAL_LLM}:"
_FILE = ".gguf"


def is_local(llm: str | None) -> bool:
    """Whether a model runs on this machine, started by the search."""
    return llm is not None and (llm == LOCAL_LLM or llm.startswith(_NAMED))


def local_model(llm: str) -> str | Path:
    """Return which model a local one is: the name of one that can be fetched, or a file of the user's.

    Raises:
        ConfigError: The file's name is no path.
    """
    named = llm.removeprefix(LOCAL_LLM).removeprefix(":") or LOCAL_MODELS[0]
    # A link may lead to a file without the ending, as in the cache of Hugging Face's library.
    return user_path(named, f"--llm {LOCAL_LLM}", follow_links=False) if _is_file(named) else named


def absolute_llm(llm: str) -> str:
    """Return what ``--llm`` says with the absolute path of a model's file, if it names one.

    Raises:
        ConfigError: The file's name is no path.
    """
    found = local_model(llm) if is_local(llm) else None
    return f"{_NAMED}{found}" if isinstance(found, Path) else llm


def placeless_llm(llm: str | None) -> str | None:
    """Return what ``--llm`` says with a word for a model's file, which is told by its content."""
    if llm is None or not is_local(llm):
        return llm
    return f"{_NAMED}{BY_CONTENT}" if _is_file(llm) else llm


def check_llm(llm: str | None) -> str | None:
    """Return what ``--llm`` says, if it is no local model that does not exist.

    Raises:
        ValueError: It is one.
    """
    if llm is None or not is_local(llm) or llm == LOCAL_LLM:
        return llm
    named = llm.removeprefix(_NAMED)
    if named not in LOCAL_MODELS and not _is_file(named):
        names = ", ".join(f"{_NAMED}{name}" for name in LOCAL_MODELS)
        raise ValueError(
            f"{shown(named)} is no local model: write {names}, or {_NAMED}FILE{_FILE} for one of yours"
        )
    return llm


def _is_file(named: str) -> bool:
    return named.lower().endswith(_FILE)
