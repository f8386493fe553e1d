"""Inputs made of good ones: bytes cut, doubled, swapped and spoiled; JSON with odd values in odd places."""

import json
import random
from collections.abc import Sequence
from typing import Any

#: What programs stumble over, in texts,
WORDS = (
    b"", b"0", b"-0", b"-1", b"1e999999999", b"1e-999999999", b"NaN", b"inf", b"0x1p-1074", b"9" * 400,
    b"\xff", b"\x00", b"\xed\xa0\x80", b"\xe2\x80\xae", b"\xc2\x85", b"\xef\xbb\xbf", b"\r\n", b"\x1b[2J",
    b"'", b'"', b"#", b"[", b"{", b"<", b">", b"=", b",", b":", b"..", b"/", b"../../etc/passwd", b"%s",
    b"&a", b"*a", b"!!python/object:os.system", b"[" * 3000, b"{" * 3000, b"a." * 2000, b" " * 5000,
    b"2026-02-30", b"24:00", b"0001-01-01", b"9999-12-31T23:59:59Z", b"\xd9\xa3",
)  # fmt: skip
#: and in JSON.
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 2**31, 2**53, 2**63, 2**64, 10**30, 0.5, -0.0, 1e308, 5e-324, "", "0", "a",
    "x" * 70, "\0", "\ud800", "a/b", "+", "#", "$SYS", "../..", "\u202e", "__proto__",
    "x\r\nX-Y: z", [], {}, [[]],
    [None], {"": None}, "NaN",
)  # fmt: skip
#: One in so many inputs is JSON that was changed as such, if the seed is any.
STRUCTURED = 0.6


def mutate(data: bytes, chance: random.Random, others: Sequence[bytes], longest: int) -> bytes:
    """`data` after a few changes, of `longest` bytes at the most; `others` are spliced in."""
    if chance.random() < STRUCTURED and (changed := _json(data, chance)) is not None:
        return changed[:longest]
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        data = _spoil(data, chance, others)
    return data[:longest]


def _spoil(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    at = chance.randrange(len(data) + 1)
    to = min(len(data), at + chance.choice((1, 1, 2, 4, 16, 64, 1024)))
    part, found = data[at:to], data[at:]
    match chance.randrange(7):
        case 0:
            found = data[to:]
        case 1:
            found = part * chance.choice((2, 3, 50)) + data[to:]
        case 2:
            found = bytes(chance.randrange(256) for _ in part) + data[to:]
        case 3:
            found = chance.choice(WORDS) + data[at:]
        case 4:
            found = chance.choice(WORDS) + data[to:]
        case 5:
            lines = data[at:].split(b"\n")
            chance.shuffle(lines)
            found = b"\n".join(lines)
        case _:
            other = chance.choice(others)
            start = chance.randrange(len(other) + 1)
            found = other[start : start + chance.choice((8, 64, 4096))] + data[at:]
    return data[:at] + found


def _json(data: bytes, chance: random.Random) -> bytes | None:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    places = list(_places(document, []))
    if not places:
        return None
    for _ in range(chance.choice((1, 1, 2, 5))):
        holder, key = chance.choice(places)
        if chance.random() < 0.2 and isinstance(holder, dict):
            holder.pop(key, None)
        elif isinstance(holder, dict) or key < len(holder):
            holder[key] = chance.choice(VALUES)
        if chance.random() < 0.1 and isinstance(holder, dict):
            holder[chance.choice(("", "schema", "a" * 300, "\0"))] = chance.choice(VALUES)
    return json.dumps(document).encode("utf-8", "surrogatepass")


def _places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        found.append((value, key))
        _places(item, found)
    return found
