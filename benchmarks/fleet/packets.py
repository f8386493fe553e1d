"""As much of MQTT 5 as a device needs, as bytes. Pure.

A benchmark's own: thousands of full clients, each with its threads' worth of state, would measure
themselves.
"""

from collections.abc import Iterator
from typing import NamedTuple

from tidewatt_link import fields

CONNACK, PUBLISH, PUBACK, SUBACK, UNSUBACK, PINGRESP, DISCONNECT = 2, 3, 4, 9, 11, 13, 14
PING = b"\xc0\x00"
GOODBYE = b"\xe0\x00"
#: Reason codes from here on are refusals.
REFUSED = 0x80
NO_PROPERTIES = b"\x00"


class Packet(NamedTuple):
    """One packet as it came: its kind, the four flag bits, and the rest."""

    kind: int
    flags: int
    body: bytes


class Said(NamedTuple):
    """A message from the broker; `number` is None at QoS 0."""

    topic: str
    payload: bytes
    number: int | None


class Will(NamedTuple):
    """What the broker is to say, retained, when the line breaks."""

    topic: str
    payload: bytes


def connect(identifier: str, keepalive_s: int, will: Will | None) -> bytes:
    """A clean start; the name of the user is in the certificate."""
    flags = 0x02 | (0x04 | 0x08 | 0x20 if will else 0)
    body = fields.text("MQTT") + bytes([5, flags]) + keepalive_s.to_bytes(2, "big") + NO_PROPERTIES
    body += fields.text(identifier)
    if will:
        body += NO_PROPERTIES + fields.text(will.topic) + fields.binary(will.payload)
    return fields.packet(0x10, body)


def publish(
    topic: str, payload: bytes, number: int, *, retain: bool, properties: bytes = NO_PROPERTIES
) -> bytes:
    """A message at QoS 1."""
    return fields.packet(0x32 | retain, fields.text(topic) + number.to_bytes(2, "big") + properties + payload)


def subscribe(topic: str, number: int) -> bytes:
    """At QoS 1."""
    return fields.packet(0x82, number.to_bytes(2, "big") + NO_PROPERTIES + fields.text(topic) + b"\x01")


def unsubscribe(topic: str, number: int) -> bytes:
    """No more of that topic."""
    return fields.packet(0xA2, number.to_bytes(2, "big") + NO_PROPERTIES + fields.text(topic))


def acknowledge(number: int) -> bytes:
    """The answer to a message at QoS 1."""
    return b"\x40\x02" + number.to_bytes(2, "big")


def said(packet: Packet) -> Said:
    """The message in a PUBLISH packet."""
    body = packet.body
    end = 2 + int.from_bytes(body[:2], "big")
    topic, number = body[2:end].decode(), None
    if packet.flags & 0x06:
        number, end = int.from_bytes(body[end : end + 2], "big"), end + 2
    length, start = fields.varint_at(body, end)
    return Said(topic, body[start + length :], number)


def answered(packet: Packet) -> tuple[int, int]:
    """The number and the reason code of a PUBACK, SUBACK or UNSUBACK."""
    body = packet.body
    if packet.kind == PUBACK:
        return int.from_bytes(body[:2], "big"), body[2] if len(body) > 2 else 0  # noqa: PLR2004 - as MQTT says
    length, start = fields.varint_at(body, 2)
    return int.from_bytes(body[:2], "big"), max(body[start + length :], default=0)


class Reader:
    """Takes bytes as they come, gives whole packets."""

    def __init__(self) -> None:
        self._held = b""

    def take(self, some: bytes) -> Iterator[Packet]:
        """The packets that are whole now."""
        held, at = self._held + some, 0
        while True:
            try:
                length, start = fields.varint_at(held, at + 1)
            except IndexError:
                break
            if start + length > len(held):
                break
            yield Packet(held[at] >> 4, held[at] & 0x0F, held[start : start + length])
            at = start + length
        self._held = held[at:]
