"""The comparison: one black box and one endpoint for all who play, counted, and what is said of them."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from benchmarks import optimizers
from benchmarks.peers import faults, tables
from benchmarks.peers.answers import Answers
from benchmarks.peers.black_box import BlackBox, Dear, read
from benchmarks.peers.door import Account, Door, Trouble
from benchmarks.peers.grid import jobs, rows_asked
from benchmarks.peers.hits import packed, unpacked
from benchmarks.peers.job import INITIAL, PROPOSALS, ROWS, Job
from benchmarks.peers.playing import ROOT, outcome, process_of, row_of
from promptclimb.agent.config.schema import most_free
from promptclimb.agent.store.lock import lock_folder
from tests.fakes.chat_server import ChatServer, ServerOptions
from tests.fakes.predicting_box import FACTORY, PredictingBox

ONE_EACH = list({(row.player, row.method): row for row in ROWS}.values())


def job(row: str, **changes: Any) -> Job:
    """A cell on a black box without a model."""
    values: dict[str, Any] = {
        "row": row,
        "data": "displays",
        "seed": 1,
        "shots": 16,
        "model": "RN-pico",
        "sentence": "numbers",
        "calls": 4,
        "scorings": None,
        "llm": "fake",
        "patient": False,
        "evaluator": FACTORY,
    }
    return Job(**{**values, **changes})


ANSWER = b'{"choices": [{"message": {"role": "assistant", "content": "a sketch of a {}"}}]}'


def options(*words: str) -> argparse.Namespace:
    """What the command line says, of an endpoint that nobody asks."""
    return optimizers.parsed(["--llm", "fake", "--base-url", "http://127.0.0.1:9/v1", *words])


def played(row: str, data: str, seed: int, right: str, **more: Any) -> dict[str, Any]:
    """A finished cell, with each test image."""
    hits = [one == "1" for one in right]
    values = {
        "scored": 1,
        "answered": 2,
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "wall_s": 5,
        "ended": "calls",
    }
    where = {"row": row, "data": data, "seed": seed, "version": "1"}
    return {
        **where,
        "test": sum(hits) / len(hits),
        "images": len(hits),
        "right": packed(hits),
        **values,
        **more,
    }


def test_a_peers_answer_is_read_as_generously_as_ours() -> None:
    """Out of a fence or quotes, and longer than our own; what has no slot is invalid, and it is said why."""
    assert read("Sure!\n```\na sketch of a {}\n```") == ("a sketch of a {}", "")
    long = f"a photo of a {{}} {' '.join(['far'] * 20)}"
    assert read(long) == (long, "")
    template, trouble = read("You are a helpful assistant.")
    assert template is None
    assert "{}" in trouble


def test_the_black_box_counts_a_template_by_the_share_of_images_that_it_was_seen_on() -> None:
    """And again only what is new; an invalid one classifies nothing, and is not counted."""
    box = BlackBox(PredictingBox())
    assert len(box.labels) == 200
    assert len(box.look("a photo of a {}", [0, 1, 2, 3]).correct) == 4
    assert (box.scored, box.templates) == (0.02, 1)
    all_of_it = box.look("a photo of a {}")
    assert (box.scored, box.templates) == (1.0, 1)
    assert sum(all_of_it.correct) == sum(
        taken == true for taken, true in zip(all_of_it.predicted, box.labels, strict=True)
    )
    too_long = box.look(f"{{}} {'far ' * 70}", [0])
    assert (too_long.correct, too_long.predicted) == ((False,), (None,))
    assert "words" in too_long.trouble
    assert box.scored == 1.0


def test_starts_are_the_default_template_and_others_or_the_best_of_the_pool() -> None:
    """The same for the same seed; whoever begins with the pool has scored all of it."""
    box = BlackBox(PredictingBox())
    plain = box.starts(10, pool=False, seed=1)
    assert (len(set(plain)), plain[0], box.scored) == (10, "a photo of a {}", 0)
    best = box.starts(10, pool=True, seed=1)
    right = [sum(box.look(text).correct) for text in best]
    assert right == sorted(right, reverse=True)
    assert right[0] > sum(box.look(plain[0]).correct)
    assert 80 <= box.scored <= 81
    assert best == BlackBox(PredictingBox()).starts(10, pool=True, seed=1)


def test_rows_are_asked_for_by_name_or_by_a_word() -> None:
    """A whole name is that row alone; a word is in any."""
    assert [row.name for row in rows_asked("guided, with description; random")] == [
        "guided, with description",
        "random",
    ]
    named = [row.name for row in rows_asked("guided")]
    assert named == [
        "guided, with description",
        "guided, with description, augmented copies",
        "guided, class names only",
    ]


def test_cells_come_seed_by_seed_and_ours_stand_in_both_tables_once() -> None:
    """A partial table is balanced, and twelve rounds are as many calls as 140 scored templates take."""
    found = list(
        jobs(options("--data", "frames,displays", "--seeds", "1,2", "--only", "guided, class names only"))
    )
    assert [(table, one.seed, one.data) for table, one in found[:4]] == [
        ("calls", 1, "frames"),
        ("calls", 1, "displays"),
        ("calls", 2, "frames"),
        ("calls", 2, "displays"),
    ]
    assert {one.key for table, one in found if table == "calls"} == {
        one.key for table, one in found if table == "scorings"
    }
    assert not any(one.sentence for _, one in found)


def test_where_scorings_are_bounded_ours_score_no_more_than_the_others() -> None:
    """Nor make more calls; with description nothing is scored free there, so it is a cell of its own."""
    found = dict(jobs(options("--data", "frames", "--only", "guided, with description")))
    assert found["calls"].key != found["scorings"].key
    assert found["scorings"].sentence
    assert found["scorings"].rounds == 12
    assert INITIAL + PROPOSALS * found["scorings"].rounds <= 140
    assert job("pn", scorings=10_000, calls=60).rounds == 60
    assert job("random", scorings=10_000, calls=60).rounds > 60
    box = PredictingBox()
    cheap = replace(box.info, cheap=True)
    box._info = cheap
    dear = Dear(box)
    assert (most_free(cheap) > 0, most_free(dear.info)) == (True, 0)
    assert dear.info == replace(cheap, cheap=False)
    assert dear.score(["a photo of a {}"]) == box.score(["a photo of a {}"])
    assert dear.predict([["a {}"]], split="train") == box.predict([["a {}"]], split="train")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--data", "tallies"), "tallies: not of the comparison"),
        (("--only", "nobody"), "nobody: no row"),
    ],
)
def test_what_is_asked_wrongly_is_said_in_a_line(words: tuple[str, ...], said: str) -> None:
    """A development set, or a row that there is not."""
    with pytest.raises(SystemExit, match=said):
        list(jobs(options(*words)))


def test_too_few_scorings_for_a_search_of_ours_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """It would have more than the others."""
    with pytest.raises(SystemExit):
        options("--scorings", "84")
    assert "scores 85 at least" in capsys.readouterr().err
    assert options("--scorings", "85").scorings == 85


async def test_a_comparison_goes_on_where_it_was_left(tmp_path: Path) -> None:
    """Finished cells are not played again, and lines that were cut short or damaged are passed over."""
    asked = options("--data", "frames", "--seeds", "1", "--only", "random", "--tables", "calls")
    ((_, only),) = jobs(asked)
    row = {"key": only.key, **played("random", "frames", 1, "10")}
    whole = json.dumps(row).encode()
    less = json.dumps({"key": only.key, "row": "random"}).encode()
    damaged = (b"5", b"null", b"{}", b"\xff\xfe", b"[" * 10_000, less, b'{"key": "cut')
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join([whole, *damaged]))
    assert await optimizers.table(asked, tmp_path) == {"calls": [row]}
    assert not (tmp_path / "cells").exists()


async def test_a_table_of_what_is_there_leaves_out_a_set_that_is_not_over(tmp_path: Path) -> None:
    """Nothing is played, and no row has a set that another one lacks."""
    words = ("--only", "random;pn", "--seeds", "1", "--data", "frames,displays", "--tables", "calls")
    asked = options(*words, "--as-it-is", "--keep", str(tmp_path))
    rows = [
        {"key": each.key, **played(each.row, each.data, 1, "10")}
        for _, each in jobs(asked)
        if (each.row, each.data) != ("pn", "displays")
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    found = await optimizers.table(asked, tmp_path)
    assert [(row["row"], row["data"]) for row in found["calls"]] == [("pn", "frames"), ("random", "frames")]


async def test_the_door_counts_for_each_cell_what_the_endpoint_answers() -> None:
    """Requests, answers and tokens; another cell has an account of its own."""
    async with ChatServer() as fake, Door(fake.base_url) as door, aiohttp.ClientSession() as session:
        body = {"model": "fake", "messages": [{"role": "user", "content": "more"}]}
        for cell in ("one", "one", "other"):
            async with session.post(f"{door.base_url(cell)}/chat/completions", json=body) as reply:
                usage = (await reply.json())["usage"]
        one = door.accounts["one"]
        assert (one.requests, one.answered, one.failed) == (2, 2, 0)
        assert one.prompt_tokens == 2 * usage["prompt_tokens"]
        assert door.accounts["other"].answered == 1


async def test_who_asks_at_the_door_gets_how_long_the_endpoint_wants_them_to_wait() -> None:
    """A 429 of the LLM is a refusal, and no failure."""

    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "7", "Server": "theirs"})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", refuse)
    async with TestServer(app) as server, Door(str(server.make_url("/v1"))) as door:
        async with aiohttp.ClientSession() as session:
            url = f"{door.base_url('one')}/chat/completions"
            async with session.post(url, json={"messages": []}) as reply:
                assert (reply.status, reply.headers["Retry-After"]) == (429, "7")
                assert reply.headers.get("Server") != "theirs"
        one = door.accounts["one"]
        assert (one.requests, one.refused, one.failed, one.failure) == (1, 1, 0, "HTTP 429")


def test_a_cell_that_was_never_answered_is_a_row_with_its_error(tmp_path: Path) -> None:
    """A peer that passes failures over ends with what it began with, which is no result."""
    (tmp_path / "cell.json").write_text('{"test": 0.5}', "utf-8")
    account = Account()
    account.requests += 2
    for _ in range(2):
        account.add(401, b"")
    row = row_of(job("pn"), tmp_path, account, "")
    assert row["error"] == "none of its 2 requests was answered: HTTP 401"
    assert "test" not in row
    account.add(200, b"{}")
    assert (account.answered, account.failure) == (0, "HTTP 200 with something else than an answer")
    account.failed -= 1
    account.add(200, ANSWER)
    account.requests += 1
    row = row_of(job("pn"), tmp_path, account, "")
    assert (row["test"], row["answered"], row["failed"]) == (0.5, 1, 2)
    table = tables.document([played("pn", "dice", 1, "10", failed=2)])
    assert "| 2.0 (2 more failed) |" in tables.markdown("Calls", table)


async def test_an_endpoint_that_cannot_be_asked_closes_the_door_unless_it_has_answered() -> None:
    """A wrong key, address or model is wrong for all cells, and so is nobody there; later it may pass."""
    says = [401, 200, 404]

    async def reply(_: web.Request) -> web.Response:
        return web.Response(body=ANSWER, status=says.pop(0), content_type="application/json")

    async def post(door: Door, cell: str) -> None:
        url = f"{door.base_url(cell)}/chat/completions"
        async with aiohttp.ClientSession() as session, session.post(url, json={"messages": []}):
            pass

    app = web.Application()
    app.router.add_post("/v1/chat/completions", reply)
    async with TestServer(app) as server:
        address = str(server.make_url("/v1"))
        async with Door(address) as door:
            await post(door, "one")
            assert door.closed == f"{address} says 401 Unauthorized"
            assert door.spoilt["one"].result() == door.closed
        async with Door(address) as door:
            await post(door, "one")
            await post(door, "one")
            assert not says
            assert not door.closed
            assert not door.spoilt["one"].done()
    async with Door(address) as door:
        await post(door, "one")
        assert door.closed == f"nobody listens at {address}"
    for wrong in ("127.0.0.1:9/v1", "http://127.0.0.1:99999/v1", "ftp://x/v1"):
        async with Door(wrong) as door:
            await post(door, "one")
            assert door.closed == f"{wrong} is no address; it begins with http:// or https://"


async def test_a_comparison_is_played_again_with_the_answers_that_were_recorded(tmp_path: Path) -> None:
    """By cell and request, in their order, without the endpoint; its tokens count as they did."""
    file = tmp_path / "answers.jsonl"
    asked = [("one", "more"), ("one", "more"), ("one", "less"), ("other", "more")]

    async def asked_of(door: Door) -> list[str]:
        found = []
        async with aiohttp.ClientSession() as session:
            for cell, text in asked:
                body = {"model": "fake", "messages": [{"role": "user", "content": text}]}
                async with session.post(f"{door.base_url(cell)}/chat/completions", json=body) as reply:
                    said = await reply.json()
                found.append(
                    said["choices"][0]["message"]["content"] if reply.ok else said["error"]["message"]
                )
        return found

    async with ChatServer() as fake, Door(fake.base_url, answers=Answers(file)) as door:
        first, account = await asked_of(door), door.accounts["one"]
    assert len({*first}) > 1
    async with Door("", answers=Answers(file)) as again:
        assert await asked_of(again) == first
        assert again.accounts["one"] == account
        assert await asked_of(again) == ["no answer to this request is recorded"] * 4
        assert again.accounts["one"].failed == 3


@pytest.mark.parametrize(
    "said",
    [
        "",
        "data: {}",
        "[]",
        '{"choices": []}',
        '{"choices": [{}]}',
        '{"choices": 5}',
        '{"error": {"message": "no"}}',
    ],
)
async def test_a_reply_without_an_answer_is_passed_on_and_counted_and_not_kept(
    said: str, tmp_path: Path
) -> None:
    """As it is where no answers are kept."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=said, content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    file = tmp_path / "answers.jsonl"
    async with TestServer(app) as server, Door(str(server.make_url("/v1")), answers=Answers(file)) as door:
        async with aiohttp.ClientSession() as session:
            body = {"messages": [{"role": "user", "content": "more"}]}
            async with session.post(f"{door.base_url('one')}/chat/completions", json=body) as reply:
                assert (reply.status, await reply.text()) == (200, said)
        assert (door.accounts["one"].answered, door.accounts["one"].failed) == (0, 1)
        assert not door.spoilt["one"].done()
    assert not file.exists()


