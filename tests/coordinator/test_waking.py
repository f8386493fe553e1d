"""Whom the coordinator asks to wake a sleeping board, how often, and what it then says on a real broker."""

from collections.abc import Mapping

import aiomqtt
from tests.sealing import FLEETS_KEY
from tests.world import Mosquitto

from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.waking import AGAIN_MS, ASKED, MOST_TRIES, Waker, neighbours
from tidewatt_link.connection import Connection
from tidewatt_wire.codec import decode
from tidewatt_wire.messages import Birth, Policy, PolicySet, Rule, SleepLimits
from tidewatt_wire.signing import WAKE_TYPE, open_envelope
from tidewatt_wire.sleeping import SleepState, WakeOrder

MAC = "48:b0:2d:00:00:01"


def policies(*, wake: bool = True) -> PolicySet:
    rule = Rule(policy=Policy(sleep=SleepLimits(wake_neighbours=wake)))
    return PolicySet(fleet="f", revision=1, issued_at_ms=0, rules=[rule])


def born(name: str, labels: Mapping[str, str]) -> Birth:
    return Birth(
        device=name, session="1", epoch="e", at_ms=1, version="0", board="b", control="enforce",
        labels=dict(labels),
    )  # fmt: skip


def roof(awake: int = 4) -> Fleet:
    """One that sleeps, some that are awake beside it, and one elsewhere."""
    fleet = Fleet(10**9)
    for name in ["z", *(f"b{number}" for number in range(awake))]:
        fleet.born(born(name, {"site": "roof"}), 0)
    fleet.born(born("far", {"site": "cellar"}), 0)
    fleet.slumbered(
        SleepState(device="z", session="1", at_ms=0, state="asleep", until_ms=100, expires_at_ms=200, mac=MAC)
    )
    return fleet


def waker(fleet: Fleet, now_ms: list[int], url: str = "mqtt://127.0.0.1:1", *, wake: bool = True) -> Waker:
    return Waker(Connection(url), fleet, lambda: policies(wake=wake), lambda: [FLEETS_KEY], lambda: now_ms[0])


def test_neighbours_share_a_segment_or_else_a_site() -> None:
    labels = {
        "a": {"site": "roof", "segment": "vlan7"}, "b": {"site": "cellar", "segment": "vlan7"},
        "c": {"site": "roof"}, "d": {"site": "roof"}, "e": {}, "f": {},
    }  # fmt: skip
    assert neighbours(labels, "a") == ["b"]
    assert neighbours(labels, "c") == ["d"]
    assert neighbours(labels, "e") == [], "who says nothing of where it is has none"


def test_each_try_asks_others_and_tries_end() -> None:
    now_ms = [1_000]
    one = waker(roof(), now_ms)
    first = one.orders("z", "late")
    assert [order.device for order in first] == ["b0", "b1"]
    assert {(order.neighbour, order.mac) for order in first} == {("z", MAC)}
    assert one.orders("z", "late") == [], "not again at once"
    asked = [order.device for order in first]
    for _ in range(MOST_TRIES + 3):
        now_ms[0] += AGAIN_MS
        asked += [order.device for order in one.orders("z", "late")]
    assert asked == ["b0", "b1", "b2", "b3", "b0", "b1"]
    assert len(asked) == MOST_TRIES * ASKED


def test_nobody_is_asked_who_may_not_or_is_not_there() -> None:
    now_ms = [1_000]
    assert waker(roof(), now_ms, wake=False).orders("z", "late") == []
    assert waker(roof(awake=0), now_ms).orders("z", "late") == []
    assert waker(roof(), now_ms).orders("b0", "late") == [], "it is awake"
    assert waker(roof(), now_ms).orders("nobody", "late") == []


async def test_the_order_is_sealed_for_now_and_never_retained(mosquitto: Mosquitto) -> None:
    now_ms, (host, port) = [1_000], mosquitto.address
    async with aiomqtt.Client(host, port) as ears:
        await ears.subscribe("tidewatt/v1/f/wake/#", qos=1)
        assert await waker(roof(awake=1), now_ms, mosquitto.url).wake(["z", "b0"], "demand") == 1
        message = await anext(aiter(ears.messages))
    assert str(message.topic) == "tidewatt/v1/f/wake/b0"
    assert not message.retain
    payload = open_envelope(bytes(message.payload), [FLEETS_KEY.trusted], WAKE_TYPE)
    said = decode(WakeOrder, payload)
    assert (said.neighbour, said.mac, said.reason) == ("z", MAC, "demand")
    assert now_ms[0] < said.expires_at_ms <= now_ms[0] + 60_000
    mosquitto.kill()
    now_ms[0] += AGAIN_MS
    assert await waker(roof(awake=1), now_ms, mosquitto.url).wake(["z"], "demand") == 0
