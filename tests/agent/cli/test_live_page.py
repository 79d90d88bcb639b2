"""``--live``: a page for those who have its address, which costs the search nothing whoever reads it."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from promptclimb.agent.cli import live_page as module
from promptclimb.agent.cli.live_page import ENDED, MOST_READERS, LivePage, live_page
from promptclimb.agent.cli.main import main
from promptclimb.agent.events.log import FILE_NAME, EventLog
from promptclimb.agent.events.types import (
    Noted,
    RunOpened,
    SearchStarted,
    StartingTemplatesScored,
    TemplateScored,
)
from promptclimb.agent.position import Position
from promptclimb.evaluator.errors import UsageError

EVIL = "<script>alert(1)</script> {}"
STARTED = SearchStarted(
    run_dir="r", dataset="<b>d", classes=3, model="m", llm="l", method="pn", restarts=2, rounds=8,
    resumed=False,
)  # fmt: skip


@pytest.fixture
async def page() -> AsyncIterator[LivePage]:
    """A page on a free port."""
    async with live_page(0) as found:
        yield found


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    """Who asks."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No second between two signs of life."""
    monkeypatch.setattr(module, "PAUSE_S", 0.001)


def run_in(tmp_path: Path) -> RunOpened:
    """A run with a log that an LLM has written into."""
    scored = TemplateScored(
        position=Position(1), template=EVIL, train=0.625, val=None, improved=True, source="llm"
    )
    with EventLog(tmp_path / FILE_NAME) as log:
        log(STARTED)
        log(scored)
    return RunOpened(run_dir=str(tmp_path))


async def line_of(response: aiohttp.ClientResponse) -> str:
    """The next line of an event stream that says something."""
    async with asyncio.timeout(20):
        while not (line := (await response.content.readline()).decode().strip()):
            continue
    return line


