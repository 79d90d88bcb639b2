"""Bad input, kind by kind: one clear line, exit code 2, and nothing was paid."""

from __future__ import annotations

import json
import pickle
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web
from PIL import Image

from promptclimb.agent.cli.main import main
from tests.fakes.chat_server import ChatServer
from tests.fakes.served import served
from tests.fakes.serving import Serving, serving_chat
from tests.fakes.suite_files import pictures
from tests.fakes.tiny_clip import local_dir


@pytest.fixture(scope="module")
def endpoint() -> Iterator[ChatServer]:
    """An endpoint that knows the model."""
    with serving_chat(model="some-llm") as server:
        yield server


@pytest.fixture(scope="module")
def web_page() -> Iterator[str]:
    """A web server that is no endpoint."""

    async def welcome(_request: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>Welcome</title>", content_type="text/html")

    with Serving(served(welcome)) as address:
        yield address


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny CLIP and its configuration, as open_clip's local-dir reads it."""
    return local_dir(tmp_path_factory.mktemp("model"))


@dataclass
class Bench:
    """An empty folder of the test's own, an endpoint that works, and a model that works."""

    folder: Path
    endpoint: ChatServer
    web_page: str
    model: Path

    def images(self, name: str, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
        """A folder of class folders."""
        pictures(self.folder / name, 4, classes)
        return self.folder / name

    def file(self, name: str, content: str | bytes) -> str:
        """A file with this in it."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def search(self, *arguments: object, **replaced: object) -> list[str]:
        """A search that would work but for the arguments given."""
        settings: dict[str, object] = {
            "model": f"local-dir:{self.model}",
            "shots": 1,
            "llm": "some-llm",
            "base-url": self.endpoint.base_url,
            "initial": 4,
            "restarts": 1,
            # Should a search begin all the same, it ends at once.
            "max-calls": 1,
            "run-dir": self.folder / "run",
            **{name.replace("_", "-"): value for name, value in replaced.items()},
        }
        if "data" not in settings:
            settings["data"] = self.images("good")
        flags = [str(word) for name, value in settings.items() for word in (f"--{name}", value)]
        return ["search", *flags, *map(str, arguments)]


def broken_image(bench: Bench, content: bytes) -> Path:
    """A data set with one image replaced in every split of one class."""
    folder = bench.images("broken")
    for number, image in enumerate((folder / "cat").iterdir()):
        image.write_bytes(content + bytes([number]))
    return folder


def torn_inside(folder: Path) -> Path:
    """Test images beside those of train, one of which is torn where neither of its ends shows it."""
    for label, name in enumerate(("cat", "dog")):
        (folder / "test" / name).mkdir(parents=True)
        for number in range(3):
            pixels = np.random.default_rng([label, number]).integers(0, 256, (30, 30, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "test" / name / f"{number}.png")
    tear(folder / "test" / "dog" / "1.png")
    return folder


def tear(image: Path) -> None:
    """Blank the middle of a file."""
    content = bytearray(image.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(200)
    image.write_bytes(content)


def leaking(bench: Bench) -> Path:
    """The same picture in train and in test."""
    for split in ("train", "test"):
        bench.images(f"leak/{split}")
    return bench.folder / "leak"


def device(bench: Bench, name: str) -> str:
    """A link to a file that has no end."""
    (bench.folder / name).symlink_to("/dev/zero")
    return str(bench.folder / name)


def occupied(bench: Bench) -> Path:
    """A folder with somebody's papers in it."""
    return Path(bench.file("papers/thesis.txt", "important")).parent


def pickled_weights(bench: Bench) -> str:
    """Weights of a model of one's own that are pickled."""
    bench.file("own/open_clip_config.json", (bench.model / "open_clip_config.json").read_bytes())
    return bench.file("own/weights.pt", pickle.dumps({"weights": Path("a")}, protocol=2))


Arguments = Callable[[Bench], list[str]]
TABLE: dict[str, tuple[Arguments, str]] = {
    # The data.
    "empty folder": (lambda p: p.search(data=p.images("none", classes=())), "DIR/CLASS"),
    "an unreadable image": (
        lambda p: p.search(data=broken_image(p, b"torn")),
        r"cat/\d\.png is not an image",
    ),
    "a test image torn in its middle": (
        lambda p: p.search(data=torn_inside(p.images("torn/train").parent)),
        r"test/dog/1\.png cannot be read .*write PROMPTCLIMB_ON_BAD_IMAGE=skip before",
    ),
    "the same image in train and test": (lambda p: p.search(data=leaking(p)), "--allow-leak"),
    # Files without an end.
    **{
        f"a device for --{option}": (
            lambda p, option=option: p.search(f"--{option}", "/dev/zero"),
            "/dev/zero:? is (a device or a pipe|not a file)",
        )
        for option in ("config", "class-names", "initial")
    },
    "a device for a suite file": (lambda p: ["suite", device(p, "s.toml")], "device or a pipe"),
    # The templates.
    "10 MB of templates": (lambda p: p.search(initial=p.file("t.txt", "a {}\n" * 2_000_000)), "t.txt"),
    # The model.
    "a checkpoint that is a pickle": (
        lambda p: p.search(model="own", pretrained=pickled_weights(p)),
        r"weights\.pt",
    ),
    "an unknown device": (lambda p: p.search(device="gpu"), "device"),
    # The endpoint.
    "an endpoint that answers HTML": (lambda p: p.search(base_url=p.web_page), "HTML|JSON|html"),
    # Everything else.
    "a folder that is no option's": (
        lambda p: ["search", str(p.images("good fabric"))],
        r"it takes no argument '(.*good fabric)'; did you mean --data '\1'\?",
    ),
    "a long text that is no option's": (
        lambda _p: ["search", "a photo " * 99],
        r"it takes no argument '[^;]*$",
    ),
    "a run directory that cannot be made": (
        lambda p: p.search(run_dir=Path(p.file("taken", "x")) / "run"),
        "taken/run",
    ),
    "a run directory that is not ours": (lambda p: p.search(run_dir=occupied(p)), "papers"),
    "no template": (
        lambda p: ["evaluate", "--templates", "", "--data", str(p.images("good"))],
        "--templates: it is empty; give a file, or a template with the slot {}",
    ),
    "resuming what is no run": (lambda p: ["resume", str(occupied(p))], "papers"),
    "exporting what is no run": (lambda p: ["export", str(occupied(p)), "--format", "csv"], "papers"),
}


@pytest.fixture
def bench(
    tmp_path: Path, endpoint: ChatServer, web_page: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> Bench:
    """Where a test puts its bad input."""
    monkeypatch.setattr(sys, "argv", ["run_agent.py"])
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROMPTCLIMB_RETRY_ATTEMPTS", "1")
    return Bench(tmp_path, endpoint, web_page, model)


@pytest.mark.parametrize("kind", list(TABLE))
def test_bad_input_is_one_clear_line(kind: str, bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, no traceback, what was wrong on the last line, and no request that costs."""
    arguments, message = TABLE[kind]
    command = arguments(bench)
    before = set(bench.folder.iterdir())
    assert main(command) == 2
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "Traceback" not in shown.err
    assert any(re.search(message, line) for line in shown.err.splitlines()[-3:]), shown.err
    assert len(shown.err.splitlines()[-1]) < 2000
    assert bench.endpoint.statistics.requests == 0
    assert set(bench.folder.iterdir()) - before <= {bench.folder / "run"}


def test_a_run_goes_on_without_test_images_that_were_torn_since(
    bench: Bench, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done with images may change for those that nothing was chosen by."""
    data = torn_inside(bench.images("torn/train").parent)
    skip, fail = bench.folder / "skip.toml", bench.folder / "fail.toml"
    skip.write_text('on_bad_image = "skip"\n')
    fail.write_text('on_bad_image = "fail"\n')
    assert main(bench.search("--config", skip, data=data, method="random", rounds=1)) == 0
    result = bench.folder / "run" / "result.json"
    assert json.loads(result.read_text())["dataset"]["sizes"]["test"] == 5
    result.unlink()
    assert main(["resume", "run", "--config", str(fail)]) == 2
    assert "1.png cannot be read" in capfd.readouterr().err.splitlines()[-1]
    tear(data / "test" / "dog" / "2.png")
    monkeypatch.setenv("PROMPTCLIMB_ON_BAD_IMAGE", "skip")  # as the message says
    assert main(["resume", "run"]) == 0
    written = json.loads(result.read_text())
    assert written["dataset"]["sizes"]["test"] == 4
    assert written["best"]["test"] is not None
    result.unlink()
    (data / "train" / "dog" / "0.png").unlink()
    assert main(["resume", "run"]) == 2


def test_classes_of_several_templates_are_refused_before_any_is_paid_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A zero-shot endpoint classifies with one at a time; nothing is opened."""
    file = tmp_path / "two.txt"
    file.write_text("a {}\nthe {}\n")
    scorer = ["--scorer", "zero-shot", "--scorer-url", "http://127.0.0.1:9", "--model", "m"]
    assert main(["evaluate", "--templates", str(file), "--data", "none", *scorer, "--confusions"]) == 2
    stderr = capsys.readouterr().err
    assert "classes can be inspected for one template at a time; give one" in stderr


def test_a_large_image_is_named_without_a_warning_of_pillow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its warning would show a path of the library."""
    pictures(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        main(["datasets", str(tmp_path), "--shots", "1"])
    assert "too large to be opened" in capsys.readouterr().err
    assert warned == []


def test_a_folder_of_a_similar_name_is_proposed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before data sets that are called so."""
    (tmp_path / "images").mkdir()
    assert main(["evaluate", "--data", str(tmp_path / "imagse")]) == 2
    assert f"; did you mean {tmp_path / 'images'}?" in capsys.readouterr().err


def test_an_argument_is_not_called_the_source_of_a_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """What was typed stands alone, as there is no option of that name."""
    assert main(["datasets", "/nonexistent"]) == 2
    assert capsys.readouterr().err.startswith("error: /nonexistent: there is no data set of that name")
