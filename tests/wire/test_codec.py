"""What is read, what is refused, and that nothing else can happen."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_wire.codec import MAX_BYTES, RefusalReason, Refused, decode, encode
from tidewatt_wire.messages import SCHEMA, Ack, Counters, Gauges, Report

_NOW = f'"{SCHEMA}"'.encode()
REPORT = Report(device="a", session="s", epoch="e", seq=1, at_ms=5, counters=Counters(), gauges=Gauges())


def refusal(payload: bytes) -> RefusalReason:
    with pytest.raises(Refused) as caught:
        decode(Report, payload)
    assert str(caught.value)
    return caught.value.reason


def test_unknown_fields_are_ignored() -> None:
    assert decode(Report, encode(REPORT).replace(b'{"schema"', b'{"from_the_future":[1],"schema"')) == REPORT


def test_a_later_minor_version_is_read_and_another_major_refused() -> None:
    assert decode(Report, encode(REPORT).replace(_NOW, b'"1.9"')).seq == 1
    assert refusal(encode(REPORT).replace(_NOW, b'"2.0"')) is RefusalReason.UNKNOWN_MAJOR
    assert refusal(encode(REPORT).replace(_NOW, b'"10.0"')) is RefusalReason.UNKNOWN_MAJOR


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", RefusalReason.MALFORMED),
        (b"{", RefusalReason.MALFORMED),
        (b"[]", RefusalReason.MALFORMED),
        (b'{"seq":1}', RefusalReason.MALFORMED),
        (b'{"schema":1}', RefusalReason.MALFORMED),
        (b"\xff\xfe", RefusalReason.MALFORMED),
        (b"[" * 100_000, RefusalReason.MALFORMED),
        (b'{"schema":"1.0"}', RefusalReason.INVALID),
        (b" " * (MAX_BYTES + 1), RefusalReason.TOO_BIG),
        (encode(REPORT).replace(b'"seq":1', b'"seq":-1'), RefusalReason.INVALID),
        (encode(REPORT).replace(b'"seq":1', b'"seq":1.5'), RefusalReason.INVALID),
        (encode(REPORT).replace(b'"energy_mj":0', b'"energy_mj":9007199254740993'), RefusalReason.INVALID),
        (encode(REPORT).replace(b'"watts":null', b'"watts":NaN'), RefusalReason.MALFORMED),
        (encode(REPORT).replace(b'"device":"a"', b'"device":""'), RefusalReason.INVALID),
    ],
)
def test_bad_payloads_are_refused_with_a_reason_to_count(payload: bytes, reason: RefusalReason) -> None:
    assert refusal(payload) is reason


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_any_bytes_are_refused_not_raised(payload: bytes) -> None:
    with pytest.raises(Refused):
        decode(Ack, payload)


@given(st.integers(0, len(encode(REPORT)) - 1), st.integers(0, 255))
@settings(max_examples=400)
def test_a_flipped_byte_is_read_or_refused(place: int, byte: int) -> None:
    payload = bytearray(encode(REPORT))
    payload[place] = byte
    try:
        message = decode(Report, payload)
    except Refused:
        return
    assert message.counters.energy_mj >= 0
