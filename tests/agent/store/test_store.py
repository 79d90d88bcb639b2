"""The run on disk: durable, exclusive, and safe to open."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptclimb.agent.errors import (
    StoreExistsError,
    StoreLockedError,
    StoreMismatchError,
    StoreMissingError,
    StoreVersionError,
)
from promptclimb.agent.llm.chat import ChatAnswer
from promptclimb.agent.position import Position
from promptclimb.agent.prices import Bill, Spent
from promptclimb.agent.store.disk import TextWriter
from promptclimb.agent.store.records import StoredAnswer, check_identity, reader
from promptclimb.agent.store.run import Store, StoreReader
from promptclimb.agent.versions import program_version
from promptclimb.evaluator.errors import StoreCorruptError, StoreError, StoreFullError, UsageError
from promptclimb.evaluator.scoring import Rejection, Score
from tests.fakes.stored import answers
from tests.paths import ROOT

MANIFEST: dict[str, Any] = {"identity": {"method": "pn", "seed": 1, "data": {"name": "digits", "shots": 16}}}
ANSWER = ChatAnswer(text="- a {}\n- ünï \ud800", model="m", prompt_tokens=12, completion_tokens=3)
COST = Spent(calls=1, prompt_tokens=12, completion_tokens=3, picodollars=5)


def dead_process() -> int:
    """Return the number of a process that is over."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        return process.pid


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A directory in which a run was started."""
    Store.create(tmp_path / "run", MANIFEST).close()
    return tmp_path / "run"


def planted(run_dir: Path, *statements: tuple[str, tuple[Any, ...]]) -> None:
    """Change the database behind the store's back."""
    database = sqlite3.connect(run_dir / "store" / "cache.db")
    for statement, values in statements:
        database.execute(statement, values)
    database.commit()
    database.close()


def on_writers_connection(store: Store, statement: str) -> int:
    """Return what a statement gives in the thread that writes."""
    cache = store._writer._texts.cache
    return int(store._writer._thread.submit(lambda: cache._sql(statement).fetchone()[0]).result())


async def test_answers_scores_and_usage_are_there_again(run_dir: Path) -> None:
    """What was written is read back equal, in the order of positions, with its cost added up."""
    positions = [Position(1, 0, 0), Position(0, 0, 2), Position(0, 0, 10), Position(0, 0, 2, 1)]
    with Store.open(run_dir) as store:
        for position in positions:
            await store.put_answer(position, "hash", ANSWER, Bill(COST))
        await store.put_score("a {}", Score(train=1 / 3, val=0.1, correct=(1, None)))
        await store.put_value("long", "x" * 10**6)
        await store.put_score("the {}", Rejection("too_many_tokens", "78 tokens"))
        await store.put_usage(Bill(Spent(calls=1, failed_calls=1, prompt_tokens=7)))
        await store.put_value("status", {"finished": True})
    with Store.open(run_dir) as store:
        assert list(answers(store)) == sorted(positions)
        assert store.answer(positions[0]) == StoredAnswer("hash", ANSWER)
        assert store.answer(Position(9, 9, 9)) is None
        assert store.score("a {}") == Score(train=1 / 3, val=0.1, correct=(1, None))
        assert store.score("the {}") == Rejection("too_many_tokens", "78 tokens")
        assert store.value("status") == {"finished": True}
        assert store.value("long") == "x" * 10**6
        usage = store.usage
        assert (usage.calls, usage.failed_calls, usage.prompt_tokens, usage.picodollars) == (5, 1, 55, 20)
        assert store.manifest.identity == MANIFEST["identity"]
        assert store.manifest.program == program_version()
        assert datetime.datetime.fromisoformat(store.manifest.started).tzinfo is not None


