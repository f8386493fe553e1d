"""As much of MQTT 5 as a subscriber needs, as bytes. Pure.

A client library makes an object of each message, a callback and an acknowledgement of its own: four
times what reading the message costs, and the most of what a coordinator did. Here many messages are read
at once, and acknowledged at once (ADR 0042).
"""

import struct
import sys
from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tidewatt_link import fields
from tidewatt_link.fields import DIGIT, LONG, BadPacket

CONNACK, PUBLISH, SUBACK, PINGRESP, DISCONNECT = 2, 3, 9, 13, 14
PING = b"\xc0\x00"
GOODBYE = b"\xe0\x00"
#: Reason codes from here on are refusals.
REFUSED = 0x80
#: The longest packet that is read, with room around the longest message of `tidewatt_wire.codec`.
MOST_BYTES = 1 << 20

_CLEAN, _PASSWORD, _USER = 0x02, 0x40, 0x80
_SESSION_EXPIRY, _RECEIVE_MAXIMUM, _PACKET_MAXIMUM, _USER_PROPERTY = 0x11, 0x21, 0x27, 0x26
#: Bytes of the properties that a message may have, by what they are; texts and numbers of any length apart.
_FIXED = {0x01: 1, 0x02: 4, 0x23: 2}
_TEXTS = {0x03: 1, 0x08: 1, 0x09: 1, _USER_PROPERTY: 2}
_VARINT = 0x0B
_LEAST = 2
#: Of a packet's first byte: its kind, that of a message, and a message's quality of service.
_KIND_BITS, _PUBLISH_BITS, _QOS_BITS = 0xF0, PUBLISH << 4, 0x06

_HEADLESS = "a message that ends within its own head"

#: A message: its topic, what it says, its packet's number (0: none is to be acknowledged), its properties.
Said = tuple[str, bytes, int, bytes]


class Packet(NamedTuple):
    """A packet that is no message: its kind, and the rest."""

    kind: int
    body: bytes


def split(held: bytes) -> tuple[list[Said], list[Packet], int]:
    """The messages and the other packets that are whole, and where the rest begins. BadPacket.

    What nearly every packet is, is read right here, because a call for each costs as much as the reading: a
    length of one or two digits, a message without properties.
    """
    said: list[Said] = []
    others: list[Packet] = []
    at, end = 0, len(held)
    try:
        while end - at >= _LEAST:
            first, length, start = held[at], held[at + 1], at + 2
            if length & LONG:
                digit = held[start]
                length, start = (
                    _long(held, at + 1) if digit & LONG else (length & DIGIT | digit << 7, start + 1)
                )
            stop = start + length
            if stop > end:
                break
            at = stop
            if first & _KIND_BITS != _PUBLISH_BITS:
                others.append(Packet(first >> 4, held[start:stop]))
                continue
            if length < _LEAST:
                raise BadPacket(_HEADLESS)
            text = start + 2
            after = text + (held[start] << 8 | held[start + 1])
            if first & _QOS_BITS and after + 2 < stop and not held[after + 2]:
                number = held[after] << 8 | held[after + 1]
                said.append((held[text:after].decode(), held[after + 3 : stop], number, b""))
            else:
                said.append(_message(held, first, start, stop))
    except IndexError:
        pass  # its length isn't there yet
    except UnicodeDecodeError as error:
        raise BadPacket(f"a topic that is no text: {error}") from error
    return said, others, at


def _long(held: bytes, at: int) -> tuple[int, int]:
    length, start = fields.varint_at(held, at)
    if length > MOST_BYTES:
        raise BadPacket(f"a packet of {length} bytes; at most {MOST_BYTES} are read")
    return length, start


def _message(held: bytes, first: int, start: int, stop: int) -> Said:
    try:
        end = start + 2 + (held[start] << 8 | held[start + 1])
        topic, number = held[start + 2 : end], 0
        if first & _QOS_BITS:
            number, end = held[end] << 8 | held[end + 1], end + 2
        length, at = held[end], end + 1
        if length & LONG:
            length, at = fields.varint_at(held, end)
    except IndexError:
        length, at = 0, stop + 1
    if at + length > stop:
        raise BadPacket(_HEADLESS)
    properties = held[at : at + length] if length else b""
    return topic.decode(), held[at + length : stop], number, properties


def says(properties: bytes, name: str) -> bool:
    """Whether a message's properties have a user property of that name."""
    wanted, at = name.encode(), 0
    try:
        while at < len(properties):
            kind, at = properties[at], at + 1
            if kind == _VARINT:
                _, at = fields.varint_at(properties, at)
            elif kind in _FIXED:
                at += _FIXED[kind]
            elif kind in _TEXTS:
                for part in range(_TEXTS[kind]):
                    text, at = fields.binary_at(properties, at)
                    if kind == _USER_PROPERTY and part == 0 and text == wanted:
                        return True
            else:
                return False
    except IndexError:
        pass
    return False


def after_length(some: bytes) -> bytes:
    """What follows a variable byte integer."""
    return some[fields.varint_at(some, 0)[1] :]


def connect(
    identifier: str,
    keepalive_s: int,
    session_s: int,
    window: int,
    user: str | None = None,
    password: str | None = None,
) -> bytes:
    """The beginning, in the session that the broker kept of `identifier`, if it did.

    At most `window` messages are to be under way without an acknowledgement.
    """
    flags = 0 if session_s else _CLEAN  # who wants none to be kept wants none that was
    flags |= (_USER if user is not None else 0) | (_PASSWORD if password is not None else 0)
    properties = struct.pack(
        ">BIBHBI", _SESSION_EXPIRY, session_s, _RECEIVE_MAXIMUM, window, _PACKET_MAXIMUM, MOST_BYTES
    )
    body = fields.text("MQTT") + bytes([5, flags]) + keepalive_s.to_bytes(2, "big")
    body += fields.varint(len(properties)) + properties + fields.text(identifier)
    body += b"".join(fields.text(some) for some in (user, password) if some is not None)
    return fields.packet(0x10, body)


def subscribe(topics: Iterable[str], number: int) -> bytes:
    """To each of them at QoS 1."""
    asked = b"".join(fields.text(topic) + b"\x01" for topic in topics)
    return fields.packet(0x82, number.to_bytes(2, "big") + b"\x00" + asked)


def acknowledgements(numbers: Sequence[int]) -> bytes:
    """The answers to messages at QoS 1, all at once."""
    count, said = len(numbers), bytearray(4 * len(numbers))
    packed = array("H", numbers)
    if sys.byteorder == "little":
        packed.byteswap()
    raw = packed.tobytes()
    said[0::4], said[1::4] = b"\x40" * count, b"\x02" * count
    said[2::4], said[3::4] = raw[0::2], raw[1::2]
    return bytes(said)


def reasons(packet: Packet) -> bytes:
    """The reason codes of a CONNACK (one), a SUBACK (one a topic) or a DISCONNECT (one). BadPacket."""
    body = packet.body
    try:
        if packet.kind == CONNACK:
            return body[1:2] or b"\x80"
        if packet.kind == SUBACK:
            length, at = fields.varint_at(body, 2)
            return body[at + length :]
    except IndexError:
        raise BadPacket("an answer that ends within its own head") from None
    return body[:1] or b"\x00"
