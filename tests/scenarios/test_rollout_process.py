"""Rollouts with real processes: devices that miss them, and a coordinator that dies in each of their states."""

import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from tests.actuators import wait_for
from tests.fleets import Fleet, fleet_of
from tests.world import Mosquitto

#: The canaries, then all; quick, and judged by the answers alone.
WAVES = [{"percent": 100.0, "match": {"role": "canary"}}, {"percent": 100.0}]
GATES = {"settle_s": 1.0, "offline_share": "none", "joules_per_request": "none", "violating_share": "none"}
QUICK = {"waves": WAVES, "soak_s": 3.0, "gates": GATES | {"p95_ms": "none", "forecast_skill": "none"}}


@pytest.fixture
def fleet(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[Fleet]:
    with fleet_of(mosquitto, tmp_path) as fleet:
        yield fleet


def assert_never_back(fleet: Fleet, *devices: str) -> None:
    """No revision was followed by an older one: not on the topic, not on any device."""
    revisions = [one.revision for one in fleet.watcher.sets()]
    assert all(earlier <= later for earlier, later in pairwise(revisions)), revisions
    said = {one.revision: one for one in fleet.watcher.sets()}
    assert all(said[one.revision] == one for one in fleet.watcher.sets()), "a revision has one content"
    for device in devices:
        applied = [ack.revision for ack in fleet.watcher.acks(device) if ack.status == "applied"]
        assert all(earlier <= later for earlier, later in pairwise(applied)), (device, applied)
        assert not [ack for ack in fleet.watcher.acks(device) if ack.status == "refused"]


def test_a_device_that_missed_the_whole_rollout_converges_alone(fleet: Fleet) -> None:
    coordinator, there, away = fleet.coordinator(), fleet.agent("d1", "canary"), fleet.agent("d2")
    before = fleet.until_applied("d1", "d2", promise_ms=60.0)
    away.stop()
    fleet.ask("policy", "rollout", fleet.document(41.0, **QUICK))
    fleet.until_stage("complete", 2)
    after = fleet.until_applied("d1", promise_ms=41.0)
    assert after > before
    # Nobody is there to help it but the broker's memory.
    there.stop()
    coordinator.kill()
    fleet.agent("d2")
    assert fleet.until_applied("d2", promise_ms=41.0) == after
    ended = [ack.status for ack in fleet.watcher.acks("d2") if ack.revision == after]
    assert ended == ["accepted", "applied"]
    assert_never_back(fleet, "d1", "d2")
    fleet.coordinator()
    wait_for(lambda: "2 known devices: 2 applied" in fleet.ask("policy", "status"), "both in the status")


def test_a_coordinator_killed_in_each_state_of_a_rollout(fleet: Fleet, mosquitto: Mosquitto) -> None:
    coordinator = fleet.coordinator()
    fleet.agent("d1", "canary")
    fleet.agent("d2")
    fleet.until_applied("d1", "d2", promise_ms=60.0)

    def killed_and_back() -> None:
        nonlocal coordinator
        stood = fleet.stage
        coordinator.kill()
        assert fleet.stage == stood
        coordinator = fleet.coordinator()

    fleet.ask("policy", "rollout", fleet.document(41.0, approval="each_wave", **QUICK))
    fleet.until_stage("waiting_approval", 0)
    coordinator.kill()
    fleet.ask("policy", "approve")
    coordinator = fleet.coordinator()
    fleet.until_stage("planned", 0)
    killed_and_back()
    fleet.until_stage("soaking", 1)
    killed_and_back()
    fleet.until_applied("d1", promise_ms=41.0)
    fleet.until_applied("d2", promise_ms=60.0)
    fleet.until_stage("waiting_approval", 1)
    killed_and_back()
    fleet.ask("policy", "pause", "--reason", "lunch")
    killed_and_back()
    wait_for(lambda: "east" in fleet.get("east", "/healthz") or fleet.get("east", "/healthz"), "its page")
    assert fleet.stage == ("paused", 1)
    fleet.ask("policy", "resume")
    fleet.ask("policy", "approve")
    fleet.until_stage("soaking", 2)
    killed_and_back()
    fleet.until_applied("d1", "d2", promise_ms=41.0)
    # It dies between the database's word and the broker's.
    mosquitto.freeze()
    fleet.until_stage("complete", 2)
    coordinator.kill()
    mosquitto.thaw()
    assert fleet.watcher.sets()[-1].rollout, "nobody has been told that it is complete"
    coordinator = fleet.coordinator()
    fleet.until_applied("d1", "d2", promise_ms=41.0)
    killed_and_back()

    said = wait_for(lambda: fleet.watcher.state() == "online" and fleet.watcher.sets()[-1], "it to be back")
    assert (said.revision, said.rollout) == (fleet.standing.revision, None)
    assert [rule.policy.slo_p95_ms for rule in said.rules] == [41.0]
    told = [event.what for event in fleet.history()]
    assert [told.count(what) for what in ("wave 1", "wave 2", "complete")] == [1, 1, 1], told
    assert_never_back(fleet, "d1", "d2")
