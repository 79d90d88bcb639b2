"""The files at the root that others' programs read: each says what is so."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import yaml

from tests.paths import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


def test_the_citation_is_of_this_version_and_names_the_paper() -> None:
    """With what the format asks for."""
    cited = read("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    assert (cited["cff-version"], cited["version"]) == ("1.2.0", PROJECT["version"])
    assert (cited["title"], cited["license"]) == (PROJECT["name"], PROJECT["license"])
    (paper,) = cited["references"]
    assert paper["url"] in (ROOT / "README.md").read_text("utf-8")


def test_the_changelog_names_this_version() -> None:
    """Under its heading once it is released, before that as what the next one will be; each heading once."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    headings = re.findall(r"^## \[(.*?)\]", text, re.MULTILINE)
    assert headings[0] == "Unreleased"
    version, _, pre = PROJECT["version"].partition(".dev")
    assert f"will be {version}:" in text if pre else headings[1] == version
    for release in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        kinds = re.findall(r"^### (.*)$", release, re.MULTILINE)
        assert kinds == [kind for kind in ("Added", "Changed", "Removed", "Fixed") if kind in kinds]
        lines = re.findall(r"^- .*$", release, re.MULTILINE)
        assert len(lines) == len(set(lines))


def test_the_workflow_may_only_read_and_does_what_the_check_in_the_checkout_does() -> None:
    """Each step calls make; every target of .ci/run is called, and actions have their major version alone."""
    workflow = read(".github/workflows/ci.yml")
    assert workflow["permissions"] == {"contents": "read"}
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    called = {step["run"].split()[1] for step in steps if "run" in step}
    assert called <= TARGETS
    assert set(re.findall(r"^make (\S+)", (ROOT / ".ci" / "run").read_text("utf-8"), re.MULTILINE)) <= called
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"]) for step in steps if "uses" in step)
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())


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


def test_hooks_need_no_network() -> None:
    """All are local, and run what is installed beside the program."""
    (repository,) = read(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        program, *words = hook["entry"].split()
        assert hook["language"] == "system"
        assert program == ".venv/bin/python" or (program == "make" and words[0] in TARGETS)


def test_the_image_runs_as_nobody_in_particular() -> None:
    """Not as root; cache and runs lie on its volume; only what is installed is sent to the builder."""
    lines = (ROOT / "Dockerfile").read_text("utf-8").splitlines()
    last_user = [line for line in lines if line.startswith("USER ")][-1]
    assert last_user == "USER 1000"
    assert "VOLUME /data" in lines
    assert any("PROMPTCLIMB_CACHE=/data/" in line for line in lines)
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in ignored
    sent = {line[1:] for line in ignored if line.startswith("!")}
    assert all((ROOT / name).exists() for name in sent)
    assert {"pyproject.toml", "setup.py", "promptclimb", "agent", "evaluator", "prompts"} <= sent
