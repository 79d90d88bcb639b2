"""The small parts of a climb: conversations, seeds, scores, methods, halts."""

from __future__ import annotations

import asyncio
import random

import pytest
from promptclimb.agent.climb.conversation import MAX_ANSWER_CHARACTERS, Conversation
from promptclimb.agent.climb.memory import Memory
from promptclimb.agent.climb.methods import METHODS, View
from promptclimb.agent.climb.methods.random_words import RandomWords
from promptclimb.agent.climb.seeds import derived, rng_for
from promptclimb.agent.errors import (
    CrashingTemplateError,
    EvaluationFailedError,
    InterruptedRunError,
    ScoringFailedError,
)
from promptclimb.agent.search.scorebook import SCORER_FAILED, Scorebook
from promptclimb.agent.stop import Halt
from promptclimb.agent.store import StoredScore
from promptclimb.evaluator.scoring import Rejection, Score, Verdict
from promptclimb.prompts.pools import BUILT_IN
from promptclimb.prompts.template import Template

from tests.fakes.clock import virtual_time


def view(texts: list[str], *, proposals: int = 4, top_k: int = 3) -> View:
    """A climb that has scored some templates, the first ones best."""
    memory: Memory[Score] = Memory(1)
    for place, text in enumerate(texts):
        memory.add(text, Template.parse(text).key, 1 - place / 100, Score(train=1 - place / 100))
    pool = [Template.parse(text) for text in BUILT_IN[:60]]
    return View(memory=memory, proposals=proposals, top_k=top_k, max_words=15, pool=pool)


TEXTS = [f"template number {number} of a {{}}" for number in range(10)]


def test_a_conversation_keeps_its_opening_and_its_latest_turns() -> None:
    """Older turns go, the opening stays, and endless answers are cut."""
    conversation = Conversation([{"role": "user", "content": "open"}], max_turns=3)
    for number in range(5):
        conversation.add(f"{number}" * 9000, {"role": "user", "content": f"told {number}"})
    messages = conversation.messages()
    assert [message["content"][:6] for message in messages] == [
        "open",
        "333333",
        "told 3",
        "444444",
        "told 4",
    ]
    assert len(messages[1]["content"]) == MAX_ANSWER_CHARACTERS


def test_seeds_follow_from_their_place() -> None:
    """The same on every machine; neighbours have nothing in common."""
    assert derived(1, 2, 3) == derived(1, 2, 3) == 270_978_779
    assert len({derived(1, climb, turn) for climb in range(50) for turn in range(50)}) == 2500
    assert rng_for(1, "a").random() != rng_for(1, "b").random()
    assert all(0 <= derived(seed) < 2**31 for seed in range(100))


def test_pn_shows_both_ends_and_p_only_the_best() -> None:
    """Best and worst never overlap; the random method asks nobody."""
    both = METHODS["pn"].opening(view(TEXTS))[0]["content"]  # type: ignore[union-attr]
    best = METHODS["p"].opening(view(TEXTS))[0]["content"]  # type: ignore[union-attr]
    assert all(text in both for text in [*TEXTS[:3], *TEXTS[-3:]])
    assert TEXTS[4] not in both
    assert all(text in best for text in TEXTS[:3])
    assert TEXTS[-1] not in best
    assert not METHODS["random"].uses_llm


def test_opro_shows_scores_with_the_best_last() -> None:
    """The trajectory's order is ascending."""
    content = METHODS["opro"].opening(view(TEXTS))[0]["content"]  # type: ignore[union-attr]
    assert content.index(TEXTS[2]) < content.index(TEXTS[1]) < content.index(TEXTS[0])
    assert "100.0 %" in content


@pytest.mark.parametrize("seed", range(20))
def test_random_proposals_are_new_valid_and_decided_by_the_seed(seed: int) -> None:
    """No proposal is known or stands twice; the same stream gives the same ones."""
    found = RandomWords().propose(view(TEXTS), random.Random(seed))
    assert found == RandomWords().propose(view(TEXTS), random.Random(seed))
    assert len({template.key for template in found}) == 4
    assert not {template.key for template in found} & {Template.parse(text).key for text in TEXTS}