async def test_an_answer_that_cannot_be_kept_is_given_and_its_cell_is_named(tmp_path: Path) -> None:
    """It is paid for; but a cell that could not be played again is not said to be recorded."""
    answers = Answers(tmp_path / "missing" / "answers.jsonl")
    async with ChatServer() as fake, Door(fake.base_url, answers=answers) as door:
        async with aiohttp.ClientSession() as session:
            body = {"model": "fake", "messages": [{"role": "user", "content": "more"}]}
            async with session.post(f"{door.base_url('one')}/chat/completions", json=body) as reply:
                assert reply.status == 200
        assert door.spoilt["one"].result() == "an answer cannot be kept: No such file or directory"
        assert door.accounts["one"].answered == 1


def test_a_last_line_that_was_cut_short_is_no_answer_and_does_not_take_the_next(tmp_path: Path) -> None:
    """A comparison was killed while it wrote."""
    file = tmp_path / "answers.jsonl"
    body, said = b'{"messages": []}', {"choices": [{"message": {"content": "a {}"}}]}
    Answers(file).add("one", body, json.dumps(said).encode())
    whole = file.read_bytes()
    file.write_bytes(whole + whole[1:40])
    Answers(file).add("one", body, json.dumps(said).encode())
    again = Answers(file)
    for _ in range(2):
        assert json.loads(again.take("one", body) or b"")["choices"] == said["choices"]
    assert again.take("one", body) is None


