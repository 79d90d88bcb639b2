"""A template that was written is preferred where few-shot images do not distinguish it from the best one."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from promptclimb import SearchConfig, SearchResult, resume, search
from promptclimb.agent.cli.main import main
from promptclimb.agent.errors import StoreMismatchError
from promptclimb.agent.methods.memory import Entry
from promptclimb.agent.position import INITIAL, LLM, Position
from promptclimb.agent.present.notes import preferred
from promptclimb.agent.present.terminal import print_result
from promptclimb.agent.results.details import read_details
from promptclimb.agent.results.result import PREFERRED
from promptclimb.agent.results.run_dir import REPORT, RESULT
from promptclimb.agent.search.choice import Ranked, ranked, ranking, within_margin
from promptclimb.agent.search.opening import RunRequest
from promptclimb.agent.search.run import start_run
from promptclimb.evaluator.errors import ConfigError
from promptclimb.evaluator.fakes import FakeEvaluator
from promptclimb.evaluator.scoring import Score, Verdict
from promptclimb.prompts.template import Template
from tests.fakes.clock import run_virtual
from tests.fakes.naming_box import NamingBox

BOTH = ["--no-prefer-readable", "--prefer-readable"]
INFO = FakeEvaluator().info
"""160 training and 40 validation images: at one half, a quarter of a standard error is 1.8 images."""


def entry(
    text: str, correct: int, source: str = "combine", *, views: float | None = None, restart: int = 1
) -> Entry:
    """A template with so many of 160 training images correct, and half of the 40 validation images."""
    place = Position(restart) if source == INITIAL else Position(restart, 1, 1)
    share = correct / 160
    score = Score(train=share, val=0.5, class_mean=share, val_class_mean=0.5, logprob=share, views=views)
    return Entry(candidate=Template.parse(text), score=score, value=share, position=place, source=source)


def config(**more: Any) -> SearchConfig:
    """A config of a search without an LLM."""
    return SearchConfig(**{"data": "fake", "method": "combine", **more})


def best(*entries: Entry, **more: Any) -> str:
    """The template that is chosen."""
    return ranked(config(**more), INFO, entries).best.text


@pytest.mark.parametrize(
    ("correct", "chosen"), [(80, "my {}"), (79, "my {}"), (78, "ink {}"), (40, "ink {}")]
)
@pytest.mark.parametrize("source", [INITIAL, LLM])
def test_a_written_one_is_preferred_within_the_margin(source: str, correct: int, chosen: str) -> None:
    """At most a quarter of a standard error below the best; also if both are level."""
    made, written = entry("ink {}", 80), entry("my very own {}", correct, source)
    found = best(made, entry("red ink {}", 79), written)
    assert found == chosen.replace("my", "my very own")


def test_the_first_of_the_ranking_that_was_written_is_taken_and_the_rest_stays() -> None:
    """It moves to the front; nothing else changes its place."""
    entries = [
        entry("ink {}", 80),
        entry("red ink {}", 80),
        entry("a very old {}", 79, LLM),
        entry("my {}", 79, INITIAL),
    ]
    found = ranked(config(), INFO, entries)
    assert [one.text for one in found.order] == ["my {}", "ink {}", "red ink {}", "a very old {}"]
    assert note_of(found) == (
        '"ink {}", made by combine, scored 0.5 points higher on the few-shot images, which is within chance; '
        '"my {}" was preferred because it is a starting template; prefer_readable=False turns this off'
    )


def note_of(order: Ranked) -> str:
    """What the result says of a preference."""
    assert order.preference is not None
    return preferred(order.preference)


def test_the_note_says_how_much_higher_and_who_wrote() -> None:
    """A tie has no points; the LLM is named."""
    tie = ranked(config(), INFO, [entry("ink {}", 80), entry("my very own {}", 80, LLM)])
    assert (
        '"ink {}", made by combine, scored as high; "my very own {}" was preferred because the LLM'
        in note_of(tie)
    )
    near = [entry("ink {}", 80, views=0.5002), entry("my {}", 80, INITIAL, views=0.5)]
    assert "scored less than 0.1 points higher on" in note_of(ranked(config(), INFO, near))


def test_of_names_the_note_is_about_the_first_step() -> None:
    """With new names another template may be best."""
    entries = [entry("ink {}", 80), entry("my {}", 80, INITIAL)]
    note = note_of(ranked(config(search_for="class-names"), INFO, entries))
    assert note.startswith('with the original class names, "ink {}", made by combine, scored as high')


@pytest.mark.parametrize("source", [INITIAL, LLM])
def test_a_best_one_that_was_written_stays(source: str) -> None:
    """There is nothing to prefer, and no note."""
    found = ranked(
        config(), INFO, [entry("ink {}", 80, source), entry("my {}", 80, INITIAL), entry("red {}", 79)]
    )
    assert (found.best.text, found.preference) == ("ink {}", None)


@pytest.mark.parametrize(
    ("more", "preferred"),
    [
        *(({"objective": objective}, True) for objective in ("accuracy", "class_mean")),
        ({"search_for": "class-names"}, True),
        *(({"objective": objective}, False) for objective in ("logprob", "margin")),
        ({"search_for": "instruction"}, False),
        ({"prefer_readable": False}, False),
    ],
)
def test_it_is_preferred_only_where_that_has_a_meaning(more: dict[str, Any], preferred: bool) -> None:
    """Where images are counted, also in the first step of a search for names; not if it is switched off."""
    made, written = entry("ink {}", 80), entry("my {}", 79, INITIAL)
    made = replace(made, score=replace(made.score, margin=0.5))
    written = replace(written, score=replace(written.score, margin=0.4, logprob=0.4))
    assert best(made, written, **more) == ("my {}" if preferred else "ink {}")


def test_augmented_copies_count_as_in_the_rule() -> None:
    """Half: what is level on images can be beyond the margin by its copies, and the other way round."""
    made = entry("ink {}", 80, views=0.5)
    assert best(made, entry("my {}", 80, INITIAL, views=0.47)) == "ink {}"
    assert best(made, entry("my {}", 80, INITIAL, views=0.49)) == "my {}"
    assert best(made, entry("my {}", 77, INITIAL, views=0.499)) == "my {}"
    assert best(made, entry("my {}", 77, INITIAL, views=None)) == "ink {}"  # then copies count for none


def test_without_validation_images_those_of_train_decide_the_error() -> None:
    """The fewer images count, the larger it is."""
    made, written = entry("ink {}", 80), entry("my {}", 78, INITIAL)
    assert best(made, written) == "ink {}"
    alone = [replace(one, score=Score(train=one.score.train)) for one in (made, written)]
    sizes = {"train": 80, "val": 40}  # of which no score says anything
    assert ranked(config(), replace(INFO, sizes=sizes), alone).best.text == "my {}"
    assert ranked(config(), replace(INFO, sizes={}), alone).best.text == "ink {}"


def test_what_a_race_dropped_is_not_preferred() -> None:
    """Its estimate is no score."""
    guess = entry("my {}", 80, INITIAL)
    dropped = replace(guess, score=replace(guess.score, images=20, estimate=0.5))
    assert best(entry("ink {}", 80), dropped) == "ink {}"
    assert best(entry("ink {}", 80), dropped, entry("her {}", 79, INITIAL)) == "her {}"


def test_it_counts_as_written_if_any_restart_wrote_it() -> None:
    """Even where another one put it together first."""
    made, later = entry("red ink {}", 79), entry("Red ink {}", 79, LLM, restart=2)
    assert best(entry("ink {}", 80), made, later) in ("red ink {}", "Red ink {}")
    assert best(made, later, entry("my {}", 79, INITIAL)) != "ink {}"


@pytest.mark.parametrize(
    ("value", "other", "images", "within"),
    [
        (1.0, 1.0, 200, True),
        (0.999, 1.0, 200, False),  # where all is right, no error is known
        (0.0, 0.0, 200, True),
        (3.0, 3.0, 200, False),
        (-1.0, 0.5, 1, False),
        (0.5, 0.5, 0, False),
    ],
)
def test_the_margin_is_that_of_a_share(value: float, other: float, images: int, within: bool) -> None:
    """A custom scorer's other numbers have none."""
    assert within_margin(value, other, images) is within


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdefgh"),
            st.sampled_from([INITIAL, LLM, "combine", "combine"]),
            st.integers(1, 3),
        ),
        min_size=1,
        max_size=12,
    ),
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 160)),
    st.randoms(use_true_random=False),
)
def test_at_most_one_template_moves_and_only_to_the_front(
    rows: list[tuple[str, str, int]], correct: dict[str, int], shuffle: random.Random
) -> None:
    """The order is that of the rule but for the first written one; the order of arrival does not matter."""
    entries = [entry(f"{word} {{}}", correct.get(word, 80), source, restart=n) for word, source, n in rows]
    plain = [one.text for one in ranking(entries, sizes=INFO.sizes, seed=1)]
    found = ranked(config(), INFO, entries)
    texts = [one.text for one in found.order]
    assert sorted(texts) == sorted(plain)
    assert [one for one in plain if one != texts[0]] == texts[1:]
    assert (found.preference is not None) == (texts[0] != plain[0])
    written = {one.text for one in entries if one.source in (INITIAL, LLM)}
    shares = {one.text: (one.score.train * 160 + 20) / 200 for one in entries}
    near = [one for one in plain if one in written and within_margin(shares[one], shares[plain[0]], 200)]
    assert texts[0] == (plain[0] if plain[0] in written or not near else near[0])
    shuffle.shuffle(entries)
    again = ranked(config(), INFO, entries)
    assert [one.text for one in again.order] == texts


