"""The config: sources in their order, errors that say what and where, no secrets stored."""

from __future__ import annotations

import datetime
import json
import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
import tomli_w

from promptclimb.agent.config.fields import without_credentials
from promptclimb.agent.config.schema import OPTIONS, SearchConfig
from promptclimb.agent.config.sources import (
    FILE_SETTINGS,
    absolute,
    by_source,
    check_layers,
    flag_of,
    from_environment,
    from_layers,
    from_sources,
    layers_of,
    on_command_line,
    read_toml,
    spec_from_sources,
    to_toml,
)
from promptclimb.agent.prices import Price
from promptclimb.evaluator.errors import ConfigError
from promptclimb.evaluator.settings import Group, Scope, applying_to
from promptclimb.evaluator.spec import EvaluatorSpec
from tests.fakes.typed import as_typed, raises_typed
from tests.recorded import check_page

NO_LLM = {"method": "random"}
SECRET_URL = "ftp://u:pw-secret@h"


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    """The later source replaces the earlier one, setting by setting."""
    file = tmp_path / "c.toml"
    file.write_text("shots = 1\nseed = 1\nrestarts = 1\nmethod = 'random'\n")
    config = from_sources(
        layers_of({"restarts": "3"}, {"PROMPTCLIMB_SEED": "2", "PROMPTCLIMB_RESTARTS": "2"}, file)
    )
    assert (config.shots, config.seed, config.restarts) == (1, 2, 3)


def test_a_study_that_is_given_as_settings_is_called_one(tmp_path: Path) -> None:
    """One line says what runs it, in place of one for each of its keys."""
    file = tmp_path / "study.toml"
    file.write_text("data = ['a', 'b']\nseeds = [1]\nmethods = ['random']\n")
    with pytest.raises(ConfigError, match=r"is the file of a study: `suite .*study.toml` runs it"):
        from_sources(layers_of({}, {}, file))


def test_each_declaration_is_whole() -> None:
    """Of what decides, a resume changes only what may grow; a few options come first, in order."""
    for option in OPTIONS.values():
        assert option.group in get_args(Group)
        assert option.help
        assert not re.search("--(?!help)[a-z]", option.help), "each reader spells options"
        assert option.decides or option.resumable == "yes"
        assert set(option.applies_to) <= set(get_args(Scope))
        assert option.show or isinstance(option.default, bool)
    grown = {name for name, option in OPTIONS.items() if option.resumable == "more"}
    assert grown == {"restarts", "conversations", "rounds"}
    assert not [name for name, option in OPTIONS.items() if option.decides and option.resumable == "yes"]
    first = sorted((option.first, name) for name, option in OPTIONS.items() if option.first)
    assert [rank for rank, _name in first] == list(range(1, len(first) + 1))
    assert [name for _place, name in first[:5]] == ["data", "model", "pretrained", "describe", "shots"]


def test_what_applies_to_clip_models_only_is_refused_for_a_custom_scorer() -> None:
    """By its declaration, and it is no part of such a scorer's identity."""
    names = applying_to(SearchConfig, "CLIP models")
    assert names == (("ray", "augmentations"))
    for name, value in zip(names, ("auto", 8), strict=True):
        with pytest.raises(ConfigError, match=f"^`{name}` applies to CLIP models"):
            SearchConfig(**NO_LLM, custom_scorer="m:f", **{name: value})
    assert set(names).isdisjoint(SearchConfig(**NO_LLM).identity(without="CLIP models"))


def test_the_openai_variable_gives_the_base_url() -> None:
    """OPENAI_BASE_URL is read and named if it is wrong, and our own variable wins over it."""
    theirs = {"OPENAI_BASE_URL": "http://a/v1/"}
    assert from_sources(layers_of(NO_LLM, theirs)).base_url == "http://a/v1"
    assert (
        from_sources(layers_of(NO_LLM, {**theirs, "PROMPTCLIMB_BASE_URL": "http://b"})).base_url == "http://b"
    )
    with pytest.raises(ConfigError, match=r"^base_url \(from OPENAI_BASE_URL\): "):
        from_sources(layers_of(NO_LLM, {"OPENAI_BASE_URL": "nowhere"}))


