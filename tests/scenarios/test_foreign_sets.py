"""Policy sets that somebody else puts on the topic: refused by the device, reported, and replaced."""

from collections.abc import Iterator
from itertools import pairwise

from tests.actuators import wait_for
from tests.fleets import Fleet
from tests.sealing import FOREIGN_KEY, sealed
from tests.watchers import POLICY

from tidewatt_wire.messages import PolicySet, RefusalCode, Rule
from tidewatt_wire.signing import MAX_ENVELOPE_BYTES

DAY_MS = 86_400_000


def forged(fleet: Fleet) -> "Iterator[tuple[RefusalCode, bytes]]":
    """One set for every reason to refuse it; the newest revision, so that nothing but that reason holds."""
    good, own = fleet.watcher.last(POLICY), [fleet.key]

    def newer(**rest: object) -> PolicySet:
        told = {"fleet": "f", "issued_at_ms": 0, "rules": [], "revision": fleet.standing.revision + 1}
        return PolicySet(**{**told, **rest})  # type: ignore[arg-type]

    middle = len(good) // 2
    yield "unknown_key", sealed(newer(), [FOREIGN_KEY])
    yield (
        "bad_signature",
        good[:middle] + (b"A" if good[middle : middle + 1] != b"A" else b"B") + good[middle + 1 :],
    )
    yield "malformed", b"policy, please"
    yield "too_big", b" " * (MAX_ENVELOPE_BYTES + 1)
    yield "wrong_fleet", sealed(newer(fleet="g"), own)
    yield "expired", sealed(newer(not_after_ms=1), own)
    yield "not_yet", sealed(newer(not_before_ms=fleet.now_ms + DAY_MS, rules=[Rule()]), own)


def refusals(fleet: Fleet, device: str) -> dict[str, int]:
    """What a device has counted, by its metrics page."""
    lines = [
        line for line in fleet.page(device).splitlines() if line.startswith("tidewatt_policy_refusals_total{")
    ]
    return {line.split('"')[1]: round(float(line.split()[-1])) for line in lines}


def until_refused(fleet: Fleet, device: str, code: RefusalCode) -> None:
    """Wait until a device has said that it refused something for this reason."""
    wait_for(lambda: code in [ack.code for ack in fleet.watcher.acks(device)], f"a refusal, {code}")


def until_counted(fleet: Fleet, what: str) -> None:
    """Wait until the coordinator has counted one foreign set of this kind."""
    metric = f'tidewatt_policy_displaced_total{{what="{what}"}} 1.0'
    wait_for(lambda: metric in fleet.page("east"), metric)


def test_an_old_set_played_again(fleet: Fleet) -> None:
    fleet.coordinator()
    fleet.agent("d1")
    fleet.until_applied("d1", promise_ms=60.0)
    old = fleet.watcher.last(POLICY)
    fleet.ask("policy", "apply", fleet.document(41.0), "--now")
    revision = fleet.until_applied("d1", promise_ms=41.0)
    now = fleet.watcher.last(POLICY)
    for played, what in ((old, "older_revision"), (b"", "cleared")):
        fleet.watcher.say(POLICY, played)
        until_counted(fleet, what)
        wait_for(lambda: fleet.watcher.last(POLICY) == now, "the coordinator to put its own back")
    wait_for(lambda: fleet.watcher.answer("d1") == ("applied", revision), "the device to be well again")
    said = [ack for ack in fleet.watcher.acks("d1") if ack.status == "refused"]
    assert [ack.code for ack in said] == ["older_revision"]
    assert said[0].reason == f"older than revision {revision}, which was taken before"
    assert refusals(fleet, "d1") == {"older_revision": 1}
    assert fleet.promise("d1") == 41.0
    assert fleet.standing.revision == revision


def test_forged_sets(fleet: Fleet) -> None:
    fleet.coordinator()
    agent = fleet.agent("d1")
    revision = fleet.until_applied("d1", promise_ms=60.0)
    good = fleet.watcher.last(POLICY)
    codes = []
    for code, envelope in forged(fleet):
        codes.append(code)
        fleet.watcher.say(POLICY, envelope)
        until_refused(fleet, "d1", code)
    wait_for(lambda: fleet.watcher.last(POLICY) == good, "the coordinator to put its own back")
    wait_for(lambda: fleet.watcher.answer("d1") == ("applied", revision), "the device to be well again")
    assert refusals(fleet, "d1") == dict.fromkeys(codes, 1)
    assert fleet.promise("d1") == 60.0
    agent.kill()
    fleet.watcher.say(POLICY, b"")
    fleet.agent("d1")
    fleet.until_applied("d1", promise_ms=60.0)
    fleet.ask("policy", "apply", fleet.document(41.0), "--now")
    assert fleet.until_applied("d1", promise_ms=41.0) > revision
    revisions = [one.revision for one in fleet.watcher.sets() if one.revision != revision + 1]
    assert all(one <= other for one, other in pairwise(revisions))


def test_a_database_from_a_copy_is_older_than_what_devices_hold(fleet: Fleet) -> None:
    coordinator = fleet.coordinator()
    fleet.agent("d1")
    fleet.until_applied("d1", promise_ms=60.0)
    coordinator.stop()
    copied = fleet.copy_database()
    coordinator = fleet.coordinator()
    fleet.ask("policy", "apply", fleet.document(41.0), "--now")
    lost = fleet.until_applied("d1", promise_ms=41.0)
    coordinator.stop()
    fleet.restore(copied)
    fleet.coordinator()
    assert fleet.until_applied("d1", promise_ms=60.0) > lost
    assert [event.what for event in fleet.history()] == ["configured", "overtaken"]
