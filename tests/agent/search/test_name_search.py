"""The search for class names: rounds, resume, limits, early ends, many classes, and its result."""

from __future__ import annotations

import asyncio
import json
import random
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load

from promptclimb.agent.api import search
from promptclimb.agent.cli.main import main
from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.errors import TransientChatError
from promptclimb.agent.events.types import (
    Event,
    Listener,
    NameRoundFinished,
    NamesChosen,
    NameScored,
    NamesRead,
    Noted,
)
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.present.sentences import result_lines
from promptclimb.agent.results.accuracies import ORIGINAL_NAMES
from promptclimb.agent.results.exports import export
from promptclimb.agent.results.result import COMMON_WORDS, FIRST_READING, LATER_ROUND, SearchResult
from promptclimb.agent.results.run_dir import REPORT, read_result
from promptclimb.agent.search.name_search import MOST_READ, MOST_TEXTS
from promptclimb.evaluator.errors import ConfigError, PromptclimbError, TemplateRejectedError
from promptclimb.evaluator.open import open_evaluator
from promptclimb.evaluator.scoring import UNREADABLE, Predictions
from promptclimb.prompts.class_names import MOST_CLASSES, MOST_LINES_ASKED, READ_AT_ONCE, NameReader
from tests.fakes.clock import run_virtual, virtual_sleep
from tests.fakes.naming_box import NamingBox, pull
from tests.fakes.searches import resumed, searched
from tests.paths import ROOT
from training.draw import write

CHOSEN = {"bat": "baseball bat", "horn": "trumpet", "seal": "stamp"}
"""The names that a search with these answers chooses."""
GOOD = {"bat": ["baseball bat"], "horn": ["trumpet"], "seal": ["wax <b> seal", "stamp"]}
ANSWERS = (
    "Sure:\nbat: cricket bat\nhorn: trumpet\nbow: bat\nseal: wax <b>seal</b>",
    "bat: baseball bat\nhorn: car horn\nseal: " + "very " * 12,
    "seal: stamp\nclub: golf club\nspade: shovel",
    "bow: ribbon\nbow: archery bow",
)


UNKNOWN = "I do not know any of these."


class NameChat:
    """Answers the rounds in turn, and ``reading`` where it is asked what the classes are.

    ``fail_on`` raises on a request.
    """

    def __init__(self, answers: Sequence[str] = ANSWERS, *, reading: str = UNKNOWN, fail_on: int = 0) -> None:
        self.asked: list[ChatRequest] = []
        self.rounds: list[ChatRequest] = []
        self._answers = answers
        self._reading = reading
        self._fail_on = fail_on

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        """Answer after a second."""
        self.asked.append(request)
        await virtual_sleep(1)
        if len(self.asked) == self._fail_on:
            raise TransientChatError("no answer today")
        if "Say what each of these classes is" in str(request.messages[-1]["content"]):
            return ChatAnswer(text=self._reading)
        self.rounds.append(request)
        return ChatAnswer(text=self._answers[min(len(self.rounds), len(self._answers)) - 1])


def config(run_dir: Path, **settings: Any) -> SearchConfig:
    """A small search for templates without an LLM, then for names; ``initial`` may be a list of templates."""
    if isinstance(initial := settings.get("initial"), list):
        settings["initial"] = run_dir.with_suffix(".txt")
        settings["initial"].write_text("\n".join(initial))
    small = {"restarts": 1, "conversations": 1, "rounds": 1, "initial": 6, "proposals": 2}
    common = {"data": "named", "llm": "fake", "method": "random", **small, **settings}
    return SearchConfig(search_for="class-names", run_dir=run_dir, **common)


def box(**more: Any) -> NamingBox:
    """A box that knows some names."""
    return NamingBox(good=GOOD, **more)


def names_searched(
    run_dir: Path, *, chat: NameChat | None = None, evaluator: object = None,
    on_event: Listener | None = None, **settings: Any,
) -> SearchResult:  # fmt: skip
    """The result of a search."""
    return searched(
        config(run_dir, **settings), chat=chat or NameChat(), evaluator=evaluator or box(), on_event=on_event
    )


