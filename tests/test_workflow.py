"""The workflow that has a key: nothing but one step gets it."""

from __future__ import annotations

import re

import yaml

from tests.paths import ROOT


def test_the_workflow_with_a_network_is_started_by_hand_and_keeps_its_key_to_one_step() -> None:
    """Its inputs reach commands as variables alone, which no input can end."""
    text = (ROOT / ".github" / "workflows" / "photographs.yml").read_text("utf-8")
    workflow = yaml.safe_load(text)
    assert list(workflow[True]) == ["workflow_dispatch"]  # YAML 1.1 reads "on" as true
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    assert job["timeout-minutes"] <= 360
    assert all(
        re.fullmatch(r"actions/[a-z/-]+@v\d+", step["uses"]) for step in job["steps"] if "uses" in step
    )
    assert not any("${{" in step["run"] for step in job["steps"] if "run" in step)
    assert [step["name"] for step in job["steps"] if "secrets." in str(step)] == ["Run the whole study"]
    assert text.count("secrets.") == 1
    assert "suites/photographs.toml" in job["steps"][-3]["run"]