def test_unknown_variables_under_our_prefix_are_named() -> None:
    """A mistyped variable is reported; the cache folder's is not a setting and no mistake."""
    layers, unknown = from_environment(
        {"PROMPTCLIMB_SHOT": "1", "PROMPTCLIMB_CACHE": "/x", "PROMPTCLIMB_SHOTS": "4"}
    )
    assert (layers, unknown) == ([("PROMPTCLIMB_SHOTS", {"shots": "4"})], ["PROMPTCLIMB_SHOT"])


WRONG_FLAGS = (
    {"shots": "0"}, {"shots": "many"}, {"method": "pm"}, {"method": "randon"}, {"method": "pn"},
    {"objective": "loss"}, {"base_url": "localhost:8000"}, {"base_url": SECRET_URL},
    {"base_url": "http://[::1/v1"}, {"base_url": "http://h:0/v1"}, {"scorer_url": "http://[::1/v1"},
    {"scorer_url": "http://h:99999/v1"}, {"price": "1"}, {"price": "1/-2"}, {"price": "1/2/3/4"},
    {"price": "1/x/3"}, {"price": "0,15/0,60"}, {"initial": "1"}, {"temperature": "hot"},
    {"temperature": "0,7"}, {"max_minutes": "1 h"}, {"max_minutes": "1,5,5"}, {"max_cost": "$5"},
    {"max_calls": "1,000"}, {"data": ""}, {"augmentations": "33"}, {"augmentations": "-1"},
    {"method": "pn", "llm": "m", "max_cost": "1"}, {"augmentations": "8", "objective": "margin"},
    {"augmentations": "8", "custom_scorer": "m:f"}, {"rpm": "1,000"},
)  # fmt: skip
WRONG_VALUES: tuple[dict[str, Any], ...] = (
    {"shots": 0}, {"method": "pm"}, {"objective": "loss"}, {"shot": 1}, {"base_url": "h"},
    {"method": "pn", "llm": "m", "max_cost": 1}, {"base_url": SECRET_URL},
    {"price": {"prompt": 1}}, {"price": 5}, {"shots": 0, "seed": -1},
)  # fmt: skip


def test_a_wrong_value_is_named_with_what_would_be_right() -> None:
    """By its flag, and in Python by its field: one line with the value and what to do, never a password."""
    lines = []
    for flags in WRONG_FLAGS:
        with pytest.raises(ConfigError) as caught:
            from_sources(layers_of({**NO_LLM, **flags}, {}))
        lines.append(as_typed(caught.value))
    lines.append("")
    for values in WRONG_VALUES:
        with pytest.raises(ConfigError) as caught:
            SearchConfig(**{**NO_LLM, **values})
        assert "--" not in str(caught.value)
        lines.append(str(caught.value))
    check_page("wrong-values", "\n".join(lines))
    assert not any("\n" in line or "pw-secret" in line for line in lines)


@pytest.mark.parametrize("config", [SearchConfig(method="random"), EvaluatorSpec()])
def test_a_field_that_is_set_is_refused_in_our_words(config: EvaluatorSpec) -> None:
    """Settings are made whole; pydantic would raise an error of its own."""
    with pytest.raises(ConfigError, match=r"does not change: .*\(\.\.\., shots=VALUE\)"):
        setattr(config, "shots", 4)  # noqa: B010 - a type checker would refuse the plain form
    assert config.shots is None


def test_what_is_scored_stands_in_one_place() -> None:
    """A search's config is a specification with more fields, and gives it back without them."""
    config = SearchConfig(**NO_LLM, data="x", shots=3, base_url="https://u:p@h/v1", workers=2)
    assert config.bare() == EvaluatorSpec(data="x", shots=3, workers=2)
    own = SearchConfig.__annotations__
    assert not set(own) & set(EvaluatorSpec.model_fields)


@pytest.mark.parametrize(
    ("settings", "images", "copies"),
    [
        ({}, 240, 8), ({}, 1024, 8), ({}, 1025, 7), ({}, 4096, 2), ({}, 4097, 0), ({}, 0, 0),
        ({"augmentations": 32}, 4097, 32), ({"augmentations": 0}, 10, 0),
        ({"objective": "class_mean"}, 10, 8), ({"objective": "logprob"}, 10, 0),
        ({"custom_scorer": "m:f"}, 10, 0),
    ],
)  # fmt: skip
def test_unasked_views_are_bounded_by_the_number_of_images(
    settings: dict[str, Any], images: int, copies: int
) -> None:
    """8,192 of all images together; who asks for some gets them."""
    assert EvaluatorSpec(**settings).augmentations_for(images) == copies


