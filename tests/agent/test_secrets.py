"""The scrubber: nothing secret leaves, and ordinary text stays as it is."""

from __future__ import annotations

import base64
import traceback
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.secrets import (
    HIDDEN,
    PIECE,
    Scrubber,
    clean_key,
    is_azure,
    key_headers,
    secrets_named_in,
    split_userinfo,
)
from promptclimb.evaluator.errors import ConfigError

KEY = "sk-proj-Zq8+/y7=Wx6Vu5Ts4Rr3"
keys = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=16, max_size=60)


@pytest.mark.parametrize(
    "form",
    [KEY, quote(KEY, safe=""), base64.b64encode(KEY.encode()).decode(), f'{{"k": "{KEY}"}}', KEY[3:20]],
)
def test_every_form_of_a_key_is_hidden(form: str) -> None:
    """Plain, percent-encoded, base64, inside JSON, and in part."""
    clean = Scrubber([KEY]).scrub(f"before {form} after")
    assert HIDDEN in clean
    assert not any(form[start : start + PIECE] in clean for start in range(len(form) - PIECE + 1))
    assert clean.startswith("before ")
    assert clean.endswith(" after")


@pytest.mark.parametrize(
    "text", ["sk-abcdefgh12345678", "Bearer abcdefgh1234", "http://u:pw@host/v1", "Basic dXNlcjpwdw=="]
)
def test_what_looks_like_a_key_is_hidden_unknown(text: str) -> None:
    """Keys that nobody registered go too, where a header, an address or an error is quoted."""
    assert HIDDEN in Scrubber().scrub_quoted(text)


@pytest.mark.parametrize(
    "template",
    [
        "a basic photograph of a {}", "a flag bearer standing next to a {}", "a basic geometric {} shape",
        "a standard bearer carrying a {}", "a {} with sk-shaped letters", "x://y:z@{}",
    ],
)  # fmt: skip
def test_templates_are_left_as_they_are(template: str) -> None:
    """What only looks like a credential is an ordinary word in an answer or a result."""
    assert Scrubber([KEY]).scrub(template) == template
    assert Scrubber([KEY]).scrub_value({"best": [template]}) == {"best": [template]}


def test_short_values_do_not_mangle_ordinary_text() -> None:
    """A key such as "none" for a local server is no secret."""
    text = "a sketch of a {}: none of it, at http://127.0.0.1:8000/v1, up to 3:4@best"
    assert Scrubber(["none", ""]).scrub(text) == text


@given(keys, st.text(max_size=200), st.text(max_size=200), st.integers(0, 40))
def test_no_piece_of_a_key_survives(key: str, before: str, after: str, start: int) -> None:
    """Whatever stands around it, no twelve characters of a key in a row are left."""
    start = min(start, len(key) - PIECE)
    clean = Scrubber([key]).scrub(before + key[start:] + after)
    # HIDDEN is put in the place of a piece, so it is what remains even of a key that contains it.
    left = clean.replace(HIDDEN, "\0")
    assert not any(key[at : at + PIECE] in left for at in range(len(key) - PIECE + 1))


def test_values_are_scrubbed_all_the_way_down() -> None:
    """Texts in lists, tuples and mappings, keys of mappings included; other values are as they were."""
    value = {"a": [KEY, 1, None], KEY: ({"b": f"x{KEY}"},)}
    assert Scrubber([KEY]).scrub_value(value) == {"a": [HIDDEN, 1, None], HIDDEN: ({"b": f"x{HIDDEN}"},)}


def test_an_error_and_its_causes_are_cleaned_in_place() -> None:
    """A traceback of a chain of errors shows no key."""
    error = RuntimeError(f"outer {KEY}", 3)
    error.__cause__ = ValueError(f"inner {KEY}")
    error.add_note(f"note {KEY}")
    Scrubber([KEY]).scrub_error(error)
    assert KEY not in "".join(traceback.format_exception(error))
    assert error.args == (f"outer {HIDDEN}", 3)


