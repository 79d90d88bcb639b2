"""What runs share when they are reported to, and what they never share."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from promptclimb.agent.errors import StoreCorruptError, StoreVersionError
from promptclimb.agent.store.run import Store
from promptclimb.agent.store.shared import SharedCache, SharedScorer, check_cache
from promptclimb.agent.versions import program_version
from promptclimb.evaluator.errors import ConfigError, ScoringFailedError
from promptclimb.evaluator.scoring import NOT_A_NUMBER, Rejection, Score, Verdict


class Counting:
    """A scorer that counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def score(self, template: str) -> Verdict:
        self.asked.append(template)
        if "long" in template:
            return Rejection("too_many_tokens", "78 tokens")
        if "odd" in template:
            return Rejection(NOT_A_NUMBER, "nan")
        if "bad" in template:
            raise ScoringFailedError("worker died")
        return Score(train=len(template) / 100)


async def test_a_score_is_computed_once_for_all_runs(tmp_path: Path) -> None:
    """A second run on the same data and model finds it; one on other data does not."""
    scorer = Counting()
    for space in ("a", "a", "b"):
        with SharedCache(tmp_path / "shared") as cache:
            assert await SharedScorer(cache, scorer, space).score("a {}") == Score(train=0.04)
    assert scorer.asked == ["a {}", "a {}"]


async def test_lasting_rejections_are_shared_and_passing_ones_are_not(tmp_path: Path) -> None:
    """A template with too many tokens has too many for every run; what was no number may be one elsewhere."""
    scorer = Counting()
    with SharedCache(tmp_path) as cache:
        shared = SharedScorer(cache, scorer, "a")
        for template in ("long {}", "long {}", "odd {}", "odd {}"):
            assert isinstance(await shared.score(template), Rejection)
    assert scorer.asked == ["long {}", "odd {}", "odd {}"]


async def test_a_failure_of_the_scorer_is_stored_nowhere(tmp_path: Path) -> None:
    """A crash says nothing about the template."""
    scorer = Counting()
    with SharedCache(tmp_path) as cache:
        for _ in range(2):
            with pytest.raises(ScoringFailedError):
                await SharedScorer(cache, scorer, "a").score("bad {}")
    assert scorer.asked == ["bad {}", "bad {}"]


async def test_two_processes_may_write_at_once(tmp_path: Path) -> None:
    """Each sees what the other has written."""
    with SharedCache(tmp_path) as one, SharedCache(tmp_path) as two:
        await asyncio.gather(*(cache.write(f"k{n}", n) for n, cache in enumerate((one, two) * 20)))
        assert [await one.read(f"k{n}", int) for n in range(40)] == list(range(40))
        assert await two.read("k0", int) == 0


def test_a_run_or_a_pickle_is_no_shared_cache(tmp_path: Path) -> None:
    """What is not ours is reported and not touched."""
    Store.create(tmp_path, {"identity": {}}).close()
    with pytest.raises(StoreCorruptError, match="no shared cache"):
        SharedCache(tmp_path / "store")
    SharedCache(tmp_path / "shared").close()
    database = sqlite3.connect(tmp_path / "shared" / "cache.db")
    database.execute("INSERT INTO Cache (key, raw, mode, value) VALUES ('x', 1, 4, x'80')")
    database.commit()
    database.close()
    with pytest.raises(StoreCorruptError, match="pickle"):
        SharedCache(tmp_path / "shared")


def test_a_shared_cache_of_another_version_is_reported(tmp_path: Path) -> None:
    """With who made it and what to do; one of this version says who made it."""
    SharedCache(tmp_path).close()
    database = sqlite3.connect(tmp_path / "cache.db")
    (about,) = database.execute("SELECT value FROM Cache WHERE key = 'shared'").fetchone()
    assert program_version() in about
    database.execute('UPDATE Cache SET value = \'{"format":9,"program":"7.5"}\' WHERE key = \'shared\'')
    database.commit()
    database.close()
    with pytest.raises(StoreVersionError, match=r"format 9, made by promptclimb 7\.5.*another folder"):
        SharedCache(tmp_path)


async def test_a_shared_row_of_another_shape_is_named(tmp_path: Path) -> None:
    """A score without a verdict: which folder, which row."""
    with SharedCache(tmp_path) as cache:
        await cache.write("score:a:a {}", {"template": "a {}"})
        with pytest.raises(StoreCorruptError, match=f"{tmp_path}: the row 'score:a:a {{}}'"):
            await SharedScorer(cache, Counting(), "a").score("a {}")


def test_a_folder_is_looked_at_before_it_is_used(tmp_path: Path) -> None:
    """A file in its place, another's store: refused first; what is fine is left as it is."""
    check_cache(None)
    check_cache(tmp_path / "new" / "one")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigError, match=f'shared_cache="{place}": it cannot be written'):
            check_cache(place)
    Store.create(tmp_path / "run", {"identity": {}}).close()
    with pytest.raises(StoreCorruptError, match="no shared cache"):
        check_cache(tmp_path / "run" / "store")
    SharedCache(tmp_path / "shared").close()
    check_cache(tmp_path / "shared")