def test_with_every_labelled_image_each_class_counts_equally() -> None:
    """Unless an objective is set; also in what is read again from a run's file."""
    config = SearchConfig(**NO_LLM, shots="all")
    assert (config.shots, config.objective) == ("all", "class_mean")
    assert SearchConfig(**config.to_public()).objective == "class_mean"
    assert SearchConfig(**NO_LLM, shots="all", objective="accuracy").objective == "accuracy"
    assert SearchConfig(**NO_LLM, shots="4").objective == "accuracy"


def test_what_only_programs_set_is_stored_only_where_it_was_set() -> None:
    """Technical fields do not clutter a run's file, and are kept where somebody chose them."""
    assert "workers" not in SearchConfig(**NO_LLM).to_public()
    assert SearchConfig(**NO_LLM, workers=2).to_public()["workers"] == 2


def test_a_command_that_does_not_search_asks_for_no_llm() -> None:
    """The specification is built from its own settings; those of searches are not used."""
    spec = spec_from_sources(layers_of({"data": "x"}, {"PROMPTCLIMB_SHOTS": "3", "PROMPTCLIMB_METHOD": "pn"}))
    assert (spec.data, spec.shots, spec.method) == ("x", 3, "combine")


def test_a_command_that_does_not_search_takes_the_kind_of_prompts_from_every_source(tmp_path: Path) -> None:
    """Which prompts are scored is no matter of the search alone, nor are images without labels."""
    file = tmp_path / "s.toml"
    file.write_text('search_for = "class-names"\nshots = 0\n')
    assert spec_from_sources(layers_of({}, {}, file)).unchecked
    spec = spec_from_sources(layers_of({}, {"PROMPTCLIMB_SEARCH_FOR": "instruction"}, None))
    assert spec.search_for == "instruction"


WRONG = {
    "track": "nowhere",
    "extra_body": "[]",
    "reasoning_effort": "A B",
    "llm": "local:none",
    "describe": " ",
    "initial": "1",
}
OF_ANY_TEXT = {"data", "model", "pretrained", "device", "ray", "data_root", "shared_cache", "run_dir",
               "class_names"}  # fmt: skip


@pytest.mark.parametrize("name", FILE_SETTINGS)
def test_a_wrong_value_is_refused_wherever_it_stands_and_whatever_would_use_it(
    name: str, tmp_path: Path
) -> None:
    """A command that does not use it, or has another value for it, names its source all the same."""
    file = tmp_path / "s.toml"
    wrong = "" if name in OF_ANY_TEXT else WRONG.get(name, "?")
    file.write_text(tomli_w.dumps({name: wrong}))
    variable = f"PROMPTCLIMB_{name.upper()}"
    of_file = layers_of({}, {}, file)
    for source, layers in (
        (file, of_file),
        (file, [*of_file, ("another source", {name: OPTIONS[name].default})]),
        (variable, layers_of({}, {variable: wrong})),
    ):
        for build in (spec_from_sources, from_sources, check_layers):
            with pytest.raises(ConfigError) as caught:
                build(layers)
            assert caught.value.message.startswith(name)
            assert f" (from {source}): " in caught.value.message


def test_a_message_names_a_setting_as_its_source_does() -> None:
    """An option that nobody gave is not blamed; a suggestion stays one."""
    text = '`scorer_url` needs `scorer = "chat"`, and `data = "/x"` is none; leave `blind = true` out, `llm`'
    layers = layers_of(
        {"llm": "m"}, {f"PROMPTCLIMB_{name}": value for name, value in
                       {"SCORER_URL": "http://h", "SCORER": "clip", "DATA": "/x", "BLIND": "1"}.items()},
    )  # fmt: skip
    assert on_command_line(by_source(text, layers)) == (
        'scorer_url (from PROMPTCLIMB_SCORER_URL) needs --scorer chat, and data = "/x" (from '
        "PROMPTCLIMB_DATA) is none; leave blind = true (from PROMPTCLIMB_BLIND) out, --llm"
    )


