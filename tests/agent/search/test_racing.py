"""Races: who is dropped, by labels alone, and what a search does with those that are dropped."""

from __future__ import annotations

import asyncio
import math
import random
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb import SearchConfig, SearchResult, resume, search
from promptclimb.agent.events.types import Event, TemplateScored
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.position import Position
from promptclimb.agent.results.result import RACED
from promptclimb.agent.search.racing import (
    Dropped,
    Hits,
    Out,
    Racer,
    _name_of,
    race,
    stratified,
)
from promptclimb.agent.store.records import StoredScore, reader, row_text
from promptclimb.agent.store.run import Store
from promptclimb.evaluator.errors import TemplateRejectedError
from promptclimb.evaluator.scoring import UNREADABLE, Predictions, Rejection, Score, Verdict
from tests.fakes.chat_by_hash import ChatByHash
from tests.fakes.evaluators import FakeEvaluator


class RaceOf:
    """A race on known labels, and how many of them each candidate was asked for."""

    def __init__(
        self, rows: dict[str, list[bool]], labels: Sequence[int], incumbent: str | None = None,
        rejected: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.asked = Counter[str]()
        self.asked_images: list[int] = []

        async def ask_some(texts: Sequence[str], image_indices: Sequence[int]) -> dict[str, Hits | Rejection]:
            self.asked.update({text: len(image_indices) for text in texts})
            self.asked_images += image_indices
            return {
                text: Rejection("too_many_tokens", "99 tokens")
                if text in rejected
                else [rows[text][index] for index in image_indices]
                for text in texts
            }

        candidates = [text for text in rows if text != incumbent]
        self.outcomes = asyncio.run(race(candidates, incumbent, stratified(labels, 1), ask_some))
        self.finalists = {text for text in candidates if text not in self.outcomes}


@st.composite
def problems(draw: st.DrawFn) -> tuple[dict[str, list[bool]], list[int]]:
    """Draw labels of some classes, and what some candidates make of them."""
    labels = draw(st.lists(st.integers(0, 3), min_size=1, max_size=40))
    texts = draw(st.sets(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=12))
    row = st.lists(st.booleans(), min_size=len(labels), max_size=len(labels))
    return {text: draw(row) for text in sorted(texts)}, labels


@given(problems())
def test_somebody_wins_and_nobody_is_asked_twice(problem: tuple[dict[str, list[bool]], list[int]]) -> None:
    """No image is asked about twice, and a finalist is there, who is then scored on all images."""
    rows, labels = problem
    raced = RaceOf(rows, labels)
    assert raced.finalists
    assert len(set(raced.asked_images)) == len(raced.asked_images) < len(labels) or not raced.asked_images
    assert all(count < len(labels) for count in raced.asked.values())
    for text, outcome in raced.outcomes.items():
        assert isinstance(outcome, Dropped)
        assert outcome.images == raced.asked[text]
        assert outcome.right == sum(rows[text][index] for index in raced.asked_images[: outcome.images])


@given(problems(), st.randoms(use_true_random=False))
def test_the_order_of_the_candidates_does_not_matter(
    problem: tuple[dict[str, list[bool]], list[int]], rng: random.Random
) -> None:
    """A restart may list them in any order, with or without an incumbent."""
    rows, labels = problem
    shuffled = list(rows)
    rng.shuffle(shuffled)
    incumbent = min(rows)
    for other in (None, incumbent):
        raced = RaceOf(rows, labels, other)
        again = RaceOf({text: rows[text] for text in shuffled}, labels, other)
        assert raced.outcomes == again.outcomes
        assert raced.asked == again.asked


@given(st.lists(st.booleans(), min_size=64, max_size=64), st.integers(1, 30))
def test_equals_are_never_dropped(row: list[bool], count: int) -> None:
    """However many there are, all that classify alike are scored on all images."""
    raced = RaceOf({f"{number}": row for number in range(count)}, [label % 4 for label in range(64)])
    assert len(raced.finalists) == count


@pytest.mark.parametrize("shots", [8, 16])
@pytest.mark.parametrize("count", [4, 12])
def test_who_is_level_with_the_leader_is_not_dropped_with_few_classes(shots: int, count: int) -> None:
    """One of few candidates is clearly the best on six classes: it is scored on all images at every draw."""
    labels, dropped = [label % 6 for label in range(6 * shots)], 0
    for draw in range(40):
        rng = random.Random(draw)
        rows = {f"{number}": [rng.random() < 0.4 for _ in labels] for number in range(1, count)}
        rows["best"] = [rng.random() < 0.7 for _ in labels]
        raced = RaceOf(rows, labels)
        assert "best" in raced.finalists
        for text, outcome in raced.outcomes.items():
            if isinstance(outcome, Dropped):
                seen, dropped = raced.asked_images[: outcome.images], dropped + 1
                gains = [[row[index] - rows[text][index] for index in seen] for row in rows.values()]
                assert len(seen) >= 16
                assert any(sum(gain) == outcome.behind > 2 * math.sqrt(sum(map(abs, gain))) for gain in gains)
    assert dropped > 20


def test_a_race_against_an_incumbent_may_have_no_finalist() -> None:
    """Who is far behind on the first images is dropped there; who is better goes on to the end."""
    labels = [label % 4 for label in range(64)]
    rows = {"best": [True] * 64, "a": [False] * 64, "b": [index % 3 > 0 for index in range(64)]}
    raced = RaceOf(rows, labels, "best")
    assert not raced.finalists
    assert raced.asked["a"] < raced.asked["best"] <= 32
    assert RaceOf({**rows, "best": rows["b"], "b": [True] * 64}, labels, "best").finalists == {"b"}


def test_who_is_rejected_does_not_lead() -> None:
    """A candidate that cannot be scored leaves the race, an incumbent too."""
    labels = [label % 4 for label in range(64)]
    rows = {"a": [True] * 64, "b": [False] * 64, "c": [True] * 64}
    raced = RaceOf(rows, labels, rejected=["a"])
    assert raced.outcomes["a"] == Rejection("too_many_tokens", "99 tokens")
    assert raced.finalists == {"c"}
    assert RaceOf(rows, labels, "c", rejected=["c"]).finalists == {"a"}


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(0, 3))
def test_blocks_hold_equally_many_images_of_each_class(labels: list[int], seed: int) -> None:
    """As far as there are any."""
    order = stratified(labels, seed)
    assert sorted(order) == list(range(len(labels)))
    each = min(Counter(labels).values())
    first = Counter(labels[index] for index in order[: each * len(set(labels))])
    assert set(first.values()) == {each}


