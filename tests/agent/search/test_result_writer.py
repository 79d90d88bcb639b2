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
from promptclimb.agent.results.details import Details
from promptclimb.agent.results.gain import GroupOnTest
from promptclimb.agent.results.run_dir import REPORT
from promptclimb.agent.search import result_writer
from promptclimb.agent.search.result_writer import MOST_PICTURES, current_page, details_of
from promptclimb.evaluator.fakes import FakeEvaluator
from promptclimb.evaluator.scoring import Thumbnail

LABELS = (0, 0, 0, 1, 1, 1)


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


def on_test(**predicted: tuple[int, ...]) -> dict[str, GroupOnTest]:
    """Groups with their predictions on test, by name."""
    return {
        ("default template" if name == "plain" else name): GroupOnTest(
            templates=("a {}",), test=0.5, predicted=labels, labels=LABELS
        )
        for name, labels in predicted.items()
    }


async def kept(evaluator: object, decided: dict[str, GroupOnTest]) -> Details:
    """Return what is kept of a run."""
    return await details_of(evaluator, decided)  # type: ignore[arg-type]


async def test_pictures_are_of_what_was_put_right_or_broken() -> None:
    """By the best template against the plain one; where both err, or both are right, there is no picture."""
    decided = on_test(best=(0, 0, 1, 1, 0, 1), plain=(1, 0, 0, 1, 0, 0))
    details = await kept(Pictures(), decided)
    assert details.baseline == "default template"
    assert [(picture.name, picture.put_right) for picture in details.pictures] == [
        ("0.png", True),
        ("5.png", True),
        ("2.png", False),
    ]
    assert base64.b64decode(details.pictures[1].jpeg) == b"\x05"
    assert details.decisions is not None
    assert details.decisions.image_set == "the test images"
    assert details.decisions.hits("best") == [True, True, False, True, False, True]


async def test_an_image_that_is_gone_is_left_out() -> None:
    """The others are kept."""
    decided = on_test(best=LABELS, plain=tuple(1 - label for label in LABELS))
    assert [picture.name for picture in (await kept(Pictures(gone=[1, 3]), decided)).pictures] == [
        *("0.png", "4.png", "2.png", "5.png"),
    ]


async def test_there_are_a_bounded_number_of_all_kinds() -> None:
    """Of each confusion in turn, the most frequent first."""
    labels = (0,) * 50 + (1,)
    decided = {
        name: GroupOnTest(templates=("a {}",), test=0.5, predicted=group, labels=labels)
        for name, group in {"best": labels, "default template": (1,) * 50 + (0,)}.items()
    }
    pictures = (await kept(Pictures(), decided)).pictures
    assert len(pictures) == MOST_PICTURES
    assert [group.name for group in pictures[:3]] == ["0.png", "50.png", "1.png"]


@pytest.mark.parametrize("error", [OSError("unplugged"), KeyError("x")])
async def test_what_fails_costs_the_pictures_and_nothing_else(error: Exception) -> None:
    """The decisions are kept all the same."""
    details = await kept(Pictures(error=error), on_test(best=LABELS, plain=(1,) * 6))
    assert details.pictures == ()
    assert details.decisions is not None
    assert details.decisions.image_set is None


async def test_a_black_box_without_images_has_no_pictures() -> None:
    """And one that says no predictions has no decisions."""
    assert (await kept(FakeEvaluator(), on_test(best=LABELS, plain=(1,) * 6))).pictures == ()
    assert (await kept(FakeEvaluator(), {})).decisions is None
    unreported = {"best": GroupOnTest(templates=("a {}",), test=0.5)}
    assert (await kept(Pictures(), unreported)).decisions is None


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
                position=Position(restart),
                template=template,
                train=0.6,
                val=None,
                improved=True,
                source="llm",
            )
            log = EventLog(tmp_path)
            log(event, datetime.datetime.now(datetime.UTC))
            log.close()
            await shown(text)
    assert "<script" not in page.read_text("utf-8")
    page.unlink()
    await asyncio.sleep(0.05)
    assert not page.exists()
