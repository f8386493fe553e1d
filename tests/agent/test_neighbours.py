"""Waking a neighbour: a signed order, once, under the policy and at a pace, as one packet on the segment."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sealing import FLEETS_KEY, FOREIGN_KEY
from tests.world import HandClock

from tidewatt_agent.sleeping.machine import mac_of
from tidewatt_agent.sleeping.neighbours import AGAIN_S, COPIES, MOST, WITHIN_S, Pace, Wakes, to_segment
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_wire.codec import encode
from tidewatt_wire.signing import HINT_TYPE, WAKE_TYPE, Signer, seal
from tidewatt_wire.sleeping import WakeOrder, magic_packet
from tidewatt_wire.topics import WakeTopic

NOW_MS = 1_795_000_000_000
MAC = "48:b0:2d:00:00:01"
PACKET = b"\xff" * 6 + b"\x48\xb0\x2d\x00\x00\x01" * 16


@pytest.fixture
def segment() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ears:
        ears.bind(("127.0.0.1", 0))
        ears.settimeout(5.0)
        yield ears


def order(
    key: Signer = FLEETS_KEY, kind: str = WAKE_TYPE, after_ms: int = 0, neighbour: str = "b2", **more: Any
) -> bytes:
    now_ms = NOW_MS + after_ms
    fields = {"fleet": "f", "device": "b1", "neighbour": neighbour, "mac": MAC, **more}
    made = WakeOrder(issued_at_ms=now_ms, expires_at_ms=now_ms + 30_000, **fields)
    return seal(encode(made), [key], kind)


def test_an_order_is_obeyed_once_and_only_from_who_may_give_it(segment: socket.socket) -> None:
    clock, allowed = HandClock(NOW_MS), [True]
    address = f"127.0.0.1:{segment.getsockname()[1]}"
    topic = WakeTopic("f", "b1")
    wakes = Wakes(topic, clock, lambda: [FLEETS_KEY.trusted], lambda: allowed[0], to_segment([address]))
    for bad in (
        b"",
        order(FOREIGN_KEY),
        order(kind=HINT_TYPE),
        order(device="b9"),
        order(fleet="g"),
        order(mac="48:b0:2d"),
    ):
        wakes.take(bad)
    assert wakes.orders == {"refused": 6}
    allowed[0] = False
    wakes.take(order())
    assert wakes.orders["forbidden"] == 1
    allowed[0] = True
    wakes.take(order())
    wakes.take(order())
    wakes.take(order(after_ms=5))
    assert [segment.recv(2000) for _ in range(COPIES)] == [PACKET] * COPIES
    assert (wakes.orders["sent"], wakes.orders["repeated"], wakes.orders["limited"]) == (1, 1, 1)
    clock.move(AGAIN_S)
    wakes.take(order(after_ms=10))
    assert wakes.orders["expired"] == 1
    wakes.take(order(after_ms=60_000))
    assert segment.recv(2000) == PACKET
    assert wakes.orders["sent"] == 2


def test_a_network_that_takes_no_packet_is_told() -> None:
    def send(_packet: bytes) -> None:
        raise OSError(101, "Network is unreachable")

    topic = WakeTopic("f", "b1")
    wakes = Wakes(topic, HandClock(NOW_MS), lambda: [FLEETS_KEY.trusted], lambda: True, send)
    wakes.take(order())
    assert wakes.orders == {"failed": 1}


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 40), st.floats(0, 120)), max_size=120))
def test_nobody_is_woken_too_often_and_no_segment_is_flooded(tries: list[tuple[int, float]]) -> None:
    pace, now_s, woken = Pace(), 0.0, list[tuple[float, int]]()
    for who, later_s in tries:
        now_s += later_s
        if not pace.why_not(str(who), now_s):
            woken.append((now_s, who))
    for at_s, who in woken:
        assert sum(1 for other_s, other in woken if other == who and 0 <= other_s - at_s < AGAIN_S) == 1
        assert sum(1 for other_s, _ in woken if 0 <= other_s - at_s < WITHIN_S) <= MOST


def test_the_packet_and_the_card_that_listens(tmp_path: Any) -> None:
    assert magic_packet(MAC) == PACKET
    with pytest.raises(ValueError, match="is not an Ethernet address"):
        magic_packet("48:B0")
    for name, address, wakeup in (("eth0", "02:00:00:00:00:01", "disabled"), ("eth1", MAC, "enabled")):
        card = tmp_path / "sys/class/net" / name
        (card / "device/power").mkdir(parents=True)
        (card / "address").write_text(f"{address}\n")
        (card / "device/power/wakeup").write_text(f"{wakeup}\n")
    assert mac_of(Tree(str(tmp_path))) == MAC
    (tmp_path / "sys/class/net/eth1/wireless").mkdir()
    assert mac_of(Tree(str(tmp_path))) is None
