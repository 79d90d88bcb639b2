"""A search on the terminal: the panel, the lines and the final table."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from promptclimb.agent.events.types import (
    AnswerReceived,
    BatchScored,
    ChatFailed,
    DefaultTemplateScored,
    Event,
    ImagesEncoded,
    ModelFetched,
    NamesChosen,
    NamesRead,
    Noted,
    Paused,
    RestartFinished,
    RoundFinished,
    RoundSkipped,
    ScorerUsageChanged,
    SearchStarted,
    StartingTemplatesDrawn,
    StartingTemplatesScored,
    TemplateScored,
    UsageChanged,
)
from promptclimb.agent.position import Position
from promptclimb.agent.present.page import render
from promptclimb.agent.present.sentences import result_lines, unlike_labelled
from promptclimb.agent.present.terminal import Display, LiveProgress, print_result
from promptclimb.agent.results.history import RunView
from promptclimb.agent.results.result import Dataset, GroupAccuracies, Llm, SearchResult, Sizes, WithImages
from promptclimb.evaluator.scoring import BARE_NAME, BASELINE_DEFAULT, OPENAI_80
from tests.fakes.small_result import row, small_result
from tests.recorded import text_of

EVIL = "\x1b[2J[bold]a {}[/bold]\r\n"
STARTED = SearchStarted(
    run_dir="r", dataset="d", classes=3, model="m", llm="l", method="pn", restarts=2, rounds=8, resumed=False
)
HOSTILE = StartingTemplatesScored(position=Position(1), templates=5, best=EVIL, train=0.5)


USED = UsageChanged(
    calls=7, failed_calls=0, retries=0, prompt_tokens=900, completion_tokens=100, cost_usd=0.05,
    estimated_tokens=0,
    left={"calls": 3.0, "minutes": 2.5, "cost_usd": 0.45},
)  # fmt: skip
PAID = ScorerUsageChanged(
    calls=900, failed_calls=0, retries=0, prompt_tokens=0, completion_tokens=0, cost_usd=0.18,
    left={"scorer_calls": 100, "cost_usd": 0.27},
)  # fmt: skip


def over(round: int, train: float = 0.625, best: str = "b {}") -> RoundFinished:
    """A round of the first restart that is over."""
    return RoundFinished(position=Position(1, 1, round), best=best, train=train)


def scored(number: int, train: float = 0.5) -> TemplateScored:
    """A template of the first restart."""
    return TemplateScored(
        position=Position(1, 1, 1), template=f"{number} {{}}", train=train, val=None, improved=False,
        source="llm",
    )  # fmt: skip


def watched(*, terminal: bool) -> tuple[Display, io.StringIO]:
    """A display whose clock goes on by a second at each look."""
    stream = io.StringIO()
    ticks = itertools.count()
    console = Console(file=stream, force_terminal=terminal, width=100, color_system=None)
    return Display(console, clock=lambda: float(next(ticks))), stream


def timed(*, terminal: bool = False) -> tuple[Display, io.StringIO, list[float]]:
    """A display whose clock the test sets."""
    stream, now = io.StringIO(), [0.0]
    console = Console(file=stream, force_terminal=terminal, width=200, color_system=None)
    return Display(console, clock=lambda: now[0]), stream, now


def test_lines_are_few_and_say_what_was_used_and_what_is_left() -> None:
    """Without a terminal a line comes at most every five seconds, whatever happens in between."""
    display, stream = watched(terminal=False)
    with display:
        for event in [STARTED, USED, HOSTILE, *(scored(number) for number in range(40)), over(1)]:
            display(event)
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("searching d (3 classes) with m, LLM l, method pn: 2 restarts, 8 rounds")
    assert 4 <= len(lines) <= 1 + 65 / 5  # a line itself looks at the clock once more
    assert "7 of 10 calls, 1,000 tokens, $0.0500, 3 calls left, 2.5 minutes left, $0.4500 left" in lines[-1]


SEVERAL = replace(STARTED, llm=None, method="combine", restarts=4, rounds=48, most_templates=1_240)


def drawn(restart: int) -> StartingTemplatesDrawn:
    """A restart that begins."""
    return StartingTemplatesDrawn(position=Position(restart), templates=250)


@pytest.mark.parametrize("terminal", [False, True])
def test_several_restarts_are_counted_together(terminal: bool) -> None:
    """How many of how many restarts, rounds and templates are done, what is under way, and what remains."""
    display, stream, now = timed(terminal=terminal)
    with display:
        for event in (SEVERAL, *map(drawn, range(1, 5))):
            display(event)
        display(BatchScored(templates=1, seconds=0.1, waiting=0))
        now[0] = 10.0
        display(BatchScored(templates=619, seconds=10.0, waiting=0))
        display(replace(STARTING, position=Position(3)))
        now[0] = 16.0
        display(RestartFinished(position=Position(3), best="a {}", train=0.5))
    shown = stream.getvalue()
    assert "4 restarts, 48 rounds, at most 1,240 templates" in shown
    if not terminal:
        assert len(shown.splitlines()) == 3
        assert (
            "[0:10] 0 of 4 restarts and 0 of 48 rounds done, 620 of at most 1,240 templates scored" in shown
        )
        assert "to go" not in shown
        assert "; scoring the starting templates of 4 restarts" in shown
    assert "1 of 4 restarts and 0 of 48 rounds done" in shown
    assert "scoring the starting templates of 3 restarts" in shown


def test_a_round_has_a_line_at_most() -> None:
    """Within a slow round, a line a minute says that the search goes on."""
    display, stream, now = timed()
    for event in (SEVERAL, over(1)):
        display(event)
    for _ in range(13):
        now[0] += 5.0
        display(BatchScored(templates=1, seconds=5.0, waiting=0))
    lines = stream.getvalue().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == [
        f"[{clock}] 0 of 4 restarts and 1 of 48 rounds done" for clock in ("0:05", "1:05")
    ]


def test_a_scorer_behind_an_api_has_lines_within_a_round_too() -> None:
    """A round of it may take minutes, and its requests are counted."""
    display, stream, now = timed()
    for event in (SEVERAL, over(1)):
        display(event)
    for calls in range(1, 10):
        now[0] += 5.0
        display(replace(PAID, calls=calls))
    lines = stream.getvalue().splitlines()
    assert [line.split(",")[0].split("]")[0] for line in lines[1:]] == ["[0:15", "[0:30", "[0:45"]


def test_the_first_reading_of_class_names_is_said_once() -> None:
    """Behind an API it is read before templates are scored, and again after; a change is said."""
    display, stream, _now = timed()
    read = NamesRead(position=Position(0, 1), read=3, classes=4, taken=True, right=5, images=9)
    for event in (SEVERAL, read, over(1), read, replace(read, taken=False)):
        display(event)
    said = [line for line in stream.getvalue().splitlines() if "the LLM gave another name" in line]
    assert [line.partition("; ")[2] for line in said] == [
        "the search starts from its names",
        "used all at once, its names are no better than yours",
    ]


def test_no_line_on_the_progress_follows_the_final_class_names() -> None:
    """Theirs is the last of the search, also if one on the progress is due."""
    display, stream, now = timed()
    display(SEVERAL)
    now[0] = 24.0
    display(NamesChosen(renamed=7, right=90, images=104))
    now[0] = 25.0
    display(ImagesEncoded(done=9, of=9))
    last = stream.getvalue().splitlines()[-1]
    assert last == "class names: 7 new names kept, 90 of 104 labelled images correct"


def test_templates_that_never_come_are_not_planned_any_more() -> None:
    """Restarts may find the same templates, or end early: then fewer are scored than planned."""
    state = state_after(replace(SEVERAL, restarts=1), scored(1))
    assert state.evaluated == "1 of at most 1,240 templates scored"
    assert state.done == "0 of 48 rounds done"
    state.add(RestartFinished(position=Position(1), best="a {}", train=0.5))
    assert state.evaluated == "1 template scored"
    assert state.time_left(10.0) == []


def test_scores_that_are_no_accuracies_are_plain_numbers() -> None:
    """A custom scorer may score with any number."""
    for terminal in (False, True):
        display, stream = watched(terminal=terminal)
        low = TemplateScored(
            position=Position(1), template="a {}", train=-7000.0, val=None, improved=True, source="initial"
        )
        with display:
            for event in [
                STARTED,
                low,
                StartingTemplatesScored(position=Position(1), templates=1, best="a {}", train=-7000.0),
            ]:
                display(event)
            for number in range(9):
                display(Noted(text=f"fact {number}"))
        assert "-7000" in stream.getvalue()
        assert "%" not in stream.getvalue()


def test_without_an_llm_nothing_is_said_of_calls() -> None:
    """Nothing is asked, so nothing is spent."""
    display, stream = watched(terminal=False)
    for event in [replace(STARTED, llm=None), replace(USED, calls=0, left={}), HOSTILE, *[over(1)] * 6]:
        display(event)
    last = stream.getvalue().splitlines()[-1]
    assert "calls" not in last
    assert "tokens" not in last


def test_an_llm_that_is_asked_for_class_names_alone_is_said_to_be() -> None:
    """Beside the method, which asks none; one that asks it says no more."""
    display, stream = watched(terminal=False)
    display(STARTED)
    display(replace(STARTED, method="combine", prompts="class-names"))
    lines = " ".join(stream.getvalue().split())
    assert "method pn: 2 restarts" in lines
    assert "method combine, then class names by l: 2 restarts" in lines


def test_the_clock_runs_from_the_start_of_the_search() -> None:
    """As that of the result does: to open data and model is no active time."""
    display, stream, now = timed()
    now[0] = 3600.0
    display(STARTED)
    now[0] = 3665.0
    display(HOSTILE)
    assert "[1:05]" in stream.getvalue()
    assert display.opening_s == 3600.0
    print_result(Console(file=stream, width=100), small_result(), None, opening_s=display.opening_s)
    assert "s of active time, after 3,600 s of opening data and model\n" in stream.getvalue()


def test_what_is_scored_never_becomes_less() -> None:
    """Restarts report their starting templates one after another, and batches hold those of all."""
    state, counts = LiveProgress(started=STARTED), []
    batches = [BatchScored(templates=64, seconds=1.0, waiting=0)] * 3
    first = [replace(scored(number), position=Position(1)) for number in range(90)]
    second = [replace(scored(number), position=Position(2)) for number in range(80, 191)]
    for event in (
        DEFAULT,
        *batches,
        *first,
        STARTING,
        *second,
        replace(STARTING, position=Position(2)),
        over(1),
    ):
        state.add(event)
        counts.append(int(state.evaluated.split()[0]))
    assert counts == sorted(counts)
    assert counts[-1] == 191


def test_a_line_that_says_no_time_is_not_repeated() -> None:
    """Opening may take minutes in which nothing new is known."""
    display, stream = watched(terminal=False)
    for _ in range(30):
        display(ModelFetched(model="m", source="the hub", done=1_000_000, of=2_000_000))
    assert stream.getvalue() == "fetching m from the hub: 1 of 2 MB\n"
    display, stream = watched(terminal=False)
    for _ in range(30):
        display(BatchScored(templates=0, seconds=0.0, waiting=0))
    assert stream.getvalue() == ""


def test_a_pause_has_its_line_before_it() -> None:
    """Nothing happens in a pause, so a line that is due within it would never come."""
    display, stream, now = timed()
    display(STARTED)
    now[0] = 1.0
    display(Paused(endpoint="http://x", wait_s=3.0))
    assert "gets no requests" not in stream.getvalue()
    display(ChatFailed(endpoint="http://x", error="RateLimitedError", message="429: slow down", billed=False))
    display(Paused(endpoint="http://x", wait_s=30.0))
    assert "http://x gets no requests for 30 s (429: slow down)" in stream.getvalue()
    used = ScorerUsageChanged(
        calls=7, failed_calls=7, retries=0, prompt_tokens=0, completion_tokens=0, cost_usd=0.0,
        estimated_tokens=0, left={},
    )  # fmt: skip
    display(used)
    assert display.progress.waiting
    now[0] = 31.0
    display(replace(used, calls=8))
    assert display.progress.waiting == ""
    assert stream.getvalue().count("gets no requests") == 1


def test_a_line_on_a_terminal_is_broken_between_words() -> None:
    """The terminal itself would break it anywhere; what is piped stays one line."""
    text = "images are read as the search reads them, and encoded once for all templates that follow"
    for terminal in (True, False):
        stream = io.StringIO()
        Display(Console(file=stream, force_terminal=terminal, width=30, color_system=None))(Noted(text=text))
        lines = stream.getvalue().splitlines()
        assert [word for line in lines for word in line.split()] == text.split()
        assert (len(lines) > 1) == terminal


def test_nothing_of_the_llm_reaches_the_terminal_as_a_command() -> None:
    """Neither escape sequences nor markup of a template are obeyed."""
    for terminal in (False, True):
        display, stream = watched(terminal=terminal)
        with display:
            for event in [
                ImagesEncoded(done=1, of=2),
                STARTED,
                HOSTILE,
                over(1, best=EVIL),
                *map(scored, range(12)),
            ]:
                display(event)
            display(RoundSkipped(position=Position(1, 1, 2), reason=EVIL))
            display(RestartFinished(position=Position(1), best=EVIL, train=0.5))
        shown = stream.getvalue()
        assert "\x1b[2J" not in shown
        assert "[bold]a {}[/bold]" in shown


BEGUN = replace(STARTED, restarts=1, rounds=10)
DEFAULT = DefaultTemplateScored(template="a photo of a {}", train=0.375, val=None)
STARTING = StartingTemplatesScored(position=Position(1), templates=5, best="a {}", train=0.5)


def answered(*, replayed: bool = False) -> AnswerReceived:
    """An answer to the first restart."""
    return AnswerReceived(position=Position(1, 1, 1), replayed=replayed, prompt_tokens=1, completion_tokens=1)


def state_after(*events: Event) -> LiveProgress:
    """What is known after events."""
    state = LiveProgress()
    for event in events:
        state.add(event)
    return state


def test_the_best_so_far_and_its_gain() -> None:
    """Over the default and the best starting template; in points where scores are accuracies."""
    state = state_after(BEGUN, scored(1, 0.5), STARTING)
    assert state.gains_so_far == []
    for event in (scored(2, 0.25), scored(3, 0.625), over(1)):
        state.add(event)
    assert state.gains_so_far == ["12.5 points over the best starting template"]
    other = state_after(BEGUN, replace(STARTING, train=5.0), scored(1, 5.0), scored(2, 7.5), over(1, 7.5))
    assert other.gains_so_far[0] == "2.5 over the best starting template"


def test_the_time_left_is_that_of_what_was_measured_in_this_session() -> None:
    """What an earlier session did took no time now; before anything is measured nothing is said."""
    state = state_after(BEGUN, answered(replayed=True), over(1), answered(replayed=True), over(2))
    assert state.time_left(5.0) == []
    for event in (answered(), over(3)):
        state.add(event)
    assert state.time_left(10.0) == ["about 70 s of rounds to go"]
    assert state.time_left(60.0) == ["about 7 min of rounds to go"]
    for number in range(4, 11):
        state.add(over(number))
    assert state.time_left(60.0) == []


def test_without_an_llm_only_rounds_with_a_scorer_behind_an_api_say_how_long_the_others_take() -> None:
    """Others are of unlike length; after a resume, those on disk take no time."""
    batch = BatchScored(templates=4, seconds=1.0, waiting=0)
    state = state_after(replace(BEGUN, llm=None, most_templates=100), over(1), batch, over(2), batch, over(3))
    assert state.time_left(10.0) == []
    usage = ScorerUsageChanged(
        calls=9, failed_calls=0, retries=0, prompt_tokens=0, completion_tokens=0, cost_usd=0.0, left={}
    )
    state.add(usage)
    assert state.time_left(10.0) == ["about 35 s of rounds to go"]


def printed(result: SearchResult) -> str:
    """What is printed of a result, on one line a line."""
    stream = io.StringIO()
    print_result(Console(file=stream, width=100), result, None)
    return stream.getvalue()


def test_the_money_that_is_left_falls_as_the_scorer_is_paid() -> None:
    """The LLM's last word on it is older, or it has none to say."""
    state = LiveProgress()
    for event in (STARTED, USED, PAID):
        state.add(event)
    assert state.left == ["3 calls", "2.5 minutes", "$0.2700", "100 scorer calls"]
    # More than the limit allows would say nothing.
    state.add(replace(STARTED, most_scorer_calls=5_000))
    assert "of at most" not in state.spent[-1]
    state.add(replace(PAID, left={}))
    assert "900 of at most 5,000 calls" in state.spent[-1]
    assert state.spent[0] == "LLM: 7 of 10 calls, 1,000 tokens, $0.0500"
    state.add(replace(USED, left={**USED.left, "cost_usd": 0.25}))
    assert "$0.2500" in state.left


