"""docs/data.md says what the program does."""

from __future__ import annotations

import re

from promptclimb.evaluator.datasets.readers.coop import ELEVEN
from promptclimb.evaluator.datasets.readers.torchvision_sets import SPLITS
from promptclimb.evaluator.datasets.sampling import TEST_SHARE, VAL_SHARE
from tests.paths import ROOT

PAGE = (ROOT / "docs" / "data.md").read_text("utf-8")


def test_the_table_of_the_eleven_is_the_one_that_is_read() -> None:
    """Name, folder, image folder and split file of each."""
    rows = {
        row[0]: row[1:] for row in re.findall(r"^\| `(\w+)` \| `([^`]+)` \| (.+?) \| (.+?) \|$", PAGE, re.M)
    }
    assert set(rows) == set(ELEVEN)
    for name, layout in ELEVEN.items():
        folder, images, split = rows[name]
        assert folder == layout.folder
        assert f"`{layout.split}`" in split
        assert not layout.images or layout.images in images


def test_every_torchvision_set_is_listed() -> None:
    """And no other."""
    listed = re.search(r"torchvision's `root`: (.*?)\. CIFAR", PAGE, re.DOTALL)
    assert listed is not None
    assert set(re.split(r",\s+", listed.group(1))) == set(SPLITS)


def test_the_proportions_are_those_of_the_rule() -> None:
    """Half, a fifth, three tenths."""
    assert (VAL_SHARE, TEST_SHARE) == (0.2, 0.3)
    assert "half goes to train, 20 % to val and 30 % to test" in PAGE
