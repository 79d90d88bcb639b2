"""A search on the terminal: its events as lines, the live panel, and the table of its result."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ...evaluator.counts import counted
from ...prompts.kinds import KindWords
from ..config.sources import on_command_line
from ..events import types as events
from ..llm.local_models import shown_llm
from ..position import NAMES
from ..results.accuracies import GAIN, score_text
from ..results.history import Progress
from ..results.result import (
    SearchResult,
    are_shares,
    left_of_both,
    words_of,
)
from ..text import LONGEST_LINE, one_line, printable, visible
from .sentences import gains_in_words, left_text, method_text, name_line, result_lines, spent_text

RETRIES = {
    "rate_limited": "rate limit",
    "transient": "temporary failure",
    "unusable": "unusable answer",
    "no": "refusal",
}
_LONGEST_REASON = 100
EVERY_S, EVERY_S_OF_SCORER, EVERY_S_AT_MOST = 5.0, 15.0, 60.0
OPENING_S, OPENING_S_AT_MOST = 10.0, 600.0
"""Seconds from a line about the opening to the next: as many as the opening took so far, within these."""
MOST_SHOWN = 12
"""Most restarts with a line of their own."""
BAR_WIDTH = 24
MOST_REASONS = 5


def sentence(event: events.Event) -> str | None:
    """Return an event as a line for people; None if it is not worth a line."""
    match event:
        case events.Noted():
            return event.text
        case events.SearchStarted():
            return _opening(event)
        case events.NamesRead() | events.NameRoundFinished() | events.NamesChosen():
            return name_line(event)
        case events.SearchStopped():
            return f"stopping: {event.reason}"
        case events.EndpointEvent():
            return _of_endpoint(event)
        case events.ListenerFailed():
            return f"the listener {event.listener} failed and gets no more events ({event.error})"
    return None


def encoded_text(done: int, of: int, *, with_copies: bool) -> str:
    """Return how many images are encoded, and of how many while more are to come."""
    images = counted(of, "image") if done >= of else f"{done:,} of {counted(of, 'image')}"
    return f"{images} encoded{', augmented copies included' * with_copies}"


def _opening(event: events.SearchStarted) -> str:
    llm = f"LLM {shown_llm(event.llm)}" if event.llm else "no LLM"
    verb = "resuming" if event.resumed else "searching"
    # A custom scorer may not know the number of classes.
    classes = f" ({event.classes} classes)" if event.classes else ""
    if not event.restarts:
        return f"{verb} names for {event.dataset}{classes} with {event.model}, {llm}, in {event.run_dir}"
    plan = f"{counted(event.restarts, 'restart')}, {counted(event.rounds, 'round')}"
    if event.most_templates:
        plan += f", at most {counted(event.most_templates, words_of(event.prompts).noun)}"
    return (
        f"{verb} {event.dataset}{classes} with {event.model}, {llm}, {method_text(event)}: "
        f"{plan}, in {event.run_dir}"
    )


def _of_endpoint(event: events.EndpointEvent) -> str | None:
    endpoint = event.endpoint
    match event:
        case events.UsageMissing():
            return (
                f"{endpoint} does not report how many tokens its answers cost: "
                "each counts against limits with the most that it can have cost"
            )
        case events.AnswerTokensRaised():
            return (
                f"{endpoint} used up {event.before:,} tokens before an answer began: "
                f"{event.now:,} are allowed there from now on (answer_tokens)"
            )
        case events.Paused() if event.asked_s is not None:
            return (
                f"{endpoint} asks for a wait of {event.asked_s:,.0f} s; "
                f"it is tried again in {event.wait_s:,.0f} s"
            )
    return None


@dataclass(kw_only=True)
class LiveProgress(Progress):
    """The progress of a running search, and what is happening, in words.

    Attributes:
        percent: Whether all scores may be accuracies.
        latest: The latest happening worth a line.
        scorer_calls_before: Requests to the scorer behind an API before the test evaluation, or the latest
            answers on class names, began.
        answers: Answers received, ``empty`` of them without a template.
        encoded: How many images are encoded, and of how many; None before the first.
        starting_restarts: Restarts whose starting templates are being scored.
        rounds_before: Rounds that were over before this session's first answer, without an LLM its first
            batch; None before that.
        waiting: What requests wait for, and why; empty after an answer.
        pauses: How often an endpoint asked for a pause.
    """

    percent: bool = True
    latest: str = ""
    scorer_calls_before: int | None = None
    opening: str = ""
    encoded: tuple[int, int] | None = None
    answers: int = 0
    empty: int = 0
    queued: int = 0
    batched: int = 0
    starting_restarts: set[int] = field(default_factory=set)
    rounds_before: int | None = None
    waiting: str = ""
    retries: Counter[str] = field(default_factory=Counter)
    pauses: int = 0
    _failure: str = ""
    _scorer_answers: int = 0

    def add(self, event: events.Event) -> None:
        """Update the progress from an event."""
        super().add(event)
        match event:
            case events.ImagesEncoded():
                self.encoded = event.done, event.of
                self.opening = encoded_text(event.done, event.of, with_copies=event.with_copies)
            case events.ModelFetched():
                done, size = (f"{count / 1e6:,.0f}" for count in (event.done, event.of))
                self.opening = f"fetching {event.model} from {event.source}: {done} of {size} MB"
            case events.BatchScored():
                self.queued, self.batched = event.waiting, self.batched + event.templates
                # What an earlier session did is gone through before.
                if self.rounds_before is None and self.started is not None and self.started.llm is None:
                    self.rounds_before = self.rounds
            case events.DefaultTemplateScored() | events.TemplateScored():
                self.percent = self.percent and are_shares((event.train, event.val))
            case events.BestEvent():
                self.latest = ""
                self.starting_restarts.discard(event.position.restart)
            case events.NamesChosen():
                self.latest = ""
            case events.StartingTemplatesDrawn():
                self.starting_restarts.add(event.position.restart)
            case events.RoundSkipped():
                self.latest = f"{event.position} is skipped: {event.reason}"
            case events.EvaluationStarted():
                self._begin(f"evaluating on {counted(event.images, 'test image')}")
            case _:
                self._add_request(event)

    def _add_request(self, event: events.Event) -> None:
        match event:
            case events.AnswerReceived():
                self.answers += 1
                if not event.replayed:
                    self.waiting = ""
                    self.rounds_before = self.rounds if self.rounds_before is None else self.rounds_before
                if event.position.restart == NAMES:
                    self._begin(f"{event.position}: {counted(event.position.sample + 1, 'answer')}")
            case events.AnswerEmpty():
                self.empty += 1
            case events.ChatFailed():
                self._failure = f" ({event.message}"[:_LONGEST_REASON] + ")"
            case events.RetryScheduled():
                reason = RETRIES.get(event.reason, event.reason)
                self.retries[reason] += 1
                attempt = f"attempt {event.attempt + 1} in {event.wait_s:,.0f} s"
                self.waiting = f"{event.endpoint}: {attempt}, {reason}{self._failure}"
            case events.Paused():
                self.pauses += 1
                self.waiting = f"{event.endpoint} gets no requests for {event.wait_s:,.0f} s{self._failure}"
            case events.ScorerUsageChanged():
                answered = event.calls - event.failed_calls
                self.waiting = "" if answered > self._scorer_answers else self.waiting
                self._scorer_answers = answered

    def _begin(self, happening: str) -> None:
        """Show something that many requests to a scorer behind an API may take."""
        self.latest = happening
        self.scorer_calls_before = None if self.scorer_usage is None else self.scorer_usage.calls

    @property
    def happening(self) -> str:
        """The latest happening, and how many requests to the scorer it took so far."""
        if not self.latest and self.starting_restarts:
            restarts = counted(len(self.starting_restarts), "restart")
            return f"scoring the starting {self.words.noun}s of {restarts}"
        usage, before = self.scorer_usage, self.scorer_calls_before
        calls = 0 if usage is None or before is None else usage.calls - before
        done = counted(calls, "request to the scorer", "requests to the scorer")
        return f"{self.latest}, {done} answered" if self.latest and calls > 0 else self.latest

    @property
    def gains_so_far(self) -> list[str]:
        """The training gains of the best so far over the default and the starting templates."""
        if self.best is None:
            return []
        return gains_in_words(self.gains(self.best.train), self.words, percent=self.percent)

    @property
    def problems(self) -> list[str]:
        """What costs time or calls: failures, retries by reason, answers without a template, the queue."""
        texts = []
        if self.usage is not None and self.usage.failed_calls:
            texts.append(counted(self.usage.failed_calls, "failed attempt"))
        if count := self.retries.total():
            why = ", ".join(counted(number, reason) for reason, number in self.retries.most_common())
            texts.append(f"{counted(count, 'retry', 'retries')} ({why})")
        if self.pauses:
            texts.append(counted(self.pauses, "pause"))
        if self.empty:
            share = 100 * self.empty / max(1, self.answers)
            answers = counted(self.answers, "answer")
            texts.append(f"{self.empty:,} of {answers} without {self.words.a_noun} ({share:.0f}%)")
        if self.queued:
            texts.append(f"{counted(self.queued, self.words.noun)} in the queue")
        return texts

    def time_left(self, seconds: float) -> list[str]:
        """Return the time that the rounds to go take; empty if the speed is not known.

        ``seconds`` are those since ``rounds_before`` is known. Without an LLM and a scorer behind an API,
        rounds get slower or faster with the share of templates that are new, so their time is unknown.
        """
        if self.started is None or self.restarts_are_done or self.rounds_before is None:
            return []
        done, left = self.rounds - self.rounds_before, self.started.rounds - self.rounds
        if done < 1 or (self.started.llm is None and self.scorer_usage is None):
            return []
        return _to_go(seconds / done * left, " of rounds")

    @property
    def done(self) -> str:
        """How many rounds are done of how many, and restarts if there are several."""
        if self.started is None or not self.started.restarts:
            return ""
        rounds = f"{self.rounds:,} of {counted(self.started.rounds, 'round')} done"
        if self.started.restarts == 1:
            return rounds
        return f"{self.restarts_done:,} of {self.started.restarts:,} restarts and {rounds}"

    def score(self, value: float) -> str:
        """Return the text of a score."""
        return score_text(value, percent=self.percent, unit=" %")

    @property
    def words(self) -> KindWords:
        """How to speak of what is searched for."""
        return words_of(self.prompts)

    @property
    def _templates(self) -> int:
        """The number of distinct templates with a score; restarts may find the same one.

        Starting templates are reported when a restart has all their scores. Before that, this session's
        batches count, but not those of a scorer behind an API, which has many a template.
        """
        in_batches = self.batched - (self.default is not None) if self.scorer_usage is None else 0
        return max(len({template for _, template in self.scored}), in_batches)

    @property
    def evaluated(self) -> str:
        """How many templates are scored, and of how many while more may come."""
        scored, noun = self._templates, self.words.noun
        most = 0 if self.started is None else self.started.most_templates
        if scored >= most or self.restarts_are_done:
            return f"{counted(scored, noun)} scored"
        return f"{scored:,} of at most {counted(most, noun)} scored"

    @property
    def spent(self) -> list[str]:
        """The usage so far; empty if neither an LLM nor a scorer behind an API is asked."""
        texts, usage = [], self.usage
        if self.started is None or self.started.llm is not None:
            left = None if usage is None else usage.left.get("calls")
            calls = (
                "" if usage is None or left is None else f"{usage.calls:,} of {usage.calls + left:,.0f} calls"
            )
            texts.append("LLM: 0 calls" if usage is None else spent_text(usage, "LLM: ", calls=calls))
        if (scorer := self.scorer_usage) is not None:
            most = 0 if self.started is None else self.started.most_scorer_calls
            # A limit says what is left in its place.
            is_shown = most > scorer.calls and "scorer_calls" not in scorer.left
            calls = f"{scorer.calls:,} of at most {most:,} calls" if is_shown else ""
            texts.append(spent_text(scorer, "scorer: ", calls=calls))
        return texts

    @property
    def left(self) -> list[str]:
        """What is left of each limit that was set."""
        llm, scorer = ({} if usage is None else usage.left for usage in (self.usage, self.scorer_usage))
        return [left_text(name, value) for name, value in left_of_both(llm, scorer).items()]


class Display:
    """Show events on a console; a listener and a context manager.

    A terminal and a notebook (by rich, with ipywidgets) get a live panel, other consoles get lines: while
    data and model are opened, each after twice the time; then one in 5 seconds at first, one a minute in a
    long run. ``clock`` returns seconds.

    Attributes:
        progress: That of the search, by its events.
        opening_s: Seconds until the search began, which are no active time.
    """

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._is_live = console.is_terminal or console.is_jupyter
        self._now = clock
        self.progress = LiveProgress()
        self._began = self._printed = clock()
        self._printed_rounds = 0
        self.opening_s = 0.0
        self._said = ""  # the latest line about the opening
        self._encoding: tuple[float, int] | None = None  # when the first images were encoded, and how many
        self._measured: float | None = None
        self._reasons: set[str] = set()
        # What is said of the LLM's first names, which an API scores before the templates and after them.
        self._naming: str | None = None
        self._live = Live(
            get_renderable=self._panel,
            console=console,
            refresh_per_second=2,
            transient=True,
            redirect_stdout=False,
        )

    def __call__(self, event: events.Event) -> None:
        progress = self.progress
        progress.add(event)
        if isinstance(event, events.ImagesEncoded) and self._encoding is None:
            self._encoding = self._now(), event.done
        is_opened = isinstance(event, events.SearchStarted) and self._encoding is not None
        if is_opened and not self._is_live and progress.opening != self._said:
            self._line(progress.opening)
        if (text := sentence(event)) is not None and text != self._naming:
            self._line(text)
        if isinstance(event, events.NamesRead):
            self._naming = text
        if isinstance(event, events.NamesChosen):
            # Its line ends the search; a line on the progress would look as if it went on.
            self._printed = self._now()
        if progress.rounds_before is not None and self._measured is None:
            self._measured = self._now()
        if isinstance(event, events.SearchStarted):
            # Active time starts here: opening data and model does not count.
            now = self._now()
            self.opening_s, self._began, self._printed = now - self._began, now, now
        if self._is_lasting(event):
            self._line(progress.latest)
        if not self._is_live:
            # Nothing may happen in a pause: its line comes before it.
            self._tick(event.wait_s if isinstance(event, events.Paused) else 0)

    def _is_lasting(self, event: events.Event) -> bool:
        """Return whether the latest happening gets a line that stays, not only a place in the panel."""
        match event:
            case events.EvaluationStarted():
                return not self._is_live
            case events.RoundSkipped():  # the first of each reason
                first = event.reason not in self._reasons and len(self._reasons) < MOST_REASONS
                self._reasons |= {event.reason} if first else set()
                return first
        return False

    def __enter__(self) -> Self:
        if self._is_live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_live:
            self._live.stop()

    def _line(self, text: str) -> None:
        _print(self._console, text if self._console.is_jupyter else on_command_line(text))

    def _tick(self, pause_s: float) -> None:
        now, rounds = self._now(), self.progress.rounds
        if self.progress.started is None:
            every_s = min(max(OPENING_S, self._printed - self._began), OPENING_S_AT_MOST)
            if now + pause_s - self._printed >= every_s and (opening := self._opening(now)) != self._said:
                self._printed, self._said = now, opening
                self._line(opening)
            return
        if self.progress.scorer_usage is not None:
            # Requests to a scorer behind an API go on within a round, and in the final evaluation.
            least_s = EVERY_S_OF_SCORER
        else:
            least_s = EVERY_S_AT_MOST if 0 < rounds == self._printed_rounds else EVERY_S
        every_s = min(max(least_s, (now - self._began) / 20), EVERY_S_AT_MOST)
        if now + pause_s - self._printed >= every_s:
            self._printed, self._printed_rounds = now, rounds
            self._line(self._summary(now))

    def _opening(self, now: float) -> str:
        """Return how far the opening is, and how long the images take, which take most of it."""
        progress, left = self.progress, list[str]()
        if self._encoding is not None and progress.encoded is not None:
            began, first = self._encoding
            done, size = progress.encoded
            left = _to_go((now - began) / max(1, done - first) * (size - done))
        return ", ".join(filter(None, [progress.opening, *left, progress.waiting]))

    def _summary(self, now: float) -> str:
        progress, ahead = self.progress, ""
        if (best := progress.best) is not None:
            gains = f" ({', '.join(progress.gains_so_far)})" if progress.gains_so_far else ""
            ahead = f"; best {progress.score(best.train)} on train: {best.best}{gains}"
        left = [f"{text} left" for text in progress.left]
        facts = [
            *filter(None, [progress.done]),
            progress.evaluated,
            *progress.spent,
            *left,
            *progress.problems,
            *self._time_left(now),
        ]
        latest = "".join(f"; {text}" for text in (progress.happening, progress.waiting) if text)
        return f"[{self._clock(now)}] {', '.join(facts)}{ahead}{latest}"

    def _time_left(self, now: float) -> list[str]:
        return self.progress.time_left(now - (self._began if self._measured is None else self._measured))

    def _clock(self, now: float) -> str:
        minutes, seconds = divmod(int(now - self._began), 60)
        return f"{minutes:d}:{seconds:02d}"

    def _panel(self) -> Group | Text:
        progress, started, now = self.progress, self.progress.started, self._now()
        if started is None:
            return Text(f"[{self._clock(now)}] {printable(self._opening(now)) or 'opening ...'}")
        lines: list[RenderableType] = [self._table(started), self._bar(started, now)]
        if progress.best is not None:
            best = f"best so far {progress.score(progress.best.train)} on train"
            lines.append(Text(", ".join((best, *progress.gains_so_far)), style="bold"))
        lines.append(Text(", ".join((progress.evaluated, *progress.spent))))
        if progress.left:
            lines.append(Text(f"left: {', '.join(progress.left)}"))
        if progress.problems:
            lines.append(Text(", ".join(progress.problems)))
        latest = filter(None, (progress.waiting, progress.happening))
        return Group(*lines, *(Text(printable(text), style="yellow") for text in latest))

    def _table(self, started: events.SearchStarted) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("restart", "rounds", "train"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("best so far")
        rounds = started.rounds // max(1, started.restarts)
        restarts = sorted(self.progress.restarts.items(), key=lambda item: (item[1].done, item[0]))
        for number, restart in sorted(restarts[:MOST_SHOWN]):
            train, best = self.progress.score(restart.train), escape(printable(restart.best))
            table.add_row(str(number), f"{restart.rounds}/{rounds}", train, best)
        return table

    def _bar(self, started: events.SearchStarted, now: float) -> Table:
        progress, bar = self.progress, Table.grid(padding=(0, 1))
        bar.add_row(
            ProgressBar(total=max(1, started.rounds), completed=progress.rounds, width=BAR_WIDTH),
            ", ".join((progress.done, self._clock(now), *self._time_left(now))),
        )
        return bar


def _to_go(seconds: float, of_what: str = "") -> list[str]:
    if seconds >= 90:
        return [f"about {seconds / 60:,.0f} min{of_what} to go"]
    return [f"about {seconds:,.0f} s{of_what} to go"] if seconds >= 1 else []


def _print(console: Console, text: str) -> None:
    """Print a line: a terminal gets it broken between words, a file or a pipe whole."""
    console.print(Text(one_line(text)), soft_wrap=not console.is_terminal)


def table_of(title: str, lines: Sequence[Sequence[str]], *, texts: Collection[int] = (0,)) -> Table:
    """Return a table, headings first; ``texts`` are the columns without numbers."""
    heads, *rows = lines
    table = Table(title=Text(one_line(title), style="table.title"), title_justify="left", header_style="bold")
    for index, head in enumerate(heads):
        if index in texts:
            table.add_column(head, overflow="fold")
        else:
            table.add_column(head, justify="right", no_wrap=head == GAIN)
    for row in rows:
        table.add_row(*(Text(visible(cell[:LONGEST_LINE])) for cell in row))
    return table


def print_result(
    console: Console, result: SearchResult, run_dir: Path | None, *, opening_s: float = 0.0
) -> None:
    """Print the accuracies of forms and baselines, what to use, the usage, and where the files are.

    ``opening_s`` are the seconds that this session took before its active time.
    """
    accuracies = result.accuracies
    if any(row.cells["test"].value is not None for row in accuracies.rows):
        accuracies = replace(accuracies, columns=("test",))  # the report has the others
    title = f"{result.dataset.name}: {accuracies.unit}"
    table = table_of(title, accuracies.lines(result.words.noun), texts=(0, 1))
    for row, shown in zip(accuracies.rows, table.rows, strict=True):
        shown.style = "bold" if row.name == result.recommended.name else ""
    if accuracies.rows:
        console.print(table)
    for line in result_lines(result, run_dir, opening_s):
        _print(console, line)
