"""``config``: a file to begin with, and where each setting comes from."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from promptclimb.agent.cli.main import main
from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.config.sources import from_sources, layers_of


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of the test's own, and none of the machine's settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def test_a_file_of_settings_is_the_defaults_until_something_is_uncommented() -> None:
    """Each default that it shows is the default; what was given is switched on."""
    assert main(["config", "--init", "c.toml", "--llm", "m", "--shots", "4", "--blind"]) == 0
    text = Path("c.toml").read_text("utf-8")
    assert tomllib.loads(text) == {"shots": 4, "llm": "m", "blind": True, "method": "guided"}
    expected = SearchConfig(llm="m", shots=4, blind=True)
    assert from_sources(layers_of({}, {}, "c.toml")) == expected
    shown = [line.removeprefix("# ") for line in text.splitlines() if " = " in line and line.startswith("# ")]
    plain = {name: field.default for name, field in SearchConfig.model_fields.items()}
    defaults = [line for line in shown if plain.get(line.split(" = ")[0]) is not None]
    assert len(defaults) > 25
    assert from_sources(layers_of(tomllib.loads("\n".join(defaults)), {}, "c.toml")) == expected


def test_a_file_that_is_there_is_not_written_over(capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is one made where none can be, or out of a setting that is wrong."""
    Path("c.toml").write_text("shots = 1\n")
    for options, problem in (
        (["c.toml"], "exists and is not overwritten"),
        (["no/such/c.toml"], "cannot be written"),
        (["d.toml", "--rpm", "0,7"], "it is not a number"),
    ):
        assert main(["config", "--init", *options]) == 2
        assert problem in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["c.toml"]
    assert Path("c.toml").read_text() == "shots = 1\n"


def test_each_setting_is_shown_with_where_it_comes_from(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Default, file, environment, flag; the last one wins, and no password is shown."""
    Path("c.toml").write_text('shots = 2\nrestarts = 9\nseed = 3\nbase_url = "http://u:pw-1@a/v1"\n')
    monkeypatch.setenv("PROMPTCLIMB_SEED", "5")
    monkeypatch.setenv("PROMPTCLIMB_SHOTS", "6")
    command = ["config", "--show", "--config", "c.toml", "--llm", "m", "--shots", "7"]
    assert main(command) == 0
    out = capsys.readouterr().out
    lines = {" ".join(line.split()) for line in out.splitlines()}
    assert {
        "shots = 7 # --shots", "seed = 5 # PROMPTCLIMB_SEED", "restarts = 9 # c.toml",
        "conversations = 2 # default",
        "# rpm = # not set",
    } <= lines  # fmt: skip
    assert "pw-1" not in out
    shown = tomllib.loads(out)
    assert SearchConfig(**shown).restarts == 9
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["shots"] == {"value": 7, "from": "--shots"}
    assert document["rpm"] == {"value": None, "from": "default"}


def test_settings_without_an_llm_are_shown_and_the_lack_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever looks at the settings first has not given one yet."""
    assert main(["config", "--show", "--method", "pn"]) == 0
    out, err = capsys.readouterr()
    assert "# llm =" in out
    assert "would be refused: method 'pn' needs an LLM" in err
    assert main(["config", "--show", "--llm", ""]) == 2


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("data", "nowhere", 'data = "nowhere" (from PROMPTCLIMB_DATA): there is no data set of that name'),
        ("data", "http://h", "data (from PROMPTCLIMB_DATA) takes no address"),
        (
            "scorer_url",
            "http://h",
            "scorer_url (from PROMPTCLIMB_SCORER_URL) applies to models behind an API",
        ),
        (
            "search_for",
            "instruction",
            'search_for = "instruction" (from PROMPTCLIMB_SEARCH_FOR) needs a model',
        ),
    ],
)
@pytest.mark.parametrize(("command", "more"), [("search", ["--dry-run"]), ("evaluate", [])])
def test_an_error_names_the_variable_and_not_an_option_that_nobody_gave(
    command: str,
    more: list[str],
    name: str,
    value: str,
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also an error of what reads the data, or of settings that do not fit each other."""
    monkeypatch.setenv(f"PROMPTCLIMB_{name.upper()}", value)
    assert main([command, *more]) == 2
    assert f"error: {problem}" in capsys.readouterr().err