class PartialBox(FakeEvaluator):
    """A scorer that is asked about single images.

    Attributes:
        some: The labels asked for in races.
        whole: The templates scored on all images.
    """

    def __init__(self, *, replays: bool = False) -> None:
        super().__init__(seed=3)
        self.some: set[tuple[str, int]] = set()
        self.whole: set[str] = set()
        self._replays = replays

    def score(self, templates: Sequence[str]) -> list[Verdict]:
        """Score on all images."""
        assert not self._replays
        self.whole |= set(templates)
        return super().score(templates)

    def predict_some(
        self, ensembles: Sequence[Sequence[str]], *, split: str, image_indices: Sequence[int]
    ) -> Predictions:
        """Classify as many images rightly as the score says."""
        assert split == "train"
        assert not (self._replays and ensembles)
        labels = [index // 16 for index in range(160)]
        predicted = []
        for (template,) in ensembles:
            if "window" in template:
                raise TemplateRejectedError(template, "too_many_tokens", "99 tokens")
            self.some |= {(template, index) for index in image_indices}
            right = random.Random(1).sample(range(160), self._correct([template], split))
            predicted.append(
                tuple(labels[index] if index in right else UNREADABLE for index in image_indices)
            )
        return Predictions(tuple(labels[index] for index in image_indices), tuple(predicted))


class RacedSearch:
    """A search with this scorer, and what it said of each template."""

    def __init__(self, run_dir: Path, box: PartialBox, result: SearchResult, events: list[Event]) -> None:
        self.run_dir, self.box, self.result = run_dir, box, result
        self.scored = [event for event in events if isinstance(event, TemplateScored)]


async def searched(run_dir: Path, **settings: Any) -> RacedSearch:
    """Search."""
    config = SearchConfig(
        method="combine", describe="drawings of kinds by a window", initial=40, conversations=1, rounds=2,
        run_dir=run_dir, **{"restarts": 1, **settings},
    )  # fmt: skip
    events: list[Event] = []
    box = PartialBox()
    return RacedSearch(run_dir, box, await search(config, custom_scorer=box, on_event=events.append), events)


async def test_a_race_saves_labels_and_what_it_drops_is_never_chosen(tmp_path: Path) -> None:
    """The best of all is found on a fifth of the labels, and each dropped template says on how many."""
    raced, full = await searched(tmp_path / "raced"), await searched(tmp_path / "full", racing="off")
    assert not full.box.some
    assert RACED not in full.result.notes
    assert all(row.images is None for row in full.result.leaderboard)
    labels = len(raced.box.some | {(text, index) for text in raced.box.whole for index in range(200)})
    assert labels < 0.25 * 200 * raced.result.evaluated
    assert str(raced.result.notes[RACED]).startswith("racing asked for ")
    dropped = [row for row in raced.result.leaderboard if row.images is not None]
    assert len(dropped) > 0.8 * len(raced.result.leaderboard)
    assert raced.result.leaderboard[-len(dropped) :] == tuple(dropped)
    assert all(row.val is None and 0 < row.images < 160 for row in dropped if row.images)
    assert all(round(row.train * row.images) == pytest.approx(row.train * row.images) for row in dropped)
    estimates = [row.estimate for row in dropped]
    assert estimates == sorted(estimates, reverse=True)
    assert estimates[0] < max(row.train for row in raced.result.leaderboard if row.images is None)
    assert set(raced.result.texts.templates) <= raced.box.whole
    assert raced.result.best.template in raced.box.whole
    assert raced.result.best.train > 0.97 * full.result.best.train
    shown = {
        event.template: (event.train, event.images, event.estimate) for event in raced.scored if event.images
    }
    assert {row.template: (row.train, row.images, row.estimate) for row in dropped}.items() <= shown.items()
    assert not any(event.improved for event in raced.scored if event.images is not None)
    assert raced.result.rejected["too_many_tokens"] > 0
    csv = (raced.run_dir / "leaderboard.csv").read_text("utf-8").splitlines()
    assert csv[0].endswith(",images,estimate")
    assert csv[1].endswith(",,")
    assert csv[-1].endswith(f",{dropped[-1].images},{dropped[-1].estimate:.6f}")
    page = (raced.run_dir / "report.html").read_text("utf-8")
    assert f'{100 * dropped[0].train:.1f} <span class="soft">on {dropped[0].images} images</span>' in page
    assert "Those that a race dropped come last" in page
    assert "dropped come last" not in (full.run_dir / "report.html").read_text("utf-8")


@pytest.mark.parametrize("objective", ["accuracy", "class_mean"])
async def test_a_resumed_search_replays_its_races_without_asking(tmp_path: Path, objective: str) -> None:
    """What became of each candidate is on disk, so the result is the same."""
    first = await searched(tmp_path / "run", objective=objective)
    assert any(row.images is not None for row in first.result.leaderboard)
    (first.run_dir / "result.json").unlink()
    again = await resume(first.run_dir, custom_scorer=PartialBox(replays=True))
    assert again.leaderboard == first.result.leaderboard
    assert again.best == first.result.best
    assert again.notes[RACED] == first.result.notes[RACED]


async def test_requests_say_what_is_an_estimate_and_a_resume_asks_the_same(tmp_path: Path) -> None:
    """In requests, dropped templates have an estimate with its number of pictures, always below the best."""
    config = SearchConfig(
        method="guided", llm="l", initial=40, restarts=1, conversations=1, rounds=3, run_dir=tmp_path / "run"
    )
    chat, events = ChatByHash(longest_s=0), list[Event]()
    first = await search(config, custom_scorer=PartialBox(), chat=chat, on_event=events.append)
    requests = "\n".join(str(message["content"]) for request in chat.asked for message in request.messages)
    estimates = re.findall(r"^- .* \(about (\d+) %, judged by (\d+) pictures\)$", requests, re.MULTILINE)
    measured = [float(percent) for percent in re.findall(r"\((\d+\.\d) %\)", requests)]
    assert estimates
    assert measured
    assert max(float(value) for value, _ in estimates) < max(measured)
    assert {int(images) for _, images in estimates} <= {row.images for row in first.leaderboard}
    (tmp_path / "run" / "result.json").unlink()
    silent = ChatByHash(fail=lambda *_: pytest.fail("asked again"))
    again = await resume(tmp_path / "run", custom_scorer=PartialBox(replays=True), chat=silent)
    assert again.leaderboard == first.leaderboard


class Graded(PartialBox):
    """A scorer by which a template says how many images it classifies correctly."""

    def _correct(self, ensemble: Sequence[str], split: str) -> int:
        (percent,) = re.findall(r"\d+", ensemble[0]) or ["10"]
        return int(percent) * self.info.sizes[split] // 100


class Proposing:
    """An LLM that proposes a better template, and the best one last."""

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        """Propose."""
        return ChatAnswer(text="- a {} at 50\n- a {} near 90")


async def test_a_dropped_template_is_no_improvement(tmp_path: Path) -> None:
    """Its estimate may be above the best before, but the leader that dropped it is better."""
    (tmp_path / "initial.txt").write_text("a {} at 20\na {} at 10\n", "utf-8")
    config = SearchConfig(
        method="pn", llm="l", initial=str(tmp_path / "initial.txt"), restarts=1, conversations=1, rounds=1,
        run_dir=tmp_path / "run",
    )  # fmt: skip
    events: list[Event] = []
    await search(config, custom_scorer=Graded(), chat=Proposing(), on_event=events.append)
    dropped, leader = [event for event in events if isinstance(event, TemplateScored)][2:]
    assert (dropped.template, dropped.improved) == ("a {} at 50", False)
    assert dropped.estimate is not None
    assert dropped.estimate > 0.2
    assert (leader.train, leader.images, leader.improved) == (0.9, None, True)


async def test_the_number_of_restarts_at_once_does_not_decide_a_race(tmp_path: Path) -> None:
    """A restart races the candidates of a step against its own best."""
    alone = await searched(tmp_path / "alone", restarts=2, concurrency=1)
    together = await searched(tmp_path / "together", restarts=2, concurrency=2)
    assert alone.result.leaderboard == together.result.leaderboard


def test_a_dropped_candidate_is_estimated_below_the_best() -> None:
    """By how far it is behind on the same images, less so on few, whatever its share; never below nothing."""
    assert Dropped(right=3, images=8, behind=6).estimate(0.75) == 0.5
    assert Dropped(right=0, images=40, behind=40).estimate(0.5) == 0
    assert Dropped(right=0, images=16, behind=9).estimate(0.0) < 0


def test_the_score_of_a_dropped_candidate_says_what_was_measured() -> None:
    """Its accuracy is that on the images that it was asked on; the estimate stands beside it."""
    score = Dropped(right=3, images=5, behind=1).score(Score(train=0.75, class_mean=0.7))
    assert (score.train, score.correct, score.images, score.whole) == (0.6, (3, None), 5, False)
    assert score.estimate == pytest.approx(0.75 - 1 / 21)
    assert score.class_mean is None
    stored = StoredScore("a {}", score)
    assert reader(StoredScore)(row_text(stored)) == stored


def test_what_an_earlier_version_has_on_disk_of_a_race_is_read(tmp_path: Path) -> None:
    """It listed those that stayed in too."""
    rows = [["a {}"], ["b {}", 3, 8, 6], ["c {}", {"reason": "too_long", "message": "99 tokens"}]]
    texts = [str(row[0]) for row in rows]

    async def known() -> dict[str, Out] | None:
        with Store.create(tmp_path / "run", {}) as store:
            racer = Racer(PartialBox(), 160, store, seed=1, scrub=str)
            await store.put_value(_name_of(texts, None, Position(1)), rows)
            return racer.known(texts, None, Position(1))

    out = {"b {}": Dropped(right=3, images=8, behind=6), "c {}": Rejection("too_long", "99 tokens")}
    assert asyncio.run(known()) == out