def test_a_search_finds_names_and_says_what_they_gain(tmp_path: Path) -> None:
    """Names that the model knows are accepted; the result, the baselines and the verdict have both steps."""
    chat, events = NameChat(), list[Event]()
    result = names_searched(tmp_path / "r", chat=chat, on_event=events.append)
    assert result.best.class_names == CHOSEN
    assert result.best.name_sources == dict.fromkeys(CHOSEN, LATER_ROUND)
    (line,) = (line for line in result_lines(result, None) if line.startswith("class names, "))
    shown = line.partition(" From the LLM's later rounds: ")[2].split("; ")
    assert sorted(shown) == [f"{name} -> {new}" for name, new in CHOSEN.items()]
    assert len(chat.rounds) == len(chat.asked) - 1 == 4
    original = result.baselines[ORIGINAL_NAMES]
    assert original.templates == (result.leaderboard[0].template,)
    assert original.test is not None
    assert result.best.test is not None
    assert result.best.test > original.test + 0.1
    assert result.best.train > (original.train or 0.0)
    assert (result.recommended.form, result.texts.templates) == ("template", result.best.templates)
    gain = result.recommended.over[ORIGINAL_NAMES]
    assert gain.points == pytest.approx(100 * (result.best.test - original.test))
    assert (gain.paired, gain.verdict) == (True, "better")
    assert result.recommended.verdict.startswith("Use the best template, with 3 new class names: ")
    sizes = result.dataset.sizes
    right = round(result.best.train * sizes.train + (result.best.val or 0.0) * sizes.val)
    (chosen,) = (event for event in events if isinstance(event, NamesChosen))
    assert chosen == NamesChosen(renamed=3, right=right, images=sizes.train + sizes.val)
    # Between the last round, in one template, and the choice, which may have fewer images right.
    assert [event.text for event in events if isinstance(event, Noted)][-1].startswith(
        "class names: now chosen by 8 templates, not by one as in the rounds"
    )
    assert result.test_opened == 1
    assert result.rejected["name_of_another_class"] == 1
    assert {"markup", "too_many_words", "unknown_class"} <= set(result.rejected)
    assert read_result(tmp_path / "r").best == result.best
    assert result.inspection is not None
    assert sum(row.correct for row in result.inspection.classes) == round(100 * result.best.test)


class Picky(NamingBox):
    """Its share of correct images is decided by how a template begins, without names and with them."""

    def __init__(self, templates: Mapping[str, float], *, named: Mapping[str, float]) -> None:
        super().__init__(good=GOOD)
        self._right = {True: named, False: templates}

    def _predicted(self, template: str, renaming: Mapping[int, str], split: str) -> tuple[int, ...]:
        names = sum(name in self._good.get(self._classes[label], ()) for label, name in renaming.items())
        shares = self._right[names > 0]
        share = next((share for start, share in shares.items() if template.startswith(start)), 0.3)
        size = len(self._classes)
        return tuple(
            true if pull(image, split) < share + names / 50 else (true + 1) % size
            for image, true in enumerate(self._labels(split))
        )


@pytest.mark.parametrize(
    ("shares", "named", "searched_in", "best"),
    [
        # The best one found fits the original names alone.
        ({"found": 0.5, "itap": 0.4}, {"worse": 0.8, "found": 0.4, "": 0.7}, "itap of a {}", "worse {}"),
        # It repairs more than half of the errors of every neutral one.
        ({"found": 0.75, "a photo": 0.4}, {"found": 0.9, "": 0.5}, "found {}", "found {}"),
        # The leaderboard lacks the neutral one.
        ({"found": 0.5, "itap": 0.4}, {"itap": 0.8, "": 0.5}, "itap of a {}", "itap of a {}"),
        # Among all with the new names, the eighth is best.
        (
            {"found": 0.72, **{f"t{rank}": 0.68 - 0.02 * rank for rank in range(1, 8)}, "": 0.46},
            {"t7": 0.85, "": 0.65},
            "a photo of a {}",
            "t7 {}",
        ),
    ],
)
def test_names_are_searched_in_one_template_and_the_template_is_chosen_again(
    shares: dict[str, float], named: dict[str, float], searched_in: str, best: str, tmp_path: Path
) -> None:
    """The first mostly is a neutral one; the second is the best with the new names."""
    chat, initial = NameChat(), [f"{start} {{}}" for start in dict.fromkeys((*shares, "worse")) if start]
    scorer = Picky(shares, named=named)
    result = names_searched(tmp_path / "r", chat=chat, evaluator=scorer, initial=initial)
    assert f"the template {searched_in!r}" in str(chat.rounds[0].messages[-1]["content"])
    assert (result.leaderboard[0].template, result.best.template) == ("found {}", best)
    assert result.best.class_names
    assert result.best.train > result.leaderboard[0].train
    assert result.baselines[ORIGINAL_NAMES].templates == ("found {}",)
    assert json.loads(export(tmp_path / "r", "open-clip").read_text("utf-8")) == [best]


@pytest.mark.parametrize("named", [{"a photo": 0.55, "found": 0.5}, {"a photo": 0.8, "": 0.25}])
def test_no_name_is_kept_where_the_found_template_is_as_good_without(
    named: dict[str, float], tmp_path: Path
) -> None:
    """Names that help a neutral template a little are no gain, nor those that help in it alone: by luck."""
    scorer = Picky({"found": 0.7, "a photo": 0.45}, named=named)
    result = names_searched(tmp_path / "r", evaluator=scorer, initial=["found {}", "worse {}"])
    assert (result.best.template, result.best.class_names) == ("found {}", {})
    assert ORIGINAL_NAMES not in result.baselines
    page = (tmp_path / "r" / REPORT).read_text("utf-8")
    assert "No new name was accepted: none gained enough" in page
    assert "All scores are with the original" not in page


READ = {"kukko": "rooster", "sieni": "mushroom", "talo": "house", "avain": "key", "sika": "pig"}
READING = "\n".join(f"{name}: {read}\n{name}: drawn {read}" for name, read in READ.items())