def test_the_llms_templates_are_counted_apart_from_those_without_a_call() -> None:
    """How many of the new ones are its own; nothing of a result that does not say, or without an LLM."""
    board = (
        row(1, source="llm"),
        row(2, source="combine"),
        row(3, source="combine"),
        row(4, source="initial"),
    )
    llm = Llm(model="l", base_url=None)
    asking = replace(small_result(leaderboard=board, llm=llm), method="guided")
    assert "The LLM proposed 1 of 3 new templates\n" in printed(asking)
    for_names_alone = replace(asking, method="combine")
    for other in (small_result(leaderboard=board), small_result(llm=llm), for_names_alone):
        assert "The LLM proposed" not in printed(other)


@pytest.mark.parametrize("new", [0.5, 0.4, None])
def test_rounds_that_improved_nothing_are_said_once_here_and_on_the_page(new: float | None) -> None:
    """Not where a round was better or where there was none; with another objective the order says it."""
    sentence = "No round found a template that scores higher on the training images than the best starting"
    starting = replace(row(1, source="initial"), train=0.5, conversation=0, round=0)
    later = replace(
        row(2, source="llm"), train=new or 0.9, images=None if new else 8, conversation=1, round=1
    )
    result = replace(small_result(leaderboard=(starting, later)), objective="accuracy")
    assert printed(result).count(sentence) == 1
    assert text_of(render(RunView(run_dir=Path("run"), state="finished", result=result))).count(sentence) == 1
    better = replace(result, leaderboard=(replace(later, train=0.6, images=None), starting))
    without_rounds = replace(result, leaderboard=(starting,))
    for other in (better, without_rounds, replace(result, objective="logprob")):
        assert sentence not in printed(other)
    of_others = "The best template is a starting one: no round found a better one"
    by_mean = replace(result, objective="class_mean")
    assert of_others in printed(by_mean)
    first = replace(later, rank=1, images=None)
    assert of_others not in printed(replace(by_mean, leaderboard=(first, replace(starting, rank=2))))
    # With new class names another template was best.
    assert of_others not in printed(replace(by_mean, best=replace(by_mean.best, template="another {}")))


