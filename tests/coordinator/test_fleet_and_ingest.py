"""What devices say, in any order and any state of health, becomes the fleet view and the ledger."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import aiomqtt
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.steered import steering_of
from tests.world import HandClock, Mosquitto, until

from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ingest import Ingest
from tidewatt_coordinator.ledger.intake import MOST_KEPT, MOST_UNREAD, in_quarantine
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.skew import Skew, sentence
from tidewatt_coordinator.steering import edge
from tidewatt_coordinator.steering.settings import Dispatch
from tidewatt_governor.boards import BoardProfile
from tidewatt_link.connection import Connection
from tidewatt_link.ending import ended
from tidewatt_wire.clock import Clock
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import (
    Ack,
    Birth,
    Counters,
    Gauges,
    Message,
    Policy,
    PolicySet,
    Report,
    Rule,
    Will,
)
from tidewatt_wire.topics import DeviceTopic

PROFILE_POLICIES = PolicySet(fleet="f", revision=1, issued_at_ms=0, rules=[Rule()])


def birth(profile: BoardProfile, session: str = "s1", at_ms: int = 1000, device: str = "a") -> Birth:
    return Birth(
        device=device,
        session=session,
        epoch="e",
        at_ms=at_ms,
        version="0",
        board="b",
        control="enforce",
        labels={"site": "x"},
        points=profile.points,
        vendor_default="25W",
    )


def report(
    session: str = "s1", at_ms: int = 2000, seq: int = 1, energy_mj: int = 5, device: str = "a"
) -> Report:
    return Report(
        device=device,
        session=session,
        epoch="e",
        seq=seq,
        at_ms=at_ms,
        counters=Counters(energy_mj=energy_mj),
        gauges=Gauges(requests_rps=40.0),
    )


def will(session: str = "s1", cause: str = "lost") -> Will:
    return Will(device="a", session=session, epoch="e", cause=cause)  # type: ignore[arg-type]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{tmp_path / 'l.db'}", 60_000)
    yield ledger
    ledger.close()


def test_status(profile: BoardProfile) -> None:
    fleet = Fleet(stale_after_ms=60_000)
    fleet.born(birth(profile), 1_000)
    assert fleet.status("a", 2_000) == "online"
    fleet.reported(report(at_ms=50_000), 50_000)
    assert fleet.status("a", 110_000) == "online"
    assert fleet.status("a", 110_001) == "silent"
    fleet.ended(will(cause="stopped"))
    assert fleet.status("a", 60_000) == "stopped"
    fleet.ended(will())
    assert fleet.status("a", 60_000) == "lost"


def test_liveness_goes_by_our_clock_not_the_devices(profile: BoardProfile) -> None:
    fleet = Fleet(60_000)
    fleet.born(birth(profile, at_ms=0), 1_000)
    fleet.reported(report(at_ms=2**53), 2_000)
    assert fleet.status("a", 3_000) == "online"
    assert fleet.status("a", 62_001) == "silent"


def test_a_flood_of_refusals_is_counted_and_logged_once(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    ingest = Ingest(Connection("mqtt://127.0.0.1:1"), "f", Fleet(60_000), ledger, lambda: 0)
    for number in range(500):
        ingest.take("tidewatt/v1/f/device/a/report", b"garbage")
        ingest.take(f"elsewhere/{number}", b"")
    assert ingest.refused == {"malformed": 500, "wrong_topic": 500}
    assert len(caplog.records) == 100


def test_a_stale_will_does_not_bury_a_device_that_came_back(profile: BoardProfile) -> None:
    fleet = Fleet(60_000)
    fleet.ended(will("s1"))
    fleet.born(birth(profile, "s2", at_ms=5_000), 5_000)
    fleet.reported(report("s2", at_ms=6_000), 6_000)
    assert fleet.status("a", 7_000) == "online"
    fleet.born(birth(profile, "s1", at_ms=1_000), 1_000)  # retained and late
    assert fleet.devices["a"].birth == birth(profile, "s2", at_ms=5_000)


def test_a_stopped_device_is_known_whichever_of_its_retained_words_comes_first(
    profile: BoardProfile,
) -> None:
    fleet = Fleet(60_000)
    fleet.ended(will("s1", cause="stopped"))
    fleet.born(birth(profile, "s1"), 5_000)
    assert fleet.devices["a"].birth == birth(profile, "s1")
    assert fleet.status("a", 5_000) == "stopped"


def test_a_connection_lost_and_made_again_is_online(profile: BoardProfile) -> None:
    """The agent lives on; only its connection, and with it the session of birth and will, is new."""
    fleet = Fleet(60_000)
    fleet.born(birth(profile, "c1", at_ms=1_000), 1_000)
    fleet.reported(report("run", at_ms=2_000), 2_000)
    fleet.ended(will("c1"))
    assert fleet.status("a", 3_000) == "lost"
    fleet.born(birth(profile, "c2", at_ms=4_000), 4_000)
    fleet.reported(report("run", at_ms=5_000), 5_000)
    assert fleet.status("a", 6_000) == "online"


def test_a_device_that_came_back_and_has_not_reported_yet_is_online(profile: BoardProfile) -> None:
    fleet = Fleet(60_000)
    fleet.born(birth(profile, "s1", at_ms=1_000), 1_000)
    fleet.reported(report("s1", at_ms=2_000), 2_000)
    fleet.ended(will("s1"))
    fleet.born(birth(profile, "s2", at_ms=5_000), 5_000)
    assert fleet.status("a", 6_000) == "online"


def test_only_online_devices_are_backends_and_demand(profile: BoardProfile) -> None:
    fleet = Fleet(60_000)
    for device in ("a", "b"):
        fleet.born(birth(profile, device=device), 1_000)
        fleet.reported(report(device=device), 2_000)
    assert [one.name for one in fleet.able(PROFILE_POLICIES, 3_000)] == ["a", "b"]
    assert sum(fleet.rates(3_000)) == 80.0
    fleet.ended(will())
    assert [one.name for one in fleet.able(PROFILE_POLICIES, 3_000)] == ["b"]
    assert sum(fleet.rates(3_000)) == 40.0
    assert fleet.able(PROFILE_POLICIES, 10**9) == []
    narrow = PolicySet(
        fleet="f", revision=1, issued_at_ms=0, rules=[Rule(policy=Policy(allowed_points=["7W"]))]
    )
    wide, less = (edge.devices(fleet.able(one, 3_000), 0.15, 0.85) for one in (PROFILE_POLICIES, narrow))
    assert less[0].usable_rps < wide[0].usable_rps / 3


async def test_ingest_takes_good_messages_and_counts_bad_ones(ledger: Ledger, profile: BoardProfile) -> None:
    fleet = Fleet(60_000)
    ingest = Ingest(Connection("mqtt://127.0.0.1:1"), "f", fleet, ledger, lambda: 3_000)

    def say(message: Message, kind: str, device: str = "a", fleet_name: str = "f") -> None:
        ingest.take(str(DeviceTopic(fleet_name, device, kind)), encode(message))  # type: ignore[arg-type]

    say(birth(profile), "birth")
    say(report(energy_mj=10), "report")
    say(report(energy_mj=30, at_ms=3_000, seq=2), "report")
    say(report(energy_mj=10), "report")
    say(Ack(device="a", revision=1, status="applied", at_ms=1), "ack")
    say(will("other"), "will")
    say(report(energy_mj=999), "report", device="b")
    say(report(energy_mj=999), "report", fleet_name="g")
    ingest.take("tidewatt/v1/f/device/a/report", b"garbage")
    ingest.take("tidewatt/v1/f/device/a/report", encode(report()).replace(b'"1.', b'"3.'))
    ingest.take("somewhere/else", b"{}")
    await ingest.merge()
    await ingest.merge()

    assert [total.values[0] for total in ledger.totals()] == [30]
    assert ingest.messages == {"birth": 1, "report": 3, "ack": 1, "will": 1}
    assert ingest.refused == {"wrong_topic": 3, "malformed": 1, "unknown_major": 1}
    assert fleet.devices["a"].report == report(energy_mj=30, at_ms=3_000, seq=2)
    assert set(fleet.devices) == {"a"}


async def test_what_can_not_be_read_is_in_quarantine_too(ledger: Ledger) -> None:
    ingest = Ingest(Connection("mqtt://127.0.0.1:1"), "f", Fleet(60_000), ledger, lambda: 3_000)
    topic, good = "tidewatt/v1/f/device/a/report", encode(report())
    below = good.replace(b'"energy_mj":5', b'"energy_mj":-5')
    nan = good.replace(b'"watts":null', b'"watts":NaN')
    newer = good.replace(b'"1.', b'"3.')
    assert len({good, below, nan, newer}) == 4
    for payload in (below, nan, newer, b"\xff\x00\x1b[2J"):
        ingest.take(topic, payload)
    await ingest.merge()
    aside = in_quarantine(ledger, "a")
    assert {(one.code, one.at_ms) for one in aside} == {("unreadable", 3_000)}
    assert ingest.intake.quarantined == {"unreadable": 3}, "a newer schema is nothing wrong"
    said = {one.message: one.reason for one in aside}
    assert "Expected `int` >= 0 - at `$.counters.energy_mj`" in said.pop(below.decode())
    assert "JSON is malformed" in said.pop(nan.decode())
    assert all(text.isprintable() for pair in said.items() for text in pair)
    for number in range(5_000):  # a flood is bounded, and only counted beyond that
        ingest.take(topic, b"%d" % number)
    assert len(ingest.intake.unread) == MOST_UNREAD
    await ingest.merge()
    assert (ingest.intake.unread, ledger.totals()) == ([], [])
    assert len(in_quarantine(ledger, "a")) == MOST_KEPT


async def test_a_clock_far_ahead_is_not_believed(ledger: Ledger) -> None:
    fleet = Fleet(60_000)
    ingest = Ingest(Connection("mqtt://127.0.0.1:1"), "f", fleet, ledger, lambda: 3_000)
    for at_ms in (2**53, 86_400_000 + 3_001):
        ingest.take(str(DeviceTopic("f", "a", "report")), encode(report(at_ms=at_ms)))
    assert ingest.refused == {"future": 2}
    await ingest.merge()
    assert ledger.totals() == []


async def test_a_device_whose_clock_is_far_ahead_stays_in_sight(
    ledger: Ledger, profile: BoardProfile
) -> None:
    fleet, now_ms, ahead_ms = Fleet(60_000), 1_800_000_000_000, 3 * 86_400_000
    ingest = Ingest(Connection("mqtt://127.0.0.1:1"), "f", fleet, ledger, lambda: now_ms)

    def say(message: Birth | Report, kind: str) -> None:
        ingest.take(str(DeviceTopic("f", "a", kind)), encode(message))  # type: ignore[arg-type]

    say(birth(profile, at_ms=now_ms + ahead_ms), "birth")
    say(report(at_ms=now_ms + ahead_ms), "report")
    unbelieved = msgspec.structs.replace(fleet.devices["a"])
    assert unbelieved.report is None
    assert unbelieved.skew.ms == ahead_ms
    assert unbelieved.refused == "its clock is 3 days ahead of ours: reports are not taken until it is set"
    assert fleet.status("a", now_ms) == "online"
    # The clock is set while the connection lasts: the birth does not come again.
    say(report(at_ms=now_ms, seq=2), "report")
    device = fleet.devices["a"]
    assert device.birth == birth(profile, at_ms=now_ms + ahead_ms)
    assert device.report == report(at_ms=now_ms, seq=2)
    assert device.refused is None
    assert len(fleet.able(PROFILE_POLICIES, now_ms)) == 1


def test_a_device_whose_clock_was_set_back_is_not_stuck_in_its_future(profile: BoardProfile) -> None:
    fleet = Fleet(60_000)
    fleet.born(birth(profile, "c1", at_ms=9_000_000), 1_000)
    fleet.reported(report("run1", at_ms=9_000_000, seq=5), 1_000)
    fleet.reported(report("run1", at_ms=2_000, seq=6), 2_000)
    assert fleet.devices["a"].report == report("run1", at_ms=2_000, seq=6)
    fleet.ended(will("c1"))
    fleet.born(birth(profile, "c2", at_ms=3_000), 3_000)
    fleet.reported(report("run2", at_ms=3_000, seq=1), 3_000)
    assert fleet.status("a", 4_000) == "online"
    assert fleet.devices["a"].report == report("run2", at_ms=3_000, seq=1)
    fleet.reported(report("run1", at_ms=9_000_000, seq=7), 4_000)
    assert fleet.devices["a"].report == report("run2", at_ms=3_000, seq=1), "of a run that is over"


def test_skew_is_the_least_delayed_reports_of_the_last_minutes() -> None:
    fleet = Fleet(60_000)
    for number, delay_ms in enumerate((900, 40, 3_000, 70)):
        came_ms = 1_000_000 + number * 10_000
        fleet.reported(report(at_ms=came_ms - delay_ms + 500_000, seq=number), came_ms)
    assert fleet.devices["a"].skew.ms == 500_000 - 40
    fleet.reported(report(at_ms=10, seq=1, session="before"), 1_040_000, replayed=True)
    assert fleet.devices["a"].skew.ms == 500_000 - 40, "the past says nothing of the clock"
    fleet.reported(report(at_ms=1_400_000 - 80, seq=9), 1_400_000)
    assert fleet.devices["a"].skew.ms == -80, "what is older than five minutes is forgotten"


@given(st.lists(st.tuples(st.integers(0, 90_000), st.integers(-(10**6), 10**6)), min_size=1, max_size=60))
def test_skew_is_the_greatest_within_the_window(steps: list[tuple[int, int]]) -> None:
    skew, now_ms, seen = Skew(), 0, []
    for wait_ms, off_ms in steps:
        now_ms += wait_ms
        skew.note(now_ms + off_ms, now_ms)
        seen.append((now_ms, off_ms))
        assert skew.ms == max(off for came, off in seen if came >= now_ms - 300_000)


def test_skews_in_words() -> None:
    assert sentence(90_000_000) == "25 h ahead of ours"
    assert sentence(-400) == "0 s behind ours"
    assert sentence(-600_000) == "10 min behind ours"


async def test_a_ledger_that_fails_loses_nothing(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest = Ingest(Connection("mqtt://127.0.0.1:1"), "f", Fleet(60_000), ledger, lambda: 3_000)
    ingest.take(str(DeviceTopic("f", "a", "report")), encode(report(energy_mj=10)))

    def full(_reports: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(ledger, "take", full)
        with pytest.raises(OSError, match="disk full"):
            await ingest.merge()
    await ingest.merge()
    assert ledger.totals()[0].values[0] == 10


async def test_what_waits_for_a_ledger_that_fails_has_a_bound_and_loses_no_joule(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest = Ingest(Connection("mqtt://127.0.0.1:1"), "f", Fleet(60_000), ledger, lambda: 3_000)

    def full(_reports: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(ledger, "take", full)
        broken.setattr("tidewatt_coordinator.ingest.MOST_WAITING", 30)
        for seq in range(20):
            for device in ("a", "b"):
                # The last is an old one that comes late.
                energy_mj = 7 if seq == 19 else 100 + seq
                topic = str(DeviceTopic("f", device, "report"))
                ingest.take(topic, encode(report(energy_mj=energy_mj, seq=seq, device=device)))
        with pytest.raises(OSError, match="disk full"):
            await ingest.merge()
        assert ingest.thinned == 38
    await ingest.merge()
    assert [total.values[0] for total in ledger.totals()] == [118, 118]


async def test_no_message_waits_in_memory_behind_another(
    mosquitto: Mosquitto, ledger: Ledger, profile: BoardProfile
) -> None:
    fleet = Fleet(60_000)
    ingest = Ingest(Connection(mosquitto.url), "f", fleet, ledger, lambda: 3_000)
    running = asyncio.create_task(ingest.run())
    async with aiomqtt.Client(*mosquitto.address, protocol=aiomqtt.ProtocolVersion.V5) as device:
        await until(lambda: ingest.connected)
        topic = str(DeviceTopic("f", "a", "birth"))
        await device.publish(topic, encode(birth(profile)), qos=1)
        topic = str(DeviceTopic("f", "a", "report"))
        for seq in range(100):
            await device.publish(topic, encode(report(seq=seq, energy_mj=seq)), qos=1)
        # Counted in the very callback that read it: nothing is between the socket and the count.
        await until(lambda: ingest.messages == {"birth": 1, "report": 100})
        mosquitto.kill()
        await until(lambda: not ingest.connected)
        mosquitto.start()
        await until(lambda: ingest.connected)
    await ended(running)
    assert ledger.totals()[0].values[0] == 99


def test_tables_have_rising_epochs_and_an_expiry(profile: BoardProfile, clock: Clock) -> None:
    fleet = Fleet(10**12)
    fleet.born(birth(profile, at_ms=clock.now_ms()), clock.now_ms())
    fleet.reported(report(at_ms=clock.now_ms()), clock.now_ms())
    steering = steering_of(fleet, clock, Dispatch(valid_s=30.0), lambda: PROFILE_POLICIES)
    tables = []
    for _ in range(2):
        steering.said(made := steering.make())
        tables.append(made.kept.message)
    first, second = tables
    assert second.epoch > first.epoch
    assert second.expires_at_ms == clock.now_ms() + 30_000
    assert second.weights == {"a": 10_000}


async def test_how_long_it_has_listened(mosquitto: Mosquitto, clock: HandClock, ledger: Ledger) -> None:
    ingest = Ingest(Connection(mosquitto.url), "f", Fleet(60_000), ledger, clock.now_ms)
    running = asyncio.create_task(ingest.run())
    assert not ingest.has_heard(0)
    await until(lambda: ingest.connected)
    assert not ingest.has_heard(60_000)
    clock.move(60.0)
    assert ingest.has_heard(60_000)
    mosquitto.kill()
    await until(lambda: not ingest.connected)
    assert not ingest.has_heard(0)
    mosquitto.start()
    await until(lambda: ingest.connected)
    assert not ingest.has_heard(60_000), "it was deaf between"
    await ended(running)