class Unread(NamingBox):
    """Has never read its classes' names: an image is recognised if most classes have names that it knows."""

    def __init__(self, shots: int = 1) -> None:
        super().__init__(tuple(READ), {name: [read] for name, read in READ.items()}, shots=shots, val=0)

    def _predicted(self, template: str, renaming: Mapping[int, str], split: str) -> tuple[int, ...]:
        known = {label for label, name in renaming.items() if name in self._good[self._classes[label]]}
        known = known if len(known) > 2 else set()
        return tuple(
            self._taken_for(index, true, template, renaming, knows=true in known and index % 20 != 3)
            for index, true in enumerate(self._labels(split))
        )

    def _taken_for(
        self, _index: int, true: int, _template: str, _renaming: Mapping[int, str], *, knows: bool
    ) -> int:
        """The label of an image; ``knows`` is whether the model recognises it."""
        return true if knows else (true + 1) % len(self._classes)


def read_and_searched(
    run_dir: Path, chat: NameChat, evaluator: NamingBox | None = None
) -> tuple[SearchResult, NamesRead]:
    """The result, with ``Unread`` by default, and the event of what was read."""
    events: list[Event] = []
    result = names_searched(run_dir, chat=chat, evaluator=evaluator or Unread(), on_event=events.append)
    (event,) = (event for event in events if isinstance(event, NamesRead))
    return result, event