def test_a_template_that_counts_twice_is_shown_once() -> None:
    """Its place among averaged templates is a weight."""
    for times, shown in ((2, "the shoe {} (counts twice)"), (3, "the shoe {} (counts 3 times)")):
        several = GroupAccuracies(
            templates=("the shoe {}", "b {}", "c {}", *["the shoe {}"] * (times - 1)), train=0.5, test=None
        )
        result = small_result(texts=several)
        lines = [line.split("│")[2].strip() for line in printed(result).splitlines() if "│" in line]
        assert lines[1:5] == [f"{times + 2} templates averaged:", shown, "b {}", "..."]


def test_many_published_templates_are_counted_and_not_shown() -> None:
    """What is listed is what the search found."""
    many = GroupAccuracies(templates=tuple(f"{n} {{}}" for n in range(80)), train=0.5, val=None, test=0.5)
    shown = printed(small_result(baselines={"OpenAI's 80 templates": many}))
    assert "80 templates averaged " in shown
    assert "0 {}" not in shown


def test_the_table_has_the_rows_of_the_report() -> None:
    """All, in the same order: those of new names in others' templates too."""
    group = GroupAccuracies(templates=("x {}",), train=0.5, val=None, test=0.5)
    names = (BASELINE_DEFAULT, "hand-made", BARE_NAME, "best hand-made", OPENAI_80, "new names, {}")
    images = WithImages(templates=("x {}",), train=0.5, test=0.5, images=4, strength=1.0)
    result = small_result(with_images=images, baselines=dict.fromkeys(names, group))
    cells = [line.split("│")[1].strip() for line in printed(result).splitlines() if "│" in line]
    titles = [row.title for row in result.accuracies.rows]
    assert [cell for cell in cells if cell in titles] == titles
    assert titles[-len(names) :] == list(names)


