"""What the pictures show, in the user's words: a text, or a file that is read once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.config.fields import LONGEST_DESCRIPTION, parse_description, text_or_file
from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.config.sources import from_layers, from_sources, layers_of, read_toml, to_toml
from promptclimb.evaluator.errors import ConfigError
from tests.fakes.typed import raises_typed

NO_LLM = {"method": "random"}


def test_a_text_is_reported_as_one_line() -> None:
    """Breaks and repeated spaces say nothing."""
    config = SearchConfig(**NO_LLM, describe="tally  marks:\n strokes in fives ")
    assert config.description == "tally marks: strokes in fives"


def test_nothing_is_reported_without_a_description_or_where_the_search_is_blind() -> None:
    """``blind`` wins over a description, such as one from a file of settings."""
    assert SearchConfig(**NO_LLM).description == ""
    assert SearchConfig(**NO_LLM, describe="dice", blind=True).description == ""


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From flag, variable, file of settings and Python; the config has its text and not its place."""
    monkeypatch.chdir(tmp_path)
    file, toml = tmp_path / "about", tmp_path / "c.toml"
    file.write_bytes("\ufeffthrows of\r\ndice\n".encode())
    toml.write_text("describe = 'about'")
    configs = [
        from_sources(layers_of({**NO_LLM, "describe": "about"}, {})),
        from_sources(layers_of(NO_LLM, {"PROMPTCLIMB_DESCRIBE": str(file)})),
        from_sources(layers_of(NO_LLM, {}, toml)),
        SearchConfig(**NO_LLM, describe=file),
    ]
    file.write_text("something else")
    assert {config.describe for config in configs} == {"throws of dice"}
    assert str(tmp_path) not in to_toml(configs[0])


def test_a_text_from_python_and_from_a_run_is_never_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that happens to be called like a description changes no run."""
    monkeypatch.chdir(tmp_path)
    Path("dice").write_text("flags")
    assert SearchConfig(**NO_LLM, describe="dice").describe == "dice"
    assert from_layers([("the run", {**NO_LLM, "describe": "dice"})]).describe == "dice"


def test_what_decides_is_the_text(tmp_path: Path) -> None:
    """Two files with one content are one search, two texts are two, also where one begins like a path."""
    for name in ("a", "b"):
        (tmp_path / name).write_text("dice")
    first, other = (SearchConfig(**NO_LLM, describe=tmp_path / name).identity() for name in ("a", "b"))
    assert first == other
    texts = ["/r/dice and cards", "/r/dice and flags"]
    first, second = (SearchConfig(**NO_LLM, describe=text).identity() for text in texts)
    assert first != second


def test_what_is_stored_is_taken_back(tmp_path: Path) -> None:
    """A run's config has its description."""
    config = SearchConfig(**NO_LLM, describe='tally "marks" \\ of {} é', blind=True)
    file = tmp_path / "config.toml"
    file.write_text(to_toml(config), "utf-8")
    assert from_layers([("file", read_toml(file))]) == config


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"x" * (LONGEST_DESCRIPTION + 1), "more than 2,000 characters"),
        ("é".encode() * 10 * LONGEST_DESCRIPTION, "more than 2,000 characters"),
        (b"a\0b", r"U\+0000"),
        (b"notes.md", "holds only the name of a file"),
        (b"/r/pictures", "holds only the name of a file"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes, problem: str) -> None:
    """One line: which file, what is wrong."""
    file = tmp_path / "about.txt"
    file.write_bytes(content)
    with raises_typed(ConfigError, match=f"--describe.*about.txt.*{problem}") as caught:
        from_sources(layers_of({**NO_LLM, "describe": str(file)}, {}))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["pictures.txt", "./pictures", "../x", "/no/such/file", "~/about.md"])
def test_a_file_that_is_not_there_is_not_taken_for_a_text(text: str) -> None:
    """A mistyped name would be reported to the LLM as what the pictures show."""
    with raises_typed(ConfigError, match=r"--describe.*there is no file"):
        from_sources(layers_of({**NO_LLM, "describe": text}, {}))


@pytest.mark.parametrize("text", ["", "   ", "x" * (LONGEST_DESCRIPTION + 1), "half \ud800"])
def test_a_text_that_cannot_be_used_is_refused(text: str) -> None:
    """Empty, too long, or no text at all."""
    with pytest.raises(ConfigError, match=r"^`describe = "):
        SearchConfig(**NO_LLM, describe=text)


@given(st.text(max_size=60))
def test_any_text_is_taken_or_refused_in_words(text: str) -> None:
    """Nothing else comes of it, and what was taken is taken again as it is."""
    try:
        description = parse_description(text_or_file(text))
    except ValueError:
        return
    assert parse_description(description) == description


def test_a_search_without_a_description_says_what_would_help() -> None:
    """Only where the method would use it and nobody has forbidden it."""
    settings = {"data": "fake", "llm": "m"}
    assert "`describe = TEXT`" in (SearchConfig(**settings).description_tip or "")
    assert "study" not in (SearchConfig(**settings, method="combine").description_tip or "study")
    for more in ({"describe": "tally marks"}, {"blind": True}, {"method": "pn"}, {"method": "random"}):
        assert SearchConfig(**settings, **more).description_tip is None


def test_a_description_without_data_names_the_set_that_is_used(tmp_path: Path) -> None:
    """Who describes images of their own may have forgotten ``--data``: a note names the set."""
    lines: list[str] = []
    flags = {"describe": "birds at a feeder", "method": "combine"}
    from_sources(layers_of(flags, {}), report=lines.append)
    assert lines == ["no `data` is given: searching on the bundled set backgrounds"]
    from_sources(layers_of({**flags, "data": "dice"}, {}), report=lines.append)
    from_sources(layers_of(flags, {"PROMPTCLIMB_DATA": "dice"}), report=lines.append)
    from_sources(layers_of({"method": "combine"}, {}), report=lines.append)
    assert len(lines) == 1