@pytest.mark.parametrize(
    ("url", "clean", "userinfo"),
    [
        ("https://user:p%40ss@host:8/v1?x=1", "https://host:8/v1?x=1", "user:p@ss"),
        ("http://host/v1", "http://host/v1", ""),
        ("http://tok@host/v1", "http://host/v1", "tok"),
        ("", "", ""),
    ],
)
def test_credentials_are_taken_out_of_an_address(url: str, clean: str, userinfo: str) -> None:
    """The address without them, and they on their own."""
    split = split_userinfo(url)
    assert (split.url, split.userinfo.get_secret_value()) == (clean, userinfo)
    assert "p@ss" not in repr(split)


@pytest.mark.parametrize("odd", [0xDCFF, 0xD800])
def test_a_key_that_is_not_utf_8_is_hidden_like_any_other(odd: int) -> None:
    """Bytes of the environment that are no text reach Python as surrogates; what is sent are the bytes."""
    key = f"abc{chr(odd)}defghijk"
    scrubber = Scrubber([key])
    assert scrubber.scrub(f"x {key} y") == f"x {HIDDEN} y"
    raw = key.encode("utf-8", "surrogateescape" if odd == 0xDCFF else "surrogatepass")
    assert scrubber.scrub(base64.b64encode(raw).decode().rstrip("=")) == HIDDEN
    assert scrubber.scrub(quote(raw, safe="")) == HIDDEN


@pytest.mark.parametrize(
    "name",
    ["OPENAI_API_KEY", "OPENAI_KEY_2", "hf_token", "DB_PASSWORD", "MY_APIKEY", "X_SECRET3", "AWS_TOKEN_10"],
)
def test_what_is_named_like_a_secret_is_one(name: str) -> None:
    """Several keys of one vendor are numbered."""
    assert [secret.get_secret_value() for secret in secrets_named_in({name: "value", "HOME": "/root"})] == [
        "value"
    ]


def test_credentials_of_addresses_in_the_environment_are_secrets() -> None:
    """Of a proxy, for instance; the word alone in a longer name is not enough."""
    secrets = secrets_named_in({"PROXY_URL": "http://me:pass@h", "KEYBOARD": "x", "MONKEY": "y"})
    assert [secret.get_secret_value() for secret in secrets] == ["me:pass"]


@pytest.mark.parametrize(
    "form",
    [
        *(str.upper, str.lower, lambda key: key[::-1], lambda key: key.encode().hex()),
        *(" ".join, "\n".join, " · ".join, "\u200b".join),
    ],
)
def test_a_key_that_is_echoed_in_another_form_is_hidden(form: Callable[[str], str]) -> None:
    """An endpoint may repeat it in capitals, backwards, in hexadecimal digits or spaced out."""
    key = "sk-Proj-0123456789abcdefXYZ"
    assert form(key) not in Scrubber([key]).scrub(f"bad key {form(key)}")


def test_a_key_of_many_signs_takes_no_time_to_look_for() -> None:
    """Signs of the key itself do not count as signs between them, so the search does not branch."""
    key = "-" * 200 + "_" * 200
    assert Scrubber([key]).scrub("- " * 2_000) == "- " * 2_000


def test_a_key_goes_where_the_address_wants_it() -> None:
    """Azure has a header of its own; basic authentication is for addresses with a user."""
    assert key_headers("https://h/v1", "k") == {"Authorization": "Bearer k"}
    azure = "https://x.openai.azure.com/openai/deployments/d"
    assert key_headers(azure, "k") == {"Authorization": "Bearer k", "api-key": "k"}
    assert key_headers(azure, "") == {}
    assert key_headers("https://h/v1", "", "me:pw")["Authorization"].startswith("Basic ")
    assert is_azure("http://127.0.0.1:9/openai/deployments/d")
    assert not is_azure("https://azure.com.example.org/v1")


@pytest.mark.parametrize("key", ["sk-one\nsk-two", "sk-ключ", "two words"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    """By the name of its variable, and not shown; the line end that copying brings is taken off."""
    with pytest.raises(ConfigError, match="MY_KEY") as caught:
        clean_key(key, "MY_KEY")
    assert key not in str(caught.value)
    with pytest.raises(ConfigError):
        key_headers("https://h/v1", key)
    assert key_headers("https://h/v1", " k\n") == {"Authorization": "Bearer k"}
    assert key_headers("https://h/v1", " \n") == {}