@pytest.mark.parametrize(
    ("held_out", "test", "images", "is_said"),
    [(0.9, 0.7, 200, True), (0.9, 0.82, 2_000, False), (0.9, 0.7, 20, False), (0.7, 0.9, 200, False)],
)
def test_test_images_unlike_the_labelled_ones_are_said(
    held_out: float, test: float, images: int, *, is_said: bool
) -> None:
    """Where far fewer of them are right than of the labelled images that were held out, and not by chance."""
    result = small_result(
        dataset=Dataset(name="d", classes=2, shots=1, seed=1, sizes=Sizes(train=images, val=0, test=images)),
        with_images=WithImages(templates=("{}",), train=held_out, test=test, images=images, strength=1.0),
    )
    said = unlike_labelled(result)
    assert bool(said) is is_said
    if is_said:
        assert "90 % of the labelled images are right when held out, 70 % of the test images" in said


def test_an_opening_without_a_terminal_has_few_lines_which_say_how_long_it_takes() -> None:
    """Each comes after twice the time; one says that all images are encoded."""
    display, stream, now = timed()
    with display:
        for second in range(201):
            now[0] = float(second)
            display(ImagesEncoded(done=10 * second, of=2_000, with_copies=True))
        now[0] = 400.0
        display(ImagesEncoded(done=2_000, of=2_000, with_copies=True))
        display(STARTED)
    assert stream.getvalue().splitlines()[:-1] == [
        "100 of 2,000 images encoded, augmented copies included, about 3 min to go",
        "200 of 2,000 images encoded, augmented copies included, about 3 min to go",
        "400 of 2,000 images encoded, augmented copies included, about 3 min to go",
        "800 of 2,000 images encoded, augmented copies included, about 2 min to go",
        "1,600 of 2,000 images encoded, augmented copies included, about 40 s to go",
        "2,000 images encoded, augmented copies included",
    ]


