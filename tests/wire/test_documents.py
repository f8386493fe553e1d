"""Configuration documents: strict, and helpful when wrong."""

from typing import Annotated

import msgspec
import pytest

from tidewatt_wire.documents import DocumentError, decode_text, environment_overrides, parse_toml, to_toml


class Inner(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    listen: str = "a"
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 1
    labels: dict[str, str] = {}


class Outer(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    inner: Inner = msgspec.field(default_factory=Inner)
    many: list[Inner] = []
    maybe: Inner | None = None


def sentence(text: str) -> str:
    with pytest.raises(DocumentError) as caught:
        parse_toml(text, Outer, name="x.toml")
    assert str(caught.value).startswith("x.toml: ")
    return str(caught.value)


def test_unknown_keys_name_the_nearest_valid_one_wherever_they_stand() -> None:
    assert (
        sentence("[inner]\nlisten = 'a'\nprot = 2")
        == "x.toml: unknown key 'inner.prot'; did you mean 'port'?"
    )
    assert "did you mean 'inner'?" in sentence("[iner]\n")
    assert "'many.lisen'; did you mean 'listen'?" in sentence("[[many]]\nlisen = 'b'")
    assert "'maybe.prt'; did you mean 'port'?" in sentence("[maybe]\nprt = 1")
    assert "valid keys here: inner, many, maybe" in sentence("zzzzzz = 1")


def test_wrong_values_name_their_place() -> None:
    assert sentence("[inner]\nport = 0") == "x.toml: inner.port: Expected `int` >= 1"
    assert "inner.listen" in sentence("[inner]\nlisten = 4")
    assert "not TOML" in sentence("[inner\n")


def test_what_is_no_text_or_too_deep_names_the_file() -> None:
    assert decode_text(b"\xef\xbb\xbfa = 1", "x") == "a = 1", "a byte order mark is no text"
    with pytest.raises(DocumentError, match=r"x.toml: not UTF-8 text \(byte 2\)"):
        decode_text(b"a=\xff", "x.toml")
    assert "not TOML" in sentence("a = " + "[" * 20_000)
    with pytest.raises(DocumentError, match="'inner' is not a table, so 'inner.port' can't be set"):
        parse_toml("inner = 5", Outer, name="x", overrides={"inner.port": "7"})


def test_free_tables_take_any_key() -> None:
    assert parse_toml("[inner.labels]\nanything = 'x'", Outer, name="x").inner.labels == {"anything": "x"}


def test_environment_wins_over_the_file_and_is_checked_like_it() -> None:
    environ = {"APP__INNER__PORT": "7", "APPLE": "1", "APP__INNER__LISTEN": "b"}
    overrides = environment_overrides(environ, "APP")
    assert parse_toml("[inner]\nport = 3", Outer, name="x", overrides=overrides).inner == Inner(
        listen="b", port=7
    )
    with pytest.raises(DocumentError, match="unknown key 'inner.prot'; did you mean 'port'"):
        parse_toml("", Outer, name="x", overrides={"inner.prot": "7"})
    with pytest.raises(DocumentError, match="unknown key"):
        parse_toml("", Outer, name="x", overrides={"nowhere.port": "7"})


def test_what_is_printed_reads_back_the_same() -> None:
    value = Outer(
        inner=Inner(listen='q"\n\\é', port=9, labels={"a.b": "c d", "e-f": ""}),
        many=[Inner(port=2), Inner(labels={"x": "y"})],
    )
    assert parse_toml(to_toml(value), Outer, name="x") == value
