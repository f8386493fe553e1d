"""Strict documents that people write: TOML to a typed struct, or one sentence that helps.

An unknown key is an error that names the nearest valid one, because a typing mistake in a
power policy must not silently mean "default".
"""

import difflib
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

S = TypeVar("S", bound=msgspec.Struct)


class DocumentError(ValueError):
    """What is wrong with a document, where, and the nearest right thing."""


def parse_toml(text: str, kind: type[S], *, name: str, overrides: Mapping[str, str] | None = None) -> S:
    """Read `text` as a `kind`; `name` (a file name) begins every error sentence.

    `overrides` maps dotted keys ("link.broker") to strings that win over the text, from
    the environment or a flag; they are converted to the field's type.
    """
    try:
        document: dict[str, Any] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # tomllib's own error is a ValueError
        raise DocumentError(f"{name}: not TOML: {error}") from error
    _refuse_unknown_keys(document, kind, name, "")
    for dotted, value in (overrides or {}).items():
        _set(document, kind, dotted, value, name)
    try:
        return msgspec.convert(document, kind, strict=False)
    except msgspec.ValidationError as error:
        raise DocumentError(f"{name}: {_sentence(error)}") from error


def decode_text(content: bytes, name: str) -> str:
    """The text of a file that a person wrote: UTF-8, with or without a byte order mark.

    Raises DocumentError naming the file if it is anything else.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentError(f"{name}: not UTF-8 text (byte {error.start})") from error


def environment_overrides(environ: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Overrides from variables such as TIDEWATT_AGENT__LINK__BROKER (prefix "TIDEWATT_AGENT")."""
    start = f"{prefix}__"
    return {
        key[len(start) :].lower().replace("__", "."): value
        for key, value in environ.items()
        if key.startswith(start)
    }


def to_toml(value: msgspec.Struct | Mapping[str, Any]) -> str:
    """The struct or table as TOML, tables after plain keys, nothing hidden; None is left out."""
    document: dict[str, Any] = msgspec.to_builtins(value)
    return "\n".join(_toml_lines(document, "")).strip() + "\n"


def _toml_lines(table: dict[str, Any], path: str) -> list[str]:
    plain = {k: v for k, v in table.items() if v is not None and not _is_table(v)}
    lines = [f"{_toml_key(key)} = {_toml_value(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if not _is_table(value):
            continue
        inner = f"{path}.{_toml_key(key)}" if path else _toml_key(key)
        if isinstance(value, list):
            for item in value:
                lines += ["", f"[[{inner}]]", *_toml_lines(item, inner)]
        else:
            lines += ["", f"[{inner}]", *_toml_lines(value, inner)]
    return lines


def _is_table(value: object) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)
    )


def _toml_key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else _toml_value(key)


def _toml_value(value: object) -> str:
    # JSON's strings, numbers, booleans and arrays are TOML's too, but for DEL (U+007F).
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")


def _sentence(error: msgspec.ValidationError) -> str:
    problem, _, place = str(error).partition(" - at ")
    where = place.strip("`").removeprefix("$").lstrip(".")
    return f"{where}: {problem}" if where else problem


def _struct_in(annotation: object) -> type[msgspec.Struct] | None:
    """The struct that a field's annotation holds: itself, optional, in a list or a dict's values."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, list):
        for argument in typing.get_args(annotation):
            if found := _struct_in(argument):
                return found
    return None


def _fields(kind: type[msgspec.Struct]) -> dict[str, object]:
    hints = typing.get_type_hints(kind)
    return {field.encode_name: hints[field.name] for field in msgspec.structs.fields(kind)}


def _refuse_unknown_keys(document: dict[str, Any], kind: type[msgspec.Struct], name: str, path: str) -> None:
    fields = _fields(kind)
    for key, value in document.items():
        if key not in fields:
            raise DocumentError(f"{name}: {_unknown(path + key, key, fields)}")
        inner = _struct_in(fields[key])
        if inner is None:
            continue
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                _refuse_unknown_keys(item, inner, name, f"{path}{key}.")


def _unknown(dotted: str, key: str, fields: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(key, fields, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"valid keys here: {', '.join(fields)}"
    return f"unknown key {dotted!r}; {hint}"


def _set(document: dict[str, Any], kind: type[msgspec.Struct], dotted: str, value: str, name: str) -> None:
    table, here = document, kind
    *tables, last = dotted.split(".")
    for key in tables:
        inner = _struct_in(_fields(here).get(key))
        if inner is None:
            raise DocumentError(f"{name}: {_unknown(dotted, key, _fields(here))}")
        here, table = inner, table.setdefault(key, {})
        if not isinstance(table, dict):
            raise DocumentError(f"{name}: {key!r} is not a table, so {dotted!r} can't be set")
    if last not in _fields(here):
        raise DocumentError(f"{name}: {_unknown(dotted, last, _fields(here))}")
    table[last] = value
