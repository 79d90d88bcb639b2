"""What is kept of a search for its page."""

from __future__ import annotations

import asyncio
import base64
import datetime
from collections.abc import Sequence
from pathlib import Path

import pytest

from promptclimb.agent.events.log import EventLog
from promptclimb.agent.events.types import TemplateScored
from promptclimb.agent.position import Position
from promptclimb.agent.present.page import write_report
from promptclimb.agent.results import history
from promptclimb.agent.results.details import Decisions, Details
from promptclimb.agent.results.history import RunView
from promptclimb.agent.results.result import Recommended
from promptclimb.agent.results.run_dir import REPORT
from promptclimb.agent.search import result_writer
from promptclimb.agent.search.result_writer import MOST_PICTURES, current_page, details_of
from promptclimb.evaluator.scoring import Thumbnail
from tests.fakes.evaluators import FakeEvaluator

LABELS = (0, 0, 0, 1, 1, 1)
TEMPLATE = Recommended(form="template", test=None)


class Pictures(FakeEvaluator):
    """A FakeEvaluator of images, some of which are gone."""

    def __init__(self, gone: Sequence[int] = (), error: Exception | None = None) -> None:
        super().__init__()
        self.gone, self.error = gone, error

    def image_set(self, split: str) -> str:
        """Name the set, or fail."""
        if self.error is not None:
            raise self.error
        return f"the {split} images"

    def thumbnails(self, split: str, image_indices: Sequence[int]) -> list[Thumbnail | None]:
        """The place as a picture."""
        assert split == "test"
        if self.error is not None:
            raise self.error
        return [
            None if index in self.gone else Thumbnail(f"{index}.png", bytes([index]))
            for index in image_indices
        ]


def decisions(
    *, best: tuple[int, ...], default: tuple[int, ...], labels: tuple[int, ...] = LABELS
) -> Decisions:
    """Decisions of the best and the default template on test."""
    predicted = {"best": best, "default template": default}
    return Decisions(image_set=None, classes=(), labels=labels, predicted=predicted)


async def test_pictures_are_of_what_was_put_right_or_broken() -> None:
    """By the best template against the plain one; where both err, or both are right, there is no picture."""
    on_test = decisions(best=(0, 0, 1, 1, 0, 1), default=(1, 0, 0, 1, 0, 0))
    details = await details_of(Pictures(), on_test, TEMPLATE)
    assert details.baseline == "default template"
    assert [(picture.name, picture.put_right) for picture in details.pictures] == [
        ("0.png", True),
        ("5.png", True),
        ("2.png", False),
    ]
    assert base64.b64decode(details.pictures[1].jpeg) == b"\x05"


async def test_an_image_that_is_gone_is_left_out() -> None:
    """The others are kept."""
    on_test = decisions(best=LABELS, default=tuple(1 - label for label in LABELS))
    pictures = (await details_of(Pictures(gone=[1, 3]), on_test, TEMPLATE)).pictures
    assert [picture.name for picture in pictures] == ["0.png", "4.png", "2.png", "5.png"]


async def test_there_are_a_bounded_number_of_all_kinds() -> None:
    """Of each confusion in turn, the most frequent first."""
    labels = (0,) * 50 + (1,)
    on_test = decisions(best=labels, default=(1,) * 50 + (0,), labels=labels)
    pictures = (await details_of(Pictures(), on_test, TEMPLATE)).pictures
    assert len(pictures) == MOST_PICTURES
    assert [picture.name for picture in pictures[:3]] == ["0.png", "50.png", "1.png"]


@pytest.mark.parametrize("error", [OSError("unplugged"), KeyError("x")])
async def test_what_fails_costs_the_pictures_and_nothing_else(error: Exception) -> None:
    """The decisions are kept all the same."""
    on_test = decisions(best=LABELS, default=(1,) * 6)
    details = await details_of(Pictures(error=error), on_test, TEMPLATE)
    assert (details.pictures, details.decisions) == ((), on_test)


async def test_a_black_box_without_images_has_no_pictures() -> None:
    """Nor has one that gives no decisions."""
    on_test = decisions(best=LABELS, default=(1,) * 6)
    assert (await details_of(FakeEvaluator(), on_test, TEMPLATE)).pictures == ()
    assert await details_of(Pictures(), None, TEMPLATE) == Details()


async def test_the_page_of_a_running_search_is_written_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shows what the log holds, and what an LLM wrote is text."""
    monkeypatch.setattr(result_writer, "REPORT_EVERY_S", 0.001)
    evil, escaped = "<script>alert(1)</script> {}", "&lt;script&gt;alert(1)&lt;/script&gt; {}"
    page = tmp_path / REPORT

    async def shown(text: str) -> None:
        while not page.exists() or text not in page.read_text("utf-8"):  # noqa: ASYNC110 - in a thread
            await asyncio.sleep(0.01)

    async with asyncio.timeout(60), current_page(tmp_path, write_report):
        for restart, (template, text) in enumerate((("a {}", "a {}"), (evil, escaped)), start=1):
            event = TemplateScored(
                position=Position(restart), template=template, train=0.6, val=None, improved=True,
                source="llm",
            )  # fmt: skip
            log = EventLog(tmp_path)
            log(event, datetime.datetime.now(datetime.UTC))
            log.close()
            await shown(text)
    assert "<script" not in page.read_text("utf-8")
    page.unlink()
    await asyncio.sleep(0.05)
    assert not page.exists()


async def test_the_page_of_a_search_that_was_interrupted_does_not_say_that_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would load itself again for ever."""
    monkeypatch.setattr(result_writer, "REPORT_EVERY_S", 0.001)
    monkeypatch.setattr(history, "is_live", lambda _store: True)
    states: list[str] = []
    is_written = asyncio.Event()

    def write_page(view: RunView) -> None:
        states.append(view.state)
        loop.call_soon_threadsafe(is_written.set)

    async def interrupted() -> None:
        async with asyncio.timeout(60), current_page(tmp_path, write_page):
            await is_written.wait()
            raise KeyboardInterrupt

    loop = asyncio.get_running_loop()
    with pytest.raises(KeyboardInterrupt):
        await interrupted()
    assert set(states[:-1]) == {"live"}
    assert states[-1] == "unfinished"