MINE = "my <b>own</b> {}"


class Level(FakeEvaluator):
    """Half of the images are right by the user's own templates, and one more by all others."""

    def _correct(self, ensemble: Sequence[str], split: str) -> int:
        more = split == "train" and ensemble[0] != MINE
        return self._info.sizes[split] // 2 + more if ensemble[0] != "her {}" else 0


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A file of starting templates."""
    path = tmp_path / "mine.txt"
    path.write_text(f"{MINE}\nher {{}}\n")
    return path


def run_config(run_dir: Path, mine: Path, **more: Any) -> SearchConfig:
    """A search that puts words together."""
    return config(
        **{"describe": "red ink", "initial": mine, "restarts": 1, "conversations": 1, "rounds": 2, **more},
        run_dir=run_dir,
    )


def searched(given: SearchConfig) -> SearchResult:
    """The result of a search."""
    return run_virtual(search(given, custom_scorer=Level()))


def test_it_is_best_everywhere(tmp_path: Path, mine: Path) -> None:
    """In the result, the leaderboard, the ensemble, the lineage and the learning curve."""
    request = RunRequest(config=run_config(tmp_path / "r", mine), evaluator=Level(), curve=(2, 5))
    found = run_virtual(start_run(request))
    assert found.leaderboard[1].source == "combine"
    assert found.leaderboard[1].train > found.leaderboard[0].train
    assert [found.best.template, found.leaderboard[0].template, found.ensemble.templates[0]] == [MINE] * 3
    details = read_details(tmp_path / "r")
    assert details is not None
    assert [details.lineage[0].template, *(one.template for one in details.curve)] == [MINE] * 3
    assert found.gain is not None
    assert "the same template as the best starting template" in found.gain.verdict
    assert "no new template beat" not in found.gain.verdict
    plain = searched(run_config(tmp_path / "plain", mine, prefer_readable=False))
    assert (plain.best.template, PREFERRED in plain.notes) == (found.leaderboard[1].template, False)
    assert {row.template for row in plain.leaderboard} == {row.template for row in found.leaderboard}


def test_the_note_is_shown_and_escaped(
    tmp_path: Path, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In what is printed, and among the warnings of the report."""
    found = searched(run_config(tmp_path / "r", mine))
    assert str(found.notes[PREFERRED]).endswith(
        f'"{MINE}" was preferred because it is a starting template; prefer_readable=False turns this off'
    )
    print_result(Console(width=1000), found, None)
    assert f"note: {found.notes[PREFERRED]}" in capsys.readouterr().out
    page = (tmp_path / "r" / REPORT).read_text("utf-8")
    assert "&lt;b&gt;own&lt;/b&gt; {}&#34; was preferred because it is a starting template" in page
    assert "my <b>own" not in page


