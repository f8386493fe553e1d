"""MQTT 5 in bulk: whatever the pieces it comes in, and whatever is no MQTT."""

import itertools

import pytest
from benchmarks.fleet.packets import publish
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tidewatt_link import fields, packets
from tidewatt_link.fields import BadPacket
from tidewatt_link.packets import Said, says, split
from tidewatt_wire.topics import REPLAYED


def properties(*names: str, expiry: int | None = None) -> bytes:
    """As another library writes them."""
    said = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    said.UserProperty = [(name, "1") for name in names]
    said.ContentType, said.SubscriptionIdentifier = "application/json", 300
    if expiry is not None:
        said.MessageExpiryInterval = expiry
    return bytes(said.pack())  # type: ignore[no-untyped-call]


def at_qos_0(topic: str, payload: bytes) -> bytes:
    body = len(topic.encode()).to_bytes(2, "big") + topic.encode() + b"\0" + payload
    return b"\x30" + fields.varint(len(body)) + body


MESSAGES = st.tuples(
    st.text(max_size=40),
    st.binary(max_size=400),
    st.integers(0, 65_535),
    st.sampled_from([b"\0", properties(REPLAYED), properties("n" * 200, expiry=7)]),
)


@settings(max_examples=60)
@given(st.lists(MESSAGES, max_size=8), st.lists(st.integers(0, 4000), max_size=6))
def test_messages_come_back_whatever_the_pieces(
    sent: list[tuple[str, bytes, int, bytes]], cuts: list[int]
) -> None:
    stream, expected = b"", list[Said]()
    for topic, payload, number, some in sent:
        if number:
            stream += publish(topic, payload, number, retain=False, properties=some) + packets.PING
            expected.append((topic, payload, number, packets.after_length(some)))
        else:
            stream += at_qos_0(topic, payload)
            expected.append((topic, payload, 0, b""))
    got, others, held, marks = list[Said](), 0, b"", [0, *sorted(cuts), len(stream)]
    for start, stop in itertools.pairwise(marks):
        held += stream[start:stop]
        said, rest, at = split(held)
        got, others, held = got + said, others + len(rest), held[at:]
    assert (got, held) == (expected, b"")
    assert others == sum(1 for one in sent if one[2])


@given(st.binary(max_size=300))
def test_any_bytes_are_packets_or_none(some: bytes) -> None:
    try:
        said, others, at = split(some)
    except BadPacket:
        return
    assert at <= len(some)
    for *_, more in said:
        says(more, REPLAYED)
    for packet in others:
        try:
            packets.reasons(packet)
        except BadPacket:
            continue


def test_a_packet_that_never_ends_is_not_waited_for() -> None:
    with pytest.raises(BadPacket, match="at most"):
        split(b"\x32\xff\xff\xff\x7f")
    with pytest.raises(BadPacket, match="more than four"):
        split(b"\x32\xff\xff\xff\xff\x01")
    with pytest.raises(BadPacket, match="its own head"):
        split(b"\x32\x03\x00\x09a" + bytes(100))


def test_replays_are_told_by_their_property() -> None:
    assert says(packets.after_length(properties("other", REPLAYED, expiry=5)), REPLAYED)
    assert not says(packets.after_length(properties("other", expiry=5)), REPLAYED)
    assert not says(b"\x7f" + properties(REPLAYED), REPLAYED)


@given(st.lists(st.integers(1, 65_535), max_size=50))
def test_acknowledgements_all_at_once(numbers: list[int]) -> None:
    each = [b"\x40\x02" + number.to_bytes(2, "big") for number in numbers]
    assert packets.acknowledgements(numbers) == b"".join(each)