async def test_a_run_can_be_opened_in_one_thread_and_used_in_another(run_dir: Path) -> None:
    """And leaves no connection in the first: the thread may end before the run does."""
    with ThreadPoolExecutor(1) as thread, thread.submit(Store.open, run_dir).result() as store:
        assert thread.submit(lambda: getattr(store._writer._texts.cache._local, "con", None)).result() is None
        await store.put_value("x", 1)
        assert store.value("x") == 1
        assert on_writers_connection(store, "PRAGMA synchronous") == 2  # FULL
    assert not (run_dir / "store" / "cache.db-wal").exists()


async def test_a_run_without_counts_by_kind_of_token_is_resumed(run_dir: Path) -> None:
    """Its totals lack them; they are zero, and are counted from here on."""
    row = json.dumps({"calls": 2, "prompt_tokens": 10, "picodollars": 7})
    planted(run_dir, ("UPDATE Cache SET value = ? WHERE key = 'usage'", (row,)))
    with Store.open(run_dir) as store:
        await store.put_usage(Bill(Spent(calls=1, prompt_tokens=5, cached_tokens=4)))
        usage = store.usage
    assert (usage.calls, usage.prompt_tokens, usage.cached_tokens, usage.picodollars) == (3, 15, 4, 7)


async def test_an_answer_is_written_once(run_dir: Path) -> None:
    """A second answer at a position is refused, and the first one stands."""
    with Store.open(run_dir) as store:
        await store.put_answer(Position(0, 0, 0), "one", ANSWER)
        with pytest.raises(StoreError, match="already"):
            await store.put_answer(Position(0, 0, 0), "two", ANSWER)
        stored = store.answer(Position(0, 0, 0))
        assert stored is not None
        assert stored.request_hash == "one"


async def test_cancelling_does_not_undo_a_write(run_dir: Path) -> None:
    """What was paid for is on the disk although nobody waits for it any more."""
    with Store.open(run_dir) as store:
        task = asyncio.create_task(store.put_answer(Position(0, 0, 0), "h", ANSWER))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    with Store.open(run_dir) as store:
        assert store.answer(Position(0, 0, 0)) is not None


async def test_a_reservation_of_a_killed_process_counts_as_used(run_dir: Path) -> None:
    """Nobody knows whether it was billed, so the budget takes it as spent; a settled one is gone."""
    reserved = Spent(calls=1, estimated_tokens=500)
    with Store.open(run_dir) as store:
        await store.put_usage(Bill.reserving(reserved))
        await store.put_answer(Position(0, 0, 0), "h", ANSWER, Bill(COST, reserved))
        await store.put_usage(Bill.reserving(reserved))
    with Store.open(run_dir) as store:
        assert (store.usage.calls, store.usage.tokens_at_most) == (2, 515)
        await store.put_value("x", 1)
    with Store.open(run_dir) as store:
        assert (store.usage.calls, store.usage.tokens_at_most) == (2, 515)