@pytest.mark.parametrize("line", ["[]", "5", "[" * 5000, '{"request": "a", "choices": [null]}'])
def test_a_damaged_line_of_answers_is_named(line: str, tmp_path: Path) -> None:
    """What is played from it would be another comparison."""
    file = tmp_path / "answers.jsonl"
    file.write_text(f"\n{line}\n", "utf-8")
    with pytest.raises(ValueError, match="line 2: no recorded answer"):
        Answers(file)


def test_answers_that_are_not_there_are_reported_before_anybody_plays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without an endpoint there is nobody else to ask."""
    with pytest.raises(SystemExit):
        optimizers.parsed(["--llm", "by-hand", "--answers", str(tmp_path / "none.jsonl")])
    assert "no such file" in capsys.readouterr().err


async def test_the_door_refuses_as_asked_and_sees_who_comes_too_soon() -> None:
    """With how long to wait; the same request at once again is too soon, another one is not."""
    async with ChatServer() as fake, Door(fake.base_url) as door, aiohttp.ClientSession() as session:
        door.troubles["one"] = Trouble(2, "refuse", 3600)

        async def asked(text: str) -> tuple[int, str | None]:
            body = {"model": "fake", "messages": [{"role": "user", "content": text}]}
            async with session.post(f"{door.base_url('one')}/chat/completions", json=body) as reply:
                return reply.status, reply.headers.get("Retry-After")

        assert [await asked(text) for text in ("a", "b", "c", "b")] == [(200, None), *[(429, "2")] * 3]
        assert (door.accounts["one"].refused, door.accounts["one"].early) == (3, 1)
        door.troubles["one"] = Trouble(5, "refuse")
        assert [(await asked("b"))[0] for _ in range(2)] == [429, 200]


async def test_an_answer_that_is_held_back_is_counted_before_anybody_is_killed() -> None:
    """It was made, and is paid for."""
    async with ChatServer() as fake, Door(fake.base_url) as door, aiohttp.ClientSession() as session:
        trouble = door.troubles["one"] = Trouble(1, "hold")
        body = {"model": "fake", "messages": [{"role": "user", "content": "more"}]}
        waiting = asyncio.ensure_future(session.post(f"{door.base_url('one')}/chat/completions", json=body))
        await trouble.reached.wait()
        assert not waiting.done()
        assert door.accounts["one"].answered == 1
        waiting.cancel()


def test_hits_go_through_a_row_unchanged() -> None:
    """At any number of images."""
    for right in ([], [True], [True, False, False, True, True, False, True, True, True]):
        assert unpacked(packed(right), len(right)).tolist() == [int(one) for one in right]


def test_a_table_says_differences_mean_ranks_and_who_is_near_the_best() -> None:
    """A row that failed somewhere is shown with its failure, and counts where it has finished."""
    ours, gepa, opro = "guided, with description", "GEPA, with description", "OPRO, with description"
    better, worse = "1" * 90 + "0" * 10, "1" * 40 + "0" * 60
    rows = [
        *(played(ours, data, seed, better) for data in ("dice", "frames") for seed in (1, 2)),
        *(played(gepa, "dice", seed, worse) for seed in (1, 2)),
        played(gepa, "frames", 1, better),
        {"row": gepa, "data": "frames", "seed": 2, "error": "exit code 1: <b>Error|`"},
        {"row": opro, "data": "dice", "seed": 1, "error": "signal 9: "},
    ]
    found = tables.document(rows)
    first, second, third = (found["rows"][name] for name in (ours, gepa, opro))
    assert first["test"] == 90
    assert second["by_set"] == {"dice": 40, "frames": 90}
    assert second["ours_over_it"]["mean"] == 25
    assert second["ours_over_it"]["cells"] == 3
    assert first["standing"] == {"rank": 1.25, "near": 2, "of": 2}
    assert second["standing"] == {"rank": 1.75, "near": 1, "of": 2}
    assert third == {"cells": 0, "errors": ["signal 9: "]}
    shown = tables.markdown("Calls", found).splitlines()
    assert shown[5].startswith("| GEPA, with description | 1 | 65.0 (1 failed) | +25.0 [")
    assert shown[6].startswith("| OPRO, with description |  | failed: signal 9:  |")
    assert len({line.count("|") for line in shown[2:7]}) == 1


def test_seconds_are_of_cells_that_were_played_alone() -> None:
    """Those that were played side by side waited for each other; a row that has no others says none."""
    alone, beside = {"wall_s": 6, "at_once": 1}, {"wall_s": 70, "at_once": 6}
    rows = [
        played("guided, with description", "dice", 1, "10"),
        played("guided, with description", "dice", 2, "10", **alone),
        played("guided, with description", "dice", 3, "10", **beside),
        played("random", "dice", 3, "10", **beside),
    ]
    found = tables.document(rows)
    assert [row["wall_s"] for row in found["rows"].values()] == [5.5, None]
    place = tables.COLUMNS.index("seconds") + 1
    shown = tables.markdown("Calls", found).splitlines()[4:6]
    assert [line.split("|")[place].strip() for line in shown] == ["6", ""]


def test_what_a_peer_says_in_its_error_stays_in_its_cell() -> None:
    """It is no mark of the table, and no HTML."""
    case = {"answered": 3, "refused": 9, "early": 2, "error": "<b>no|way`"}
    row = {"row": "GEPA", "undisturbed": {"answered": 5}, "429 once": {**case, "refused": 1, "answered": 5}}
    row |= {"kill": {"paid_again": 1, "same_pick": False}, "429 for a while": case}
    shown = tables.faults_markdown([row]).splitlines()[2]
    assert "pays 1 of 5 calls again; another pick" in shown
    assert "after 3 of 5 calls; 9 refused, 2 sooner than asked: &lt;b>no\\|way'" in shown


@pytest.mark.slow
@pytest.mark.parametrize("row", ONE_EACH, ids=lambda row: row.name)
async def test_everybody_plays_a_few_calls_to_a_pick(row: Any, tmp_path: Path) -> None:
    """In a process of its own, within its calls; a peer that is not installed here is passed over."""
    if row.package and find_spec(row.package) is None:
        pytest.skip(f"{row.package} is not installed")
    # Ten parents make ten children.
    calls = 10 if row.method == "evopromptga" else 8
    async with ChatServer() as fake, Door(fake.base_url) as door:
        found = await outcome(job(row.name, calls=calls), tmp_path, door, "one", minutes=5)
    assert "error" not in found
    assert "{}" in found["template"]
    assert 0 < found["test"] < 1
    assert found["answered"] == found["requests"] <= calls
    if row.package:
        assert found["answered"] == calls
        assert found["version"]


@pytest.mark.slow
async def test_a_search_of_ours_that_is_killed_pays_for_one_answer_again(tmp_path: Path) -> None:
    """The one that it waited for; and a 429 costs it nothing."""
    (found,) = await faults.measured([job("pn")], tmp_path, minutes=5, refuse_s=0)
    assert found["kill"]["paid_again"] == 1
    assert found["kill"]["same_pick"]
    assert found["429 once"]["answered"] == found["undisturbed"]["answered"] == 4
    assert (found["429 once"]["refused"], found["429 once"]["early"]) == (1, 0)


@pytest.mark.slow
async def test_cells_are_played_side_by_side_where_that_is_asked_for(tmp_path: Path) -> None:
    """Both wait for their answers at once, and each has its row."""
    both = asyncio.Barrier(2)

    async def answer(_: web.Request) -> web.Response:
        await both.wait()
        message = {"role": "assistant", "content": "a sketch of a {}"}
        return web.json_response({"choices": [{"message": message, "finish_reason": "stop"}]})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    words = ["--data", "frames,displays", "--seeds", "1", "--only", "pn", "--tables", "calls", "--calls", "1"]
    async with TestServer(app) as server:
        words += ["--at-once", "2", "--evaluator", FACTORY, "--base-url", str(server.make_url("/v1"))]
        found = await optimizers.table(optimizers.parsed(["--llm", "fake", *words]), tmp_path)
    assert [(row["data"], row["answered"]) for row in found["calls"]] == [("frames", 1), ("displays", 1)]
    assert [row["at_once"] for row in found["calls"]] == [2, 2]


def run_comparison(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """The command, with little to play."""
    small = ["--llm", "fake", "--data", "displays", "--seeds", "1", "--tables", "calls", "--calls", "2"]
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "optimizers.py"),
        *small,
        "--evaluator",
        FACTORY,
        *words,
    ]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


@pytest.mark.slow
def test_a_comparison_whose_endpoint_cannot_be_asked_ends_in_a_line_and_keeps_no_row(tmp_path: Path) -> None:
    """The same command plays them all once it can."""
    for row in ("pn", "GEPA, with description"):
        found = run_comparison("--base-url", "http://127.0.0.1:9/v1", "--keep", str(tmp_path), "--only", row)
        assert (found.returncode, found.stdout) == (1, "")
        assert found.stderr == "--base-url: nobody listens at http://127.0.0.1:9/v1\n"
    assert not (tmp_path / "rows.jsonl").exists()


@pytest.mark.slow
def test_a_comparison_keeps_its_cells_where_its_folder_was_named(tmp_path: Path) -> None:
    """A relative path is of that place."""
    words = ("--base-url", "http://127.0.0.1:9/v1", "--keep", "kept", "--only", "random")
    found = run_comparison(*words, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert (tmp_path / "kept" / "rows.jsonl").is_file()
    assert json.loads(found.stdout)["calls"]["rows"]["random"]["cells"] == 1


@pytest.mark.slow
def test_a_comparison_with_failed_cells_says_so_and_one_folder_is_for_one_comparison(tmp_path: Path) -> None:
    """By its exit code; and the second is found who plays there."""
    (tmp_path / "none.jsonl").touch()
    words = ("--answers", str(tmp_path / "none.jsonl"), "--keep", str(tmp_path / "keep"), "--only", "pn")
    found = run_comparison(*words)
    assert found.returncode == 1
    assert found.stderr.splitlines()[-1].startswith("1 cell failed, ")
    lock = lock_folder(tmp_path / "keep")
    found = run_comparison(*words)
    lock.release()
    assert (found.returncode, found.stdout) == (1, "")
    assert f"keep is in use by a live process (process {os.getpid()})" in found.stderr


@pytest.mark.slow
async def test_a_cell_with_a_request_that_is_not_recorded_is_a_row_with_its_error(tmp_path: Path) -> None:
    """A peer may pass over it and come to another end, which is not said to be what was recorded."""
    async with Door("", answers=Answers(tmp_path / "answers.jsonl")) as door:
        found = await outcome(job("pn"), tmp_path / "cell", door, "one", minutes=5)
    assert "test" not in found
    assert found["error"].startswith("a request has no recorded answer")


@pytest.mark.slow
async def test_a_cell_that_crashes_is_a_row_with_its_error(tmp_path: Path) -> None:
    """The comparison goes on."""
    async with ChatServer(ServerOptions()) as fake, Door(fake.base_url) as door:
        broken = job("random", evaluator="tests.fakes.predicting_box:missing")
        found = await outcome(broken, tmp_path, door, "one", minutes=5)
    assert "test" not in found
    assert found["error"].startswith("exit code 1: ")
    assert "missing" in found["error"]


@pytest.mark.slow
async def test_a_cell_ends_with_the_comparison_that_started_it(tmp_path: Path) -> None:
    """It would ask nobody, for as long as its patience lasts."""
    async with ChatServer() as fake, Door(fake.base_url) as door:
        trouble = door.troubles["one"] = Trouble(1, "hold")
        process = await process_of(job("pn"), tmp_path, door.base_url("one"))
        await trouble.reached.wait()
        assert process.returncode is None
        assert process.stdin is not None
        process.stdin.close()
        assert await process.wait() == 1