def test_names_that_the_model_has_never_read_are_replaced_in_one_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At one image per class, where no single name helps: rounds find none of them."""

    class RejectsSome(Unread):
        def predict_named(self, template: str, *arguments: Any, split: str) -> Predictions:
            if template in ("{}", "a {}"):
                raise TemplateRejectedError(template, "too_many_tokens", "it is too long")
            return super().predict_named(template, *arguments, split=split)

    scorer = RejectsSome()
    result, event = read_and_searched(tmp_path / "r", NameChat(("?",), reading=READING), scorer)
    assert result.best.class_names == READ
    assert result.best.test is not None
    assert result.best.test > 0.9
    assert (event.read, event.classes, event.taken, event.right, event.images) == (5, 5, True, 4, 5)
    assert str(event.position) == "class names, first reading"
    # Its only labelled image is not classified correctly.
    assert result.best.unsupported == ("avain",)
    assert result.recommended.verdict.count("Read the new names: 1 of them is unsupported ") == 1
    # So it comes first.
    assert result.best.name_sources == dict.fromkeys(READ, FIRST_READING)
    names = "From the LLM's first reading: avain -> key (unsupported); kukko -> rooster; "
    assert names in "\n".join(result_lines(result, None))
    page = (tmp_path / "r" / REPORT).read_text("utf-8")
    assert "key (unsupported)" in page
    # The file itself has no room for the mark.
    assert main(["export", str(tmp_path / "r"), "--format", "class-names"]) == 0
    assert "no labelled image of the class is classified correctly: avain -> key\n" in capsys.readouterr().err
    assert SearchResult.from_json(result.to_json()).best.remark.endswith(", 1 of them unsupported")
    # Further readings of a class that is recognised would cost a scorer behind an API requests.
    tried = {name for _, renamings in scorer.asked for names in renamings for name in names.values()}
    assert "drawn pig" not in tried
    in_rounds, event = read_and_searched(tmp_path / "rounds", NameChat((READING,)))
    assert (in_rounds.best.class_names, event.read, event.taken) == ({}, 0, False)


@pytest.mark.parametrize("scorer", [box, Unread])
def test_a_reading_must_be_better_than_the_original_names(scorer: type[NamingBox], tmp_path: Path) -> None:
    """Wrong words for all classes; without them the rounds go on from the original names."""
    evaluator = scorer()
    wrong = "\n".join(f"{name}: {name} thing" for name in evaluator.info.class_names)
    result, event = read_and_searched(tmp_path / "r", NameChat(reading=wrong), evaluator)
    assert (event.read, event.taken) == (5, False)
    assert scorer is Unread or result.best.class_names == CHOSEN


@pytest.mark.parametrize(
    ("reading", "read"),
    [
        # What is likeliest for two classes is left out of the whole, and each has its next reading.
        (
            f"kukko: pig\n{READING}".replace("kukko: rooster", "kukko: the Rooster"),
            {**READ, "kukko": "Rooster", "sika": "drawn pig"},
        ),
        # Where neither has another reading, both keep their own names.
        (
            "sieni: mushroom\ntalo: house\navain: key\nsika: pig\nkukko: pig",
            {name: READ[name] for name in ("sieni", "talo", "avain")},
        ),
        # What else a class may be whose own name is confirmed is tried alone.
        (READING.replace("sika: pig", "sika: sika"), {**READ, "sika": None}),
    ],
)
def test_the_first_reading_has_each_class_s_likeliest_name(
    reading: str, read: dict[str, str | None], tmp_path: Path
) -> None:
    """That is its own: a class that is misread does not keep a name from another."""
    result, event = read_and_searched(tmp_path / "r", NameChat(("?",), reading=reading))
    assert result.names_read is not None
    assert result.names_read.names == {name: new for name, new in read.items() if new is not None}
    assert event.taken
    assert result.best.class_names is not None
    assert len(set(result.best.class_names.values())) == len(result.best.class_names)


@pytest.mark.parametrize("rounds", ["?", "sieni: a pig"])
def test_no_two_classes_get_the_same_name(tmp_path: Path, rounds: str) -> None:
    """A class that starts from a name gives it up to the one that it fits."""
    evaluator = Unread(8)
    evaluator._good["sieni"] = frozenset(("pig",))
    evaluator._good["sika"] = frozenset()
    reading = READING.replace("sieni: mushroom", "sieni: fungus\nsieni: pig")
    chat = NameChat((rounds,), reading=reading)
    result = names_searched(tmp_path / "r", chat=chat, evaluator=evaluator)
    assert result.names_read is not None
    assert result.names_read.names["sika"] == "pig"
    assert result.best.class_names is not None
    assert result.best.class_names["sieni"] == "pig"
    assert "pig" not in {name for of, name in result.best.class_names.items() if of != "sieni"}


def test_a_class_may_return_to_its_own_name(tmp_path: Path) -> None:
    """The reading is right but for one class, whose own name the model knows."""

    class Known(Unread):
        def _taken_for(self, *image: Any, knows: bool) -> int:
            _, true, _, renaming = image
            own = true == 4 and 4 not in renaming and len(renaming) > 2
            return super()._taken_for(*image, knows=knows or own)

    reading = READING.replace("sika: pig", "sika: cow")
    result = names_searched(tmp_path / "r", chat=NameChat(("?",), reading=reading), evaluator=Known(8))
    assert result.best.class_names == {name: read for name, read in READ.items() if name != "sika"}


@pytest.mark.parametrize(("more_right", "chosen"), [(1, "neutral"), (4, "found")])
def test_the_neutral_template_stays_where_another_is_as_good_within_chance(
    tmp_path: Path, more_right: int, chosen: str
) -> None:
    """Of many templates, the best with the new names has luck."""

    class Lucky(Unread):
        def _taken_for(self, *image: Any, knows: bool) -> int:
            index, _, template, renaming = image
            if len(renaming) > 2:
                knows = index >= (8 - more_right if template.startswith("found") else 8)
            return super()._taken_for(*image, knows=knows and index >= 8 - more_right)

    templates = ["found {}", "worse {}"]
    chat = NameChat(("?",), reading=READING)
    result = names_searched(tmp_path / "r", chat=chat, evaluator=Lucky(8), initial=templates)
    assert result.best.class_names == READ
    assert result.best.template.startswith("found") == (chosen == "found")


@pytest.mark.parametrize(("right_of_ten", "kept"), [(3, True), (1, False)])
def test_a_class_that_is_recognised_keeps_its_first_reading(
    tmp_path: Path, right_of_ten: int, kept: bool
) -> None:
    """Another name that fits the few-shot images still better replaces it only if hardly any are right."""

    class Partly(Unread):
        def _taken_for(self, *image: Any, knows: bool) -> int:
            index, true, _, renaming = image
            wrong = true == 4 and renaming.get(4) == "pig" and index // 5 % 10 >= right_of_ten
            return super()._taken_for(*image, knows=knows and not wrong)

    evaluator = Partly(10)
    evaluator._good["sika"] = frozenset(("pig", "pink farm animal"))
    chat = NameChat(("?",), reading=f"{READING}\nsika: pink farm animal")
    result = names_searched(tmp_path / "r", chat=chat, evaluator=evaluator)
    assert result.best.class_names is not None
    assert (result.best.class_names["sika"] == "pig") == kept


@pytest.mark.parametrize("calls", [1, 2])
def test_a_search_that_ends_early_has_the_names_that_it_started_from(tmp_path: Path, calls: int) -> None:
    """Stopped after the reading."""
    lucky = "kukko: lucky word"
    stopped = names_searched(
        tmp_path / "r", chat=NameChat((lucky,), reading=READING), evaluator=Unread(), max_calls=calls
    )
    assert (stopped.status, stopped.best.class_names) == ("stopped", READ)


def test_a_reading_may_be_interrupted_in_its_middle(tmp_path: Path) -> None:
    """A limit between its requests; the run goes on where it was."""
    short = {"llm": "fake-1b", "name_rounds": 1}
    stopped = names_searched(tmp_path / "r", chat=ShortChat(), max_calls=3, **short)
    assert (stopped.status, stopped.usage.calls, stopped.best.class_names) == ("stopped", 3, {})
    chat = ShortChat()
    done = resumed(tmp_path / "r", {"max_calls": 99}, chat=chat, evaluator=box())
    assert len(chat.asked) == 10 - 3
    assert done.best == names_searched(tmp_path / "whole", chat=ShortChat(), **short).best


def test_the_first_request_has_no_test_image_and_later_ones_have_counts(tmp_path: Path) -> None:
    """Description, template and counts on few-shot images; the second round knows what the first did."""
    chat, evaluator = NameChat(), box(copies=2)
    names_searched(tmp_path / "r", chat=chat, evaluator=evaluator, describe="things that people make")
    first, second = (str(request.messages[-1]["content"]) for request in chat.rounds[:2])
    assert "What the pictures show: things that people make" in first
    assert " of 10; taken for " in first
    assert "tried:" not in first
    assert "    tried: cricket bat (+0 -0)" in second
    splits = [split for split, _ in evaluator.asked]
    assert set(splits) == {"train", "val", "copies", "test"}
    assert splits.index("test") == len(splits) - 1, "test is opened once, at the end"


def test_the_report_shows_escaped_names(tmp_path: Path) -> None:
    """Old and new ones; the recorded pages show all the rest."""
    scorer = NamingBox(("bat", "b<w", "club", "horn", "seal"), {"b<w": ["rib & bon"], "bat": ["x"]})
    names_searched(tmp_path / "r", chat=NameChat(("b<w: rib & bon\nbat: x",)), evaluator=scorer)
    page = (tmp_path / "r" / REPORT).read_text("utf-8")
    new = (
        '<th scope="row">b&lt;w</th><td class="t">rib &amp; bon</td><td>later round</td><td class="n">20</td>'
    )
    assert new in page
    assert "b<w" not in page


@pytest.mark.parametrize("has_file", [False, True])
def test_new_names_are_exported(tmp_path: Path, has_file: bool) -> None:
    """A line ``CLASS=NAME`` each, or all in the order of a file that the user gave."""
    (tmp_path / "own.txt").write_text("bat\nbow\nclub\nhorn\nseal\n")
    names_searched(tmp_path / "r", **({"class_names": tmp_path / "own.txt"} if has_file else {}))
    lines = export(tmp_path / "r", "class-names").read_text("utf-8").splitlines()
    in_order = ["baseball bat", "bow", "club", "trumpet", "stamp"]
    assert lines == in_order if has_file else dict(line.split("=") for line in lines) == CHOSEN


class Killed(NameChat):
    """Before each answer, copies the run as a kill would leave it, into a folder of the number of answers.

    Attributes:
        predicted: What was predicted before each copy.
    """

    def __init__(self, run_dir: Path, copies: Path, evaluator: NamingBox, **more: Any) -> None:
        super().__init__(**more)
        self._run_dir, self._copies = run_dir, copies
        self._evaluator = evaluator
        self.predicted: list[set[tuple[str, str]]] = []

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        shutil.copytree(self._run_dir, self._copies / str(len(self.asked)))
        self.predicted.append(set(few_shot_renamings(self._evaluator)))
        return await super().chat(request)


def few_shot_renamings(evaluator: NamingBox) -> list[tuple[str, str]]:
    """Template and renaming of each prediction of training images."""
    return [
        (template, json.dumps(renaming))
        for template, (split, renamings) in zip(evaluator.asked_in, evaluator.asked, strict=True)
        for renaming in renamings
        if split == "train"
    ]


@pytest.mark.parametrize("reading", [UNKNOWN, "bat: baseball bat\nhorn: trumpet\nseal: stamp"])
def test_a_killed_run_resumes_to_the_same_bytes(tmp_path: Path, reading: str) -> None:
    """After any number of answers; those and predictions on disk are neither asked nor computed again."""
    first = box()
    killed = Killed(tmp_path / "r", tmp_path, first, reading=reading)
    whole = names_searched(tmp_path / "r", chat=killed, evaluator=first)
    source = LATER_ROUND if reading == UNKNOWN else FIRST_READING
    assert whole.best.name_sources == dict.fromkeys(CHOSEN, source)
    names, classes = whole.best.class_names or {}, first.info.class_names
    chosen = json.dumps({label: names[name] for label, name in enumerate(classes) if name in names})
    assert len(killed.predicted) == 5
    for after in (0, 1, 3):
        evaluator, chat = box(), NameChat(ANSWERS[max(0, after - 1) :], reading=reading)
        again = resumed(tmp_path / str(after), chat=chat, evaluator=evaluator)
        assert len(chat.asked) == 5 - after
        for member in ("best", "recommended", "rejected", "names_read"):
            assert getattr(again, member) == getattr(whole, member)
        # The request in flight may have been billed.
        assert again.usage.calls == whole.usage.calls + 1
        assert name_events(tmp_path / str(after)) == name_events(tmp_path / "r")
        # Of the few-shot images, the killed run's first rounds are not predicted again, but for the result.
        asked = few_shot_renamings(evaluator)
        assert {renaming for _, renaming in killed.predicted[after] & set(asked)} <= {"{}", chosen}


def name_events(run_dir: Path) -> list[str]:
    """The events of names, without their times."""
    lines = map(json.loads, (run_dir / "events.jsonl").read_text("utf-8").splitlines())
    rows = [
        {name: value for name, value in line.items() if name != "time"}
        for line in lines
        if str(line["event"]).startswith("names.")
    ]
    return list(dict.fromkeys(json.dumps(row, sort_keys=True) for row in rows))


@pytest.mark.parametrize("calls", [1, 3])
def test_a_limit_in_the_middle_keeps_everything(tmp_path: Path, calls: int) -> None:
    """The names so far are in the stopped result, test stays closed, and a resume finishes the run."""
    evaluator = box()
    stopped = names_searched(tmp_path / "r", evaluator=evaluator, max_calls=calls)
    assert stopped.status == "stopped"
    assert stopped.limits == ("calls",)
    assert stopped.usage.calls == calls
    assert stopped.best.test is None
    assert all(split != "test" for split, _ in evaluator.asked)
    assert stopped.best.class_names == ({"bat": "baseball bat", "horn": "trumpet"} if calls == 3 else {})
    chat = NameChat(ANSWERS[calls - 1 :])
    done = resumed(tmp_path / "r", {"max_calls": 10}, chat=chat, evaluator=box())
    assert done.status == "finished"
    assert done.best.class_names == CHOSEN
    assert done.usage.calls == 5


@pytest.mark.parametrize(("named", "kept"), [(0.55, False), (0.7, True)])
def test_a_search_that_ends_early_has_no_names_that_are_worse_than_what_it_found(
    tmp_path: Path, named: float, kept: bool
) -> None:
    """Names that help a neutral template alone are left out at a limit."""
    scorer = Picky({"found": 0.65, "a photo": 0.45}, named={"a photo": named, "found": 0.5, "": 0.45})
    templates = ["found {}", "worse {}"]
    stopped = names_searched(tmp_path / "r", evaluator=scorer, initial=templates, max_calls=4)
    page = (tmp_path / "r" / REPORT).read_text("utf-8")
    assert stopped.status == "stopped"
    assert ("No new name was accepted so far." in page) is not kept
    assert stopped.best.template == ("a photo of a {}" if kept else "found {}")
    assert bool(stopped.best.class_names) is (ORIGINAL_NAMES in stopped.baselines) is kept


@pytest.mark.parametrize("fails_on", ["train", "test"])
def test_names_that_cannot_be_examined_in_the_end_are_examined_by_a_resume(
    tmp_path: Path, fails_on: str
) -> None:
    """The run ends, as wherever a scorer fails, and nothing is asked again."""

    class Fails(NamingBox):
        examined = False

        def examine(self, *arguments: Any, test: bool = True) -> Any:
            self.examined |= test
            return super().examine(*arguments, test=test)

        def predict_named(self, *arguments: Any, split: str) -> Predictions:
            if self.examined and split == fails_on:
                raise OSError("the disk is gone")
            return super().predict_named(*arguments, split=split)

    with pytest.raises(PromptclimbError, match="the disk is gone"):
        names_searched(tmp_path / "r", evaluator=Fails(good=GOOD))
    chat = NameChat()
    done = resumed(tmp_path / "r", chat=chat, evaluator=box())
    assert chat.asked == []
    assert done.best.test is not None
    assert done.best.class_names


@pytest.mark.parametrize(("fails_on", "read"), [(1, False), (2, True)])
def test_a_request_without_an_answer_costs_its_round(tmp_path: Path, fails_on: int, read: bool) -> None:
    """The first one asks what the classes are; the search goes on, and the skipped request is counted."""
    chat, events = NameChat(fail_on=fails_on), list[Event]()
    result = names_searched(tmp_path / "r", chat=chat, on_event=events.append, retry_attempts=1)
    assert (result.status, result.skipped) == ("finished", 1)
    assert (result.names_read is not None) == any(isinstance(event, NamesRead) for event in events) == read
    assert result.best.class_names


def test_it_ends_early_when_nothing_new_comes(tmp_path: Path) -> None:
    """Two rounds in a row without a new name."""
    chat = NameChat(("bat: cricket bat", "bat: cricket bat", "I do not know.", "bow: ribbon"))
    result = names_searched(tmp_path / "r", chat=chat, name_rounds=9)
    assert len(chat.rounds) == 3
    assert result.best.class_names == {}
    assert ORIGINAL_NAMES not in result.baselines


def test_it_asks_nobody_when_every_class_is_right(tmp_path: Path) -> None:
    """There is nothing to gain."""

    class Perfect(NamingBox):
        def _predicted(self, template: str, renaming: Any, split: str) -> tuple[int, ...]:
            return self._labels(split)

    chat = NameChat()
    result = names_searched(tmp_path / "r", chat=chat, evaluator=Perfect())
    assert chat.asked == []
    assert result.best.class_names == {}
    assert result.status == "finished"


def test_a_small_model_is_asked_class_by_class(tmp_path: Path) -> None:
    """One short request for each class with a wrong image."""
    chat = ShortChat()
    result = names_searched(tmp_path / "r", chat=chat, llm="fake-1b", name_rounds=1)
    readings, rounds = chat.contents[:5], chat.contents[5:]
    assert sorted(rounds) == sorted(("bat", "bow", "club", "horn", "seal"))
    assert readings[0] == "bat, bow, club, horn, seal\nWhat is 'bat'?"
    assert readings[3] == "horn, bat, bow, club, seal\nWhat is 'horn'?"
    assert result.best.class_names is not None
    assert result.best.class_names["horn"] == "trumpet"


class ShortChat(NameChat):
    """Answers a request about one class with names, and does not know what a class is."""

    @property
    def contents(self) -> list[str]:
        """The last message of each request."""
        return [str(request.messages[-1]["content"]) for request in self.asked]

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        """Answer after a second."""
        self.asked.append(request)
        await virtual_sleep(1)
        word = str(request.messages[-1]["content"])
        names = {"bat": "- baseball bat\n- cricket bat", "horn": "- trumpet"}
        known = f"- {word} of wood" if "What is" not in word else "?"
        return ChatAnswer(text=names.get(word, known))


def test_the_llm_of_the_method_and_of_the_names_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A method with an LLM asks first; an extended run keeps the answers about its first template."""
    chat = NameChat(("- a drawing of a {}\n- an icon of a {}", *ANSWERS))
    result = names_searched(tmp_path / "r", chat=chat, method="pn", initial=4, name_rounds=2)
    assert result.usage.calls == len(chat.asked) == 4
    assert main(["transcript", str(tmp_path / "r")]) == 0
    headings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("##")]
    assert headings == [
        "## Restart 1",
        "### Restart 1, conversation 1, round 1",
        "## Class names",
        "### Class names, first reading",
        "### Class names, round 1",
        "### Class names, round 2",
    ]
    again = resumed(tmp_path / "r", {"restarts": 2}, chat=NameChat(), evaluator=box())
    assert again.status == "finished"
    assert again.usage.replayed >= 1


