"""JSON that others wrote, looked through field by field. By json: msgspec takes 4 MB resident.

A check takes a value and says whether it is one of its kind.
"""

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

Check = Callable[[Any], bool]
Fields = Mapping[str, Check]

#: Whatever a kernel counts fits into 64 bits.
MOST = 2**63


def read(
    content: bytes, fields: Fields, *, needed: Collection[str] = (), closed: bool = False
) -> dict[str, Any]:
    """The known fields of an object. ValueError if it is none, or one of them is missing or of another kind.

    Fields that aren't known are left out, or refused where the object is `closed`.
    """
    found = document(content)
    if missing := [name for name in needed if name not in found]:
        raise ValueError(f"it has no {missing[0]}")
    if closed and (strange := [name for name in found if name not in fields]):
        raise ValueError(f"{strange[0][:32]!r} is no field of it")
    if wrong := [name for name, check in fields.items() if name in found and not check(found[name])]:
        raise ValueError(f"{wrong[0]} is not as it should be")
    return {name: found[name] for name in fields if name in found}


def document(content: bytes) -> dict[str, Any]:
    """Any object; ValueError if it is none."""
    try:
        found = json.loads(content.decode("utf-8"), parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - of a file, not of an argument
    return found


def write(values: Mapping[str, Any]) -> bytes:
    """The object as JSON."""
    return json.dumps(values, separators=(",", ":"), default=dict).encode()


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def integer(value: Any) -> bool:
    """A whole number of 64 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and -MOST <= value < MOST


def number(value: Any) -> bool:
    """A number."""
    return integer(value) or isinstance(value, float)


def text(value: Any) -> bool:
    """A text."""
    return isinstance(value, str)


def truth(value: Any) -> bool:
    """True or false."""
    return isinstance(value, bool)


def one_of(*texts: str) -> Check:
    """One of these."""
    return lambda value: text(value) and value in texts


def within(least: float, most: float) -> Check:
    """A whole number of these bounds."""
    return lambda value: integer(value) and least <= value <= most


def optional(check: Check) -> Check:
    """One of that kind, or null."""
    return lambda value: value is None or check(value)


def each(check: Check) -> Check:
    """A list of that kind."""
    return lambda value: isinstance(value, list) and all(map(check, value))


def each_by_name(check: Check, most: int | None = None, longest: int | None = None) -> Check:
    """An object of that kind's: at most so many, with names of at most so many characters."""

    def by_name(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and (most is None or len(value) <= most)
            and (longest is None or all(len(name) <= longest for name in value))
            and all(map(check, value.values()))
        )

    return by_name
