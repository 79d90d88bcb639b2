"""Signals at awkward moments, against the command line in a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from promptclimb.agent.cli.interrupts import Interrupted, raising_interrupts, run_interruptible
from promptclimb.agent.cli.main import main
from promptclimb.agent.errors import InterruptedRunError
from promptclimb.agent.stop import Stop
from tests.fakes.black_box import stand_in
from tests.fakes.evaluators import FakeEvaluator
from tests.paths import ROOT

SEARCH = (
    *("search", "--restarts", "2", "--initial", "5", "--llm", "fake", "--run-dir", "r"),
    *("--custom-scorer", "promptclimb.evaluator.fakes:FakeEvaluator"),
)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Restores handlers, and lets SIGHUP arrive, as under a terminal: nohup has it ignored."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def start(arguments: Sequence[str], folder: Path) -> subprocess.Popen[str]:
    """A process whose standard error can be read line by line."""
    return subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def read_until(process: subprocess.Popen[str], text: str) -> None:
    """Reads standard error up to a line that holds a text."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    pytest.fail(f"it never said {text!r}")


@pytest.mark.parametrize("first", [signal.SIGINT, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)])
def test_a_second_signal_leaves_at_once(first: int, tmp_path: Path) -> None:
    """An endpoint that hangs is waited for after the first signal, and not after the second."""
    hanging = start(["-m", "tests.fakes.chat_server", "--options", '{"faults": {"hang": 1.0}}'], ROOT)
    assert hanging.stdout is not None
    try:
        url = hanging.stdout.readline().strip()
        search = start(["-m", "promptclimb", *SEARCH, "--base-url", url], tmp_path)
        read_until(hanging, "hangs")
        search.send_signal(first)
        read_until(search, "Finishing open requests. Press Ctrl-C again to quit now")
        search.send_signal(signal.SIGHUP)  # a closed terminal sends it twice, after Ctrl-C too
        search.send_signal(signal.SIGTERM)
        assert search.wait(30) == 143
        last = search.communicate()[1].splitlines()
        assert last[0] == "Quitting now."
        assert last[1].startswith("Everything but the open requests is kept. Resume with: ")
    finally:
        hanging.kill()
        hanging.communicate()
    assert (tmp_path / "r" / "store").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_while_things_are_opened(
    number: int, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Loading a model does not hold the program up, and no folder is left behind."""
    release = threading.Event()

    def slow(_spec: object) -> FakeEvaluator:
        os.kill(os.getpid(), number)
        release.wait(60)
        return FakeEvaluator()

    stand_in(monkeypatch, slow)
    monkeypatch.chdir(tmp_path)
    try:
        assert main(["search", "--method", "random", "--run-dir", "r"]) == code
    finally:
        release.set()
    assert not (tmp_path / "r").exists()
    stderr = capsys.readouterr().err
    assert "Stopping. Press Ctrl-C again to quit now.\n" in stderr  # no request is open without an LLM
    assert "Resume with" not in stderr
    assert stderr.splitlines()[-1].startswith(
        "Stopped while data and model were opened: nothing was requested or scored"
    )


def test_a_second_signal_while_things_are_opened_leaves_no_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The process is left at once, and its empty folder is gone before."""
    release, at_exit = threading.Event(), list[tuple[int, bool]]()

    def slow(_spec: object) -> FakeEvaluator:
        os.kill(os.getpid(), signal.SIGINT)
        release.wait(60)
        return FakeEvaluator()

    def signalled_again(stop: Stop, cause: Exception) -> None:
        request(stop, cause)
        os.kill(os.getpid(), signal.SIGTERM)

    request = Stop.request
    monkeypatch.setattr(Stop, "request", signalled_again)
    stand_in(monkeypatch, slow)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "_exit", lambda code: at_exit.append((code, (tmp_path / "r").exists())))
    try:
        assert main(["search", "--method", "random", "--run-dir", "r"]) == 130
    finally:
        release.set()
    assert at_exit == [(143, False)]
    assert "Quitting now.\nStopped while data and model were opened" in capsys.readouterr().err


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    """Under nohup a search outlives its terminal."""

    async def work(stop: Stop) -> Exception | None:
        os.kill(os.getpid(), signal.SIGHUP)
        for _ in range(10):
            await asyncio.sleep(0)
        return stop.cause

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert run_interruptible(work) is None


STRUCK = """
import os, signal, sys
from promptclimb.__main__ import main

struck = sys.argv[1]

class Strikes:
    def find_spec(self, name, path=None, target=None):
        if name == struck:
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt as error:  # as pydantic does
                raise RuntimeError("wrapped") from error

sys.meta_path.insert(0, Strikes())
sys.argv = ["promptclimb", "search", "--method", "random"]
raise SystemExit(main())
"""


@pytest.mark.parametrize("module", ["promptclimb.agent.cli.parser", "promptclimb.agent.config.schema"])
def test_a_signal_while_the_program_loads_is_no_error(module: str, tmp_path: Path) -> None:
    """Exit code 130 and not a word, whichever import it strikes."""
    process = start(["-c", STRUCK, module], tmp_path)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_of_which_a_library_makes_an_error_is_one(number: int) -> None:
    """It is no fault of the program; an error without one stays what it is."""

    def strikes(number: int) -> None:
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt as error:
            raise RuntimeError("wrapped") from error

    with pytest.raises(Interrupted) as caught, raising_interrupts():
        strikes(number)
    assert caught.value.number == number
    with pytest.raises(RuntimeError, match="own"), raising_interrupts():
        raise RuntimeError("own")


LEFT_BEHIND = """
import asyncio, atexit, contextlib, time
import promptclimb.agent.cli.main, run_agent
from promptclimb.evaluator.threads import in_thread

async def leave_a_thread():
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0):
            await in_thread(lambda: time.sleep(60))

def interrupted():
    asyncio.run(leave_a_thread())
    return 143

promptclimb.agent.cli.main.main = interrupted
atexit.register(print, "taken apart")
raise SystemExit(run_agent.main())
"""


def test_a_thread_that_is_left_behind_does_not_change_the_exit_code(tmp_path: Path) -> None:
    """The interpreter is not taken apart under a computation: it would abort, with another exit code."""
    process = start(["-c", LEFT_BEHIND], tmp_path)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "taken apart" not in out


@pytest.mark.parametrize(("later_s", "quits"), [(0.0, []), (2.0, [143])])
def test_a_termination_that_comes_twice_at_once_is_one(
    later_s: float, quits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``timeout`` sends it, to a process and to its group; later, a second one quits."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)

    async def work(stop: Stop) -> int:
        loop = asyncio.get_running_loop()
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(10):  # the handler is called by the loop
            await asyncio.sleep(0)
        assert stop.cause is not None
        began = loop.time()
        monkeypatch.setattr(loop, "time", lambda: began + later_s)
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(10):
            await asyncio.sleep(0)
        return 0

    assert run_interruptible(work) == 0
    assert codes == quits


def test_a_loop_without_signal_handlers_gets_signals_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, where asyncio has none: the first signal asks for a stop."""

    class Windows(asyncio.SelectorEventLoop):
        def add_signal_handler(self, sig: int, callback: object, *args: object) -> None:
            raise NotImplementedError

    async def work(stop: Stop) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(10):  # the handler asks by way of the loop
            await asyncio.sleep(0)
        assert isinstance(stop.cause, InterruptedRunError)
        return stop.cause.signal

    monkeypatch.setattr(asyncio, "new_event_loop", Windows)
    monkeypatch.setattr(asyncio.events, "new_event_loop", Windows)
    assert run_interruptible(work) == signal.SIGTERM