def test_toml_round_trips_without_passwords(tmp_path: Path) -> None:
    """What is stored builds the same config again, but for what is secret."""
    file = tmp_path / "in.toml"
    file.write_text('base_url = "https://me:pw-secret@h/v1?key=pw-secret"\n')
    flags = {"llm": "m", "price": "0.5/1", "max_cost": "2"}
    config = from_sources(layers_of(flags, {}, file))
    text = to_toml(config)
    assert "pw-secret" not in text
    assert "pw-secret" not in repr(config)
    (tmp_path / "out.toml").write_text(text)
    again = from_layers([("file", read_toml(tmp_path / "out.toml"))])
    assert again.identity() == config.identity()
    assert str(again.price) == "0.5/1"


def test_a_price_is_written_with_its_slashes_or_looked_up() -> None:
    """In and out, or with that of cached tokens between; ``auto`` is a price too, for a limit on money."""
    config = SearchConfig(data="d", llm="m", price="1/0.1/2", max_cost=1)
    assert (str(config.price), config.price) == ("1/0.1/2", Price(prompt=1, cached=0.1, completion=2))
    auto = SearchConfig(data="d", llm="m", price=" AUTO", max_cost=1)
    assert (auto.price, auto.priced) == ("auto", True)
    again = [from_layers([("file", tomllib.loads(to_toml(each)))]) for each in (config, auto)]
    assert [each.price for each in again] == [config.price, "auto"]


def test_what_decides_and_what_does_not() -> None:
    """Limits, pace and addresses may change between two sessions; what is scored and asked may not."""
    deciding = set(SearchConfig(llm="m").identity())
    free = {
        "rpm", "tpm", "concurrency", "max_calls", "max_tokens", "max_cost", "max_minutes", "base_url",
        "device",
    }  # fmt: skip
    assert not deciding & free
    assert {"data", "model", "pretrained", "method", "seed", "shots", "llm", "temperature"} <= deciding
    assert {"reasoning_effort", "extra_body"} <= deciding


def test_credentials_leave_an_address_and_the_version_that_azure_wants_stays() -> None:
    """It is no secret, and a run that is resumed needs it."""
    assert without_credentials("https://u:p@h:8/v1?k=1#x") == "https://h:8/v1"
    url = "https://h/openai/deployments/d?api-version=2024-10-21&key=pw-secret"
    assert without_credentials(url) == "https://h/openai/deployments/d?api-version=2024-10-21"


def test_more_members_of_a_request_are_kept_as_canonical_json(tmp_path: Path) -> None:
    """As text or as a table: the same thing has one form."""
    file = tmp_path / "c.toml"
    file.write_text("llm = 'm'\n[extra_body]\ntop_k = 5\nmin_p = 0.1\n")
    from_table = from_sources(layers_of({}, {}, file))
    from_text = from_sources(layers_of({"llm": "m", "extra_body": '{"top_k": 5, "min_p": 0.1}'}, {}))
    assert from_table.extra_body == from_text.extra_body == '{"min_p":0.1,"top_k":5}'
    assert from_sources(layers_of({"llm": "m", "extra_body": "{}"}, {})).extra_body is None
    assert from_layers([("file", tomllib.loads(to_toml(from_text)))]).extra_body == from_text.extra_body


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("x", "write a JSON object"), ("[1]", "write a JSON object"), ('{"seed": 1}', "--seed"),
        ('{"max_tokens": 1}', "answer_tokens"), ('{"stream": true}', "read whole"),
        ('{"x": "\\ud800"}', "JSON does not know"), ('{"\\ud800": 1}', "JSON does not know"),
        ('{"x": NaN}', "JSON does not know"), ('{"x": "' + "y" * 10_000 + '"}', "longer than"),
        ('{"api_key": "hunter2hunter2"}', "seems to hold a secret"), ("[" * 100_000, "write a JSON object"),
        ('{"a": {"b": ["sk-hunter2hunter2"]}}', "seems to hold a secret"),
    ],
)  # fmt: skip
def test_what_has_no_place_in_a_request_is_refused(value: str, problem: str) -> None:
    """With the right way to give it; a value that may be a key is not repeated."""
    settings = {"llm": "m", "extra_body": value}
    in_python = problem.removeprefix("--").replace("-", "_") if problem.startswith("--") else problem
    for build_it in (lambda: from_sources(layers_of(settings, {})), lambda: SearchConfig(**settings)):
        with pytest.raises(ConfigError) as caught:
            build_it()
        assert problem in as_typed(caught.value)
        assert in_python in str(caught.value)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "key", "keys", "token", "subscription_key", "Subscription-Key", "userToken", "user_token",
            "apikey",
        ),
        *(
            "access-token", "refresh_token", "headers.X-Org", "extra_headers.a.b", "auth.value",
            "session_cookie",
        ),
        *("metadata.license_key", "openaiApiKey", "db_pwd", "proxy.Authorization", "clientSecret", "jwt"),
    ],
)  # fmt: skip
def test_a_member_named_like_a_secret_is_refused(path: str) -> None:
    """At any depth, in any spelling: it would be written to config.toml, store and report."""
    body: object = "hunter2hunter2"
    for name in reversed(path.split(".")):
        body = {name: [body]}
    with pytest.raises(ConfigError, match=f"{path}' seems to hold a secret") as caught:
        SearchConfig(llm="m", extra_body=body)
    assert "hunter2" not in str(caught.value)
    assert "OPENAI_API_KEY" in str(caught.value)


