"""What the report counts, on accuracies that are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from promptclimb.evaluator.datasets.values import Item
from training import sets
from training.measure import Row, _accuracies, main, summary, table, transfer
from training.wordings import NEUTRAL, PLAIN, TEMPLATES, wording_of

ROW = Row(
    model="RN-pico", data="dice", classes=2, test=10, plain=0.5, best=0.8, middle=0.6, worst=0.4,
    best_template="dice showing {}", matching=0.7, neutral=0.5, contradicting=0.4, rank_one=0.3,
    rank_many=0.9, gain_one=-0.01, gain_many=0.2, picks=((2,), (1, 2)), accuracies=(0.4, 0.6, 0.8),
)  # fmt: skip


def test_at_least_75_templates_and_all_have_a_slot() -> None:
    """The list is long enough, free of repetitions, and holds the default template."""
    own = {t for name in (*sets.names(), "digits") for words in wording_of(name) for t in words}
    assert len(set(TEMPLATES)) == len(TEMPLATES) >= 75
    assert PLAIN in NEUTRAL
    assert all("{}" in template for template in (*TEMPLATES, *own))


def test_matching_and_contradicting_words_are_distinguished() -> None:
    """No template of a set is said to fit and not to fit, and none of them is called neutral."""
    for name in (*sets.names(), "digits"):
        words = wording_of(name)
        assert words.matching
        assert words.contradicting
        assert not set(words.matching) & set(words.contradicting)
        assert not set(words.contradicting) & set(NEUTRAL)


def test_accuracy_is_that_of_the_nearest_text() -> None:
    """Each template has the share of pictures whose own class's text is nearest."""
    pictures = torch.eye(2)
    items = [Item(Path("a"), 0), Item(Path("b"), 1)]
    right, half = torch.eye(2), torch.tensor([[1.0, 0.2], [0.9, 0.1]])
    assert _accuracies(pictures, items, torch.stack([right, half])).tolist() == [1.0, 0.5]


def test_summary_counts_what_the_targets_ask_for() -> None:
    """Spread, gain and matching words are counted set by set."""
    dull = replace(ROW, data="photos", worst=0.7, gain_many=0.01, matching=0.4)
    found = summary([ROW, dull])
    assert found["spread_15_points"] == found["picked_gains_5_points"] == found["matching_beats_neutral"] == 1
    assert found["plain"] == pytest.approx(0.5)


def test_transfer_carries_ranks_and_picks_to_the_other_model() -> None:
    """Equal order gives 1, opposite order -1; what is picked on one is scored on the other."""
    other = replace(ROW, model="ViT-pico", plain=0.2, accuracies=(0.1, 0.2, 0.3))
    turned = replace(other, data="tallies", accuracies=(0.3, 0.2, 0.1))
    found = transfer([ROW, replace(ROW, data="tallies"), replace(ROW, data="photos"), other, turned])
    assert list(found) == ["dice", "tallies"]
    assert found["dice"] == pytest.approx((1.0, 0.275 - 0.2))
    assert found["tallies"] == pytest.approx((-1.0, 0.125 - 0.2))


def test_table_has_a_line_for_each_set() -> None:
    """Accuracies are in percent, gains are signed, and the best template stands last."""
    lines = table([ROW, replace(ROW, data="tallies", plain=0.1)]).splitlines()
    assert len(lines) == 4
    assert "| dice | 2 | 50.0 | 80.0 |" in lines[2]
    assert "| tallies | 2 | 10.0 | 80.0 |" in lines[3]
    assert "+20.0" in lines[2]
    assert lines[2].endswith("dice showing {} |")


def test_missing_weights_exit_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder without the file is named, with what is wanted there."""
    assert main(["--weights", str(tmp_path), "--data", "dice"]) == 2
    assert "RN-pico.safetensors: there is no such file" in capsys.readouterr().err
