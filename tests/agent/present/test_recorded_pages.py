"""What is said of runs: one recorded page for each kind, on the terminal, in the report and by ``status``."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from promptclimb.agent.cli.main import main
from promptclimb.agent.events import types
from promptclimb.agent.events.types import Event
from promptclimb.agent.position import NAMES, Position
from promptclimb.agent.present.page import render
from promptclimb.agent.present.terminal import Display, LiveProgress, print_result
from promptclimb.agent.results.accuracies import WITHOUT_SEARCH
from promptclimb.agent.results.details import Decisions, Details, Picture, write_details
from promptclimb.agent.results.gain import differences, verdict_of, with_warnings
from promptclimb.agent.results.history import RunView, view_of
from promptclimb.agent.results.result import (
    COMMON_WORDS,
    EMPTY,
    FIRST_READING,
    NOTHING_USABLE,
    ApiUsage,
    Best,
    Dataset,
    GroupAccuracies,
    Llm,
    Model,
    ReadNames,
    Recommended,
    SearchResult,
    Sizes,
    Usage,
    WithImages,
    WithoutSearch,
    words_of,
)
from promptclimb.agent.results.run_dir import write_result
from promptclimb.evaluator.pico.models import TOY_MODEL, toy_model_note
from promptclimb.evaluator.scoring import ClassAccuracy, Confusion, Form, Inspection
from tests.fakes.small_result import row, small_result
from tests.recorded import check_page, text_of

LABELS = (0, 1, 2) * 20
LLM = Llm(model="l", base_url=None)
USAGE = Usage(
    calls=9, failed_calls=2, retries=2, prompt_tokens=900, completion_tokens=100, cached_tokens=640,
    reasoning_tokens=70, cost_usd=1.5, estimated_tokens=42_839, estimated_usd=0.25,
)  # fmt: skip
SCORER = ApiUsage(calls=1840, retries=3, prompt_tokens=240_000, completion_tokens=8749, cost_usd=0.042)
DATA = Dataset(name="birds", classes=3, shots=2, seed=7, sizes=Sizes(train=6, val=3, test=60))


def predictions(wrong: int) -> tuple[int, ...]:
    """Decisions on the test images, the first so many of which are wrong."""
    return tuple((label + (image < wrong)) % 3 for image, label in enumerate(LABELS))


def averages(text: str, *more: str, test: float | None, train: float = 0.5) -> GroupAccuracies:
    """Templates with their accuracies."""
    return GroupAccuracies(templates=(text, *more), train=train, val=1 / 3, test=test)


def measured(
    prompts: str, form: Form, wrong_by_name: Mapping[str, tuple[str, int]], *, remark: str = ""
) -> tuple[dict[str, GroupAccuracies], Recommended]:
    """Templates with their accuracies, and the form to use; each is wrong on the first so many images."""
    groups = {name: averages(text, test=1 - wrong / 60) for name, (text, wrong) in wrong_by_name.items()}
    if WITHOUT_SEARCH in groups:
        groups[WITHOUT_SEARCH] = WithoutSearch(
            **asdict(groups[WITHOUT_SEARCH]), name="default template", images=9
        )
    hits = {name: [image >= wrong for image in range(60)] for name, (_, wrong) in wrong_by_name.items()}
    recommended = Recommended(form=form, test=None)
    over = differences(recommended.name, groups, hits, images=60, renamed=bool(remark))
    plain = {name: groups[name] for name in ("texts", "default template") if name in groups}
    texts_over = differences("texts", plain, hits, images=60) if form == "with_images" else {}
    test = groups[recommended.name].test
    recommended = replace(recommended, test=test, over=over, texts_over=texts_over)
    verdict = verdict_of(recommended, groups, remark, words_of(prompts))
    return groups, replace(recommended, verdict=verdict)


def finished(prompts: str = "template", slot: str = "{}", **changes: Any) -> tuple[SearchResult, Details]:
    """A finished run on 60 test images: of templates, a classifier with images; else the best candidate."""
    baselines = {
        "default template": (f"a {slot}", 30), "best hand-made": (f"the {slot}", 15),
        "best starting template": (f"my {slot}", 8),
    }  # fmt: skip
    averaged = prompts != "instruction"
    learnt = (
        {"texts": ("both {}", 5), "with_images": ("both {}", 3), WITHOUT_SEARCH: ("a {}", 20)}
        if averaged
        else {"texts": (f"a good {slot}", 6)}
    )
    wrong_by_name = {"best": (f"a good {slot}", 6), **learnt, **baselines}
    groups, recommended = measured(prompts, "with_images" if averaged else "template", wrong_by_name)
    best = groups["best"]
    texts = averages(
        *best.templates, *[f"my {slot}", *best.templates, f"one {slot}"] * averaged, test=groups["texts"].test
    )
    with_images = (
        WithImages(templates=texts.templates, train=0.75, val=1 / 3, test=0.95, images=9, strength=1.0)
        if averaged
        else None
    )
    decisions = Decisions(
        image_set="set", classes=("auk", "bat", "cow"), labels=LABELS,
        predicted={name: predictions(wrong) for name, (_, wrong) in wrong_by_name.items()},
    )  # fmt: skip
    classes = tuple(
        ClassAccuracy(name, images=20, correct=20 - (label < 3) * 2)
        for label, name in enumerate(decisions.classes)
    )
    board = (
        row(1, best.templates[0], 1 / 3, train=0.75, conversation=1, round=2, source="llm", copies=0.375),
        row(2, f"my {slot}", 2 / 3, source="initial", copies=0.5),
        row(3, f"one {slot}", 1 / 3, train=0.25, conversation=1, round=1, source="combine"),
        row(4, f"few {slot}", train=1.0, conversation=1, round=1, source="llm", images=2, estimate=0.25),
    )
    result = small_result(
        dataset=DATA, llm=LLM, usage=USAGE, prompts=prompts, recommended=recommended,
        leaderboard=board, evaluated=4,
        best=Best(template=best.templates[0], train=0.75, val=1 / 3, test=best.test),
        texts=texts, with_images=with_images, without_search=groups.get(WITHOUT_SEARCH),
        baselines={name: groups[name] for name in baselines},
        inspection=Inspection(classes=classes,
            confusions=(Confusion("auk", "bat", 2), Confusion("bat", "cow", 2), Confusion("cow", "auk", 2)),
        ),
        rejected={"too_many_proposals": 57, "no_slot": 1, "of_their_own": 1}, skipped=1,
        budget={"calls": 11.0, "cost_usd": 0.5, "minutes": 2.25},
        notes={"split": "made by rule", "skipped_images": {"train": {"images": 2, "which": ["a", "b"]}}},
        **changes,
    )  # fmt: skip
    pictures = (Picture(true="auk", before="bat", after="auk", name="1.png", jpeg="AA=="),)
    return result, Details(decisions=decisions, baseline="default template", pictures=pictures)


def with_names() -> tuple[SearchResult, Details]:
    """A run that found new class names, one of which hurts its class."""
    result, details = finished("class-names")
    assert details.decisions is not None
    new = {"auk": "great auk", "bat": "baseball bat"}
    before = tuple(2 if image in (0, 3, 6) else label for image, label in enumerate(LABELS))
    after = tuple(2 if image in (1, 4) else label for image, label in enumerate(LABELS))
    decisions = replace(details.decisions, predicted={"best": after, "original names": before})
    original = {"original names": averages("a {}", test=57 / 60)}
    classes = tuple(
        ClassAccuracy(name, images=20, correct=20 - 2 * (name == "bat")) for name in decisions.classes
    )
    wrong_by_name = {
        "best": ("a {}", 2), "texts": ("a {}", 2), "original names": ("a {}", 3),
        "default template": ("a photo of a {}", 3), WITHOUT_SEARCH: ("a photo of a {}", 4),
    }  # fmt: skip
    groups, recommended = measured(
        "class-names", "template", wrong_by_name, remark=", with 2 new class names"
    )
    named = replace(
        result, best=replace(
            result.best, test=58 / 60, class_names=new,
            name_sources={"auk": FIRST_READING, "bat": COMMON_WORDS},
        ),
        names_read=ReadNames(names={"auk": "great auk", "cow": "<b>cattle"}, classes=3, taken=True),
        baselines={**original, **result.baselines},
        inspection=Inspection(classes=classes, confusions=(Confusion("bat", "cow", 2),)),
        with_images=None,
        texts=averages(result.best.template, test=58 / 60),
        recommended=recommended, without_search=groups[WITHOUT_SEARCH],
    )  # fmt: skip
    return named, replace(details, decisions=decisions, pictures=())


def plain(**changes: Any) -> tuple[SearchResult, Details]:
    """A small result without details."""
    return small_result(**changes), Details()


def custom_scorer() -> tuple[SearchResult, Details]:
    """Numbers that are no accuracies, of an evaluator that says nothing of its images."""
    return plain(
        dataset=Dataset(name="ads", classes=0, shots=16, seed=1, sizes=Sizes()),
        leaderboard=(row(1, "a {}", train=-70.5), row(2, "one {}", train=-7000.0)),
        best=Best(template="a {}", train=-70.5, val=None, test=None),
        texts=averages("a {}", test=None, train=-70.5),
        recommended=Recommended(form="template", test=None),
        baselines={"default template": averages("a {}", test=None, train=-7000.0)},
    )


STOPPED = {
    "status": "stopped", "stop_reason": "9 calls", "limits": ("calls",), "llm": LLM, "usage": USAGE,
    "best": Best(template="a {}", train=0.5, val=None, test=None), "objective": "margin",
    "texts": GroupAccuracies(templates=("a {}", "one {}"), train=0.5, test=None),
    "recommended": Recommended(form="texts", test=None),
    "notes": {EMPTY: "no template could be read in 3 of 9 answers"},
}  # fmt: skip
RUNS = {
    "templates": finished(),
    "instructions": finished("instruction", "{classes}", scorer_usage=SCORER),
    "class-names": with_names(),
    "stopped": plain(**STOPPED),
    "custom-scorer": custom_scorer(),
}  # fmt: skip
WARNED = {
    "toy-model": plain(
        notes={TOY_MODEL: toy_model_note("RN-pico")}, model=Model(name="RN-pico", pretrained="pico"),
        recommended=Recommended(form="texts", test=0.5, verdict="Use the texts"),
    ),
    "at-chance": plain(
        dataset=replace(DATA, sizes=Sizes(train=6, test=49)),
        best=Best(template="a {}", train=0.5, val=None, test=0.365),
        recommended=Recommended(form="template", test=0.365, verdict="Use the best template"),
    ),
    "no-answer": plain(notes={NOTHING_USABLE: "the LLM gave no answer"}, llm=LLM),
}  # fmt: skip


NAMED: list[Event] = [
    types.NamesRead(position=Position(NAMES, 1), read=2, classes=3, taken=False, right=4, images=9),
    types.NameRoundFinished(position=Position(NAMES, 1, 1), renamed=1, right=5, images=9),
    types.NameRoundFinished(position=Position(NAMES, 1, 2), renamed=2, right=6, images=9),
    types.NamesChosen(renamed=2, right=7, images=9),
]
"""The rounds of a search for class names."""


@pytest.mark.parametrize("name", RUNS)
def test_what_is_said_of_a_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table and the lines at its end, the report, and its state."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["promptclimb"])
    result, details = RUNS[name]
    result = with_warnings(result)
    run_dir = tmp_path / "run"
    (run_dir / "store").mkdir(parents=True)
    write_result(run_dir, result)
    write_details(run_dir, details)
    (run_dir / "config.toml").write_text("shots = 2\n")
    if name == "class-names":
        lines = [{"time": "2026-08-01T00:00:00Z", "event": event.name, **event.fields()} for event in NAMED]
        (run_dir / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    stream = io.StringIO()
    print_result(Console(file=stream, width=100), result, Path("run"))
    assert main(["status", "run"]) == 0
    text, state = stream.getvalue(), capsys.readouterr().out
    report = text_of(render(view_of(run_dir)))
    check_page(f"run-{name}", f"# terminal\n\n{text}\n# status\n\n{state}\n# report.html\n\n{report}")


@pytest.mark.parametrize(
    ("name", "on_both", "advice"),
    [
        ("toy-model", "so it says nothing about a real one", "Search again with a real model"),
        ("at-chance", "may be no better than chance", "Do not use it yet"),
        ("no-answer", "the LLM gave no answer", "Use another LLM"),
    ],
)
def test_what_must_be_known_of_a_result_stands_in_the_terminal_and_on_the_page(
    name: str, on_both: str, advice: str
) -> None:
    """And in result.json, where it limits the verdict; the page says what to do."""
    result, details = WARNED[name]
    result = with_warnings(result)
    assert (on_both in result.dumps()) or not result.recommended.verdict
    stream = io.StringIO()
    print_result(Console(file=stream, width=200), result, Path("run"))
    page = text_of(render(RunView(run_dir=Path("run"), state="finished", result=result, details=details)))
    assert on_both in stream.getvalue()
    assert on_both in page
    assert advice in page


STARTED = types.SearchStarted(
    run_dir="r", dataset="dice", classes=3, model="m", llm="l", method="guided", restarts=2, rounds=8,
    resumed=False,
)  # fmt: skip
ENDPOINT: dict[str, Any] = {"endpoint": "http://h/v1"}
PLACE = Position(1, 1, 1)


def used(kind: type[types.UsageEvent], done: int, **left: float) -> types.UsageEvent:
    """The usage of the LLM or of the scorer."""
    return kind(
        calls=done, failed_calls=3, retries=2, prompt_tokens=123_456, completion_tokens=234_567,
        cost_usd=1.25, estimated_tokens=42_839, left=left,
    )  # fmt: skip


def scored(text: str, train: float, **more: Any) -> types.TemplateScored:
    """A candidate with its score."""
    return types.TemplateScored(
        position=PLACE, template=text, train=train, val=None, improved=False, source="llm", **more
    )


def answered(position: Position = PLACE, *, replayed: bool = False) -> types.AnswerReceived:
    """An answer of the LLM."""
    return types.AnswerReceived(position=position, replayed=replayed, prompt_tokens=1, completion_tokens=1)


def session(prompts: str) -> list[Event]:
    """Everything that may happen in a search, in its order."""
    return [
        types.Noted(text="a fact"),
        types.ModelFetched(model="x.gguf", source="hub", done=3_000_000, of=9_000_000),
        types.ImagesEncoded(done=64, of=192),
        replace(STARTED, prompts=prompts),
        types.DefaultTemplateScored(template="a photo of a {}", train=0.375, val=None),
        types.StartingTemplatesDrawn(position=Position(1), templates=6),
        types.BatchScored(templates=8, seconds=0.5, waiting=3),
        scored("a {}", 0.5),
        types.StartingTemplatesScored(position=Position(1), templates=5, best="a {}", train=0.5),
        used(types.UsageChanged, 7, calls=3, minutes=2.5, cost_usd=0.45),
        used(types.ScorerUsageChanged, 900, scorer_calls=100, cost_usd=0.27),
        types.ChatFailed(**ENDPOINT, error="E", message="too many requests\x1b[2J", billed=False),
        types.RetryScheduled(**ENDPOINT, attempt=1, wait_s=12.4, reason="rate_limited"),
        answered(),
        types.AnswerEmpty(position=PLACE, cut=False),
        scored("b {}", 0.625),
        scored("few {}", 1.0, images=2, estimate=0.25),
        types.RoundFinished(position=PLACE, best="b {}", train=0.625),
        types.Paused(**ENDPOINT, wait_s=30),
        types.Paused(**ENDPOINT, asked_s=3600.0, wait_s=120.0),
        types.RoundSkipped(position=Position(1, 1, 2), reason="http://h answers 500"),
        types.RoundSkipped(position=Position(1, 1, 3), reason="http://h answers 500"),
        types.UsageMissing(**ENDPOINT),
        types.AnswerTokensRaised(**ENDPOINT, before=512, now=2048),
        types.ListenerFailed(listener="Mine", error="KeyError: 'x'"),
        types.EvaluationStarted(images=36),
        used(types.ScorerUsageChanged, 936, scorer_calls=64, cost_usd=0.27),
        answered(Position(NAMES, 1, 2, sample=4)),
        types.NamesRead(position=Position(NAMES, 1), read=0, classes=12, taken=False, right=90, images=240),
        types.NamesRead(position=Position(NAMES, 1), read=11, classes=12, taken=True, right=120, images=240),
        types.NameRoundFinished(position=Position(NAMES, 1, 2), renamed=9, right=140, images=240),
        types.NamesChosen(renamed=10, right=149, images=240),
        types.SearchStopped(reason="7 calls"),
    ]


@pytest.mark.parametrize("prompts", ["instruction"])
def test_what_is_said_of_a_search_that_runs(prompts: str) -> None:
    """Each event as lines, then the panel, in the noun of what is searched for."""
    text = ""
    for width, terminal in ((200, False), (80, True)):
        stream, ticks = io.StringIO(), itertools.count(step=2)
        console = Console(file=stream, force_terminal=terminal, width=width, color_system=None)
        display = Display(console, clock=lambda ticks=ticks: float(next(ticks)))  # type: ignore[misc]
        for event in session(prompts):
            display(event)
            if terminal and isinstance(event, types.RoundFinished | types.SearchStopped):
                console.print(display._panel())
        assert "\x1b[2J" not in stream.getvalue()
        text += f"# {'terminal' if terminal else 'not a terminal'}\n\n{stream.getvalue()}\n"
    check_page(f"live-{prompts}s", text)


@pytest.mark.parametrize("state", ["live", "unfinished", "begun"])
def test_what_is_said_of_a_run_without_a_result(state: str) -> None:
    """From its log alone."""
    progress = LiveProgress()
    events = [] if state == "begun" else session("template")[:25]
    for event in events:
        progress.add(event)
    view = RunView(run_dir=Path("run"), state=state, progress=progress)
    check_page(f"report-{state}", text_of(render(view)))


def test_what_status_says_of_a_run_without_a_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what was used, what is left of each limit, and how to go on; alone and in the list."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["promptclimb"])
    for name, prompts, last in (("a", "template", 9), ("b", "instruction", 38)):
        folder = tmp_path / "runs" / name
        (folder / "store").mkdir(parents=True)
        lines = [
            {"time": "2026-08-01T00:00:00Z", "event": event.name, **event.fields()}
            for event in session(prompts)[:last]
        ]
        (folder / "events.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert main(["status", "runs/a"]) == main(["status", "runs/b"]) == 0
    single = capsys.readouterr().out
    assert main(["status"]) == 0
    listed = sorted(capsys.readouterr().out.splitlines())
    check_page("status-unfinished", "\n".join([single, *listed]))
