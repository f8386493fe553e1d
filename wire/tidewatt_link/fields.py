"""What MQTT 5's packets are made of, as bytes (OASIS MQTT 5.0, 1.5 and 2.1). Pure."""

#: Of a digit of a length: whether another one follows, and what it counts.
LONG, DIGIT = 0x80, 0x7F
#: Digits that a length may have.
MOST_DIGITS = 4


class BadPacket(ValueError):
    """What came is no MQTT 5."""


def packet(first: int, body: bytes) -> bytes:
    """A packet: its kind and flags, its length, the rest."""
    return bytes([first]) + varint(len(body)) + body


def varint(number: int) -> bytes:
    """A variable byte integer."""
    out = bytearray()
    while True:
        number, digit = divmod(number, 128)
        out.append(digit | (LONG if number else 0))
        if not number:
            return bytes(out)


def varint_at(held: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer at a place, and the place after it. BadPacket; IndexError: it isn't whole."""
    number = shift = 0
    while True:
        digit = held[at]
        number, at, shift = number | (digit & DIGIT) << shift, at + 1, shift + 7
        if not digit & LONG:
            return number, at
        if shift >= 7 * MOST_DIGITS:
            raise BadPacket("a length of more than four bytes")


def binary(some: bytes) -> bytes:
    """Bytes behind their length."""
    return len(some).to_bytes(2, "big") + some


def text(some: str) -> bytes:
    """The same of a text."""
    return binary(some.encode())


def binary_at(held: bytes, at: int) -> tuple[bytes, int]:
    """The bytes at a place, and the place after them; IndexError where their length isn't whole."""
    end = at + 2 + (held[at] << 8 | held[at + 1])
    return held[at + 2 : end], end