async def test_it_shows_what_the_log_holds(
    page: LivePage, browser: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """Before the run is open too; what an LLM wrote is text, and no script but ours may run."""
    async with browser.get(page.address) as frame:
        policy = frame.headers["Content-Security-Policy"]
        nonce = policy.partition("'nonce-")[2].partition("'")[0]
        assert f'<script nonce="{nonce}">' in await frame.text()
        assert "default-src 'none'" in policy
    async with browser.get(page.address + "report") as report:
        assert "being opened" in await report.text()
    page(run_in(tmp_path))
    async with browser.get(page.address + "report") as report:
        text = await report.text()
        assert report.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert "&lt;script&gt;alert(1)&lt;/script&gt; {}" in text
    assert "&lt;b&gt;d" in text
    assert "<script" not in text
    assert "62.5" in text


async def test_readers_get_each_change_and_of_the_end(browser: aiohttp.ClientSession) -> None:
    """A line that says how it stands; after the end nobody listens there any more."""
    async with live_page(0) as page:
        async with browser.get(page.address + "events") as stream:
            assert await line_of(stream) == 'data: "opening ..."'
            page(STARTED)
            page(StartingTemplatesScored(position=Position(1), templates=5, best="a {}", train=0.5))
            while "0 of 8 rounds" not in (line := await line_of(stream)):
                continue
            assert "best so far" in json.loads(line.removeprefix("data: "))
            page.end()
            while (line := await line_of(stream)) != "event: end":
                continue
            assert json.loads((await line_of(stream)).removeprefix("data: "))["line"] == ENDED
        address = page.address
    with pytest.raises(aiohttp.ClientConnectionError):
        await browser.get(address)


async def test_the_last_page_comes_with_the_end(
    browser: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reader has it, made once and after all else, though nobody listens there any more."""
    made: list[Path] = []
    monkeypatch.setattr(module, "page_so_far", lambda run_dir: made.append(run_dir) or f"page {len(made)}")
    monkeypatch.setattr(module, "SHARE", 1e-9)  # once made, a page is good for long
    async with live_page(0) as page:
        page(RunOpened(run_dir=str(tmp_path)))
        async with browser.get(page.address + "report") as report:
            assert await report.text() == "page 1"
        streams = [await browser.get(page.address + "events") for _ in range(2)]
        for stream in streams:
            await line_of(stream)
    for stream in streams:
        while await line_of(stream) != "event: end":
            continue
        assert json.loads((await line_of(stream)).removeprefix("data: ")) == {"line": ENDED, "page": "page 2"}
    with pytest.raises(aiohttp.ClientConnectionError):
        await browser.get(page.address)


async def test_pages_take_little_of_the_time(
    page: LivePage, browser: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks again soon gets the one that is there; the last one is made when all is over."""
    made: list[Path] = []
    monkeypatch.setattr(module, "PAUSE_S", 1000.0)
    monkeypatch.setattr(module, "page_so_far", lambda run_dir: made.append(run_dir) or f"page {len(made)}")
    page(RunOpened(run_dir=str(tmp_path)))
    for _ in range(3):
        async with browser.get(page.address + "report") as report:
            assert await report.text() == "page 1"
    monkeypatch.setattr(module, "PAUSE_S", 0.001)
    page.end()
    async with browser.get(page.address + "report") as report:
        assert await report.text() == "page 2"


@pytest.mark.parametrize("part", ["", "report", "events"])
async def test_only_who_has_the_address_may_read(
    page: LivePage, browser: aiohttp.ClientSession, part: str
) -> None:
    """No other token, no page of another site, no name that another site has given this machine."""
    root = f"http://127.0.0.1:{page.port}"
    async with browser.get(f"{root}/{'x' * len(page.token)}/{part}") as answer:
        assert answer.status == 404
    async with browser.get(f"{root}/%FF/{part}") as answer:
        assert answer.status == 404
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        async with browser.get(page.address + part, headers=headers) as answer:
            assert answer.status == 403
            assert page.token not in await answer.text()
    async with browser.get(f"{root}/") as answer:
        assert answer.status == 404
    async with browser.get(
        page.address, headers={"Origin": root, "Host": f"localhost:{page.port}"}
    ) as answer:
        assert answer.status == 200
    async with browser.post(page.address) as answer:
        assert answer.status == 404


async def test_readers_are_few_and_vanish_unnoticed(page: LivePage, browser: aiohttp.ClientSession) -> None:
    """One too many is sent away; who goes makes room, and an event never waits for any."""
    streams = [await browser.get(page.address + "events") for _ in range(MOST_READERS)]
    async with browser.get(page.address + "events") as answer:
        assert answer.status == 503
    began = time.monotonic()
    for number in range(10_000):  # nobody reads
        page(Noted(text=str(number)))
    assert time.monotonic() - began < 5
    for stream in streams:
        stream.close()
    async with asyncio.timeout(20):
        while page._readers:
            page(Noted(text="anybody there?"))
            await asyncio.sleep(0)
    async with browser.get(page.address + "events") as answer:
        assert answer.status == 200


async def test_a_reader_that_reads_nothing_is_let_go(page: LivePage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection fills up, and it does not hold up the end."""
    monkeypatch.setattr(module, "PATIENCE_S", 0.01)
    reader, writer = await asyncio.open_connection("127.0.0.1", page.port, limit=2000)
    writer.write(f"GET /{page.token}/events HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n\r\n".encode())
    async with asyncio.timeout(20):
        await reader.readuntil(b"opening ...")
        assert page._readers
        monkeypatch.setattr(type(page._progress), "line", property(lambda _self: "x" * 1_000_000))
        while page._readers:
            page(Noted(text="more"))
            await asyncio.sleep(0)
    writer.close()


async def test_a_port_in_use_is_said() -> None:
    """One line, before anything is begun."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            UsageError, match=f"--live {port}: cannot listen on .* \\(Address already in use\\)"
        ):
            async with live_page(port):
                raise AssertionError("nothing is served")


@pytest.mark.parametrize("port", ["-1", "65536", "eighty"])
def test_what_is_no_port_is_said(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2."""
    assert main(["search", f"--live={port}"]) == 2
    assert "is not a port" in capsys.readouterr().err