def test_a_run_is_created_once_and_opened_only_where_there_is_one(tmp_path: Path, run_dir: Path) -> None:
    """Both mistakes are the user's, and say what to do."""
    with pytest.raises(StoreExistsError, match="has just started a run here"):
        Store.create(run_dir, MANIFEST)
    with pytest.raises(StoreMissingError, match="holds no run"):
        Store.open(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    assert issubclass(StoreExistsError, UsageError)


def test_a_kill_while_creating_leaves_no_half_run(tmp_path: Path) -> None:
    """What was being built beside it is swept away by the next start; what a live process makes is not."""
    alive = tmp_path / f"store.new.{os.getppid()}"
    TextWriter(alive).close()
    for number in (dead_process(), os.getpid()):  # the latter, as in a container that was started again
        TextWriter(tmp_path / f"store.new.{number}").close()
    with pytest.raises(StoreMissingError):
        Store.open(tmp_path)
    Store.create(tmp_path, MANIFEST).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store", alive.name]


def test_of_processes_that_start_a_run_at_once_one_wins(tmp_path: Path) -> None:
    """The other says that another one was faster."""
    code = (
        "import sys; from pathlib import Path; from promptclimb.agent.errors import StoreExistsError\n"
        "from promptclimb.agent.store.run import Store\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "try: Store.create(Path(sys.argv[1]), {}); print('won', flush=True); sys.stdin.readline()\n"
        "except StoreExistsError as error: print('lost', flush=True)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    with contextlib.ExitStack() as stack:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        started = [stack.enter_context(subprocess.Popen(command, cwd=ROOT, **pipes)) for _ in range(2)]
        assert [process.stdout.readline() for process in started if process.stdout] == ["ready\n"] * 2
        for process in started:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        outcomes = sorted(process.stdout.readline() for process in started if process.stdout)
        assert outcomes == ["lost\n", "won\n"]
        for process in started:
            process.communicate("\n" if process.poll() is None else None)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["store"]


def test_a_live_process_keeps_others_out_and_a_killed_one_does_not(run_dir: Path) -> None:
    """The lock names its owner, and goes with it even if it is killed."""
    code = (
        "import sys, time; from pathlib import Path; from promptclimb.agent.store.run import Store\n"
        "store = Store.open(Path(sys.argv[1])); print('open', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(run_dir)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(StoreLockedError, match=f"process {other.pid}"):
            Store.open(run_dir)
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
    Store.open(run_dir).close()


class Bomb:
    """Unpickling it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("where", ["value", "key", "file"])
def test_a_planted_pickle_is_named_and_never_loaded(run_dir: Path, tmp_path: Path, where: str) -> None:
    """In a value, a key or a file beside the database."""
    bomb = pickle.dumps(Bomb(tmp_path / "boom"))
    insert = "INSERT INTO Cache (key, raw, mode, filename, value) VALUES (?, ?, ?, ?, ?)"
    rows: dict[str, tuple[Any, ...]] = {
        "value": ("evil", 1, 4, None, bomb),
        "key": (bomb, 0, 1, None, "1"),
        "file": ("evil", 1, 4, "evil.val", None),
    }
    (run_dir / "store" / "evil.val").write_bytes(bomb)
    planted(run_dir, (insert, rows[where]))
    with pytest.raises(StoreCorruptError, match=r"pickle.*nothing was loaded"):
        Store.open(run_dir)
    assert not (tmp_path / "boom").exists()


def test_a_pickle_planted_while_the_run_is_open_is_not_loaded_either(run_dir: Path, tmp_path: Path) -> None:
    """Reading the row is an error; running it is not."""
    bomb = pickle.dumps(Bomb(tmp_path / "boom"))
    with Store.open(run_dir) as store:
        planted(run_dir, ("UPDATE Cache SET mode = 4, value = ? WHERE key = 'usage'", (bomb,)))
        with pytest.raises(StoreCorruptError, match="pickle"):
            store._row("usage", reader(Spent))
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("value", [object(), {1, 2}, b"x", float("nan")])
async def test_only_json_goes_in(run_dir: Path, value: object) -> None:
    """Nothing is ever pickled on the way in, and the store goes on."""
    with Store.open(run_dir) as store:
        with pytest.raises((TypeError, ValueError)):
            await store.put_value("x", value)
        await store.put_value("x", 1)


@pytest.mark.parametrize(
    ("break_it", "problem"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "damaged"),
        (lambda path: path.write_bytes(os.urandom(20000)), "damaged"),
        (lambda path: path.write_bytes(b""), "another program"),
    ],
)
def test_a_torn_store_is_reported(run_dir: Path, break_it: Any, problem: str) -> None:
    """Cut short, overwritten or emptied: an error that names the file."""
    break_it(run_dir / "store" / "cache.db")
    with pytest.raises(StoreCorruptError, match=problem) as caught:
        Store.open(run_dir)
    assert "cache.db" in str(caught.value)


def test_a_foreign_database_is_reported(run_dir: Path) -> None:
    """Tables, triggers and settings of others are not ours to touch."""
    planted(run_dir, ("CREATE TABLE stranger (x)", ()))
    with pytest.raises(StoreCorruptError, match="stranger"):
        Store.open(run_dir)
    planted(run_dir, ("DROP TABLE stranger", ()), ("INSERT INTO Settings VALUES ('sqlite_evil', 1)", ()))
    with pytest.raises(StoreCorruptError, match="sqlite_evil"):
        Store.open(run_dir)


@pytest.mark.parametrize(
    "made",
    [
        "VIEW Cache AS WITH RECURSIVE c AS (SELECT 'x' AS key UNION ALL SELECT key FROM c) SELECT * FROM c",
        "TABLE Cache (key, value AS (hex(zeroblob(500000000))))",
    ],
)
def test_a_database_that_computes_its_rows_is_not_read(run_dir: Path, made: str) -> None:
    """A view may never end, and a column may take any memory."""
    planted(run_dir, ("DROP TABLE Cache", ()), (f"CREATE {made}", ()))
    for opened in (Store.open, StoreReader):
        with pytest.raises(StoreCorruptError, match="another program's"):
            opened(run_dir)


@pytest.mark.parametrize("manifest", ["[]", "{}", "not json", '{"format":"3"}'])
def test_a_store_without_a_manifest_is_reported(run_dir: Path, manifest: str) -> None:
    """Something else on diskcache, or a torn row."""
    planted(run_dir, ("UPDATE Cache SET value = ? WHERE key = 'manifest'", (manifest,)))
    with pytest.raises(StoreCorruptError):
        Store.open(run_dir)


@pytest.mark.parametrize(
    ("manifest", "parts"),
    [
        ('{"format":1}', ["older version", "store format 1", "start a new run"]),
        ('{"format":99,"program":"7.5"}', ["newer version", "promptclimb 7.5", "use promptclimb 7.5"]),
    ],
)
def test_another_versions_run_gets_one_clear_line(run_dir: Path, manifest: str, parts: list[str]) -> None:
    """Which folder, which version made it, what can still be done with it; nothing of it is changed."""
    planted(run_dir, ("UPDATE Cache SET value = ? WHERE key = 'manifest'", (manifest,)))
    with pytest.raises(StoreVersionError) as caught:
        Store.open(run_dir)
    message = str(caught.value)
    assert all(part in message for part in [str(run_dir), "result.json", program_version(), *parts]), message
    assert "\n" not in message
    assert isinstance(caught.value, UsageError)
    with pytest.raises(StoreVersionError):
        Store.open(run_dir)


def test_other_settings_are_refused_with_the_difference(run_dir: Path) -> None:
    """Each difference on a line of its own, nested ones by their path; what is not set is no difference."""
    with Store.open(run_dir) as store:
        identity = store.manifest.identity
        check_identity(identity, MANIFEST["identity"])
        with pytest.raises(StoreMismatchError) as caught:
            check_identity(identity, {"method": "p", "data": {"name": "digits", "shots": 4}, "new": None})
    assert caught.value.differences == (
        "data.shots: it was 16, now 4",
        "method: it was 'pn', now 'p'",
        "seed: it was 1, now not set",
    )


async def test_a_full_disk_stops_the_writing_and_keeps_what_was_written(run_dir: Path) -> None:
    """After the first write that fails no other is tried, so that the journal has no hole."""
    with Store.open(run_dir) as store:
        await store.put_answer(Position(0, 0, 0), "h", ANSWER)
        # SQLite reports a database that may not grow exactly as it reports a full disk.
        store._writer._thread.submit(
            lambda: store._writer._texts.cache._sql("PRAGMA max_page_count = 1")
        ).result()

        async def fill() -> None:
            for number in range(1, 200):
                await store.put_answer(Position(0, 0, number), "h", ANSWER)

        with pytest.raises(StoreFullError, match="everything written before is kept"):
            await fill()
        store._writer._thread.submit(
            lambda: store._writer._texts.cache._sql("PRAGMA max_page_count = 100000")
        ).result()
        with pytest.raises(StoreFullError):
            await store.put_value("later", 1)
        written = [position.round for position in answers(store)]
    with Store.open(run_dir) as store:
        assert [position.round for position in answers(store)] == written == list(range(len(written)))
        await store.put_value("later", 1)


async def test_nothing_is_ever_dropped(run_dir: Path) -> None:
    """The limit of 1 GiB that diskcache has, and its eviction, are off, and every commit is synced."""
    with Store.open(run_dir) as store:
        cache = store._writer._texts.cache
        assert (cache.eviction_policy, cache.cull_limit, cache.size_limit) == ("none", 0, 2**62)
        assert on_writers_connection(store, "PRAGMA synchronous") == 2


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sets(st.text(max_size=50), max_size=5),
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
                 | st.text(max_size=20), lambda deeper: st.lists(deeper, max_size=3), max_leaves=5),
)  # fmt: skip
def test_any_text_is_kept_as_it_is(run_dir: Path, texts: set[str], note: Any) -> None:
    """Templates with any character, lone surrogates included, and any JSON value as a note."""

    async def write() -> None:
        with Store.open(run_dir) as store:
            for text in texts:
                await store.put_score(text, Score(train=0.5))
            await store.put_value("note", note)
            for text in texts:
                assert store.score(text) == Score(train=0.5)
            assert store.value("note") == json.loads(json.dumps(note))

    asyncio.run(write())


def test_a_run_that_cannot_be_opened_is_let_go(run_dir: Path) -> None:
    """Once it is fixed, the same process can open it."""
    good = (run_dir / "store" / "cache.db").read_bytes()
    planted(run_dir, ("UPDATE Cache SET value = '{}' WHERE key = 'manifest'", ()))
    with pytest.raises(StoreCorruptError) as caught:
        Store.open(run_dir)
    (run_dir / "store" / "cache.db").write_bytes(good)
    with Store.open(run_dir) as store:
        assert store.manifest.identity == MANIFEST["identity"]
        with pytest.raises(StoreLockedError):
            Store.open(run_dir)
    assert caught.value is not None


@pytest.mark.parametrize(
    ("key", "row"),
    [
        ("usage", '{"calls": "many"}'),
        ("usage", '{"active_s": NaN}'),
        ("reserved", "7"),
        ("manifest", '{"format": 5, "identity": {}, "config": []}'),
        ("score:a {}", '{"score": {"train": Infinity}}'),
        ("score:a {}", "{"),
        ("answer:000000001.000000001.000000001.000000000", '{"request": "h", "answer": {"words": "x"}}'),
        ("answer:1.x", '{"request": "h", "answer": {"text": "x"}}'),
    ],
)
def test_a_row_of_another_shape_is_named(run_dir: Path, key: str, row: str) -> None:
    """JSON that this program does not write is no traceback: which folder, which row, what to do."""
    planted(
        run_dir,
        ("DELETE FROM Cache WHERE key = ?", (key,)),
        ("INSERT INTO Cache (key, raw, mode, value) VALUES (?, 1, 1, ?)", (key, row)),
    )

    def read_all() -> None:
        with Store.open(run_dir) as store:
            answers(store)
            store.score("a {}")

    with pytest.raises(StoreCorruptError, match=key) as caught:
        read_all()
    assert "changed from outside" in str(caught.value) or "no position" in str(caught.value)


async def test_the_settings_of_a_session_are_kept_for_the_next(run_dir: Path) -> None:
    """Beside all else that the manifest says."""
    with Store.open(run_dir) as store:
        before = store.manifest
        await store.put_config({"rpm": 3})
    with Store.open(run_dir) as store:
        assert store.manifest == before.model_copy(update={"config": {"rpm": 3}})
