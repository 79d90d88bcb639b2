"""The identity of a run: all that decides its result, and what of it a resumed run may change.

A new run's identity goes into its store. A resumed one is checked three times: its settings before anything
is opened (``known_identity``), images and weights once they are read (``check_content``), and all of it
(``identity_of``), by ``store.records.check_identity``. Settings that are ``resumable="more"`` may grow
(``grown``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...evaluator.counts import counted, enumerated
from ...evaluator.errors import UsageError
from ...evaluator.scoring import EvaluatorInfo
from ...prompts.kinds import Candidate
from ...prompts.requests import PROMPTS_VERSION
from ..config.schema import OPTIONS, SearchConfig
from ..errors import StoreMismatchError
from ..store.run import Store

LLM_CONTENT = "llm_content"
"""Identity key: the content hash of the user's own model file."""
IMAGE_NAMES, LABELLED_NAMES = "files", "labelled_files"
"""The store's values of the names of all images, and of the labelled ones."""
MOST_NAMED = 3
"""Images that a message names."""


def identity_of(
    config: SearchConfig,
    info: EvaluatorInfo,
    pool: list[Candidate],
    llm_content: str | None = None,
) -> dict[str, Any]:
    """Return all that decides the result of a run, besides the LLM's answers; files by their content."""
    texts = "\n".join(candidate.text for candidate in pool)
    return {
        **config.identity(),
        "fingerprint": info.fingerprint,
        "pool": hashlib.sha256(texts.encode()).hexdigest()[:16],
        "prompts_version": PROMPTS_VERSION,
        **({} if llm_content is None else {LLM_CONTENT: llm_content}),
    }


def check_user_objects(run_dir: Path, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Raise UsageError if a resumed run lacks Python objects of its start, both by role."""
    if missing := {role: name for role, name in before.items() if role not in now}:
        keyword_of = {"evaluator": "custom_scorer", "chat": "chat"}
        named = enumerated(f"{keyword_of.get(role, role)}={name}" for role, name in missing.items())
        arguments = ", ".join(f"{keyword_of.get(role, role)}=..." for role in missing)
        raise UsageError(
            f"{run_dir} was made in Python with {named}, which only Python has: resume it there "
            f"by promptclimb.resume({str(run_dir)!r}, {arguments})"
        )


def known_identity(config: SearchConfig, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's identity before anything is opened; content hashes come from the earlier identity."""
    identity = config.identity()
    now = {name: value for name, value in before.items() if name not in OPTIONS} | identity
    now |= {
        name: before.get(name)
        for name, option in OPTIONS.items()
        if option.from_data and getattr(config, name) is None
    }
    return now


def with_llm(config: SearchConfig, before: dict[str, Any]) -> dict[str, Any]:
    """Return the identity of an earlier session with the LLM of this one."""
    llm = config.placeless_llm
    if llm == before.get("llm"):
        return before
    return {name: value for name, value in before.items() if name != LLM_CONTENT} | {"llm": llm}


def check_content(store: Store, info: EvaluatorInfo) -> None:
    """Raise StoreMismatchError, with names of files, if images or weights of a resumed run have changed."""
    before = store.manifest.content
    if store.manifest.identity.get("fingerprint") == info.fingerprint or not before or not info.content:
        return
    names: set[str] = set(store.value(IMAGE_NAMES) or ())
    files = set(info.files)
    changes = [
        f"{counted(len(changed), 'image is', 'images are')} {what}: {', '.join(sorted(changed)[:MOST_NAMED])}"
        + (", ..." if len(changed) > MOST_NAMED else "")
        for what, changed in (("gone", names - files), ("new", files - names))
        if changed and names and files
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


def grown(config: SearchConfig, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return the identity of an earlier session with the restarts, conversations and rounds of this one.

    New rounds are allowed only with one conversation per restart: later conversations would begin from
    another ranking, and their answers on disk would belong to other requests.

    Raises:
        StoreMismatchError: A value decreases, or answers that were paid for could not be used.
    """
    growing = [name for name, option in OPTIONS.items() if option.resumable == "more"]
    changed = {name: value for name in growing if (value := getattr(config, name)) != before.get(name)}
    earlier = {name: int(before.get(name, 0)) for name in changed}

    def refused(name: str, why: str) -> StoreMismatchError:
        return StoreMismatchError(
            f"`{name} = {changed[name]}`: the run was started with {earlier[name]}; {why}",
            differences=(f"{name}: it was {earlier[name]}, now {changed[name]}",),
        )

    for name in changed:
        if changed[name] < earlier[name]:
            raise refused(name, "a run can be given more, but not less")
    if "rounds" in changed and before.get("conversations") != 1 and config.needs_llm:
        conversations, restarts = (int(before.get(name, 0)) + 1 for name in ("conversations", "restarts"))
        raise refused(
            "rounds",
            "each restart has several conversations, and those after the first would begin from "
            "another ranking, so their answers would be paid for again; give `conversations = "
            f"{conversations}` or `restarts = {restarts}` instead",
        )
    return {**before, **changed}