def test_a_pool_that_is_used_up_gives_fewer() -> None:
    """It ends instead of looking for ever."""
    pool = [Template.parse("{}")]
    memory: Memory[Score] = Memory()
    memory.add("{}", "{}", 0.5, Score(train=0.5))
    small = View(memory=memory, proposals=3, top_k=1, max_words=1, pool=pool)
    assert RandomWords().propose(small, random.Random(1)) == []


def test_a_pool_without_words_borrows_some() -> None:
    """Words to put in come from the built-in templates, then."""
    pool = [Template.parse("{}"), Template.parse("{} {}")]
    memory: Memory[Score] = Memory()
    memory.add("{}", "{}", 0.5, Score(train=0.5))
    found = RandomWords().propose(
        View(memory=memory, proposals=3, top_k=1, max_words=5, pool=pool), random.Random(1)
    )
    assert any(word.isalpha() for template in found for word in template.text.split())


class Shelf:
    """A store of scores in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, StoredScore] = {}

    def score(self, key: str) -> StoredScore | None:
        """What is known."""
        return self.kept.get(key)

    async def put_score(self, key: str, template: str, verdict: Verdict) -> None:
        """Keeps it."""
        await asyncio.sleep(0)
        self.kept[key] = StoredScore(template, verdict)


class Scripted:
    """A scorer that fails on some templates, and on all that ask for it."""

    def __init__(self, shelf: Shelf) -> None:
        self.asked: list[str] = []
        self._shelf = shelf

    async def score(self, template: str) -> Verdict:
        """Scores by length."""
        self.asked.append(template)
        assert template not in self._shelf.kept
        if template.startswith("x"):
            raise CrashingTemplateError(template, "the scorer failed on it 3 times")
        if template.startswith("broken"):
            raise ScoringFailedError("device lost")
        if template.startswith("long"):
            return Rejection("too_many_tokens", "99 tokens")
        return Score(train=len(template) / 100)


async def test_a_score_is_on_disk_before_anybody_has_it() -> None:
    """And it is asked for once, rejections too."""
    shelf = Shelf()
    scorer = Scripted(shelf)
    book = Scorebook(shelf, scorer)
    found = await book.score_all(["a {}", "long {}", "bb {}"])
    assert found == [Score(train=0.04), Rejection("too_many_tokens", "99 tokens"), Score(train=0.05)]
    assert [stored.verdict for stored in shelf.kept.values()] == found
    assert await book.score_all(["a {}", "long {}", "bb {}"]) == found
    assert len(scorer.asked) == 3


async def test_spellings_are_scored_apart() -> None:
    """Which spelling came first must not decide what another one scores."""
    shelf = Shelf()
    book = Scorebook(shelf, Scripted(shelf))
    one, other = await book.score_all(["a {}", "a {}."])
    assert one != other


async def test_a_template_that_crashes_the_scorer_is_rejected_in_this_run() -> None:
    """It is written down, so that a resumed run does not stumble over it again and tells the LLM the same."""
    shelf = Shelf()
    book = Scorebook(shelf, Scripted(shelf))
    first = await book.score("x {}")
    assert isinstance(first, Rejection)
    assert first.reason == SCORER_FAILED
    assert await book.score("x {}") == first


async def test_a_scorer_that_fails_ends_the_run_and_nothing_is_kept() -> None:
    """A broken evaluator must not poison the templates that it was asked for."""
    shelf = Shelf()
    with pytest.raises(EvaluationFailedError, match="device lost"):
        await Scorebook(shelf, Scripted(shelf)).score("broken {}")
    assert not shelf.kept


@virtual_time
async def test_a_halt_spares_only_what_is_paid() -> None:
    """Waiting tasks end at once, paid ones within the grace, stubborn ones after it."""
    halt, ends = Halt(grace_s=10), {}
    loop = asyncio.get_running_loop()

    async def work(name: str, seconds: float, *, paid: bool) -> None:
        if paid:
            halt.paid()
        try:
            await asyncio.sleep(seconds)
        finally:
            ends[name] = loop.time()

    async with asyncio.TaskGroup() as group:
        guard = group.create_task(halt.enforce())
        for name, seconds, paid in (("waits", 50, False), ("pays", 6, True), ("hangs", 500, True)):
            halt.watch(group.create_task(work(name, seconds, paid=paid)))
        await asyncio.sleep(2)
        halt.ask(InterruptedRunError(2))
        await guard
    assert ends == {"waits": 2, "pays": 6, "hangs": 12}
    with pytest.raises(InterruptedRunError):
        halt.check()
