"""Two coordinators on one database: one publishes, both listen, and the other takes over."""

import json
import signal
import time

from tests.actuators import wait_for
from tests.fleets import LEASE_S, Fleet


def test_one_publishes_and_the_other_takes_over(fleet: Fleet) -> None:
    both = {"east": fleet.coordinator("east"), "west": fleet.coordinator("west")}
    agents = [fleet.agent("d1"), fleet.agent("d2")]
    fleet.until_up("east")
    fleet.until_up("west")
    fleet.until_applied("d1", "d2", promise_ms=60.0)

    # Both hear the fleet; one says what it is to do.
    holder, other = holder_and_other(fleet)
    for name in both:
        until_both_seen(fleet, name)
    assert fleet.get(other, "/v1/dispatch") == ""
    wait_for(lambda: fleet.value(holder, "tidewatt_policy_lease_held") == 1, "the holder to say so")
    assert fleet.value(other, "tidewatt_policy_lease_held") == 0
    fleet.ask("policy", "apply", fleet.document(41.0), "--now")
    first = fleet.until_applied("d1", "d2", promise_ms=41.0)
    assert said_of(fleet, first) == 1

    # Killed, it is followed within the lease, and the topic says that a coordinator is there.
    both[holder].kill()
    killed_s = time.monotonic()
    wait_for(lambda: fleet.get(other, "/v1/dispatch"), "the other to publish")
    assert time.monotonic() - killed_s < LEASE_S + 8.0, "the lease, a tick, and a busy machine"
    wait_for(lambda: fleet.watcher.state() == "online", "the survivor to say that it is there")
    fleet.ask("policy", "apply", fleet.document(42.0), "--now")
    second = fleet.until_applied("d1", "d2", promise_ms=42.0)
    assert second > first
    assert said_of(fleet, second) == 1

    # The dead one comes back as the other; then the holder sleeps through its lease.
    both[holder] = fleet.coordinator(holder)
    fleet.until_up(holder)
    until_both_seen(fleet, holder)
    assert fleet.get(holder, "/v1/dispatch") == ""
    both[other].signal(signal.SIGSTOP)
    wait_for(lambda: fleet.get(holder, "/v1/dispatch"), "the first to publish again")
    fleet.ask("policy", "apply", fleet.document(43.0), "--now")
    third = fleet.until_applied("d1", "d2", promise_ms=43.0)
    both[other].signal(signal.SIGCONT)
    until_both_seen(fleet, other)
    fleet.ask("policy", "apply", fleet.document(44.0), "--now")
    fourth = fleet.until_applied("d1", "d2", promise_ms=44.0)
    assert fourth > third > second
    assert_one_voice(fleet)

    for agent in agents:
        agent.stop()
    for device in ("d1", "d2"):
        fleet.until_in_ledger(device)
    both[other].stop()
    wait_for(lambda: fleet.watcher.state() == "online", "the one that is left to say that it is there")
    both[holder].stop()
    wait_for(lambda: fleet.watcher.state() == "stopped", "the last one's goodbye")


def holder_and_other(fleet: Fleet) -> tuple[str, str]:
    """Who publishes tables, and who doesn't."""
    wait_for(lambda: fleet.get("east", "/v1/dispatch") or fleet.get("west", "/v1/dispatch"), "a table")
    return ("east", "west") if fleet.get("east", "/v1/dispatch") else ("west", "east")


def until_both_seen(fleet: Fleet, name: str) -> None:
    """Wait until a coordinator sees both devices."""

    def online() -> int:
        page = fleet.get(name, "/v1/fleet")
        return int(json.loads(page)["online"]) if page else 0

    wait_for(lambda: online() == 2, f"{name} to see both devices")


def said_of(fleet: Fleet, revision: int) -> int:
    """How often a revision was said."""
    return sum(one.revision == revision for one in fleet.watcher.sets())


def assert_one_voice(fleet: Fleet) -> None:
    """Revisions rise, each has one content, and devices followed them without a refusal."""
    revisions = [one.revision for one in fleet.watcher.sets()]
    assert revisions == sorted(revisions)
    for device in ("d1", "d2"):
        acks = fleet.watcher.acks(device)
        assert {ack.status for ack in acks} == {"accepted", "applied"}
        applied = [ack.revision for ack in acks if ack.status == "applied"]
        assert applied == sorted(applied)
