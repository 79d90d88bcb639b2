"""A run is given more restarts, conversations or rounds, where every answer that was paid for stays of use.

A restart more is a restart of its own, and a conversation more comes after all that its restart has done. An
round
more comes after all only where each restart has one conversation; else the conversations behind it would
begin from another
ranking, and their answers would be answers to other requests.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...evaluator.counts import enumerated
from ..config.schema import OPTIONS, SearchConfig
from ..errors import StoreMismatchError
from ..results.result import Ensemble, SearchResult
from ..results.run_dir import BEFORE, DETAILS, RESULT, write_result

GROWS = tuple(name for name, option in OPTIONS.items() if option.resumable == "more")


def growth(config: SearchConfig, before: Mapping[str, Any]) -> dict[str, int]:
    """Return what a run is given more of, with how many it has from now on; empty for nothing.

    Args:
        config: What the run is to go on with.
        before: The run's identity.

    Raises:
        StoreMismatchError: It would have less, or answers that were paid for would be of no use.
    """
    changed = {name: getattr(config, name) for name in GROWS if before.get(name) != getattr(config, name)}
    had = {name: int(before.get(name, 0)) for name in changed}
    if fewer := [name for name in changed if changed[name] < had[name]]:
        raise _refused(fewer[0], had, changed, "a run can be given more, and not less")
    if "rounds" in changed and before.get("conversations") != 1 and config.needs_llm:
        conversations, restarts = int(before.get("conversations", 0)) + 1, int(before.get("restarts", 0)) + 1
        why = (
            "each restart has several conversations, and those after the first would begin from "
            "another ranking, "
            "so that their answers would be paid for anew; "
            f"give --conversations {conversations} or --restarts {restarts} for more"
        )
        raise _refused("rounds", had, changed, why)
    return changed


def _refused(name: str, had: Mapping[str, int], now: Mapping[str, int], why: str) -> StoreMismatchError:
    difference = f"{name}: it was {had[name]}, now {now[name]}"
    return StoreMismatchError(
        f"--{name} {now[name]}: the run was started with {had[name]}; {why}", differences=(difference,)
    )


def reopen(run_dir: Path, done: SearchResult, grown: Mapping[str, int]) -> None:
    """Make the result of a finished run that of one which is not done; the old one is kept beside it.

    What was found on the test split is no part of it: the search is going to choose again.

    Raises:
        OSError: A file cannot be written; the run is as it was.
    """
    shutil.copyfile(run_dir / RESULT, run_dir / BEFORE[RESULT])
    with suppress(FileNotFoundError):  # a black box need not tell its decisions
        (run_dir / DETAILS).replace(run_dir / BEFORE[DETAILS])
    more = enumerated(f"{count:,} {name}" for name, count in grown.items())
    write_result(
        run_dir,
        replace(
            done,
            status="stopped",
            stop_reason=f"it was extended to {more}, which are not done yet",
            best=replace(done.best, test=None),
            ensemble=_sealed(done.ensemble),
            baselines={name: _sealed(one) for name, one in done.baselines.items()},
            inspection=None,
            gain=None,
        ),
    )


def _sealed(found: Ensemble) -> Ensemble:
    return replace(found, test=None)
