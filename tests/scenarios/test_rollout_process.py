"""Rollouts with real processes: a device that misses one, a coordinator that dies in each of its states."""

from itertools import pairwise

from tests.actuators import wait_for
from tests.fleets import Fleet
from tests.watchers import FLEET

from tidewatt_wire.topics import DeviceTopic

#: The canaries, then all.
WAVES = [{"percent": 100.0, "match": {"role": "canary"}}, {"percent": 100.0}]
#: With nothing but the answers to judge by.
GATES = {"settle_s": 1.0, "offline_share": "none", "joules_per_request": "none", "violating_share": "none"}
QUICK = {"waves": WAVES, "soak_s": 3.0, "gates": GATES | {"p95_ms": "none", "forecast_skill": "none"}}


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


def test_a_coordinator_killed_in_each_state_of_a_rollout(fleet: Fleet) -> None:
    coordinator = fleet.coordinator()
    fleet.agent("d1", "canary")
    fleet.agent("d2")
    fleet.until_applied("d1", "d2", promise_ms=60.0)

    def killed_and_back() -> None:
        nonlocal coordinator
        coordinator.kill()
        coordinator = fleet.coordinator()

    fleet.ask("policy", "rollout", fleet.document(41.0, approval="each_wave", **QUICK))
    fleet.until_stage("waiting_approval", 0)
    coordinator.kill()
    fleet.ask("policy", "approve")
    coordinator = fleet.coordinator()
    wait_for(lambda: fleet.stage != ("waiting_approval", 0), "it to be planned again")
    killed_and_back()
    fleet.until_wave(1)
    killed_and_back()
    fleet.until_applied("d1", promise_ms=41.0)
    fleet.until_applied("d2", promise_ms=60.0)
    fleet.until_stage("waiting_approval", 1)
    killed_and_back()
    fleet.ask("policy", "pause", "--reason", "lunch")
    killed_and_back()
    fleet.until_up("east")
    assert fleet.stage == ("paused", 1)
    fleet.ask("policy", "resume")
    fleet.ask("policy", "approve")
    fleet.until_wave(2)
    killed_and_back()
    fleet.until_applied("d1", "d2", promise_ms=41.0)
    # It dies about when it has told the database, and mostly before it has told the broker.
    fleet.until_stage("complete", 2)
    killed_and_back()
    fleet.until_applied("d1", "d2", promise_ms=41.0)
    killed_and_back()

    said = wait_for(lambda: fleet.watcher.state() == "online" and fleet.watcher.sets()[-1], "it to be back")
    assert (said.revision, said.rollout) == (fleet.standing.revision, None)
    assert [rule.policy.slo_p95_ms for rule in said.rules] == [41.0]
    told = [event.what for event in fleet.history()]
    assert [told.count(what) for what in ("wave 1", "wave 2", "complete")] == [1, 1, 1], told
    assert_never_back(fleet, "d1", "d2")


def test_a_rollout_that_fails_is_taken_back_by_whoever_is_there(fleet: Fleet) -> None:
    coordinator, canary = fleet.coordinator(), fleet.agent("d1", "canary")
    fleet.agent("d2")
    before = fleet.until_applied("d1", "d2", promise_ms=60.0)
    document = fleet.document(
        41.0, on_failure="abort", **QUICK | {"gates": GATES | {"offline_share": 0.05}, "soak_s": 3600.0}
    )
    fleet.ask("policy", "rollout", document)
    fleet.until_wave(1)
    reached = fleet.until_applied("d1", promise_ms=41.0)
    canary.kill()
    wait_for(lambda: fleet.watcher.last(str(DeviceTopic(FLEET, "d1", "will"))), "the broker to miss it")
    fleet.until_stage("aborted", 1)
    coordinator.kill()
    fleet.coordinator()
    assert fleet.until_applied("d2", promise_ms=60.0) > reached > before
    fleet.agent("d1", "canary")
    fleet.until_applied("d1", "d2", promise_ms=60.0)
    last = fleet.history()[-1]
    assert last.what == "aborted"
    assert "offline devices" in last.reason
    assert_never_back(fleet, "d1", "d2")
