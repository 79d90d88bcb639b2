"""The file of a study: what it may say, and the one line that says what is wrong with it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.study.study import NOT_OPTIONS, OPTIONS, Study, read_study
from promptclimb.evaluator.errors import ConfigError

BASE = 'data = ["dice"]\nmethods = ["random"]\n'
ASKING = 'data = ["dice"]\nmethods = ["pn"]\n'


def named(*names: str) -> str:
    """A file whose methods have these names."""
    listed = ", ".join(f'{{method = "random", name = "{name}"}}' for name in names)
    return f'data = ["dice"]\nmethods = [{listed}]'


REFUSED = {
    "key": (BASE + "shotz = [1]", "unknown key shotz; did you mean shots?"),
    "key in a table": (BASE + "[budget]\nmax_call = 3", "unknown key budget.max_call; did you mean max_"),
    "option": (BASE + "[search]\nrestart = 3", "search: unknown key 'restart'; did you mean restarts"),
    "option of a method": (
        'data = ["dice"]\nmethods = [{method = "random", round = 3}]',
        "methods.1: unknown key 'round'; did you mean rounds?",
    ),
    "what is no option": (BASE + "[search]\nshots = 3", "search: 'shots' does not stand here"),
    "method": ('data = ["dice"]\nmethods = ["rndom"]', "unknown method 'rndom'; did you mean random?"),
    "no method": ('data = ["dice"]', "methods is missing"),
    "no data": ('data = []\nmethods = ["random"]', "data: it is empty"),
    "no list": (BASE + "shots = 16", "shots is 16: it must be a list"),
    "shots": (BASE + "shots = [-1]", "shots.1 is -1: it must be a whole number from 0 to 1,000,000, or all"),
    "text for a number": (BASE + 'seeds = ["16"]', "seeds.1 is '16': it is not a whole number"),
    "twice": ('data = ["dice", "dice"]\nmethods = ["random"]', "data: 'dice' stands there twice"),
    "method twice": (
        'data = ["dice"]\nmethods = ["random", "random"]',
        "methods: 'random' stands there twice",
    ),
    "no LLM": (ASKING, "method 'pn' asks an LLM, and llms names none"),
    "row": (
        BASE + '[[compare]]\nfirst = "randm"\nsecond = "default template"',
        "'randm', which is not a row; did you mean random?",
    ),
    "itself": (BASE + '[[compare]]\nfirst = "random"\nsecond = "random"', "sets 'random' against itself"),
    "resample": (
        BASE + '[[compare]]\nfirst = "random"\nsecond = "default template"\nresample = ["image"]',
        "compare.1.resample.1 is 'image'",
    ),
    "LLM of a row": (
        BASE + '[[compare]]\nfirst = "random"\nsecond = "default template"\nfirst_llm = "x"',
        "compare names 'x', which llms does not",
    ),
    "set": (
        BASE + '[describe]\ndicce = "x"',
        "describe names 'dicce', which is not in data; did you mean dice?",
    ),
    "transfer": (BASE + "transfer = true", "models names only one"),
    "shots of a method": (
        'data = ["dice"]\nmethods = [{method = "random", shots = [3]}]',
        "method 'random' is for shots 3, which the study lacks",
    ),
    "method of no kind": ('data = ["dice"]\nmethods = [3]', "methods.1 is 3: "),
    "method called as a reference": (named("hand-made"), "'hand-made' stands there twice"),
    "method called as a form": (named("a", "a texts"), "'a texts' stands there twice"),
    "method called as a white box's row": (
        'data = ["dice"]\nmethods = ["coop", {method = "random", name = "coop (white box)"}]',
        "'coop (white box)' stands there twice",
    ),
    "method called as another with an LLM": (
        'data = ["dice"]\nllms = ["x", "y"]\nmethods = ["pn", {method = "random", name = "pn, y"}]',
        "'pn, y' stands there twice",
    ),
    "limit": (BASE + "[budget]\nmax_calls = -1", "budget.max_calls is -1"),
    "truth for a limit": (BASE + "[budget]\nmax_calls = true", "budget.max_calls is True: it is not a"),
    "text for truth": (BASE + "transfer = 'yes'", "transfer is 'yes': it must be true or false"),
    "truth for an option": (
        'data = ["dice"]\nmethods = [{method = "coop", epochs = true}]',
        "`epochs = True`: it takes neither true nor false",
    ),
    "itself among LLMs": (
        'data = ["dice"]\nmethods = ["pn"]\nllms = ["x", "y"]\n'
        '[[compare]]\nfirst = "pn"\nsecond = "pn"\nfirst_llm = "x"',
        "compare sets 'pn' against itself (the other LLM is left out)",
    ),
    **{
        f"a scorer behind an API in {table}": (
            f'data = ["x"]\nmethods = ["nope"]\n[{table}]\nscorer = "zero-shot"',
            "a study cannot use a model behind an API (`scorer = 'zero-shot'`); run `promptclimb search`",
        )
        for table in ("search", "sets.x", "[models]")
    },
    "too long a number": (BASE + "shots = [" + "9" * 5000 + "]", "a number in it is too long"),
    "too deep": ("data = " + "[" * 3000 + "]" * 3000, "lie too deep in one another"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_wrong_is_said_in_one_line(what: str, tmp_path: Path) -> None:
    """The file, the place in it, what stands there, and the nearest word."""
    text, problem = REFUSED[what]
    file = tmp_path / "study.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_study(file)
    message = str(caught.value)
    assert message.removeprefix("the suite file ").startswith(f"{file}: ")
    assert problem in message
    assert "\n" not in message


@pytest.mark.parametrize(("content", "problem"), [(b"data = [\n", "is not TOML"), (b"\xff", "is not UTF-8")])
def test_what_is_no_file_of_settings_is_refused(content: bytes, problem: str, tmp_path: Path) -> None:
    """It is called the suite file."""
    (tmp_path / "study.toml").write_bytes(content)
    with pytest.raises(ConfigError, match="the suite file .*" + problem):
        read_study(tmp_path / "study.toml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """By its path."""
    with pytest.raises(ConfigError, match=r"nope\.toml does not exist"):
        read_study(tmp_path / "nope.toml")


def read(text: str) -> Study:
    """What a file says."""
    return Study.model_validate(tomllib.loads(text))


def test_a_name_alone_is_a_table() -> None:
    """In models, methods and llms."""
    suite = read('data = ["dice"]\nmodels = ["RN-pico"]\nmethods = ["pn"]\nllms = ["m"]')
    assert suite.models[0].model == "RN-pico"
    assert (suite.methods[0].row, suite.llms[0].row) == ("pn", "m")


def test_every_setting_of_a_search_has_its_place() -> None:
    """It is an option, or a list of its own, or nothing that a study could say."""
    named = {name for name in SearchConfig.model_fields if name in OPTIONS or name in NOT_OPTIONS}
    rest: set[str] = set(SearchConfig.model_fields) - named
    assert rest == {"cache_dir", "workers"}


def test_a_white_box_has_no_form_that_a_name_could_mean() -> None:
    """So another method may be called that."""
    text = 'data = ["dice"]\nmethods = ["coop", {method = "random", name = "coop texts"}]'
    assert [method.row for method in read(text).methods] == ["coop", "coop texts"]


@pytest.mark.parametrize(
    "name", ["random texts", "default template", "best hand-made", "best starting template"]
)
def test_references_and_forms_can_be_compared(name: str) -> None:
    """They are in each result already."""
    tables: dict[str, Any] = {"data": ["dice"], "methods": ["random"]}
    tables["compare"] = [{"first": "random", "second": name}]
    assert Study.model_validate(tables).compare[0].second == name
