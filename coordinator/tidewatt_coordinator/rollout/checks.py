"""Plain values against the types of a policy document: every problem at its path, not the first alone. Pure.

The types are the wire's own structs, so what a document may say and what a device reads
can't drift apart.
"""

import difflib
import types
import typing
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

Path = tuple[str | int, ...]
Problem = tuple[Path, str]

#: TOML has no null; this word says it, for any key that may have none.
NOTHING = "none"


def nulls(value: Any, kind: Any) -> Any:
    """`value` with the word "none" as null wherever `kind` allows that and no such text."""
    if value == NOTHING and type(None) in _choices(kind) and not _takes_text(kind):
        return None
    struct = _struct(kind)
    if struct is not None and isinstance(value, dict):
        hints = _hints(struct)
        return {key: nulls(item, hints[key]) if key in hints else item for key, item in value.items()}
    item_kind = _item(kind)
    if item_kind is not None and isinstance(value, list):
        return [nulls(item, item_kind) for item in value]
    return value


def problems(value: Any, kind: Any, path: Path = ()) -> Iterator[Problem]:
    """What is wrong with `value` as a `kind`: the path and one sentence each."""
    struct, item_kind = _struct(kind), _item(kind)
    if struct is not None and isinstance(value, dict):
        yield from _in_table(value, struct, path)
    elif item_kind is not None and isinstance(value, list):
        inner = [found for i, item in enumerate(value) for found in problems(item, item_kind, (*path, i))]
        yield from inner or _leaf(value, kind, path)
    else:
        yield from _leaf(value, kind, path)


def dotted(path: Path) -> str:
    """A path as people write it: rules[2].policy.headroom, the first item being 1."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            text += f".{part}" if text else part
    return text


def nearest(word: str, valid: Iterable[str]) -> str:
    """A hint: the valid word nearest to this one, or all of them."""
    words = [str(one) for one in valid]
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.4)
    return f"did you mean {near[0]!r}?" if near else f"valid here: {', '.join(words)}"


def _in_table(value: dict[str, Any], struct: type[msgspec.Struct], path: Path) -> Iterator[Problem]:
    hints = _hints(struct)
    for key, item in value.items():
        if key in hints:
            yield from problems(item, hints[key], (*path, key))
        else:
            yield (*path, key), f"unknown key {dotted((*path, key))!r}; {nearest(key, hints)}"
    for field in msgspec.structs.fields(struct):
        if field.required and field.encode_name not in value:
            yield path, f"{dotted((*path, field.encode_name))!r} is missing"


def _leaf(value: Any, kind: Any, path: Path) -> Iterator[Problem]:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at ")
        inner = place.strip("`").removeprefix("$").removeprefix(".") if place else ""
        words = [word for choice in _choices(kind) for word in _words(choice)]
        if words and isinstance(value, str):
            problem = f"{value!r} is no choice; {nearest(value, words)}"
        elif not isinstance(value, dict | list):
            problem = f"{problem}, not {value!r:.80}"
        yield path, f"{dotted(path)}{'.' if inner and inner[0] != '[' else ''}{inner}: {problem}"


def _bare(kind: Any) -> Any:
    return kind.__origin__ if typing.get_origin(kind) is typing.Annotated else kind


def _choices(kind: Any) -> tuple[Any, ...]:
    kind = _bare(kind)
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return tuple(_bare(one) for one in typing.get_args(kind))
    return (kind,)


def _words(choice: Any) -> tuple[Any, ...]:
    return typing.get_args(choice) if typing.get_origin(choice) is typing.Literal else ()


def _takes_text(kind: Any) -> bool:
    return any(NOTHING in _words(choice) for choice in _choices(kind))


def _struct(kind: Any) -> type[msgspec.Struct] | None:
    found = [one for one in _choices(kind) if isinstance(one, type) and issubclass(one, msgspec.Struct)]
    return found[0] if found else None


def _item(kind: Any) -> Any:
    found = [one for one in _choices(kind) if typing.get_origin(one) is list]
    return typing.get_args(found[0])[0] if found else None


def _hints(struct: type[msgspec.Struct]) -> dict[str, Any]:
    hints = typing.get_type_hints(struct, include_extras=True)
    return {field.encode_name: hints[field.name] for field in msgspec.structs.fields(struct)}