def test_augmented_copies_are_mentioned_only_where_images_have_some() -> None:
    """A search without labelled images has none."""
    display, stream, _now = timed()
    display(ImagesEncoded(done=9, of=9))
    display(STARTED)
    assert stream.getvalue().splitlines()[0] == "9 images encoded"


def test_another_template_that_is_as_good_is_no_progress() -> None:
    """Chance orders equal ones; the first stays until a better one is found."""
    progress = LiveProgress(started=STARTED)
    for event in (over(1, best="first {}"), over(2, best="as good {}")):
        progress.add(event)
    assert progress.best is not None
    assert progress.best.best == "first {}"
    progress.add(over(3, 0.75, best="better {}"))
    assert progress.best.best == "better {}"


@pytest.mark.parametrize(
    ("texts", "images", "names", "is_hinted"),
    [(0.5, 0.8, None, True), (0.5, 0.5, None, False), (0.7, 0.8, None, False), (0.5, 0.8, {}, False)],
)
def test_names_that_the_model_may_not_know_are_hinted_at(
    texts: float, images: float, names: dict[str, str] | None, is_hinted: bool
) -> None:
    """Where labelled images tell two classes apart and the plain texts do not, and no names were searched."""
    result = small_result()
    plain = GroupAccuracies(templates=("{}",), train=0.5, test=texts)
    changed = replace(
        result,
        dataset=replace(result.dataset, sizes=Sizes(train=2, val=0, test=200)),
        best=replace(result.best, class_names=names),
        baselines={BARE_NAME: plain, BASELINE_DEFAULT: plain},
        with_images=WithImages(templates=("{}",), train=0.5, test=images, images=2, strength=1.0),
    )
    hint = "plain texts may be no better than chance, and the labelled images are better: "
    assert (hint in "\n".join(result_lines(changed, None))) is is_hinted
    one_plain = replace(changed, baselines={BARE_NAME: plain})
    assert hint not in "\n".join(result_lines(one_plain, None))