def test_a_secret_of_the_environment_is_refused_under_any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in the middle of a text."""
    monkeypatch.setenv("GATEWAY_API_KEY", "hunter2hunter2")
    with pytest.raises(ConfigError, match=r"'metadata\.who' seems to hold a secret"):
        SearchConfig(llm="m", extra_body={"metadata": {"who": "me:hunter2hunter2"}})


def test_members_with_token_or_key_in_their_names_are_no_secrets() -> None:
    """Words of the vendors' own."""
    body = {
        "prompt_cache_key": "restarts",
        "min_tokens": 3,
        "stop_token_ids": [1],
        "logit_bias": {"50256": -100, "key": 1, "token": 2},
        "thinking": {"type": "enabled", "token_budget": 1024, "keep_alive": "5m"},
        "max_token": 3,
        "top_k": 5,
        "skip_special_tokens": True,
        "eos_token": "</s>",
        "keywords": ["a"],
        "author": "me",
        "safety_identifier": "restarts",
        "chat_template_kwargs": {"header": "x", "passthrough": "y"},
        "provider": {"sort": "price", "order": ["a", "b"], "allow_fallbacks": False},
        "stream_key_frames": "all",
        "user": "me",
    }
    assert SearchConfig(llm="m", extra_body=json.dumps(body)).extra_body is not None


def test_an_existing_folder_is_kept_as_an_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was started in one folder can be resumed in another."""
    (tmp_path / "pictures").mkdir()
    monkeypatch.chdir(tmp_path)
    assert from_sources(layers_of({**NO_LLM, "data": "pictures"}, {})).data == str(tmp_path / "pictures")
    assert from_sources(layers_of({**NO_LLM, "data": "elsewhere"}, {})).data == "elsewhere"


def test_a_config_made_in_python_gets_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is a path becomes absolute, what only may be one where there is such a file, a name never."""
    (tmp_path / "pictures").mkdir()
    (tmp_path / "digits").mkdir()
    (tmp_path / "w.pt").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    config = SearchConfig(
        method="random", data="pictures", pretrained="w.pt", model="local-dir:clip", class_names="openai",
        initial=Path("pool.txt"), run_dir=Path("r"),
    )  # fmt: skip
    resolved = absolute(config)
    assert (resolved.data, resolved.pretrained) == (str(tmp_path / "pictures"), str(tmp_path / "w.pt"))
    assert (resolved.model, resolved.class_names) == (f"local-dir:{tmp_path / 'clip'}", "openai")
    assert (resolved.initial, resolved.run_dir) == (tmp_path / "pool.txt", tmp_path / "r")
    assert absolute(resolved) == resolved
    assert absolute(config.model_copy(update={"data": "digits"})).data == "digits"
    names_only = absolute(config, names_only=True)
    assert (names_only.data, names_only.initial) == ("pictures", tmp_path / "pool.txt")


@pytest.mark.parametrize("path", ["a\0b", "~nobody-here/x"])
def test_a_name_that_can_be_no_path_stays_as_it_is(path: str) -> None:
    """What is wrong with a data set's name is said by whoever opens it."""
    assert absolute(SearchConfig(method="random", data=path)).data == path


