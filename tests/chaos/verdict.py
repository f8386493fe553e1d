"""What must be true when the faults are over and all is at rest."""

import json
import operator
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from sqlalchemy import select
from tests.chaos.site import COORDINATORS, DEVICES, NotInTime, Site

from tidewatt_coordinator.ledger.arithmetic import COUNTERS, slices
from tidewatt_coordinator.ledger.intake import in_quarantine
from tidewatt_coordinator.ledger.tables import device_life, policy_event
from tidewatt_wire.codec import Refused, decode
from tidewatt_wire.messages import Report

#: A line of an agent's journal is some kilobytes.
TAIL = 200_000
Counted = dict[tuple[str, str], tuple[int, ...]]


class Wrong(AssertionError):
    """A promise is broken; the sentence says which."""


def judge(site: Site, order: float, *, clocks_off: bool = False) -> list[str]:
    """Come to rest, look, and stop the devices to count; a sentence for each promise that was seen kept.

    Raises Wrong, or NotInTime for what never came to be.
    """
    said = [
        one_holder(site),
        converged(site, order),
        _boards_explained(site),
        *_at_rest(site, clocks_off=clocks_off),
        _fenced(site),
    ]
    for device in DEVICES:
        for half in ("actuator", "agent"):
            site.units[f"{device}.{half}"].release()
    return said


def one_holder(site: Site) -> str:
    site.until(lambda: all(unit.running for unit in site.units.values()), "every process to run")

    def held() -> list[str]:
        return [name for name in COORDINATORS if site.value(name, "tidewatt_policy_lease_held") == 1]

    site.until(
        lambda: held() == [site.holder()], "one coordinator to hold the lease, by itself and the database"
    )
    return f"one holder, {site.holder()}, after {site.fencing()} takings"


def converged(site: Site, order: float) -> str:
    site.until(lambda: site.order(order), "an order to be taken")

    def all_do() -> bool:
        wanted = ("applied", site.standing.revision)
        return all(site.watcher.answer(device) == wanted for device in DEVICES)

    site.until(all_do, "every device to apply what stands")
    site.until(
        lambda: all(_last_tick(site, device)["policy"]["slo_p95_ms"] == order for device in DEVICES),
        "every device to decide by it",
    )
    return f"revision {site.standing.revision} applied by {len(DEVICES)}"


def _boards_explained(site: Site) -> str:
    """Each board stands where its agent decided that it should, by the actuator's own look at the nodes."""

    def explained(device: str) -> bool:
        tick = _last_tick(site, device)
        modes = site.boards[device].modes()
        return bool(tick["decision"]["point"] == tick["stands"]) and (
            modes.get(tick["stands"]) == site.boards[device].stands()
        )

    for device in DEVICES:
        site.until(lambda: explained(device), f"{device}'s board to stand where its agent wants it")  # noqa: B023
    return "every board where its agent decided"


def _at_rest(site: Site, *, clocks_off: bool) -> Iterator[str]:
    """Devices say goodbye: boards are as they were found, and the ledger has what was counted."""
    for device in DEVICES:
        site.units[f"{device}.agent"].stop()
        site.tend()
        if not site.boards[device].untouched:
            board = site.boards[device]
            now = board.hands.nodes()
            moved = {path: (was, now.get(path)) for path, was in board.found.items() if now.get(path) != was}
            raise Wrong(f"{device}'s board is not as it was found: {moved}")
        (site.folder / device / "journal.jsonl").unlink(missing_ok=True)
    yield "every board as it was found"
    _hear(site)
    try:
        site.until(lambda: not missing(site), "the ledger to have what was counted")
    except NotInTime as error:
        raise Wrong(f"the ledger has other counters than the devices: {missing(site)}") from error
    parts = _in_slices(site)
    totals = {total.device: total.values for total in site.ledger.totals()}
    if parts != totals:
        raise Wrong(f"slices {parts} don't sum to totals {totals}")
    joules = sum(values[COUNTERS.index("energy_mj")] for values in totals.values()) / 1000
    yield f"{joules:.3f} J in the ledger, as counted"
    aside = in_quarantine(site.ledger)
    odd = [one for one in aside if not one.code.startswith("clock_")]
    if odd or (aside and not clocks_off):
        raise Wrong(f"{len(aside)} reports are in quarantine: {(odd or aside)[0]}")
    if aside:
        yield f"{len(aside)} reports of wrong clocks in quarantine"


def missing(site: Site) -> Counted:
    """What of the ledger isn't what was counted, by device and epoch: the difference of each counter.

    An epoch that a device began on a bad disk, and that its death ended before the disk was well again, is
    kept nowhere: of it the ledger has what was told, which we may not all have heard.
    """
    ledger = in_ledger(site)
    found: Counted = {}
    for key in ledger.keys() | site.kept.keys():
        theirs = ledger.get(key, (0,) * len(COUNTERS))
        ours = site.kept.get(key, (0,) * len(COUNTERS))
        if theirs != ours and key in site.filed:
            found[key] = tuple(map(operator.sub, theirs, ours))
    return found


def _hear(site: Site) -> None:
    """What devices told, too, belongs to what was counted: of an epoch that a bad disk never kept."""
    for one in list(site.watcher.heard):
        if one.topic.endswith("/report"):
            try:
                report = decode(Report, one.payload)
            except Refused as error:
                raise Wrong(f"a report can't be read: {error}") from error
            site.counts(report.device, report.epoch, report.counters)


def in_ledger(site: Site) -> Counted:
    """The greatest counters of each device and epoch."""
    table = device_life.c
    columns = select(table.device, table.epoch, *(table[f"{name}_greatest"] for name in COUNTERS))
    with site.ledger.engine.connect() as connection:
        return {(row[0], row[1]): tuple(map(int, row[2:])) for row in connection.execute(columns)}


def _in_slices(site: Site) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = defaultdict(lambda: (0,) * len(COUNTERS))
    for life in site.ledger.lives():
        for piece in slices(life.spans, site.ledger.bucket_ms):
            found[life.device] = tuple(map(sum, zip(found[life.device], piece.values, strict=True)))
    return dict(found)


def _fenced(site: Site) -> str:
    """The journal's fencing and revisions only rise, and no revision was said with two contents."""
    columns = select(policy_event.c.version, policy_event.c.revision, policy_event.c.fencing)
    with site.ledger.engine.connect() as connection:
        rows = connection.execute(columns.order_by(policy_event.c.version)).all()
    revisions, fences = [row.revision for row in rows], [row.fencing for row in rows if row.fencing]
    if revisions != sorted(revisions) or fences != sorted(fences):
        raise Wrong(f"the policy's journal steps back: {rows}")
    said: dict[int, object] = {}
    for one in site.watcher.sets():
        if said.setdefault(one.revision, one) != one:
            raise Wrong(f"revision {one.revision} was said with two contents")
    for device in DEVICES:
        # A broker that was killed comes back with what it had on its disk, an older set perhaps.
        refused = [
            ack
            for ack in site.watcher.acks(device)
            if ack.status == "refused" and ack.code != "older_revision"
        ]
        if refused:
            raise Wrong(f"{device} refused a set: {refused[0]}")
    return f"{len(rows)} writes of the policy in order, {len(said)} revisions heard"


def _last_tick(site: Site, device: str) -> dict[str, Any]:
    path = site.folder / device / "journal.jsonl"
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        lines = []
    found: dict[str, Any] = json.loads(lines[-2]) if len(lines) > 1 else NOTHING
    return found


NOTHING: dict[str, Any] = {"policy": {"slo_p95_ms": 0}, "decision": {"point": ""}, "stands": "nowhere"}