def test_a_scorer_that_cannot_rename_is_refused_at_once(tmp_path: Path) -> None:
    """The message says what to implement; nothing is asked and no folder is left. Nor is a blind search."""
    chat = NameChat()
    with pytest.raises(ConfigError, match=r"predict_named\(template, renamings, split\)"):
        searched(config(tmp_path / "r"), chat=chat)
    assert chat.asked == []
    assert not (tmp_path / "r").exists()
    with pytest.raises(ConfigError, match="leave `blind = true` out"):
        config(tmp_path, blind=True)


@pytest.mark.parametrize(("paid", "each"), [(False, 105), (True, 2 * MOST_LINES_ASKED // 5)])
def test_without_an_llm_names_are_made_of_kinds_of_things(tmp_path: Path, paid: bool, each: int) -> None:
    """All at once in an order drawn by the seed; where a scorer is paid, as many as two rounds would ask for.

    Those that gain are in the log; there is no request.
    """
    events: list[Event] = []
    settings = config(tmp_path / "r", llm=None, initial=4, name_rounds=2)
    reader = NameReader(NamingBox().info.class_names, "a photo of a {}")
    names, of_horn = (reader.kind_names(label, random.Random(f"{settings.seed} {label}")) for label in (0, 3))
    good = {"bat": names[:1], "horn": of_horn[:1]}
    evaluator = NamingBox(good=good)
    evaluator.info = replace(evaluator.info, paid=paid)
    result = run_virtual(search(settings, custom_scorer=evaluator, on_event=events.append))
    assert result.best.class_names == {name: of_kinds[0] for name, of_kinds in good.items()}
    assert result.best.name_sources == dict.fromkeys(good, COMMON_WORDS)
    tried = [
        renaming[0] for _, renamings in evaluator.asked for renaming in renamings if list(renaming) == [0]
    ]
    assert list(dict.fromkeys(tried)) == names[:each]
    scored = [event for event in events if isinstance(event, NameScored)]
    assert {event.new_name for event in scored} >= set(result.best.class_names.values())
    assert all(event.gained > event.lost for event in scored)
    (finished,) = (event for event in events if isinstance(event, NameRoundFinished))
    assert finished.position.round == 1
    assert (result.usage.calls, result.names_read) == (0, None)


class Limited(NamingBox):
    """Reads at most so many new names at once; below none, it rejects every template."""

    most = 0

    def predict_named(
        self, template: str, renamings: Sequence[Mapping[int, str]], *, split: str
    ) -> Predictions:
        if self.most < 0:
            raise TemplateRejectedError(template, "too_many_tokens", "it is too long")
        answer = super().predict_named(template, renamings, split=split)
        pairs = zip(renamings, answer.predicted, strict=True)
        return Predictions(
            answer.labels, tuple(None if len(names) > self.most else labels for names, labels in pairs)
        )


@pytest.mark.parametrize("most", [-1, 0, 1])
def test_a_scorer_that_cannot_read_the_names_costs_the_names_alone(tmp_path: Path, most: int) -> None:
    """The template that was found is the result; where none can be read, nobody is asked."""
    chat, evaluator = NameChat(), Limited(good=GOOD)
    evaluator.most = most
    result = names_searched(tmp_path / "r", chat=chat, evaluator=evaluator)
    assert result.status == "finished"
    assert len(chat.asked) == (0 if most < 0 else 5)
    assert result.best.template == result.leaderboard[0].template
    assert len(result.best.class_names or ()) <= max(most, 0)


def test_images_without_an_answer_are_taken_for_no_class(tmp_path: Path) -> None:
    """A request names only what an image is taken for."""

    class Silent(NamingBox):
        def _predicted(self, template: str, renaming: Any, split: str) -> tuple[int, ...]:
            return tuple(UNREADABLE if label == 0 else label for label in self._labels(split))

    chat = NameChat()
    names_searched(tmp_path / "r", chat=chat, evaluator=Silent(), name_rounds=1)
    assert "- bat: 0 of 10; taken for nothing" in str(chat.rounds[0].messages[-1]["content"])


@pytest.mark.parametrize("reads", [False, True])
@pytest.mark.parametrize(
    ("classes", "most_read"), [(150, 120), pytest.param(1000, MOST_READ, marks=pytest.mark.slow)]
)
def test_very_many_classes_are_asked_for_some_at_a_time(
    classes: int, most_read: int, reads: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests are bounded, other classes come in each round, and a round takes seconds."""
    monkeypatch.setattr("promptclimb.agent.search.name_search.MOST_READ", most_read)

    class Many(NamingBox):
        @cache  # noqa: B019 - both live as long as this test
        def _unnamed(self, split: str) -> tuple[int, ...]:
            return tuple(label if label % 3 else (label + 1) % classes for label in self._labels(split))

        def _predicted(self, template: str, renaming: Mapping[int, str], split: str) -> tuple[int, ...]:
            predicted = list(self._unnamed(split))
            for label in (label for label, name in renaming.items() if name.startswith("better")):
                predicted[label::classes] = self._labels(split)[label::classes]
            return tuple(predicted)

    class Everyone(NameChat):
        async def chat(self, request: ChatRequest) -> ChatAnswer:
            self.asked.append(request)
            content = str(request.messages[-1]["content"])
            shown = re.findall("^- ([^:\n]+)", content, re.MULTILINE)
            is_reading = "Say what each" in content
            assert len(shown) <= (READ_AT_ONCE if is_reading else MOST_CLASSES)
            if not is_reading:
                self.rounds.append(request)
            elif not reads:
                return ChatAnswer(text=UNKNOWN)
            return ChatAnswer(text="\n".join(f"{name}: better {name}" for name in shown))

    chat, evaluator = Everyone(), Many([f"thing {number}" for number in range(classes)], shots=2)
    began = time.process_time()
    # As many rounds as repair the share of the errors that so many names must.
    result = names_searched(tmp_path / "r", chat=chat, evaluator=evaluator, initial=2, name_rounds=4)
    assert time.process_time() - began < 60
    assert len(chat.asked) - len(chat.rounds) == most_read / READ_AT_ONCE
    # Of the wrong classes all are read, or as many as may be; the others come in rounds.
    read = most_read if reads else 0
    left = max(0, -(-classes // 3) - read)
    assert len(chat.rounds) == min(4, -(-left // MOST_CLASSES))
    assert len(result.best.class_names or {}) == read + min(left, 4 * MOST_CLASSES)
    assert max(len(str(request.messages)) for request in chat.asked) < 20_000
    renamed = few_shot_renamings(evaluator)
    texts = {(template, name) for template, names in renamed for name in json.loads(names).values()}
    assert len(texts) < 3 * MOST_TEXTS


RECORDED = ROOT / "tests" / "data" / "class_names" / "shared-names.txt"
"""Names that a strong LLM proposed for a bundled set in three rounds, an empty line between them."""


@pytest.mark.slow
def test_names_of_a_strong_llm_gain_on_a_bundled_set(tmp_path: Path) -> None:
    """A real CLIP on classes whose names mean several things: the gain holds on test images."""
    rounds = RECORDED.read_text("utf-8").split("\n\n")
    contents: list[str] = []

    class Recorded:
        def chat(self, messages: list[dict[str, str]]) -> str:
            content = messages[-1]["content"]
            if "Say what each of these classes is" in content:
                return UNKNOWN
            contents.append(content)
            return rounds[len(contents) - 1]

    (tmp_path / "start.txt").write_text("a photo of a {}\na {}\n")
    write("shared-names", tmp_path / "shared-names")
    settings = SearchConfig(
        data=str(tmp_path / "shared-names"), model="RN-pico", pretrained="pico", shots=8, augmentations=0,
        llm="x",
        method="random", restarts=1, conversations=1, rounds=1, proposals=1, initial=tmp_path / "start.txt",
        name_rounds=3,
        search_for="class-names", run_dir=tmp_path / "r",
        describe="small cartoon pictures of things that people make",
    )  # fmt: skip
    result = asyncio.run(search(settings, chat=Recorded()))
    assert result.recommended.over[ORIGINAL_NAMES].points > 5
    assert result.recommended.over[ORIGINAL_NAMES].sign == 1
    assert "What the pictures show: small cartoon pictures" in contents[0]
    written = export(tmp_path / "r", "cupl").read_text("utf-8")
    for old, new in (result.best.class_names or {}).items():
        assert json.loads(written)[old] == [result.best.template.replace("{}", new)]
    named = settings.model_copy(update={"class_names": export(tmp_path / "r", "class-names")})
    again = open_evaluator(named).examine([[result.best.template]], test=True)[0]
    assert again is not None
    assert again.test == result.best.test
    vectors = load(export(tmp_path / "r", "safetensors").read_bytes())["classifier"]
    assert vectors.shape[0] == 12
