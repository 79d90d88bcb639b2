"""What is kept of a gain on another model: scored once, with settings and data of the method's own run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptclimb.agent.results.details import Decisions, Details, write_details
from promptclimb.agent.study import transfer
from promptclimb.agent.study.outcomes import RunOutcome, blocks_of
from promptclimb.agent.study.study import Study
from promptclimb.agent.study.transfer import TRANSFER, Transferred, transfers
from promptclimb.evaluator.scoring import SplitScores
from tests.fakes.evaluators import FakeEvaluator
from tests.fakes.naming_box import NamingBox
from tests.fakes.study_outcomes import cells, figure, lines_of, outcome, study


def moving() -> tuple[Study, list[RunOutcome]]:
    """A study of two models; on the second, searching gains a quarter."""
    suite = study(data=["one"], seeds=[1], methods=["random"], models=["RN-pico", "ViT-pico"], transfer=True)
    hits = {"RN-pico": "1110", "ViT-pico": "1100"}
    runs = [
        outcome(
            cell,
            hits[cell.model],
            template=f"{cell.model} {{}}",
            figures={"default template": figure("1000")},
        )
        for cell in cells(suite)
    ]
    return suite, runs


def test_the_share_of_the_gain_that_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what a search on the other model gains, how much a template brings along; scored once."""
    suite, runs = moving()
    opened: list[str] = []

    class Known(FakeEvaluator):
        """Half of the gain of each template is kept."""

        def examine(self, ensembles: Any, *, test: bool = True) -> Any:
            """As given."""
            return [
                scores.__class__(train=0.0, val=None, test=0.375) for scores in super().examine(ensembles)
            ]

    def fake(spec: Any) -> FakeEvaluator:
        opened.append(spec.model)
        return Known()

    monkeypatch.setattr(transfer, "open_evaluator", fake)
    blocks = blocks_of(runs)
    lines: list[str] = []
    for _ in range(2):
        carried = Transferred(tmp_path)
        carried.complete(suite, blocks, lines.append)
        kept = {(row["from"], row["to"]): row["kept"] for row in transfers(suite, blocks, carried)}
    assert kept == {("RN-pico", "ViT-pico"): pytest.approx(0.5), ("ViT-pico", "RN-pico"): pytest.approx(0.25)}
    assert sorted(opened) == ["RN-pico", "ViT-pico"]
    assert len(lines) == 2


def test_a_template_is_scored_with_the_settings_of_its_own_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other class names are another classifier: of the pick, and of the default template."""
    names = tmp_path / "names.txt"
    names.write_text("zero\none\n")
    methods = ["random", {"name": "renamed", "method": "random", "class_names": str(names)}]
    suite = study(data=["one"], seeds=[1], methods=methods, models=["RN-pico", "ViT-pico"], transfer=True)
    plain = {"random": "1100", "renamed": "1000"}
    runs = [
        outcome(cell, "1110", template="a {}", figures={"default template": figure(plain[cell.method])})
        for cell in cells(suite)
    ]

    def fake(spec: Any) -> FakeEvaluator:
        known = FakeEvaluator()
        test = 0.5 if spec.class_names is None else 0.625
        monkeypatch.setattr(known, "examine", lambda *_, **__: [SplitScores(train=0.0, val=None, test=test)])
        return known

    monkeypatch.setattr(transfer, "open_evaluator", fake)
    carried = Transferred(tmp_path)
    carried.complete(suite, blocks_of(runs), lambda _line: None)
    brought = {row["label"]: row["brought"] for row in transfers(suite, blocks_of(runs), carried)}
    assert brought == {"random": 0.0, "renamed": 37.5}


def test_new_class_names_are_brought_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are part of what was found; a scorer that cannot use them says nothing of it."""
    suite, runs = moving()
    good = (("bat", "baseball bat"), ("horn", "trumpet"))
    named = [replace(run, template="a {}", class_names=good) for run in runs]
    box = NamingBox(good={"bat": ["baseball bat"], "horn": ["trumpet"]})
    monkeypatch.setattr(transfer, "open_evaluator", lambda _spec: box)
    brought = {}
    for name, outcomes in (("plain", [replace(run, template="a {}") for run in runs]), ("named", named)):
        blocks = blocks_of(outcomes)
        carried = Transferred(tmp_path)
        carried.complete(suite, blocks, lambda _line: None)
        brought[name] = [row["brought"] for row in transfers(suite, blocks, carried)]
    assert all(
        named_gain > plain_gain + 5
        for named_gain, plain_gain in zip(brought["named"], brought["plain"], strict=True)
    )
    # Edited so that a share is above all, it counts as missing.
    scores = json.loads((tmp_path / TRANSFER).read_text())
    (tmp_path / TRANSFER).write_text(json.dumps(dict.fromkeys(scores, 5.0)))
    monkeypatch.setattr(transfer, "open_evaluator", lambda _spec: FakeEvaluator())
    carried = Transferred(tmp_path)
    carried.complete(suite, blocks_of(named), lambda _line: None)
    assert {row["brought"] for row in transfers(suite, blocks_of(named), carried)} == {None}


def test_what_was_scored_on_other_data_is_scored_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs made again on other test images say nothing of these."""
    suite, _ = moving()
    opened: list[str] = []

    def fake(spec: Any) -> FakeEvaluator:
        opened.append(spec.model)
        return FakeEvaluator()

    monkeypatch.setattr(transfer, "open_evaluator", fake)
    made = cells(suite, tmp_path)
    runs = blocks_of(
        outcome(cell, template=f"{cell.model} {{}}", figures={"default template": figure("1000")})
        for cell in made
    )
    for labels in ((0, 1, 0, 1), (0, 1, 0, 1), (1, 0, 1, 0)):
        for cell in made:
            cell.run_dir.mkdir(exist_ok=True)
            seen = Decisions(image_set="k", classes=("a", "b"), labels=labels, predicted={})
            write_details(cell.run_dir, Details(decisions=seen))
        Transferred(tmp_path).complete(suite, runs, lambda _line: None)
    assert sorted(opened) == ["RN-pico", "RN-pico", "ViT-pico", "ViT-pico"]


def test_nothing_is_kept_of_no_gain(tmp_path: Path) -> None:
    """What was not scored, or where searching gained nothing, has no share."""
    suite, runs = moving()
    assert {row["kept"] for row in transfers(suite, blocks_of(runs), Transferred(tmp_path))} == {None}


def test_nothing_that_is_kept_has_no_sign() -> None:
    """What sums of floats leave of a gain of nothing is no loss."""
    row = {"label": "pn", "shots": 2, "from": "a", "to": "b", "sets": 1, "brought": -0.0, "native": 4.2}
    document = {"tables": [], "differences": [], "left_out": []}
    (_, line) = lines_of({**document, "transfer": [{**row, "kept": -5e-16}]}, "Transfer")
    assert list(line[-3:]) == ["+0.0", "+4.2", "0 %"]
