"""What initial templates are drawn from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptclimb import resume, resume_sync, search, search_sync
from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.errors import StoreMismatchError
from promptclimb.agent.results.run_dir import stored_config
from promptclimb.agent.search.identity import identity_of, known_identity
from promptclimb.agent.search.inputs import read_pool
from promptclimb.evaluator.errors import ConfigError
from promptclimb.evaluator.fakes import FakeEvaluator
from promptclimb.evaluator.scoring import EvaluatorInfo
from promptclimb.prompts.template_kind import BUILT_IN, all_of_grammar, grammar
from promptclimb.prompts.wording import built_in
from tests.evaluator.datasets.conftest import save_image
from tests.fakes.clock import run_virtual
from tests.fakes.tiny_clip import local_dir


def config(**more: Any) -> SearchConfig:
    """A config without an LLM."""
    return SearchConfig(data="fake", method="random", **more)


def test_the_grammar_is_the_default_and_the_captions_are_there_as_before() -> None:
    """A run's identity says the two apart."""
    by_default, captions = read_pool(config()), read_pool(config(starting_pool="captions"))
    assert tuple(by_default) == all_of_grammar()
    assert [template.text for template in captions] == list(BUILT_IN)
    info = FakeEvaluator().info
    reported = [identity_of(config(), info, pool, built_in())["pool"] for pool in (by_default, captions)]
    assert reported[0] != reported[1]


def test_a_file_wins_over_both(tmp_path: Path) -> None:
    """``--initial FILE`` is the pool."""
    file = tmp_path / "pool.txt"
    file.write_text("a {}\nmany {}\n")
    for pool in ("captions", "grammar"):
        assert [one.text for one in read_pool(config(initial=file, starting_pool=pool))] == [
            "a {}",
            "many {}",
        ]


@pytest.mark.parametrize(("pool", "size"), [("captions", 308), ("grammar", len(all_of_grammar()))])
def test_no_more_can_be_drawn_than_there_are(pool: str, size: int) -> None:
    """The message says how many."""
    assert len(read_pool(config(initial=size, starting_pool=pool))) == size
    with pytest.raises(ConfigError, match=f"initial={size + 1}: the built-in pool has {size} templates"):
        read_pool(config(initial=size + 1, starting_pool=pool))


def test_initial_templates_are_of_many_kinds(tmp_path: Path) -> None:
    """Each restart draws from all productions of the grammar, and each its own templates."""
    small = config(restarts=2, conversations=1, rounds=1, initial=80, run_dir=tmp_path / "r")
    result = run_virtual(search(small, evaluator=FakeEvaluator()))
    rows = [row for row in result.leaderboard if not row.conversation]
    drawn = [{row.template for row in rows if row.restart == restart} for restart in (1, 2)]
    kinds = [{one.text for one in templates} for templates in grammar().values()]
    for one in drawn:
        assert sum(bool(kind & one) for kind in kinds) == len(kinds)
    assert len(drawn[0] & drawn[1]) < 20


class _FewImages(FakeEvaluator):
    """Has as many shots as its data allow."""

    shots = 7

    @property
    def info(self) -> EvaluatorInfo:
        return replace(super().info, shots=self.shots)


def test_the_shots_that_were_used_are_the_runs_own(tmp_path: Path) -> None:
    """Nobody gave a number: the data's is kept, a run continues with it, and with no other."""
    small = config(restarts=1, conversations=1, rounds=1, initial=4, run_dir=tmp_path / "r")
    assert small.shots is None
    result = run_virtual(search(small, evaluator=_FewImages()))
    assert result.dataset.shots == stored_config(tmp_path / "r").shots == 7
    assert "shots = 7" in (tmp_path / "r" / "config.toml").read_text()
    (tmp_path / "r" / "result.json").unlink()
    again = run_virtual(resume(tmp_path / "r", evaluator=_FewImages()))
    assert again.leaderboard == result.leaderboard
    with pytest.raises(StoreMismatchError, match="shots: it was 7, now 5"):
        run_virtual(resume(tmp_path / "r", changes={"shots": 5}, evaluator=_FewImages()))


def test_a_setting_that_only_the_data_say_is_taken_from_the_run_until_they_are_read() -> None:
    """So that a suite, whose command says nothing of shots, continues with its runs."""
    before = {"shots": 7, "seed": 1, "views": 4}
    assert known_identity(config(), before)["shots"] == 7
    assert known_identity(config(), before)["views"] == 4
    assert known_identity(config(views=2), before)["views"] == 2
    assert known_identity(config(shots=5), before)["shots"] == 5


@pytest.mark.parametrize(("found", "kept"), [(1, 1), (0, 16), (-3, 16), (10**9, 16)])
def test_a_black_box_that_says_no_sensible_number_of_shots_has_sixteen(found: int, kept: int) -> None:
    """What is kept is a setting that can be read again."""
    assert config().with_shots(found).shots == kept


def test_changed_images_are_named_before_an_llm_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sample depends on all names: what is gone, new or another is said, and nothing else is opened."""
    images = [tmp_path / "data" / name / f"{number}.png" for name in "ab" for number in range(10)]
    for number, path in enumerate(images):
        save_image(path, number)
    model = f"local-dir:{local_dir(tmp_path / 'model')}"
    small: dict[str, Any] = {"data": str(tmp_path / "data"), "model": model, "views": 0, "shots": 2}
    small |= {"method": "random", "restarts": 1, "conversations": 1, "rounds": 1, "initial": 4}
    search_sync(SearchConfig(**small, run_dir=tmp_path / "r"))
    monkeypatch.setattr(
        "promptclimb.agent.search.opening.open_endpoints", lambda *_, **__: pytest.fail("opened")
    )
    monkeypatch.setattr(SearchConfig, "is_local", True)

    def refused() -> str:
        with pytest.raises(StoreMismatchError, match="has changed since the run started") as caught:
            resume_sync(tmp_path / "r", changes={"restarts": 2})
        return str(caught.value)

    images[0].rename(images[0].with_name("other.png"))
    assert "1 image is gone: a/0.png; 1 image is new: a/other.png. Restore" in refused()
    images[0].with_name("other.png").rename(images[0])
    images[0].unlink()
    assert "1 image is gone: a/0.png. Restore" in refused()
    for number, path in enumerate(images):
        save_image(path, 100 + number)
    assert "an image among the shots, or a class name, is another" in refused()