def stopped(run_dir: Path, mine: Path, **more: Any) -> SearchResult:
    """A search that was stopped before its end."""
    return searched(run_config(run_dir, mine, max_minutes=0.0, **more))


@pytest.mark.parametrize("first", [True, False])
def test_it_may_be_changed_when_a_run_is_resumed(tmp_path: Path, mine: Path, first: bool) -> None:
    """Until it has chosen; the result is that of a run that was begun so, and the next session keeps it."""
    run_dir = tmp_path / "r"
    assert stopped(run_dir, mine, prefer_readable=first).status == "stopped"
    changes = {"prefer_readable": not first, "max_minutes": 1.0}
    found = run_virtual(resume(run_dir, changes=changes, custom_scorer=Level()))
    whole = searched(run_config(tmp_path / "whole", mine, prefer_readable=not first))
    assert (found.best, found.leaderboard, found.ensemble) == (whole.best, whole.leaderboard, whole.ensemble)
    (run_dir / RESULT).unlink()
    assert run_virtual(resume(run_dir, custom_scorer=Level())).best == whole.best


def untested(box: Any) -> Any:
    """The same evaluator without test images."""
    name = "info" if isinstance(box, Named) else "_info"
    setattr(box, name, replace(box.info, sizes={**box.info.sizes, "test": 0}))
    return box


