"""The page of a run as a reader has it: in Chromium, wide and narrow, light and dark, by keyboard alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from promptclimb.agent.api import search_sync
from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.results.accuracies import weighted
from promptclimb.agent.results.run_dir import read_result
from tests.fakes.tiny_clip import local_dir

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
WIDTHS = (390, 1440)
EVIL = "<img src=x onerror=alert(1)>"
CLASSES = {"coarse & noise": 4, "fine <b>noise</b>": 16, "flat": 1}
MOST_TABS = 200


class Chat:
    """Proposes templates, and markup."""

    def __init__(self) -> None:
        self.asked = 0

    def chat(self, _messages: object) -> str:
        """New templates each time, one of them hostile, and a line that is not a template."""
        self.asked += 1
        return f"1. a picture of {{}} number {self.asked}\n2. a {{}} {EVIL} {self.asked}\n3. no slot {EVIL}\n"


def draw(folder: Path) -> None:
    """Noise of three grains."""
    rng = np.random.default_rng(7)
    for label, grains in enumerate(CLASSES.values()):
        for part, count in (("train", 6), ("val", 2), ("test", 25)):
            (folder / part / f"class-{label}").mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (grains, grains, 3), dtype=np.uint8)
                image = Image.fromarray(pixels).resize((48, 40), Image.Resampling.NEAREST)
                image.save(folder / part / f"class-{label}" / f"{number:02d}.png")


@pytest.fixture(scope="module")
def chromium() -> str:
    """Where the browser is; without one there is nothing to show."""
    pytest.importorskip("playwright.sync_api", reason="the extra page-test is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no chromium here; apt-get install chromium")
    return CHROMIUM


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Path:
    """A finished run on images, with an LLM that writes markup."""
    assert chromium
    home = tmp_path_factory.mktemp("page")
    draw(home / "photos")
    local_dir(home / "my-clip")
    (home / "names.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    config = SearchConfig(
        data=str(home / "photos"), model=f"local-dir:{home / 'my-clip'}", pretrained="own", method="pn",
        class_names=str(home / "names.txt"), shots=4, restarts=2, conversations=2, rounds=3, initial=6,
        run_dir=home / "run", device="cpu", llm="toy",
    )  # fmt: skip
    search_sync(config, chat=Chat())
    return home / "run"


@pytest.fixture(scope="module")
def browser(chromium: str, run_dir: Path) -> Iterator[Any]:
    """Chromium of this machine; its driver keeps a loop in this thread, so that no search can run there."""
    sync_api = pytest.importorskip("playwright.sync_api")
    assert run_dir.is_dir()
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(params=[(width, scheme) for width in WIDTHS for scheme in ("light", "dark")], ids=str)
def shown(request: pytest.FixtureRequest, browser: Any, run_dir: Path) -> Iterator[Any]:
    """The page at one width and in one scheme; whatever it says on the console is a failure."""
    width, scheme = request.param
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    with closing(page):
        messages: list[str] = []
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("request", lambda one: one.url.startswith(("file:", "data:")) or messages.append(one.url))
        page.goto((run_dir / "report.html").as_uri())
        yield page
        assert not messages


def test_nothing_overflows(shown: Any) -> None:
    """Neither the page nor anything in it is wider than the window."""
    wider = """() => [...document.body.querySelectorAll('*')].filter(one => {
        const box = one.getBoundingClientRect();
        const apart = one.closest('svg, .skip');
        return box.width && !apart && (box.right > innerWidth + 1 || box.left < -1);
    }).map(one => one.outerHTML.slice(0, 200))"""
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert shown.evaluate(wider) == []


def test_axe_finds_nothing(shown: Any) -> None:
    """Names, roles, contrast, headings: of a page that is opened whole."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="page-test is not installed"
    ).Axe
    shown.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    report = axe().run(shown).response
    assert [
        (violation["id"], [node["html"] for node in violation["nodes"]]) for violation in report["violations"]
    ] == []
    assert len(report["passes"]) > 20


def test_the_numbers_are_those_of_the_result(shown: Any, run_dir: Path) -> None:
    """Every accuracy of the comparison, the verdict, the best template, and the leaderboard in its order."""
    result = json.loads((run_dir / "result.json").read_text())

    def percent(value: float | None) -> str:
        return "-" if value is None else f"{100 * value:.1f}"

    of_run = read_result(run_dir)
    for row in of_run.accuracies.rows:
        cells = shown.locator(f'tr[data-name="{row.title}"] td[data-of]').all_text_contents()
        splits = ("train", "val", "test")
        assert cells[:3] == [percent(row.cells[split].value) for split in splits], row.title
    assert shown.locator("#verdict").text_content() == of_run.recommended.verdict
    assert shown.locator("#best").text_content() == "\n".join(weighted(of_run.texts.templates))
    board = shown.locator("section[aria-labelledby=board] th.t").all_text_contents()
    assert board == [row["template"] for row in result["leaderboard"]]
    rows, of_matrix = (
        shown.locator(f"section[aria-labelledby=classes] {where}tbody tr").count()
        for where in ("", ".matrix ")
    )
    assert of_matrix == len(CLASSES)
    assert rows - of_matrix == len(CLASSES) + len(result["inspection"]["confusions"])


def test_pictures_and_charts_are_seen(shown: Any) -> None:
    """Each picture is one that the browser decodes; one of the two drawings is shown."""
    sizes = shown.evaluate("[...document.images].map(one => one.naturalWidth)")
    assert len(sizes) >= 2
    assert all(size > 0 for size in sizes)
    charts = shown.locator("svg.pygal-chart")
    assert charts.count() == 2
    assert sum(charts.nth(number).is_visible() for number in range(2)) == 1


def test_a_keyboard_is_enough(shown: Any) -> None:
    """Tab skips to the report, goes through links, code and folded parts; each shows its focus."""
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.className") == "skip"
    shown.keyboard.press("Enter")
    assert shown.evaluate("location.hash") == "#main"
    reached = set()
    for _ in range(MOST_TABS):
        shown.keyboard.press("Tab")
        tag = shown.evaluate("document.activeElement.tagName")
        if tag == "BODY":
            break
        reached.add(tag)
        assert shown.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        if tag == "SUMMARY":
            shown.keyboard.press("Enter")
            assert shown.evaluate("document.activeElement.parentElement.open")
    assert {"A", "PRE", "SUMMARY"} <= reached


def test_it_can_be_printed(shown: Any) -> None:
    """On paper it is black on white, whatever the screen is, and the drawing for a desk is there."""
    shown.emulate_media(media="print")
    assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert shown.locator(".wide svg").is_visible()