@pytest.mark.parametrize("name", ["run_dir", "shared_cache", "data_root", "initial"])
@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "empty|give a number"),
        ("a\0b", "NUL"),
        ("~nobody-here/x", "no home folder for ~nobody-here"),
        ("x\udcff", "not UTF-8"),
        ("around/x", "circle"),
    ],
)
def test_what_can_be_no_path_is_refused_with_its_setting(
    name: str, path: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every setting that is a path is judged alike, by flag, variable, file and from Python."""
    monkeypatch.chdir(tmp_path)
    Path("around").symlink_to("around")
    with raises_typed(ConfigError, match=f"^{flag_of(name) or name} .*({problem})"):
        from_sources(layers_of({**NO_LLM, name: path}, {}))
    with pytest.raises(ConfigError, match=rf"^{name} = .* \(from PROMPTCLIMB_[A-Z_]+\): .*({problem})"):
        from_sources(layers_of(NO_LLM, {f"PROMPTCLIMB_{name.upper()}": path}))
    with pytest.raises(ConfigError, match=f"^`{name} = .*({problem})"):
        SearchConfig(**NO_LLM, **{name: path})


_INT = re.compile(r"\bint\b")
NUMBERS = [name for name, field in SearchConfig.model_fields.items() if "float" in str(field.annotation)]
COUNTS = [name for name, field in SearchConfig.model_fields.items() if _INT.search(str(field.annotation))]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["inf", "nan", "1e400"])
def test_a_number_that_is_not_finite_is_refused(name: str, value: str) -> None:
    """JSON and TOML files of a run have no infinity, and a missing limit is left out."""
    flag = flag_of(name)
    typed = f"{flag} '{value}'" if flag else f"{name} = '{value}' in a --config file"
    with raises_typed(ConfigError, match=f"^{typed}: it must be a finite number"):
        from_sources(layers_of({**NO_LLM, name: value, "price": "1/1"}, {}))
    with pytest.raises(ConfigError, match=f"^`{name} = "):
        SearchConfig(**NO_LLM, **{name: float(value)})


ODD = (
    *(datetime.date(1979, 5, 27), datetime.time(7, 32), 1.5, -1, 10**30, True, [1, "a"], [[[1]]], {"a": 1}),
    *("", "x", "\0", "\u202e", "a" * 100_000),
)


@pytest.mark.parametrize("name", SearchConfig.model_fields)
def test_a_value_of_another_type_is_refused_in_our_words(name: str) -> None:
    """No validator trips over it, and pydantic's wording is for programmers of validators."""
    problem = [str(error) for value in ODD if (error := refusal({**NO_LLM, name: value})) is not None]
    assert not [text for text in problem if re.search(r"(?i)input|valid |extra |\bfield\b", text)]


def refusal(values: dict[str, Any]) -> ConfigError | None:
    """Why a config cannot have these values."""
    try:
        SearchConfig(**values)
    except ConfigError as error:
        return error
    return None


def test_a_file_and_the_environment_know_every_option_by_its_long_name(tmp_path: Path) -> None:
    """One name for the command line, the file and the environment."""
    file = tmp_path / "c.toml"
    file.write_text("run-dir = 'run'\n")
    assert from_sources(layers_of(NO_LLM, {}, file)).run_dir == Path("run").absolute()
    file.write_text("cache_di = 'shared'\n")
    with pytest.raises(ConfigError, match="unknown setting 'cache_di'") as caught:
        from_sources(layers_of(NO_LLM, {}, file))
    assert "cache_dir" not in str(caught.value)


@pytest.mark.parametrize("name", COUNTS)
def test_every_count_has_a_bound(name: str) -> None:
    """A mistyped number is refused before memory is spent on it, and not repeated at length."""
    for value in (10**21, 10**4000, 10**5000):
        with pytest.raises(ConfigError, match=f"^`{name} = ") as caught:
            SearchConfig(**NO_LLM, **{name: value})
        assert len(str(caught.value)) < 500


def test_a_boolean_in_a_file_is_refused_for_a_number(tmp_path: Path) -> None:
    """Not as in Python."""
    (tmp_path / "s.toml").write_text("augmentations = true\n")
    with pytest.raises(ConfigError, match=r"^augmentations = True \(from .*\): it takes neither true nor"):
        from_sources(layers_of(NO_LLM, {}, tmp_path / "s.toml"))