@pytest.mark.parametrize(
    ("kind", "lost"), [(Level, False), (Level, True), (lambda: untested(Level()), False)]
)
def test_a_run_that_has_chosen_stands_by_it(
    tmp_path: Path, mine: Path, kind: Callable[[], Any], lost: bool
) -> None:
    """Even if the result is gone, or without test images; more restarts choose anew."""
    run_dir = tmp_path / "r"
    first = run_virtual(search(run_config(run_dir, mine), custom_scorer=kind()))
    if lost:
        (run_dir / RESULT).unlink()
    with pytest.raises(
        StoreMismatchError, match=r"^prefer_readable=False: the run has chosen already\. Resume it"
    ):
        run_virtual(resume(run_dir, changes={"prefer_readable": False}, custom_scorer=kind()))
    more = {"prefer_readable": False, "restarts": 2}
    found = run_virtual(resume(run_dir, changes=more, custom_scorer=kind()))
    assert (found.best.template == MINE, found.test_opened) == (False, 2 * (first.test_opened or 0))


def test_names_that_were_asked_for_fix_the_template(tmp_path: Path, mine: Path) -> None:
    """Once all rounds are done, no LLM is opened that could name classes for another template."""
    given = run_config(tmp_path / "r", mine, search_for="class-names", name_rounds=1)
    found = run_virtual(search(given, custom_scorer=untested(Named(shots=32))))
    (tmp_path / "r" / RESULT).unlink()
    changes: dict[str, Any] = {"prefer_readable": False}
    with pytest.raises(StoreMismatchError, match="the run has chosen already"):
        run_virtual(resume(tmp_path / "r", changes=changes, custom_scorer=untested(Named(shots=32))))
    changes = {"restarts": 2, "prefer_readable": False}
    again = run_virtual(resume(tmp_path / "r", changes=changes, custom_scorer=untested(Named(shots=32))))
    assert again.best.template != found.best.template


class Named(NamingBox):
    """The same where names of classes are searched for."""

    def score(self, templates: Sequence[str]) -> list[Verdict]:
        """Score templates: one image more for those that are put together."""
        return [Score(train=0.5 + (one not in (MINE, "her {}")) / 160, val=0.5) for one in templates]


@pytest.mark.parametrize("prefers", [True, False])
def test_the_preferred_template_is_the_one_that_new_names_must_beat(
    tmp_path: Path, mine: Path, prefers: bool
) -> None:
    """It is the best one found, and the one that the result holds where no name is accepted."""
    given = run_config(tmp_path / "r", mine, search_for="class-names", name_rounds=1, prefer_readable=prefers)
    found = run_virtual(search(given, custom_scorer=Named(shots=32)))
    assert found.best.class_names == {}
    assert found.best.template == found.leaderboard[0].template
    assert (found.best.template in (MINE, "her {}")) is prefers


def test_it_is_a_switch_with_two_flags(capsys: pytest.CaptureFixture[str]) -> None:
    """The last one wins; a wrong value is refused as for any other switch."""
    for flags, value in (([], True), (["--no-prefer-readable"], False), (BOTH, True)):
        assert main(["config", "--show", "--json", "--method", "random", *flags]) == 0
        assert json.loads(capsys.readouterr().out)["prefer_readable"]["value"] is value
    with pytest.raises(ConfigError, match="prefer_readable='perhaps': it must be true or false"):
        SearchConfig(method="random", prefer_readable="perhaps")
